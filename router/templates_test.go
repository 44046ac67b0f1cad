package router

import (
	"fmt"
	"sync"
	"testing"
)

func TestTemplatesCompareWhole(t *testing.T) {
	ts := newTemplates(1)
	ts.add(7, &Template{norm: []byte("select a"), searchPath: "x"})
	for _, test := range []struct {
		norm, path, user string
		found            bool
	}{
		{"select a", "x", "", true}, {"select b", "x", "", false}, {"select a", "y", "", false}, {"select a", "x", "u", false},
	} {
		if got := ts.find(7, []byte(test.norm), test.path, test.user) != nil; got != test.found {
			t.Errorf("%+v: found %v", test, got)
		}
	}
}

func TestTemplatesAreBounded(t *testing.T) {
	m := mapNamed(t, "shardmap.yaml")
	r := New(m, fixture(t, m), Options{Templates: 32})
	var q Query
	for i := range 1000 {
		r.Analyse(&q, fmt.Appendf(nil, "SELECT c%d", i), &Env{})
	}
	if n := r.templates.len(); n == 0 || n > 48 {
		t.Errorf("%d templates are kept of at most 32, rounded up for each lock", n)
	}
}

// TestSearchPathIsPartOfTemplate checks that one text means different tables
// under different search paths, one after the other.
func TestSearchPathIsPartOfTemplate(t *testing.T) {
	r := routerFor(t, "shardmap.yaml")
	var q Query
	for range 3 {
		for path, want := range map[string]string{"": "", "audit": "audit.log"} {
			r.Analyse(&q, []byte("SELECT * FROM log WHERE tenant_id = 42"), &Env{SearchPath: path})
			if got := tableNames(q.Statements()[0].Reads); got != want {
				t.Errorf("under %q the statement reads %q", path, got)
			}
		}
	}
}

// TestLiteralsShareTemplates checks what is and what is not one template.
func TestLiteralsShareTemplates(t *testing.T) {
	r := routerFor(t, "shardmap.yaml")
	template := func(text string) *Template {
		var q Query
		r.Analyse(&q, []byte(text), &Env{})
		return q.Template()
	}
	for _, pair := range [][2]string{
		{"SELECT * FROM orders WHERE id = 1", "select *  from ORDERS where id=2 -- x"},
		{"SELECT 'a', 1.5", "SELECT E'b\\'', 2e7"},
		{"INSERT INTO orders VALUES (1, 'a')", "INSERT INTO orders VALUES (1, 'a'), (2, 'b'), (3, 'c')"},
		{"SELECT $1", "SELECT $7"},
	} {
		if template(pair[0]) != template(pair[1]) {
			t.Errorf("%q and %q are two templates", pair[0], pair[1])
		}
	}
	for _, pair := range [][2]string{
		{"SELECT u & \"x\"", "SELECT U&\"x\""},
		{"SELECT 1 # 2", "SELECT 1 2"},
		{"SELECT \"A\"", "SELECT a"},
		{"SELECT 1", "SELECT 1.0"},
		{"SELECT 1", "SELECT '1'"},
		{"SELECT $1", "SELECT 1"},
		{"SELECT a, -1", "SELECT a - 1"},
		{"SELECT a::b", "SELECT a: :b"},
		{"SELECT \"a\"\"b\"", "SELECT \"a\" \"b\""},
		{"SELECT a @- 1", "SELECT a @ - 1"},
		{"SET a = 1", "SET a = 2"},
		{"SELECT 1; SELECT 2", "SELECT 1"},
		{"SELECT B'1'", "SELECT X'1'"},
	} {
		if template(pair[0]) == template(pair[1]) {
			t.Errorf("%q and %q are one template", pair[0], pair[1])
		}
	}
}

func TestConcurrent(t *testing.T) {
	m := mapNamed(t, "shardmap.yaml")
	r := New(m, fixture(t, m), Options{Templates: 64, Cached: cachedUsers})
	texts := corpus(t)
	want := make([]string, len(texts))
	var q Query
	for i, text := range texts {
		r.Analyse(&q, []byte(text), &Env{})
		want[i] = outcome(r, &q, textValues("42", "42"), &Env{})
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			var q Query
			for i, text := range texts {
				r.Analyse(&q, []byte(text), &Env{})
				if got := outcome(r, &q, textValues("42", "42"), &Env{}); got != want[i] {
					t.Errorf("%q: %s, alone %s", text, got, want[i])
				}
			}
		})
	}
	wg.Wait()
}

// TestDeepAndLong checks that texts made to cost much are answered.
func TestDeepAndLong(t *testing.T) {
	r := routerFor(t, "shardmap.yaml")
	repeat := func(s string, n int) string {
		b := make([]byte, 0, len(s)*n)
		for range n {
			b = append(b, s...)
		}
		return string(b)
	}
	for name, text := range map[string]string{
		"parentheses": "SELECT " + repeat("(", 100000) + "1" + repeat(")", 100000),
		"open":        "SELECT " + repeat("(", 100000),
		"not":         "SELECT " + repeat("NOT ", 20000) + "true",
		"minus":       "SELECT " + repeat("- ", 20000) + "1",
		"or":          "SELECT * FROM orders WHERE tenant_id = 42" + repeat(" OR tenant_id = 42", 3000),
		"sum":         "SELECT 1" + repeat(" + 1", 4000),
		"comments":    repeat("/*", 50000),
		"quotes":      repeat("'a' ", 50000),
		"long":        "SELECT " + repeat("a, ", 500000) + "a",
		"rows":        "INSERT INTO orders (tenant_id) VALUES (42)" + repeat(", (42)", 100000),
		"in":          "SELECT * FROM orders WHERE tenant_id IN (42" + repeat(", 42", 5000) + ")",
		"joins":       "SELECT * FROM orders a0" + repeat(" JOIN orders b USING (tenant_id)", 200) + " WHERE tenant_id = 42",
		"subqueries":  repeat("SELECT * FROM (", 200) + "SELECT * FROM orders" + repeat(") x", 200) + " WHERE tenant_id = 42",
	} {
		t.Run(name, func(t *testing.T) {
			var q Query
			env := Env{}
			r.Analyse(&q, []byte(text), &env)
			t.Log(outcome(r, &q, nil, &env))
		})
	}
}

// TestNoCatalog checks that a Router without a catalog places what the map
// declares, and nothing else.
func TestNoCatalog(t *testing.T) {
	r := New(mapNamed(t, "shardmap.yaml"), nil, Options{})
	var q Query
	for text, want := range map[string]string{
		"SELECT * FROM countries":              "any 0  read",
		"SELECT * FROM migrations":             "single 1  read",
		"SELECT now()":                         "any 0  write",
		"INSERT INTO orders VALUES (42)":       "42P01",
		"SELECT * FROM orders":                 "any 0  read",
		"SELECT 1":                             "any 0  read",
		"INSERT INTO countries VALUES ('de')":  "every 0  write",
		"/* pgdrover: tenant=7 */ TABLE items": "single 2 7 read",
	} {
		env := Env{}
		r.Analyse(&q, []byte(text), &env)
		if got := outcome(r, &q, nil, &env); got != want {
			t.Errorf("%s: %q, expected %q", text, got, want)
		}
	}
}
