package proxy

import (
	"encoding/binary"
	"testing"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/shardmap"
)

// TestStartSettings has startup settings remembered for the next client that says the same, and not for one that must not have them.
func TestStartSettings(t *testing.T) {
	db := &Database{}
	db.opt.Store(&Options{})
	known := &familiar{}
	var s *session // that asked last
	ask := func(tenant shardmap.Key, pairs ...pgwire.Param) (*settings, *pgwire.Error) {
		s = &session{db: db, scratch: &scratch{}, asClient: &pool.Login{}, userName: "app"}
		s.login.tenant = tenant
		text := []byte("user\x00app\x00")
		for _, p := range pairs {
			text = append(text, p.Name+"\x00"+p.Value+"\x00"...)
		}
		packet := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(len(text)+9)), 3<<16)
		st, err := known.read(append(append(packet, text...), 0))
		check(t, err)
		e := s.takeParams(st)
		return s.initial, e
	}
	role, name := pgwire.Param{Name: "Role", Value: "admin"}, pgwire.Param{Name: "application_name", Value: "a"}
	first, e := ask(shardmap.Key{}, role, name)
	if e != nil || len(first.list) != 2 || first.list[1].name != "role" {
		t.Fatal(first, e)
	}
	if again, _ := ask(shardmap.Key{}, role, name); again != first {
		t.Error("the same settings are made anew")
	}
	if s.env.Prepared != s || s.env.User != "admin" || s.settings != first || s.committed != first || s.set.Load() != first || s.lookup.settings != first {
		t.Errorf("a session that begins as one before routes for %+v, with settings %v", s.env, s.settings)
	}
	db = &Database{}
	db.opt.Store(&Options{})
	if other, _ := ask(shardmap.Key{}, role, name); other == first {
		t.Error("another database has the settings of the first")
	}
	db.opt.Store(&Options{Scatter: true})
	if _, e := ask(shardmap.Key{}, role, name); e != nil || !s.env.Scatter {
		t.Errorf("the options of the database have changed, and the session begins with those before (%v)", e)
	}
	if _, e := ask(shardmap.BigintKey(7), role, name); e == nil || e.Code != "42501" {
		t.Errorf("a client that is bound to a tenant may change its role: %v", e)
	}
	name.Value = "b"
	if other, _ := ask(shardmap.Key{}, role, name); other.same(first) || !other.sameButName(first) {
		t.Errorf("%v for another name, after %v", other, first)
	}
	own := pgwire.Param{Name: "PgDrover.Scatter", Value: "on"}
	once, e := ask(shardmap.Key{}, own)
	if again, e2 := ask(shardmap.Key{}, own); e != nil || e2 != nil || again == once {
		t.Errorf("a setting of PgDrover's own is remembered (%v, %v)", e, e2)
	}
	twice, e := ask(shardmap.Key{}, name, pgwire.Param{Name: "APPLICATION_NAME", Value: "c"})
	if e != nil || len(twice.list) != 1 || twice.list[0].value != "c" {
		t.Errorf("%v of a name given twice (%v)", twice, e)
	}
	if none, e := ask(shardmap.Key{}); none != noSettings || e != nil {
		t.Error(none, e)
	}
}
