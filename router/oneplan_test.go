package router

import (
	"encoding/binary"
	"strconv"
	"strings"
	"testing"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
)

// planOIDs are declared types as Parse carries them.
func planOIDs(oids ...uint32) []byte {
	var b []byte
	for _, oid := range oids {
		b = binary.BigEndian.AppendUint32(b, oid)
	}
	return b
}

// onePlanSchema is the catalog of TestOnePlan.
func onePlanCatalog(t testing.TB) *Catalog {
	c := fixture(t, mapNamed(t, "shardmap-one.yaml"))
	cols := []Column{{"id", oidInt8, "", true, true}, {"code", oidText, "default", true, true}, {"n", oidInt4, "", true, false}, {"name", oidVarchar, "default", true, false},
		{"folded", oidText, "ci", false, true}, {"amount", oidNumeric, "", true, false}}
	with := func(name, kind string, change func(*Relation)) {
		r := Relation{Schema: "public", Name: name, Kind: kind, Persistence: "p", Columns: cols, UniqueKeys: [][]string{{"id"}, {"code", "n"}, {"folded"}, {"amount"}},
			Checked: []string{"name"}, Large: true}
		change(&r)
		c.Relations = append(c.Relations, r)
	}
	with("big", "r", func(*Relation) {})
	with("small", "r", func(r *Relation) { r.Large = false })
	with("split", "p", func(*Relation) {})
	with("child", "r", func(r *Relation) { r.Parents = [][2]string{{"public", "parent"}} })
	with("parent", "r", func(*Relation) {})
	with("policed", "r", func(r *Relation) { r.RowSecurity = true })
	with("ruled", "r", func(r *Relation) { r.Rules = true })
	with("keyless", "r", func(r *Relation) { r.UniqueKeys = nil })
	with("remote", "f", func(*Relation) {})
	c.index()
	return c
}

// TestOnePlan says which statements have one plan, and which may have several.
func TestOnePlan(t *testing.T) {
	r := New(mapNamed(t, "shardmap-one.yaml"), onePlanCatalog(t), Options{})
	for _, c := range []struct {
		sql  string
		oids []uint32
		want bool
	}{
		{"select n from big where id = $1", nil, true},
		{"select n from big where id = $1", []uint32{oidInt4}, true},
		{"select n from big where id = $1", []uint32{oidNumeric}, false},
		{"select n from big where id = $1", []uint32{oidText}, false},
		{"select n from big b where $1 = b.id for update", nil, true},
		{"select n from public.big where id = $1::bigint and n > $2 and name is null limit $3", nil, true},
		{"select *, lower(code), $2 from big where id = $1 limit 1", nil, true},
		{"select n from big where n = $2 and code = $1", nil, true},
		{"select n from big where code = $1::varchar and n = $2::integer", []uint32{oidVarchar, oidInt2}, true},
		{"select n from big where code = $1", nil, false},
		{"select n from big where folded = $1", nil, false},
		{"select n from big where amount = $1", nil, false},
		{"select n from big where id = $1 or n = $2", nil, false},
		{"select n from big where id = 5", nil, false},
		{"select n from big where id > $1", nil, false},
		{"select n from big where id = any ($1)", nil, false},
		{"select n from big where id in ($1, $2)", nil, false},
		{"select n from big where id = $1 and name like $2", nil, false},
		{"select n from big where id = $1 + 1", nil, false},
		{"select n from big where id = $1 and n = 10 / $2", nil, false},
		{"select 1 / $2 from big where id = $1", nil, false},
		{"select n from big where id = $1 and n = $1", nil, false},
		{"select n from big where id = $1 and exists (select from big where n = 1)", nil, false},
		{"select (select max(n) from big) from big where id = $1", nil, false},
		{"select max(n) from big where id = $1", nil, false},
		{"select count(*) from big where id = $1", nil, false},
		{"select nobody_knows(n) from big where id = $1", nil, false},
		{"select distinct n from big where id = $1", nil, false},
		{"select n from big where id = $1 order by n", nil, false},
		{"select n from big where id = $1 union select 1", nil, false},
		{"with w as (select 1) select n from big where id = $1", nil, false},
		{"select b.n from big b, big c where b.id = $1 and c.id = $2", nil, false},
		{"select b.n from big b join big c using (id) where b.id = $1", nil, false},
		{"select n from (select * from big) b where id = $1", nil, false},
		{"select n from big tablesample system (1) where id = $1", nil, false},
		{"select n into other from big where id = $1", nil, false},
		{"select n from small where id = $1", nil, false},
		{"select n from split where id = $1", nil, false},
		{"select n from parent where id = $1", nil, false},
		{"select n from child where id = $1", nil, true},
		{"select n from policed where id = $1", nil, false},
		{"select n from ruled where id = $1", nil, false},
		{"select n from keyless where id = $1", nil, false},
		{"select n from remote where id = $1", nil, false},
		{"select n from unheard_of where id = $1", nil, false},
		{"select relname from pg_class where oid = $1", nil, false},
		{"select $1", nil, false},
		{"select n from big where id = $1; select n from big where id = $1", nil, false},
		{"/* pgdrover: noreuse */ select n from big where id = $1", nil, false},
		{"update big set n = n + $1, amount = $3, code = 'x' where id = $2 returning n", nil, true},
		{"update big set n = $1 where id = $2", []uint32{oidInt2, oidInt8}, true},
		{"update big set n = $1 where id = $2", []uint32{oidInt8, oidInt8}, false},
		{"update big set name = $1 where id = $2", nil, false},
		{"update big set (n, code) = ($1, $3) where id = $2", nil, false},
		{"update big set n = c.n from big c where big.id = $1 and c.id = $2", nil, false},
		{"update big set n = $1", nil, false},
		{"delete from big where id = $1", nil, true},
		{"delete from big using big c where big.id = $1", nil, false},
		{"delete from big where current of c", nil, false},
		{"insert into big (id, code, n) values ($1, $2, 5)", nil, true},
		{"insert into big values ($1, $2, default)", nil, true},
		{"insert into small (id) values ($1) on conflict (id) do update set n = excluded.n, amount = $2 where small.n < $3", nil, true},
		{"insert into split (id) values ($1)", nil, true},
		{"insert into small (id, name) values ($1, $2)", nil, false},
		{"insert into small (id) values ($1 + 1)", nil, false},
		{"insert into small (id) values ((select 1))", nil, false},
		{"insert into small (id) select $1", nil, false},
		{"insert into small (id) values ($1), ($2)", nil, false},
		{"insert into small (id) values ($1) on conflict (id) where n = $2 do nothing", nil, false},
		{"insert into policed (id) values ($1)", nil, false},
		{"insert into small default values", nil, false},
		{"merge into big using small on big.id = small.id when matched then delete", nil, false},
		{"selekt", nil, false},
		{"", nil, false},
	} {
		var q Query
		r.Analyse(&q, []byte(c.sql), &Env{})
		if got := q.OnePlan(planOIDs(c.oids...)); got != c.want {
			t.Errorf("%s with %v: %t", c.sql, c.oids, got)
		}
	}
}

// TestOnePlanIsOne compares what PostgreSQL's custom and generic plans cost of statements which are taken to have one: a custom plan may go
// by another index to the same row, and may see that there is none.
func TestOnePlanIsOne(t *testing.T) {
	c := pgcluster.Test(t, pgcluster.Config{})
	node := c.Shards[0].Primary
	ask := func(sql string) [][]string {
		t.Helper()
		rows, err := node.Query(t.Context(), sql)
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		return rows
	}
	ask(`create table big (id bigint primary key, code text, n int, name varchar(20), amount numeric, unique (code, n));
insert into big select i, case when i % 10 < 9 then 'often' else 'rare ' || i % 50 end, i, 'x', i % 3 from generate_series(1, 30000) i;
create index on big (code); create index on big (amount); create index on big (name) where amount = 1; create index on big (id) where code = 'rare 9'; analyze big`)
	catalog, err := ParseCatalog([]byte(ask(CatalogSQL(mapNamed(t, "shardmap.yaml")))[0][0]))
	if err != nil {
		t.Fatal(err)
	}
	r := New(mapNamed(t, "shardmap-one.yaml"), catalog, Options{})
	for _, p := range []struct {
		sql    string
		values [][]string
	}{
		{"select * from big where id = $1", [][]string{{"5"}, {"30000"}, {"-1"}, {"NULL"}}},
		{"select n, $2 from big where id = $1 limit $3", [][]string{{"5", "'a'", "1"}, {"6", "NULL", "NULL"}, {"7", "'c'", "0"}}},
		{"select * from big where id = $1 and code = $2", [][]string{{"9", "'rare 9'"}, {"9", "'often'"}, {"9", "NULL"}}},
		{"select * from big where code = $1 and n = $2 for update", [][]string{{"'often'", "1"}, {"'rare 9'", "9"}, {"'never'", "9"}}},
		{"select * from big where n = $1 and code = $2 and amount = $3 and name = $4", [][]string{{"1", "'often'", "1", "'x'"}, {"1", "'often'", "7", "'y'"}}},
		{"update big set amount = amount + $1 where id = $2 returning n", [][]string{{"1", "5"}, {"2", "-5"}}},
		{"delete from big where code = $1 and n = $2", [][]string{{"'often'", "1"}, {"'rare 9'", "9"}}},
		{"insert into big (id, code) values ($1, $2) on conflict (id) do update set code = excluded.code", [][]string{{"1", "'x'"}, {"70000", "NULL"}}},
	} {
		var q Query
		r.Analyse(&q, []byte(p.sql), &Env{})
		if !q.OnePlan(nil) {
			t.Errorf("%s is not taken to have one plan", p.sql)
		}
		for _, values := range p.values {
			execute := "; explain execute s(" + strings.Join(values, ", ") + ")"
			custom := ask("deallocate all; prepare s as " + p.sql + "; set plan_cache_mode = force_custom_plan" + execute)
			generic := ask("deallocate all; prepare s as " + p.sql + "; set plan_cache_mode = force_generic_plan" + execute)
			if costOf(t, generic) > costOf(t, custom)+1 && !strings.Contains(textOf(custom), "One-Time Filter: false") {
				t.Errorf("%s with %s:\n%s\ngeneric:\n%s", p.sql, values, textOf(custom), textOf(generic))
			}
			if text := textOf(generic); p.sql[0] != 'i' && !strings.Contains(text, "Index Scan using big_pkey") && !strings.Contains(text, "Index Scan using big_code_n_key") {
				t.Errorf("%s goes by no unique key:\n%s", p.sql, text)
			}
		}
	}
}

// costOf is the estimate of a whole plan; reading a page costs 4.
func costOf(t *testing.T, plan [][]string) float64 {
	t.Helper()
	_, cost, _ := strings.Cut(textOf(plan), "..")
	cost, _, _ = strings.Cut(cost, " ")
	n, err := strconv.ParseFloat(cost, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func textOf(plan [][]string) string {
	var lines []string
	for _, row := range plan {
		lines = append(lines, row[len(row)-1])
	}
	return strings.Join(lines, "\n")
}
