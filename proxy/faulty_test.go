package proxy

import (
	"runtime"
	"strings"
	"testing"

	"github.com/pgdrover/pgdrover/internal/pgtest"
)

// TestMistakeEndsOneSession has a session panic: its client is told, and nobody else notices, on whatever scratch and backend they then work.
func TestMistakeEndsOneSession(t *testing.T) {
	server, address, _ := scriptedRig(t, pgtest.Script{
		Handle: func(c *pgtest.Conn, frame []byte) error {
			return c.Write(pgtest.Result("SELECT 1", []string{"c"}, []string{"good"}))
		},
	})
	login := pgtest.Options{User: rigUser, Password: rigPassword, Database: "app"}
	sound := pgtest.Connect(t, address, login)
	for n := range int64(3) {
		failing := pgtest.Connect(t, address, login)
		for _, c := range []*pgtest.Client{sound, failing} {
			if lines, err := c.Query("select 1"); err != nil || len(lines) != 4 {
				t.Fatalf("%q, %v", lines, err)
			}
		}
		spoil(server.keys.session(failing.PID))
		lines, err := failing.Query("select 1")
		if err == nil || len(lines) != 1 || !strings.Contains(lines[0], `"FATAL" C "XX000" M "internal error of PgDrover"`) {
			t.Errorf("its client gets %q, %v", lines, err)
		}
		if lines, err := sound.Query("select 1"); err != nil || len(lines) != 4 || lines[3][:len("B ReadyForQuery")] != "B ReadyForQuery" {
			t.Fatalf("another client gets %q, %v", lines, err)
		}
		if got := server.Metrics().Panics.Load(); got != n+1 {
			t.Errorf("%d panics are counted", got)
		}
	}
}

// spoil has the next statement of a session that has run one panic.
func spoil(s *session) {
	for spoilt := false; !spoilt; runtime.Gosched() {
		s.mu.Lock()
		if spoilt = s.shown.usage.Transactions == 1; spoilt { // it rests now, or does not look at its settings before it does
			s.settings = nil
		}
		s.mu.Unlock()
	}
	s.t.Wake()
}
