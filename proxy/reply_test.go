package proxy

import (
	"io"
	"net"
	"testing"

	"github.com/pgdrover/pgdrover/internal/pgtest"
	"github.com/pgdrover/pgdrover/internal/task"
	"github.com/pgdrover/pgdrover/pgwire"
)

// FuzzReplies has a backend answer messages with any frames in any order: what is outstanding is counted right, and the backend does not
// rest before it has answered all.
func FuzzReplies(f *testing.F) {
	f.Add([]byte{0, 1, 4, 7, 100, 100, 100, 100})
	f.Add([]byte{8, 200, 2, 8, 8, 100, 100, 100})
	f.Add([]byte{0, 20, 24, 27, 100, 104, 7, 100})
	f.Add([]byte{10, 10, 12, 7, 100, 103, 8, 9, 100, 100})
	f.Add([]byte{4, 7, 201, 7, 100, 3, 11, 105, 100})
	server, _, _ := scriptedRig(mute{f}, pgtest.Script{Handle: func(*pgtest.Conn, []byte) error { return nil }})
	client := drainedConn(f)
	f.Fuzz(func(t *testing.T, script []byte) {
		q := newReplyFuzz(server, client)
		for i, op := range script {
			if q.l.lost != nil {
				break
			}
			if op < 100 {
				q.send(op)
			} else {
				q.receive(op, script[i+1:])
			}
			q.check(t, script[:i+1])
		}
	})
}

// drainedConn is a client's connection that takes whatever is written.
func drainedConn(f testing.TB) *task.Conn {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	defer ln.Close()
	far, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		f.Fatal(err)
	}
	near, err := ln.Accept()
	if err != nil {
		f.Fatal(err)
	}
	c, err := task.Adopt(near)
	if err != nil {
		f.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _, _ = io.Copy(io.Discard, far) }()
	f.Cleanup(func() { c.Close(); <-done; far.Close() })
	return c
}

// replyFuzz is a session with one link, and what it should know.
type replyFuzz struct {
	s        *session
	l        *link
	prepared *prepared
	owed     int // ReadyForQuery that the backend has not sent yet
}

func newReplyFuzz(server *Server, client *task.Conn) *replyFuzz {
	cfg := server.config.Load()
	s := newSession(server, cfg, client)
	s.t = task.New()
	s.takeScratch()
	s.db = cfg.Databases["app"]
	s.place = s.db.place.Load()
	s.reported = newParams(nil)
	l := &link{use: use{status: 'I', resetsTo: noSettings, before: noSettings, notes: &notes{settings: noSettings, params: s.reported, meter: &Meter{}}}}
	s.links = []*link{l}
	p := &prepared{name: "p", text: []byte("begin; set work_mem = 7; commit"), oids: []byte{0, 0}}
	s.analyse(&p.query, p.text)
	return &replyFuzz{s: s, l: l, prepared: p}
}

// send notes a message as the session does when it sends one.
func (q *replyFuzz) send(op byte) {
	kinds := []byte{pgwire.MsgParse, pgwire.MsgBind, pgwire.MsgDescribe, describeStatement, pgwire.MsgExecute, pgwire.MsgClose, 0,
		pgwire.MsgSync, pgwire.MsgQuery, pgwire.MsgFunctionCall}
	r := reply{kind: kinds[int(op)%len(kinds)], do: action(op / 10 % 2)}
	switch r.kind {
	case 0:
		r = reply{do: fake, fake: parseComplete}
		if !q.l.busy() {
			return
		}
	case pgwire.MsgParse:
		q.s.keep(q.prepared)
		r.stmt = q.prepared
	case pgwire.MsgBind:
		r.made = q.s.newPortal([]byte("portal"))
		r.made.stmt, r.made.link = q.prepared, q.l
	case pgwire.MsgQuery, pgwire.MsgExecute:
		r.text = &q.prepared.query
	}
	switch r.kind {
	case pgwire.MsgSync, pgwire.MsgQuery, pgwire.MsgFunctionCall:
		q.owed++
	}
	r.quiet = op >= 80
	q.l.replies.push(r)
}

// receive has the backend send a frame: the right answer to the oldest message, or another.
func (q *replyFuzz) receive(op byte, rest []byte) {
	types := []byte("123nTtDGHCIsENSAZWdcVRK?")
	typ := types[int(op)%len(types)]
	body := rest[:min(len(rest), int(op)%7)]
	switch {
	case op < 150:
		typ, body = q.right()
	case typ == pgwire.MsgReadyForQuery && op%2 == 0:
		body = []byte{"ITE"[op%3]}
	case typ == pgwire.MsgErrorResponse:
		body = []byte("SERROR\x00C42P01\x00Mno\x00\x00")
	case typ == pgwire.MsgCommandComplete:
		body = []byte("ROLLBACK\x00")
	}
	before, first := q.syncs(), q.l.replies.first()
	extended := first != nil && first.kind != pgwire.MsgQuery && first.kind != pgwire.MsgFunctionCall
	_, _ = q.s.relay(q.l, pgtest.Frame(typ, body))
	if typ == pgwire.MsgReadyForQuery && q.l.lost == nil {
		q.owed--
	}
	if typ == pgwire.MsgCopyIn || typ == pgwire.MsgErrorResponse && extended { // it takes the Syncs that were sent; it skips a Query
		q.owed -= before - q.syncs()
	}
}

// right is what a server would answer next.
func (q *replyFuzz) right() (byte, []byte) {
	first := q.l.replies.first()
	if first == nil {
		return pgwire.MsgNoticeResponse, []byte("SNOTICE\x00C00000\x00Mno\x00\x00")
	}
	switch first.kind {
	case pgwire.MsgParse:
		return pgwire.MsgParseComplete, nil
	case pgwire.MsgBind:
		return pgwire.MsgBindComplete, nil
	case pgwire.MsgClose:
		return pgwire.MsgCloseComplete, nil
	case pgwire.MsgDescribe, describeStatement:
		return pgwire.MsgNoData, nil
	case pgwire.MsgExecute:
		return pgwire.MsgCommandComplete, []byte("SELECT 1\x00")
	}
	return pgwire.MsgReadyForQuery, []byte{'I'}
}

func (q *replyFuzz) syncs() int {
	n := 0
	for i := range q.l.replies.n {
		switch q.l.replies.at(i).kind {
		case pgwire.MsgSync, pgwire.MsgQuery, pgwire.MsgFunctionCall:
			n++
		}
	}
	return n
}

func (q *replyFuzz) check(t *testing.T, script []byte) {
	if q.l.lost != nil {
		if q.l.rests() {
			t.Fatalf("%v: a lost backend rests", script)
		}
		return
	}
	if n := q.syncs(); n != q.owed {
		t.Fatalf("%v: %d ReadyForQuery are outstanding, want %d", script, n, q.owed)
	}
	if q.l.rests() && (q.owed > 0 || q.l.replies.n > 0) {
		t.Fatalf("%v: the backend rests and owes %d", script, q.owed)
	}
	if f := q.l.replies.first(); f != nil && f.do == fake && f.kind != 0 {
		t.Fatalf("%v: a reply that nobody sends is waited for: %+v", script, f)
	}
}

// TestPushFront puts replies before any number of others, also where the ring has room for just one more.
func TestPushFront(t *testing.T) {
	for n := range 40 {
		var q replies
		for i := range n {
			q.add(byte('a' + i%20))
		}
		q.pushFront(reply{kind: 'z', do: fake})
		if got := q.first(); q.n != n+1 || got.kind != 'z' || got.do != fake {
			t.Errorf("before %d: %d replies, the first is %q", n, q.n, got.kind)
			continue
		}
		q.drop()
		for i := range n {
			if r := q.pop(); r.kind != byte('a'+i%20) {
				t.Errorf("before %d: reply %d is %q", n, i, r.kind)
			}
		}
	}
}
