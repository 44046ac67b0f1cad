package router

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
)

// TestRoutedSeesAll is what routing promises: a read that goes to one shard
// sees there what it would see if all rows were in one place. One node holds
// all rows, the other those of shard s2 only; every statement that is routed to
// s2 must answer alike on both. The statements are those of the routing cases
// and random ones.
func TestRoutedSeesAll(t *testing.T) {
	conns := wholeAndSecond(t)
	r := routerFor(t, "shardmap.yaml")
	texts := corpus(t)
	rng := rand.New(rand.NewPCG(11, 2))
	for range 5000 {
		texts = append(texts, randomQuery(rng, 2, nil))
	}
	compared := 0
	for _, text := range texts {
		if goesToSecond(r, text) {
			compared += compareNodes(t, conns, text)
		}
	}
	t.Logf("%d statements compared", compared)
	if compared < 600 {
		t.Errorf("only %d statements were compared", compared)
	}
}

// wholeAndSecond are connections to a node that has the rows of all tenants, and to one that has those of shard s2 alone.
func wholeAndSecond(t *testing.T) (conns [2]*pgcluster.Conn) {
	t.Helper()
	c := pgcluster.Test(t, pgcluster.Config{Shards: 2})
	schema, err := os.ReadFile(filepath.Join(routingDir, "schema.sql"))
	if err != nil {
		t.Fatal(err)
	}
	for i, tenants := range []string{"42, 43, 44, 7, -1", "42, 43"} {
		conn, err := pgcluster.Connect(t.Context(), c.Shards[i].Primary.SuperuserURL())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Close)
		for _, sql := range []string{string(schema), rowsOf(tenants), "SET statement_timeout = '5s'"} {
			if _, err := conn.Query(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
		}
		conns[i] = conn
	}
	return conns
}

// rowsOf returns SQL that fills the tables for some tenants.
func rowsOf(tenants string) string {
	return strings.ReplaceAll(`
INSERT INTO users SELECT t, i, 'u' || i, CASE WHEN i > 1 THEN t + i - 2 END, '2021-01-01' FROM unnest(ARRAY[TENANTS]) t, generate_series(1, 3) i;
INSERT INTO orders (tenant_id, id, user_id, status, total, country)
  SELECT t, i, 1 + (t + i) % 2, CASE i % 2 WHEN 0 THEN 'open' ELSE 'new' END, i, 'de' FROM unnest(ARRAY[TENANTS]) t, generate_series(1, 4) i
  WHERE t > 0;
INSERT INTO items SELECT tenant_id, id, l, 'p', l FROM orders, generate_series(1, 2) l;
INSERT INTO events SELECT ('00000000-0000-0000-0000-00000000000' || abs(t) % 10)::uuid, '2021-01-01', t, 'k' FROM unnest(ARRAY[TENANTS]) t;
INSERT INTO secrets SELECT t, 1, 's' FROM unnest(ARRAY[TENANTS]) t;
INSERT INTO audit.log SELECT t, 1, 'l' FROM unnest(ARRAY[TENANTS]) t;
INSERT INTO countries VALUES ('de', 'Germany'), ('fr', 'France');
INSERT INTO migrations VALUES (1, '2021-01-01');
REFRESH MATERIALIZED VIEW daily;`, "TENANTS", tenants)
}

// goesToSecond reports a read that the text alone sends to shard s2.
func goesToSecond(r *Router, text string) bool {
	var q Query
	env := Env{}
	r.Analyse(&q, []byte(text), &env)
	if len(q.Statements()) != 1 || q.Statements()[0].Verb != Select || strings.Contains(text, "$1") {
		return false
	}
	route, err := r.Route(&q, nil, &env)
	st := &q.Statements()[0]
	return err == nil && route.reason == byTenant && route.Shard == 1 && !route.Write && len(st.Writes) == 0 &&
		!strings.HasPrefix(st.WhyNotCacheable, "volatile function") // two nodes answer it differently however the rows lie
}

// compareNodes runs a query on both nodes; 1 if the answers could be compared.
func compareNodes(t *testing.T, conns [2]*pgcluster.Conn, text string) int {
	t.Helper()
	for _, other := range []string{"TABLESAMPLE", "pg_catalog", "pg_class", "now()", "CURRENT_TIMESTAMP"} {
		if strings.Contains(text, other) {
			return 0
		}
	}
	var answers [2]string
	for i, conn := range conns {
		rows, err := conn.Query(t.Context(), text)
		if err != nil {
			answers[i] = "an error"
			continue
		}
		var lines []string
		for _, row := range rows {
			lines = append(lines, strings.Join(row, "|"))
		}
		slices.Sort(lines)
		answers[i] = strings.Join(lines, "\n")
	}
	if answers[0] != answers[1] {
		t.Errorf("%s\nall rows:\n%s\nthe shard's rows:\n%s", text, answers[0], answers[1])
	}
	if answers[0] == "an error" {
		return 0
	}
	return 1
}

// randomQuery writes a query over the sharded tables, with equalities on their
// tenant columns in places where they may or may not bind.
func randomQuery(rng *rand.Rand, depth int, outer []string) string {
	from, aliases := randomFrom(rng, depth, outer)
	text := "SELECT " + randomColumn(rng, aliases) + " AS tenant_id, " + aliases[0] + ".id AS id FROM " + from
	if rng.IntN(5) > 0 {
		text += " WHERE " + randomCondition(rng, append(aliases[:len(aliases):len(aliases)], outer...), depth)
	}
	switch rng.IntN(21) {
	case 7, 8:
		if depth > 1 {
			name := fmt.Sprintf("c%d", rng.IntN(100))
			text = fmt.Sprintf("WITH %s AS (%s), d AS (SELECT a.tenant_id, b.id FROM %s a %s JOIN %s b ON %s) SELECT a.tenant_id, a.id FROM d a %s JOIN %s b ON %s WHERE %s",
				name, text, name, pick(rng, "", "LEFT", "FULL"), pick(rng, name, "orders"), randomCondition(rng, []string{"a", "b"}, 0),
				pick(rng, "", "LEFT", "RIGHT"), pick(rng, name, "users"), randomCondition(rng, []string{"a", "b"}, 0), randomCondition(rng, []string{"a", "b"}, 0))
		}
	case 9:
		if depth > 1 {
			text = fmt.Sprintf("WITH RECURSIVE r AS (%s UNION SELECT o.tenant_id, o.id + 1 FROM orders o %s JOIN r ON %s WHERE o.id < 4) SELECT a.tenant_id, a.id FROM r a JOIN orders b ON %s",
				randomQuery(rng, 0, nil), pick(rng, "", "RIGHT"), randomCondition(rng, []string{"o", "r"}, 0), randomCondition(rng, []string{"a", "b"}, 0))
		}
	case 0:
		text += " ORDER BY 1, 2 LIMIT 2"
	case 1:
		text += " GROUP BY 1, 2"
	case 2:
		text = strings.Replace(text, "SELECT ", "SELECT DISTINCT ", 1)
	case 3:
		if depth > 0 {
			text += " " + pick(rng, "UNION", "UNION ALL", "EXCEPT", "INTERSECT") + " " + randomQuery(rng, depth-1, outer)
		}
	case 4:
		text = strings.Replace(text, "SELECT ", "SELECT DISTINCT ON ("+aliases[0]+".id) ", 1) + " ORDER BY " + aliases[0] + ".id, 1 DESC"
	case 5:
		text = strings.Replace(text, aliases[0]+".id AS id", "rank() OVER (ORDER BY "+aliases[0]+".tenant_id, "+aliases[0]+".id) AS id", 1)
	case 6:
		if depth > 1 {
			name := fmt.Sprintf("c%d", rng.IntN(100))
			text = fmt.Sprintf("WITH %s AS (%s) SELECT a.tenant_id, a.id FROM %s a %s JOIN orders b ON %s WHERE %s", name, text, name,
				pick(rng, "", "LEFT", "RIGHT", "FULL"), randomCondition(rng, []string{"a", "b"}, 0), randomCondition(rng, []string{"a", "b"}, 0))
		}
	}
	return text
}

func pick(rng *rand.Rand, list ...string) string { return list[rng.IntN(len(list))] }

// randomFrom writes a FROM list, and returns the names of its elements.
func randomFrom(rng *rand.Rand, depth int, outer []string) (string, []string) {
	var aliases []string
	element := func() string {
		alias := string(rune('a' + len(aliases)))
		alias = fmt.Sprintf("%s%d", alias, depth)
		aliases = append(aliases, alias)
		if depth > 0 && rng.IntN(4) == 0 {
			if rng.IntN(2) == 0 {
				beside := append(aliases[:len(aliases)-1:len(aliases)-1], outer...)
				return "LATERAL (" + randomQuery(rng, depth-1, beside) + ") " + alias
			}
			return "(" + randomQuery(rng, depth-1, outer) + ") " + alias
		}
		switch rng.IntN(24) {
		case 6:
			return "(SELECT f.*, " + pick(rng, "42", "43", "44") + " AS tenant_id FROM generate_series(1, 2) f) " + alias + pick(rng, " (id)", " (id, tenant_id)", " (tenant_id, id)")
		case 7:
			return "(SELECT (" + pick(rng, "SELECT 44 AS tenant_id", "SELECT 42 AS tenant_id", "VALUES (42)") + "), 1 AS id) " + alias
		case 8:
			return "(SELECT CASE WHEN x.id = 1 THEN " + pick(rng, "42", "44") + " ELSE x.tenant_id END, x.id FROM orders x WHERE x.tenant_id = 42) " + alias
		case 9:
			return "(SELECT (x).tenant_id, (x).id FROM " + pick(rng, "orders", "users") + " x" + pick(rng, "", " WHERE x.tenant_id = 42") + ") " + alias
		case 2:
			return "(SELECT tenant AS tenant_id, id FROM order_lines) " + alias
		case 3:
			return "order_lines " + alias + " (tenant_id, id)"
		case 4:
			return pick(rng, "first_orders", "(TABLE first_orders)", "(SELECT tenant_id, n AS id FROM daily)", "(SELECT tenant_id, total::bigint AS id FROM totals)") + " " + alias
		case 5:
			return "(SELECT tenant_id, max(id) AS id FROM orders GROUP BY " + pick(rng, "tenant_id", "ROLLUP (tenant_id)", "tenant_id HAVING tenant_id = 42", "GROUPING SETS ((tenant_id), ())") + ") " + alias
		case 0:
			return "unnest('{42," + pick(rng, "42", "43", "-1") + "}'::bigint[], '{1,2}'::bigint[]) " + alias + " (tenant_id, id)"
		case 1:
			return "(VALUES (42, 1), (" + pick(rng, "42", "43", "44") + ", 2)) " + alias + " (tenant_id, id)"
		}
		return pick(rng, "orders", "users", "orders", "open_orders", "totals_or_orders") + " " + alias
	}
	text := element()
	for range rng.IntN(3) {
		right, from := element(), len(aliases)-1
		if rng.IntN(5) == 0 {
			third := element()
			right = fmt.Sprintf("(%s %s JOIN %s %s)", right, pick(rng, "", "LEFT", "RIGHT", "FULL"), third,
				pick(rng, "USING (tenant_id)", "USING (tenant_id, id)", "ON "+randomCondition(rng, aliases[from:], 0)))
		}
		switch rng.IntN(7) {
		case 6:
			text = fmt.Sprintf("%s %s JOIN %s USING (tenant_id, id)", text, pick(rng, "", "LEFT", "RIGHT", "FULL"), right)
		case 0:
			text += ", " + right
		case 1:
			text = fmt.Sprintf("%s %s JOIN %s USING (tenant_id)", text, pick(rng, "", "LEFT", "RIGHT", "FULL"), right)
		case 2:
			text = fmt.Sprintf("%s NATURAL %s JOIN %s", text, pick(rng, "", "LEFT", "RIGHT", "FULL"), right)
		default:
			text = fmt.Sprintf("%s %s JOIN %s ON %s", text, pick(rng, "", "", "LEFT", "RIGHT", "FULL"), right,
				randomCondition(rng, aliases, 0))
		}
	}
	return strings.ReplaceAll(text, "totals_or_orders", "secrets"), aliases
}

func randomColumn(rng *rand.Rand, aliases []string) string {
	column := aliases[rng.IntN(len(aliases))] + ".tenant_id"
	if rng.IntN(20) == 0 {
		return "tenant_id"
	}
	return column
}

// randomCondition writes a condition over tenant columns and ids.
func randomCondition(rng *rand.Rand, aliases []string, depth int) string {
	column := randomColumn(rng, aliases)
	switch rng.IntN(20) {
	case 16:
		return "coalesce(" + column + ", " + randomColumn(rng, aliases) + ") = " + pick(rng, "42", randomColumn(rng, aliases))
	case 17:
		return "CASE WHEN " + aliases[0] + ".id = 1 THEN " + column + pick(rng, " ELSE "+randomColumn(rng, aliases), "") + " END = 42"
	case 18:
		return "(" + column + ", " + randomColumn(rng, aliases) + ") " + pick(rng, "= (42, 42)", "IN ((42, 42), (43, 42))", "IN (VALUES (42, 42), (42, 44))", "= ANY (SELECT tenant_id, id + 41 FROM orders)")
	case 19:
		return "(" + randomCondition(rng, aliases, 0) + " OR EXISTS (SELECT 1 FROM users x WHERE " + randomCondition(rng, []string{"x", aliases[0]}, 0) + "))"
	case 12:
		return column + " = -" + randomColumn(rng, aliases)
	case 13:
		return column + " IS NOT DISTINCT FROM " + pick(rng, "42", "NULL", randomColumn(rng, aliases))
	case 14:
		return "(" + column + ", " + aliases[0] + ".id) = (" + pick(rng, "SELECT 42, 1", "42, 2", "SELECT 43, 1") + ")"
	case 15:
		return "(" + randomCondition(rng, aliases, 0) + ") IS " + pick(rng, "TRUE", "NOT TRUE", "NOT FALSE")
	case 0, 1, 2:
		return column + " = 42"
	case 3, 4:
		return column + " = " + randomColumn(rng, aliases)
	case 5:
		return column + " IN (42, 43)"
	case 6, 7:
		return randomCondition(rng, aliases, depth) + " AND " + randomCondition(rng, aliases, depth)
	case 8:
		return "(" + randomCondition(rng, aliases, depth) + " OR " + randomCondition(rng, aliases, depth) + ")"
	case 9:
		return "NOT (" + randomCondition(rng, aliases, 0) + ")"
	case 10:
		return aliases[0] + ".id = " + fmt.Sprint(1+rng.IntN(3))
	}
	if depth == 0 {
		return column + " = 43"
	}
	return randomSubquery(rng, aliases, depth)
}

// randomSubquery writes a condition with a subquery, which may be correlated.
func randomSubquery(rng *rand.Rand, aliases []string, depth int) string {
	inner := randomQuery(rng, depth-1, aliases)
	column := randomColumn(rng, aliases)
	switch rng.IntN(5) {
	case 4:
		return fmt.Sprintf("(SELECT count(*) FROM orders x WHERE %s) >= 0", randomCondition(rng, []string{"x", column[:2]}, 0))
	case 0:
		return fmt.Sprintf("%s (SELECT 1 FROM orders x WHERE x.tenant_id = %s AND x.id = %s.id AND %s)",
			pick(rng, "EXISTS", "NOT EXISTS"), column, aliases[0], randomCondition(rng, []string{"x", column[:2]}, 0))
	case 1:
		return fmt.Sprintf("(%s, %s.id) %s (%s)", column, aliases[0], pick(rng, "IN", "IN", "NOT IN"), inner)
	case 2:
		return fmt.Sprintf("%s %s (SELECT s.tenant_id FROM (%s) s)", column, pick(rng, "IN", "= ANY", "NOT IN"), inner)
	}
	return fmt.Sprintf("%s = (SELECT s.tenant_id FROM (%s) s ORDER BY 1 LIMIT 1)", column, inner)
}
