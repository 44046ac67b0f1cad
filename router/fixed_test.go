package router

import (
	"testing"

	"github.com/pgdrover/pgdrover/shardmap"
)

// routedAlike fails the test if the Route of a text that has a fixed one is not what placing it says. It reports whether it has.
func routedAlike(t *testing.T, r *Router, text string, env *Env) bool {
	t.Helper()
	var q Query
	r.Analyse(&q, []byte(text), env)
	if !q.tpl.fixed {
		return false
	}
	var got, want Route
	gotErr := r.RouteTo(&got, &q, nil, env)
	if wantErr := r.place(&want, &q, nil, env); (gotErr == nil) != (wantErr == nil) {
		t.Fatalf("%s\nerror %v; placed: %v", text, gotErr, wantErr)
	}
	if got != want {
		t.Errorf("%s\ngot  %+v\nwant %+v", text, got, want)
	}
	return true
}

// TestFixedRoute says of which statements the Route is known without a look at the session; TestRouting compares all cases.
func TestFixedRoute(t *testing.T) {
	r := routerFor(t, "shardmap-one.yaml")
	for _, c := range []struct {
		sql  string
		want bool
	}{
		{"select name from countries where code = 'de'", true},
		{"select 1", true},
		{"update countries set name = 'x' where code = 'de'", true},
		{"select * from nowhere", false},
		{"select id from orders where tenant_id = 42", false},
		{"select 1; select 2", false},
		{"begin", false},
		{"show pgdrover.tenant", false},
		{"select set_config('pgdrover.tenant', '42', false)", false},
		{"create table t (a int)", false},
		{"execute p", false},
		{"/* pgdrover: tenant=42 */ select name from countries", true},
	} {
		if got := routedAlike(t, r, c.sql, &Env{}); got != c.want {
			t.Errorf("%s: its route is fixed: %v", c.sql, got)
		}
		routedAlike(t, r, c.sql, &Env{Tenant: shardmap.BigintKey(7), TenantSource: SourceSet})
		routedAlike(t, r, c.sql, &Env{Foreign: true, TempTables: true})
	}
}
