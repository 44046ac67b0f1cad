package router

import (
	"slices"
	"strings"
	"testing"
)

// TestSplitNames reads search paths as PostgreSQL does.
func TestSplitNames(t *testing.T) {
	long := strings.Repeat("é", 40)
	for setting, want := range map[string][]string{
		`"$user", public`:         {"$user", "public"},
		`A,"B""c" , d`:            {"a", `B"c`, "d"},
		`t-42, 7,É`:               {"t-42", "7", "É"},
		`'t_42', public`:          {"'t_42'", "public"},
		" \t":                     nil,
		`""`:                      nil,
		`a b`:                     nil,
		`"open`:                   nil,
		long:                      {strings.Repeat("é", 31)},
		`"` + long + `x", public`: {strings.Repeat("é", 31), "public"},
	} {
		if got := splitNames(setting); !slices.Equal(got, want) {
			t.Errorf("%s: %q", setting, got)
		}
	}
}

// TestPathTenants has all tenants share the analysis of a statement, and a statement that is kept routed by the path of the moment.
func TestPathTenants(t *testing.T) {
	r := routerFor(t, "shardmap-schemas.yaml")
	route := func(q *Query, env *Env) string {
		t.Helper()
		got, err := r.Route(q, nil, env)
		if err != nil {
			return err.Error()
		}
		return r.m.Shard(got.Shard).Name + " " + got.Tenant.String()
	}
	var first, kept Query
	r.Analyse(&first, []byte("select * from orders where id = 5"), &Env{SearchPath: `"t_42", public`})
	for path, want := range map[string]string{`"t_42", public`: "s2 42", "t_7,public": "s3 7", `T_1, "public"`: "s1 1"} {
		env := &Env{SearchPath: path}
		var q Query
		if !r.Recall(&q, []byte("select * from orders where id = 6"), env) || q.Template() != first.Template() {
			t.Errorf("%s: another template", path)
		}
		if got := route(&q, env); got != want {
			t.Errorf("%s: %s", path, got)
		}
		if !first.Fits(r, env) {
			t.Errorf("%s: it does not fit what was analysed for another tenant", path)
		}
		if got := route(&first, env); got != want {
			t.Errorf("%s: %s, analysed for another tenant", path, got)
		}
	}
	kept = *first.Clone()
	for path, fits := range map[string]bool{"public, t_42": false, "": false, "t_042, public": false, "t_7, t_42, public": true} {
		if got := kept.Fits(r, &Env{SearchPath: path}); got != fits {
			t.Errorf("%q: fits: %v", path, got)
		}
	}
	var q Query
	env := &Env{SearchPath: "t_42, public"}
	text := []byte("select * from orders where id = 5")
	if n := testing.AllocsPerRun(100, func() {
		r.Recall(&q, text, env)
		route(&q, env)
	}); n > 2 { // what route makes of the answer
		t.Errorf("%v allocations", n)
	}
}
