package router

import (
	"testing"

	"github.com/pgdrover/pgdrover/internal/casefile"
)

// session is what a case's session has prepared: one statement.
type preparedOne struct {
	name  string
	query Query
	types []uint32
}

// preparedFor prepares what a case says, as prepare="x (bigint) AS SELECT …".
func preparedFor(t *testing.T, c *casefile.Case, r *Router, env *Env) Prepared {
	t.Helper()
	text, ok := c.Arg("prepare")
	if !ok {
		return nil
	}
	var q Query
	r.Analyse(&q, []byte("PREPARE "+text), env)
	st := &q.Statements()[0]
	if st.Verb != Prepare {
		t.Fatalf("PREPARE %s is %s", text, st.Verb)
	}
	p := &preparedOne{name: st.Name, types: q.Declared(0)}
	_, from, to := q.Prepares(0)
	r.Analyse(&p.query, q.SQL()[from:to], env)
	return p
}

func (p *preparedOne) Prepared(name string) (*Query, []uint32) {
	if name != p.name {
		return nil, nil
	}
	return &p.query, p.types
}

// TestNameAt finds the names of prepared statements in texts.
func TestNameAt(t *testing.T) {
	r := routerFor(t, "shardmap-one.yaml")
	for text, want := range map[string]string{
		"PREPARE p AS SELECT 1": "p",
		"/* c */ prepare /* c */ \"P q\" (int, varchar(3)) AS SELECT 1": `"P q"`,
		"DEALLOCATE p":                              "p",
		"DEALLOCATE PREPARE p":                      "p",
		"DEALLOCATE prepare":                        "prepare",
		"EXECUTE execute":                           "execute",
		"EXECUTE p(1, 'execute x')":                 "p",
		"explain execute p":                         "p",
		"EXPLAIN (ANALYZE, COSTS off) EXECUTE p(1)": "p",
		"EXPLAIN ANALYZE VERBOSE EXECUTE p":         "p",
		"CREATE TABLE execute (execute) AS EXECUTE p(1) WITH NO DATA": "p",
		"EXPLAIN CREATE TEMP TABLE t AS EXECUTE U&\"p\"":              `U&"p"`,
		"CREATE TABLE IF NOT EXISTS s.execute AS EXECUTE p":           "p",
	} {
		var q Query
		r.Analyse(&q, []byte("SELECT 1; "+text+" ; SELECT 2"), &Env{})
		from, to, _, ok := q.NameAt(1)
		if !ok || string(q.SQL()[from:to]) != want || !q.Names() {
			t.Errorf("%s: %q %v", text, q.SQL()[from:to], ok)
		}
	}
	var q Query
	r.Analyse(&q, []byte("SELECT 1; DEALLOCATE ALL; EXPLAIN SELECT 1 AS execute"), &Env{})
	if q.Names() {
		t.Error("a name where there is none")
	}
}

// TestExecuteAllocatesNothing routes an EXECUTE that was seen before.
func TestExecuteAllocatesNothing(t *testing.T) {
	r := routerFor(t, "shardmap.yaml")
	p := &preparedOne{name: "p", types: []uint32{oidInt8}}
	env := Env{Prepared: p}
	r.Analyse(&p.query, []byte("SELECT * FROM orders WHERE tenant_id = $1"), &env)
	text := []byte("EXECUTE p(42)")
	var q Query
	n := testing.AllocsPerRun(100, func() {
		r.Analyse(&q, text, &env)
		if _, err := r.Route(&q, nil, &env); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
