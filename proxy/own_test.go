package proxy

import (
	"testing"

	"github.com/pgdrover/pgdrover/internal/pgtest"
	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/router"
)

// TestForeignEncodings has the names that PostgreSQL takes for an encoding, with what they say of a tenant's bytes.
func TestForeignEncodings(t *testing.T) {
	for name, want := range map[string]bool{
		"": false, "UTF8": false, "utf-8": false, "Unicode": false, "SQL_ASCII": false, "'utf8'": false,
		"LATIN1": true, "iso_8859_1": true, "WIN1252": true, "EUC_JP": true,
	} {
		if got := isForeign(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

// TestUsersSchema has "$user" in a search path stand for the user that backends are logged in as, since the servers go by that.
func TestUsersSchema(t *testing.T) {
	server, _, _ := scriptedRig(t, pgtest.Script{Handle: func(*pgtest.Conn, []byte) error { return nil }})
	s := newReplyFuzz(server, nil).s
	s.userName, s.settings, s.initial = "other", noSettings, noSettings
	if s.applyEnv(); s.env.User != s.db.cluster.Config().User {
		t.Errorf("it stands for %q", s.env.User)
	}
	s.asClient = &pool.Login{}
	if s.applyEnv(); s.env.User != "other" {
		t.Errorf("it stands for %q where backends are logged in as the client's user", s.env.User)
	}
}

// TestUsersSchemaByRole has "$user" stand for the role that the session or its transaction has taken.
func TestUsersSchemaByRole(t *testing.T) {
	server, _, _ := scriptedRig(t, pgtest.Script{Handle: func(*pgtest.Conn, []byte) error { return nil }})
	s := newReplyFuzz(server, nil).s
	s.settings, s.initial = noSettings, noSettings
	login := s.db.cluster.Config().User
	set := func(name, value string) router.Change { return router.Change{Name: name, SQL: "SET", Value: value} }
	reset := func(name string) router.Change { return router.Change{Name: name, Reset: true} }
	local := func(c router.Change) router.Change { c.Local = true; return c }
	for _, step := range []struct {
		change router.Change
		want   string
	}{
		{set("role", "one"), "one"}, {local(set("role", "two")), "two"}, {local(set("role", "none")), login}, {set("role", "three"), "three"},
		{set("session_authorization", "four"), "four"}, {set("role", "five"), "five"}, {local(set("session_authorization", "six")), "six"},
		{reset("role"), "six"}, {reset("session_authorization"), login}, {set("role", "none"), login},
		{local(set("role", "seven")), "seven"}, {router.Change{Reset: true, All: true}, "seven"}, {set("session_authorization", "eight"), "eight"},
	} {
		if s.change(nil, step.change); s.env.User != step.want {
			t.Errorf("after %+v it stands for %q, want %q", step.change, s.env.User, step.want)
		}
	}
}
