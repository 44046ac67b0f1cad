package proxy

import (
	"slices"
	"testing"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/shardmap"
)

// TestStartSettings has startup settings remembered for the next client that says the same, and not for one that must not have them.
func TestStartSettings(t *testing.T) {
	db := &Database{}
	ask := func(tenant shardmap.Key, pairs ...pgwire.Param) (*settings, *pgwire.Error) {
		s := &session{db: db}
		s.login.tenant = tenant
		return s.startSettings(slices.Clone(pairs))
	}
	role, name := pgwire.Param{Name: "Role", Value: "admin"}, pgwire.Param{Name: "application_name", Value: "a"}
	first, e := ask(shardmap.Key{}, role, name)
	if e != nil || len(first.list) != 2 || first.list[1].name != "role" {
		t.Fatal(first, e)
	}
	if again, _ := ask(shardmap.Key{}, role, name); again != first {
		t.Error("the same settings are made anew")
	}
	if _, e := ask(shardmap.BigintKey(7), role, name); e == nil || e.Code != "42501" {
		t.Errorf("a client that is bound to a tenant may change its role: %v", e)
	}
	name.Value = "b"
	if other, _ := ask(shardmap.Key{}, role, name); other.same(first) || !other.sameButName(first) {
		t.Errorf("%v for another name, after %v", other, first)
	}
	own := pgwire.Param{Name: "PgDrover.Scatter", Value: "on"}
	if _, e := ask(shardmap.Key{}, own); e != nil || db.lastStart.Load().pairs[0] == own {
		t.Errorf("a setting of PgDrover's own is remembered (%v)", e)
	}
	twice, e := ask(shardmap.Key{}, name, pgwire.Param{Name: "APPLICATION_NAME", Value: "c"})
	if e != nil || len(twice.list) != 1 || twice.list[0].value != "c" {
		t.Errorf("%v of a name given twice (%v)", twice, e)
	}
	if none, e := ask(shardmap.Key{}); none != noSettings || e != nil {
		t.Error(none, e)
	}
}
