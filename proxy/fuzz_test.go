package proxy

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/internal/pgtest"
	"github.com/pgdrover/pgdrover/pgwire"
)

// patience is how long a fuzzed peer waits before it is left hanging: less than the 10 s after which a fuzz worker ends without a word.
const patience = 7 * time.Second

var fuzzLogin = pgtest.Options{User: rigUser, Password: rigPassword, Database: "app", Timeout: patience}

// mute keeps what goes on beside a fuzz target out of its log, where it may not be written; what the peers make of each other's bytes is no
// failure.
type mute struct{ testing.TB }

func (mute) Log(...any)            {}
func (mute) Logf(string, ...any)   {}
func (mute) Error(...any)          {}
func (mute) Errorf(string, ...any) {}

// FuzzBackend has a backend answer a statement with any bytes, and close: the client is told something and is not left hanging, and the
// next client has a good backend.
func FuzzBackend(f *testing.F) {
	for _, e := range evilAnswers() {
		f.Add(e.answer, true)
		f.Add(e.answer, false)
	}
	next := make(chan evil, 1)
	server, address := hostileRig(mute{f}, next)
	batch := append(pgwire.AppendParse(nil, "", "select evil", nil), framed(pgwire.MsgBind, make([]byte, 8))...)
	batch = pgwire.AppendSync(pgwire.AppendExecute(batch, "", 0))
	f.Fuzz(func(t *testing.T, answer []byte, simple bool) {
		client, err := pgtest.Dial(address, fuzzLogin)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = client.Abort() }()
		message := batch
		if simple {
			message = pgwire.AppendQuery(nil, "select evil")
		}
		next <- evil{answer: answer, hangUp: true}
		if err := client.SendBytes(append(bytes.Clone(message), pgwire.AppendTerminate(nil)...)); err != nil {
			t.Fatal(err)
		}
		if err := untilClosed(client); err != nil {
			t.Fatal(err)
		}
		for len(next) > 0 {
			<-next
		}
		other, err := pgtest.Dial(address, fuzzLogin)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = other.Abort() }()
		lines, err := other.Query("select good")
		if err == nil && strings.Contains(strings.Join(lines, ""), "08006") { // the answer was good, and the close came too late to be seen
			lines, err = other.Query("select good")
		}
		if err != nil || len(lines) != 4 {
			t.Fatalf("the next client got %q, %v", lines, err)
		}
		if n := server.Metrics().Panics.Load(); n > 0 {
			t.Fatalf("%d panics", n)
		}
	})
}

// untilClosed reads until the server closes; it must not keep its client waiting.
func untilClosed(client *pgtest.Client) error {
	for {
		_, err := client.Read()
		var timeout net.Error
		switch {
		case errors.As(err, &timeout) && timeout.Timeout():
			return errors.New("the client is left hanging")
		case err != nil:
			return nil
		}
	}
}

// FuzzClient has a client that has logged in send any bytes, and close: its session ends, and no backend stays with it.
func FuzzClient(f *testing.F) {
	bind := framed(pgwire.MsgBind, make([]byte, 8))
	f.Add(pgwire.AppendQuery(nil, "select 1"))
	f.Add(append(append(pgwire.AppendParse(nil, "", "select 1", nil), bind...), pgwire.AppendSync(pgwire.AppendExecute(nil, "", 0))...))
	f.Add(pgwire.AppendFlush(pgwire.AppendDescribe(pgwire.AppendParse(nil, "s", "select $1", []byte{0, 1, 0, 0, 0, 23}), 'S', "s")))
	f.Add(pgwire.AppendQuery(pgwire.AppendParse(nil, "", "begin", nil), "fail"))
	f.Add(append(pgwire.AppendQuery(nil, "copy t from stdin"), framed(pgwire.MsgCopyData, []byte("1\n"))...))
	f.Add(pgwire.AppendSync(append(framed(pgwire.MsgBind, []byte("\x00\x00\x00\x02\x00\x00\x00\x01\x00\x05")), framed(pgwire.MsgCopyDone, nil)...)))
	f.Add(framed(pgwire.MsgFunctionCall, []byte{0, 0, 4, 1, 0, 0, 0, 0, 0, 0}))
	f.Add(pgwire.AppendClose(pgwire.AppendClose(nil, 'S', ""), 'X', "y"))
	f.Add(append([]byte{'d', 0xff, 0xff, 0xff, 0xff}, 0))
	server, address, _ := scriptedRig(mute{f}, pgtest.Script{Handle: obedient()})
	f.Fuzz(func(t *testing.T, sent []byte) {
		client, err := pgtest.Dial(address, fuzzLogin)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = client.Abort() }()
		_ = client.SendBytes(sent)
		_ = client.CloseWrite()
		if err := untilClosed(client); err != nil {
			t.Fatal(err)
		}
		await(t, "its session is gone, and its backends are free", func() bool {
			return len(server.Clients()) == 0 && inUse(server.config.Load().Databases["app"]) == 0
		})
		if n := server.Metrics().Panics.Load(); n > 0 {
			t.Fatalf("%d panics", n)
		}
	})
}

// inUse is how many backends sessions have.
func inUse(db *Database) int {
	n := 0
	for _, s := range db.Cluster().Stats() {
		n += s.Busy
	}
	return n
}

// obedient is a server that carries out everything, but for messages that say "fail".
func obedient() func(*pgtest.Conn, []byte) error {
	var servants sync.Map // by connection
	return func(c *pgtest.Conn, frame []byte) error {
		st, _ := servants.LoadOrStore(c, &servant{})
		return st.(*servant).answer(c, frame)
	}
}

// servant is the state of one connection to it.
type servant struct{ skipping, copying bool }

func (st *servant) answer(c *pgtest.Conn, frame []byte) error {
	ready := pgwire.AppendReadyForQuery(nil, 'I')
	complete := pgwire.AppendCommandComplete(nil, "SELECT 0")
	failed := pgwire.AppendError(nil, &pgwire.Error{Code: "XX000", Message: "as you like"})
	if st.copying && (frame[0] == pgwire.MsgCopyDone || frame[0] == pgwire.MsgCopyFail) {
		st.copying = false
		return c.Write(append(complete, ready...))
	}
	if st.copying && (frame[0] == pgwire.MsgCopyData || frame[0] == pgwire.MsgSync || frame[0] == pgwire.MsgFlush) {
		return nil
	}
	if frame[0] == pgwire.MsgSync {
		st.skipping = false
		return c.Write(ready)
	}
	if st.skipping {
		return nil
	}
	if st.copying { // nothing else belongs there
		st.copying = false
		return c.Write(append(failed, ready...))
	}
	fails := bytes.Contains(frame, []byte("fail"))
	switch frame[0] {
	case pgwire.MsgQuery:
		if bytes.Contains(frame, []byte("copy")) && !fails {
			st.copying = true
			return c.Write(pgtest.Frame(pgwire.MsgCopyIn, []byte{0, 0, 0}))
		}
		if fails {
			return c.Write(append(failed, ready...))
		}
		return c.Write(append(complete, ready...))
	case pgwire.MsgFunctionCall:
		return c.Write(append(pgtest.Frame(pgwire.MsgFunctionCallResponse, []byte{0xff, 0xff, 0xff, 0xff}), ready...))
	}
	if fails {
		st.skipping = true
		return c.Write(failed)
	}
	answer := map[byte][]byte{pgwire.MsgParse: parseComplete, pgwire.MsgBind: bindComplete, pgwire.MsgClose: closeComplete,
		pgwire.MsgDescribe: pgtest.Frame(pgwire.MsgNoData, nil), pgwire.MsgExecute: complete}[frame[0]]
	return c.Write(answer)
}

// FuzzFirstPackets has a connection begin with any bytes, and close: it is answered or closed, and soon gone.
//
// Row 29: first packets of all kinds.
func FuzzFirstPackets(f *testing.F) {
	const startup = "\x00\x00\x00\x10\x00\x03\x00\x00user\x00x\x00\x00"
	for _, seed := range []string{startup, "\x00\x00\x00\x08\x04\xd2\x16\x2f" + startup, "\x00\x00\x00\x08\x04\xd2\x16\x30" + startup, "\x16\x03\x01\x00\x05hello",
		"\x00\x00\x00\x10\x04\xd2\x16\x2e\x00\x00\x00\x01\x00\x00\x00\x01", "\x00\x00\x00\x2d\x00\x03\x27\x0fuser\x00alice\x00_pq_.x\x00y\x00options\x00-c a=b\x00\x00p\x00\x00\x00\x05x"} {
		f.Add([]byte(seed))
	}
	server, address, _ := scriptedRig(mute{f}, pgtest.Script{Handle: obedient()})
	f.Fuzz(func(t *testing.T, sent []byte) {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(patience))
		_, _ = conn.Write(sent)
		_ = conn.(*net.TCPConn).CloseWrite()
		var timeout net.Error
		if _, err := io.Copy(io.Discard, conn); errors.As(err, &timeout) && timeout.Timeout() {
			t.Fatal("the connection is left hanging")
		}
		if n := server.Metrics().Panics.Load(); n > 0 {
			t.Fatalf("%d panics", n)
		}
	})
}
