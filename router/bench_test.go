package router

import (
	"fmt"
	"strings"
	"testing"
)

// statements of the benchmarks, with parameters for those that have some.
func benchmarks() []struct{ name, text, params string } {
	var rows []string
	for i := range 100 {
		rows = append(rows, fmt.Sprintf("(42, %d, 'product %d', %d.5)", i, i, i))
	}
	return []struct{ name, text, params string }{
		{"point", "SELECT tenant_id, id, status FROM orders WHERE tenant_id = 42 AND id = 7", ""},
		{"parameter", "SELECT tenant_id, id, status FROM orders WHERE tenant_id = $1 AND id = $2", "42 7"},
		{"join", `SELECT o.id, i.line, u.email FROM orders o JOIN items i ON i.tenant_id = o.tenant_id AND i.order_id = o.id
			JOIN users u ON u.tenant_id = o.tenant_id AND u.id = o.user_id LEFT JOIN countries c ON c.code = o.country
			WHERE o.tenant_id = 42 AND o.status IN ('new', 'paid') ORDER BY o.id DESC LIMIT 20`, ""},
		{"insert100", "INSERT INTO items (tenant_id, order_id, product, price) VALUES " + strings.Join(rows, ", "), ""},
		{"begin", "BEGIN", ""},
		{"set", "SET statement_timeout = '30s'", ""},
	}
}

// BenchmarkLexer is the part of a look at a statement that reads its text.
func BenchmarkLexer(b *testing.B) {
	for _, s := range benchmarks() {
		b.Run(s.name, func(b *testing.B) {
			text := []byte(s.text)
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				l := lexer{src: text}
				for l.next().kind != tokEnd {
				}
			}
		})
	}
}

// BenchmarkHit is the hot path: a text whose template is known, to its Route.
func BenchmarkHit(b *testing.B) {
	r := routerFor(b, "shardmap.yaml")
	for _, s := range benchmarks() {
		b.Run(s.name, func(b *testing.B) {
			var q Query
			env := Env{}
			params := Params(textValues(strings.Fields(s.params)...))
			text := []byte(s.text)
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				r.Analyse(&q, text, &env)
				if _, err := r.Route(&q, params, &env); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPrepared is what Bind costs: a Route of a statement analysed at
// Parse.
func BenchmarkPrepared(b *testing.B) {
	r := routerFor(b, "shardmap.yaml")
	var q Query
	env := Env{}
	r.Analyse(&q, []byte("SELECT * FROM orders WHERE tenant_id = $1 AND id = $2"), &env)
	params := Params(textValues("42", "7"))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Route(&q, params, &env); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMiss is a text whose template is not known.
func BenchmarkMiss(b *testing.B) {
	r := routerFor(b, "shardmap.yaml")
	for _, s := range benchmarks() {
		b.Run(s.name, func(b *testing.B) {
			var q Query
			env := Env{}
			b.ReportAllocs()
			for b.Loop() {
				r.templates = newTemplates(templateLocks)
				r.Analyse(&q, []byte(s.text), &env)
			}
		})
	}
}

// TestNoAllocations holds the hot path to its promise.
func TestNoAllocations(t *testing.T) {
	r := routerFor(t, "shardmap.yaml")
	text := routerFor(t, "shardmap-text.yaml")
	for _, test := range []struct {
		r         *Router
		sql       string
		params    Params
		reanalyse bool
	}{
		{r, "SELECT * FROM orders WHERE tenant_id = 42 AND id = 7", nil, true},
		{r, "SELECT * FROM orders WHERE tenant_id = -1 AND id = 7", nil, true},
		{r, "/* pgdrover: tenant=42 */ SELECT * FROM orders", nil, true},
		{r, "SELECT * FROM orders WHERE tenant_id = $1", textValues("42"), true},
		{r, "SELECT * FROM orders WHERE tenant_id = $1", textValues("42"), false},
		{r, "SELECT * FROM orders WHERE tenant_id = ANY ($1)", textValues("{42,43}"), false},
		{r, "INSERT INTO orders (tenant_id, id) VALUES (42, 1), (42, 2), (43, 3)", nil, true},
		{r, "BEGIN; UPDATE orders SET status = 'x' WHERE tenant_id = 42; COMMIT", nil, true},
		{text, "SELECT * FROM orders WHERE tenant_id = 'acme'", nil, true},
		{text, "SELECT * FROM orders WHERE tenant_id = 'it''s'", nil, true},
		{text, "SELECT * FROM orders WHERE tenant_id = $1", textValues("acme"), false},
	} {
		var q Query
		env := Env{}
		sql := []byte(test.sql)
		test.r.Analyse(&q, sql, &env)
		allocs := testing.AllocsPerRun(100, func() {
			if test.reanalyse {
				test.r.Analyse(&q, sql, &env)
			}
			if _, err := test.r.Route(&q, test.params, &env); err != nil {
				t.Fatal(err)
			}
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations", test.sql, allocs)
		}
	}
}
