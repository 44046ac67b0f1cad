package router

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
)

// TestRoutedWritesAll is what routing promises of writes: one that goes to one
// shard writes there what it would write if all rows were in one place, and
// there no row of another shard's tenants. Nodes are as in TestRoutedSeesAll;
// each write is rolled back.
func TestRoutedWritesAll(t *testing.T) {
	conns := wholeAndSecond(t)
	r := routerFor(t, "shardmap.yaml")
	before := contents(t, conns[0], "NOT IN (42, 43)")
	rng := rand.New(rand.NewPCG(5, 3))
	compared := 0
	for range 6000 {
		text := randomWrite(rng)
		if !writesToSecond(r, text) {
			continue
		}
		var after [2]string
		for i, conn := range conns {
			after[i] = written(t, conn, text)
		}
		if after[0] == "an error" && after[1] == after[0] {
			continue
		}
		compared++
		if after[0] != after[1]+before {
			t.Errorf("%s\nwith all rows:\n%s\nwith the shard's rows:\n%s\nothers' rows before:\n%s", text, after[0], after[1], before)
		}
	}
	t.Logf("%d statements compared", compared)
	if compared < 250 {
		t.Errorf("only %d statements were compared", compared)
	}
}

// writesToSecond reports a write that the text alone sends to shard s2.
func writesToSecond(r *Router, text string) bool {
	var q Query
	env := Env{}
	r.Analyse(&q, []byte(text), &env)
	route, err := r.Route(&q, nil, &env)
	return err == nil && route.reason == byTenant && route.Kind == Single && route.Shard == 1 && route.Write
}

// written runs a write and takes it back; it returns what the tables held in
// between: the rows of the shard's tenants, then those of others, if there are
// any.
func written(t *testing.T, conn *pgcluster.Conn, text string) string {
	t.Helper()
	if _, err := conn.Query(t.Context(), "BEGIN"); err != nil {
		t.Fatal(err)
	}
	rows := "an error"
	if _, err := conn.Query(t.Context(), text); err == nil {
		rows = contents(t, conn, "IN (42, 43)") + contents(t, conn, "NOT IN (42, 43)")
	}
	if _, err := conn.Query(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	return rows
}

// contents are the rows of the sharded tables whose tenants are as a condition
// says.
func contents(t *testing.T, conn *pgcluster.Conn, tenants string) string {
	t.Helper()
	var b strings.Builder
	for _, table := range []string{"orders", "users", "items", "secrets", "audit.log"} {
		rows, err := conn.Query(t.Context(), fmt.Sprintf("SELECT t::text FROM %s t WHERE tenant_id %s ORDER BY 1", table, tenants))
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			fmt.Fprintf(&b, "%s %s\n", table, row[0])
		}
	}
	return b.String()
}

// randomWrite writes an INSERT, UPDATE, DELETE or MERGE, with equalities on
// tenant columns in places where they may or may not bind.
func randomWrite(rng *rand.Rand) string {
	from, aliases := randomFrom(rng, 1, nil)
	where := " WHERE " + randomCondition(rng, append([]string{"t", "t"}, aliases...), 1)
	switch rng.IntN(9) {
	case 0:
		return "UPDATE orders t SET status = 'z'" + pick(rng, "", ", tenant_id = 43", ", tenant_id = t.tenant_id") + " FROM " + from + where
	case 1:
		return "UPDATE orders t SET status = 'z' WHERE " + randomCondition(rng, []string{"t"}, 1)
	case 2:
		return "DELETE FROM secrets t USING " + from + where
	case 3:
		return "DELETE FROM users t WHERE " + randomCondition(rng, []string{"t"}, 2)
	case 4:
		return "INSERT INTO audit.log (tenant_id, id, line) SELECT x.tenant_id, x.id, 'w' FROM (" + randomQuery(rng, 1, nil) + ") x ON CONFLICT DO NOTHING"
	case 5:
		return "INSERT INTO audit.log AS t (tenant_id, id, line) SELECT x.tenant_id, x.id, 'w' FROM (" + randomQuery(rng, 0, nil) +
			") x GROUP BY 1, 2 ON CONFLICT (tenant_id, id) DO UPDATE SET line = 'u' WHERE " + randomCondition(rng, []string{"t", "excluded"}, 0)
	case 6:
		return "WITH d AS (DELETE FROM items t WHERE " + strings.ReplaceAll(randomCondition(rng, []string{"t"}, 0), ".id", ".order_id") +
			" RETURNING t.tenant_id, t.order_id AS id) UPDATE orders t SET status = 'z' FROM d WHERE " + randomCondition(rng, []string{"t", "d"}, 0)
	case 7:
		return "WITH RECURSIVE r AS (" + randomQuery(rng, 0, nil) + " UNION SELECT o.tenant_id, o.id + 1 FROM orders o JOIN r ON " +
			randomCondition(rng, []string{"o", "r"}, 0) + " WHERE o.id < 4) INSERT INTO audit.log SELECT tenant_id, id, 'r' FROM r ON CONFLICT DO NOTHING"
	}
	return randomMerge(rng)
}

func randomMerge(rng *rand.Rand) string {
	text := "MERGE INTO orders t USING (" + randomQuery(rng, rng.IntN(2), nil) + ") s ON " + randomCondition(rng, []string{"t", "s"}, 0) + " AND t.id = s.id"
	if rng.IntN(3) > 0 {
		text += " WHEN MATCHED" + pick(rng, "", " AND t.id = 1", " AND s.tenant_id = 43") + " THEN " +
			pick(rng, "DELETE", "UPDATE SET status = 'm'", "UPDATE SET tenant_id = s.tenant_id", "DO NOTHING")
	}
	return text + " WHEN NOT MATCHED" + pick(rng, "", " AND s.tenant_id = 42") + " THEN " +
		pick(rng, "INSERT (tenant_id, id) VALUES (s.tenant_id, s.id + 10)", "INSERT (tenant_id, id) VALUES (42, s.id + 10)", "DO NOTHING")
}
