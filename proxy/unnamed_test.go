package proxy

import (
	"strings"
	"testing"

	"github.com/pgdrover/pgdrover/internal/pgtest"
	"github.com/pgdrover/pgdrover/pgwire"
)

// TestUnnamedSpaces has pipelines of unnamed statements come again: each finds what is known of its text, no two have one memory, and none
// has that of a statement that is still there.
func TestUnnamedSpaces(t *testing.T) {
	server, _, _ := scriptedRig(t, pgtest.Script{Handle: func(*pgtest.Conn, []byte) error { return nil }})
	s := newReplyFuzz(server, nil).s
	texts := []string{"select 1", "select $1::int", "select 'a' where $1", "select 2"}
	var m pgwire.Parse
	pipeline := func() {
		was := s.unnamed
		for _, text := range texts {
			m.Text, m.OIDs = append(m.Text[:0], text...), noOIDs
			p := s.newPrepared(&m)
			if p == was || p == s.unnamed {
				t.Fatal("a statement has the memory of one that is still there")
			}
			s.keep(p)
			if string(p.text) != text || string(p.query.SQL()) != text {
				t.Fatalf("%q is taken for %q", text, p.query.SQL())
			}
		}
		s.forgetBatch()
	}
	pipeline()
	pipeline()
	if n := testing.AllocsPerRun(100, pipeline); n != 0 {
		t.Errorf("a pipeline that comes again allocates %v times", n)
	}
	if n := len(s.spaces.free); n != len(texts) {
		t.Errorf("%d are free after %d statements, one of which is still there", n, len(texts)+1)
	}
	s.forgetUnnamed()
	for range 3 * spacesKept {
		texts = append(texts, "select 'another' "+strings.Repeat("+ 1", len(texts)))
	}
	pipeline()
	if n := len(s.spaces.free); n > spacesKept {
		t.Errorf("%d are kept", n)
	}
	s.spaces.free = nil
	s.freeSpace(&prepared{oids: make([]byte, 2+4*60000)})
	if len(s.spaces.free) != 0 {
		t.Error("the memory of a statement with very many types is kept")
	}
}

// TestUnnamedRepeats says what keeps a text from meaning what it meant when it came before.
func TestUnnamedRepeats(t *testing.T) {
	server, _, _ := scriptedRig(t, pgtest.Script{Handle: func(*pgtest.Conn, []byte) error { return nil }})
	s := newReplyFuzz(server, nil).s
	m := pgwire.Parse{Text: []byte("select $1"), OIDs: []byte{0, 1, 0, 0, 0, 23}}
	p, user := s.newPrepared(&m), s.env.User
	if !s.repeats(p, &m) {
		t.Error("the same Parse does not repeat it")
	}
	if s.repeats(p, &pgwire.Parse{Text: m.Text, OIDs: noOIDs}) || s.repeats(p, &pgwire.Parse{Text: []byte("select $2"), OIDs: m.OIDs}) {
		t.Error("another Parse repeats it")
	}
	s.settings = noSettings.with(setting{name: "application_name", sql: "'a'"})
	if !s.repeats(p, &m) {
		t.Error("a setting that changes nothing keeps it from being repeated")
	}
	s.settings = noSettings.with(setting{name: "search_path", sql: "'other'"})
	if s.repeats(p, &m) {
		t.Error("it is repeated under another search path")
	}
	s.settings, s.env.User = noSettings, "other"
	if s.repeats(p, &m) {
		t.Error("it is repeated for another user")
	}
	s.env.User, s.env.PlainBackslash = user, true
	if !s.repeats(p, &m) {
		t.Error("what backslashes mean keeps a text without one from being repeated")
	}
	s.env.PlainBackslash = false
	s.portal.stmt = p
	s.forgetBatch()
	if s.unnamed = nil; len(s.spaces.free) != 0 {
		t.Error("the memory of a portal's statement is free")
	}
	m.Text = []byte(`select '\\', $1`)
	s.env.PlainBackslash = true
	if p = s.newPrepared(&m); !s.repeats(p, &m) {
		t.Error("the same Parse does not repeat it where backslashes escape")
	}
	s.env.PlainBackslash = false
	if s.repeats(p, &m) {
		t.Error("it is repeated where backslashes mean something else")
	}
}

// TestHeldBack has what PgDrover answers of a batch wait for the backend's answer, unless something is queued that does not.
func TestHeldBack(t *testing.T) {
	server, _, _ := scriptedRig(t, pgtest.Script{Handle: func(*pgtest.Conn, []byte) error { return nil }})
	q := newReplyFuzz(server, drainedConn(t))
	s, l := q.s, q.l
	if s.holdsBack(l) {
		t.Error("nothing is held back")
	}
	s.oweOn(l, &deferred{fake: parseComplete})
	s.oweOn(l, &deferred{fake: bindComplete})
	if !s.holdsBack(l) {
		t.Error("what PgDrover answers does not wait for the backend")
	}
	s.client.Queue(bindComplete)
	if s.holdsBack(l) {
		t.Error("a backend's answer is held back")
	}
	s.forgetBatch()
	s.oweOn(l, &deferred{fake: parseComplete})
	if s.holdsBack(l) {
		t.Error("the answer to the batch before is held back")
	}
}
