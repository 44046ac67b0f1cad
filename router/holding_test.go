package router

import "testing"

// TestHolding finds the functions that are declared to need their backend, wherever a statement calls them.
func TestHolding(t *testing.T) {
	plain := routerFor(t, "shardmap.yaml")
	r := New(plain.Map(), plain.Catalog(), Options{Holding: func(schema, name string) bool { return schema+"."+name == "public.remember" }})
	for text, want := range map[string]bool{
		"SELECT remember(1)": true, "SELECT public.remember()": true, "SELECT * FROM remember('x')": true, "CALL remember()": true,
		"SELECT 1 WHERE EXISTS (SELECT remember())": true, "INSERT INTO countries VALUES (remember(), 'x')": true,
		"EXPLAIN ANALYZE SELECT remember()": true, "COPY (SELECT remember()) TO STDOUT": true,
		"EXPLAIN SELECT remember()": false, "PREPARE p AS SELECT remember()": false, "SELECT other.remember()": false, "SELECT pg_catalog.length('remember()')": false, "SELECT 1": false,
	} {
		var q Query
		r.Analyse(&q, []byte(text), &Env{})
		st := &q.Statements()[0]
		if got := st.Hold&HoldFunction != 0; got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
		if want && (!st.Write || st.Cacheable || !st.Unsettles) {
			t.Errorf("%s: write %v, cacheable %v, unsettles %v", text, st.Write, st.Cacheable, st.Unsettles)
		}
	}
	var q Query
	r.Analyse(&q, []byte("SELECT remember()"), &Env{SearchPath: "other"})
	if q.Statements()[0].Hold != 0 {
		t.Error("a function of another schema is taken for it")
	}
}
