package proxy

import (
	"encoding/json"
	"encoding/xml"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestScatterExplain asks for plans of reads of all shards: each shard's is there, in a form that its readers know.
func TestScatterExplain(t *testing.T) {
	r, _ := scatterRig(t, rigOptions{size: 3})
	conn, simple := r.connect(), r.connect(simpleMode)
	lines := func(c *pgx.Conn, sql string, args ...any) string {
		t.Helper()
		rows, err := c.Query(t.Context(), "/* pgdrover: scatter */ "+sql, args...)
		if err != nil {
			t.Fatal(err)
		}
		list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
			if got := row.FieldDescriptions()[0].Name; got != "QUERY PLAN" {
				t.Errorf("column %q", got)
			}
			return string(row.RawValues()[0]), nil
		})
		if err != nil || rows.CommandTag().String() != "EXPLAIN" {
			t.Fatalf("%s: %v, tag %q", sql, err, rows.CommandTag())
		}
		return strings.Join(list, "\n")
	}
	for _, c := range []*pgx.Conn{conn, simple} {
		text := lines(c, "explain (analyze, costs off, timing off, summary off) select status, count(*) from orders where total > 40 group by status order by 2 desc")
		for _, want := range []string{"Scatter: no tenant is named", "\n  Shard s1:\n    HashAggregate", "\n  Shard s3:\n    ", "Filter: (total >", "actual rows=",
			"\n  Answer made by shard s1: SELECT pgdrover_1, pg_catalog.sum(pgdrover_2)::bigint FROM pgdrover_rows GROUP BY pgdrover_1 ORDER BY 2 DESC"} {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in\n%s", want, text)
			}
		}
		var plans []struct {
			Shard string
			Plan  map[string]any
		}
		if err := json.Unmarshal([]byte(lines(c, "explain (format json) select * from orders")), &plans); err != nil || len(plans) != 3 ||
			plans[2].Shard != "s3" || plans[2].Plan["Node Type"] != "Seq Scan" {
			t.Errorf("%+v, %v", plans, err)
		}
		var doc struct {
			Query []struct {
				Shard string
				Plan  struct {
					Type string `xml:"Node-Type"`
				}
			}
		}
		if err := xml.Unmarshal([]byte(lines(c, "explain (format xml) select * from orders")), &doc); err != nil || len(doc.Query) != 3 ||
			doc.Query[1].Shard != "s2" || doc.Query[1].Plan.Type != "Seq Scan" {
			t.Errorf("%+v, %v", doc, err)
		}
		yaml := lines(c, "explain (format yaml, costs off) select * from orders")
		if strings.Count(yaml, "- Shard: ") != 3 || !strings.HasPrefix(yaml, "- Shard: \"s1\"\n  Plan: \n    Node Type: \"Seq Scan\"") {
			t.Error(yaml)
		}
	}
	if text := lines(conn, "explain (costs off) select id from orders where total > $1", 3); strings.Count(text, "Seq Scan") != 3 || strings.Contains(text, "Answer") {
		t.Error(text)
	}
	r.refuses(conn, "42703", "/* pgdrover: scatter */ explain select nosuch from orders")
	r.refuses(conn, "0A000", "/* pgdrover: scatter */ explain analyze delete from orders")

	// EXPLAIN ANALYZE of a write runs where the write goes, and only there.
	k := r.tenants(1, 1)[0]
	r.exec(conn, "explain analyze insert into orders (tenant_id, id) values ($1, 99)", k)
	r.exec(conn, "explain analyze insert into countries values ('it', 'Italy')")
	for i, want := range []string{"0 1", "1 1", "0 1"} {
		if got := r.on(r.cluster.Shards[i].Primary, "select (select count(*) from orders where id = 99) || ' ' || (select count(*) from countries where code = 'it')"); got != want {
			t.Errorf("shard %d has %s, not %s", i+1, got, want)
		}
	}
}
