package proxy

import (
	"testing"

	"github.com/pgdrover/pgdrover/internal/pgtest"
	"github.com/pgdrover/pgdrover/pool"
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
