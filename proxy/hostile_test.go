package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/internal/pgtest"
	"github.com/pgdrover/pgdrover/pgwire"
)

// hostileRig is a proxy of one node which answers statements that say "evil" with what is in the channel.
func hostileRig(t testing.TB, next <-chan evil) (*Server, string) {
	server, address, _ := scriptedRig(t, pgtest.Script{Handle: func(c *pgtest.Conn, frame []byte) error {
		text := string(frame)
		switch {
		case strings.Contains(text, "evil"):
			e := <-next
			if err := c.Write(e.answer); err != nil || e.hangUp {
				return errors.Join(err, pgtest.ErrHangUp)
			}
			return nil
		case frame[0] == pgwire.MsgQuery:
			return c.Write(pgtest.Result("SELECT 1", []string{"c"}, []string{"good"}))
		case frame[0] == pgwire.MsgSync:
			return c.Write(pgwire.AppendReadyForQuery(nil, 'I'))
		}
		return nil
	}})
	return server, address
}

// TestHostileBackend has a backend break the protocol: its client gets an error or is closed, soon, and the proxy lives on and has
// a good backend for the next.
//
// Row 30: an error without SQLSTATE, or without an end.
func TestHostileBackend(t *testing.T) {
	next := make(chan evil, 1)
	server, address := hostileRig(t, next)
	login := pgtest.Options{User: rigUser, Password: rigPassword, Database: "app", Timeout: 5 * time.Second}
	batch := append(pgwire.AppendParse(nil, "", "select evil", nil), framed(pgwire.MsgBind, make([]byte, 8))...)
	batch = pgwire.AppendSync(pgwire.AppendExecute(batch, "", 0))
	for _, e := range append(evilAnswers(), evilFrames()...) {
		for how, message := range map[string][]byte{"simple": pgwire.AppendQuery(nil, "select evil"), "extended": batch} {
			t.Run(e.name+", "+how, func(t *testing.T) {
				client := pgtest.Connect(t, address, login)
				next <- e
				if err := client.SendBytes(message); err != nil {
					t.Fatal(err)
				}
				if lines, err := untilReady(client); err != nil {
					t.Fatalf("%v, after %q", err, lines)
				}
				for len(next) > 0 {
					<-next
				}
				other := pgtest.Connect(t, address, login)
				lines, err := other.Query("select good")
				if err == nil && strings.Contains(strings.Join(lines, ""), "08006") { // the answer was good, and the close came too late to be seen
					lines, err = other.Query("select good")
				}
				if err != nil || len(lines) != 4 || !strings.Contains(lines[1], "'good'") {
					t.Fatalf("the next client got %q, %v", lines, err)
				}
				_ = client.Abort()
				_ = other.Close()
			})
		}
	}
	if n := server.Metrics().Panics.Load(); n > 0 {
		t.Errorf("%d panics", n)
	}
}

// untilReady reads up to ReadyForQuery, or until the server closes; it must not keep its client waiting. COPY may have taken the Sync of a
// batch: after an error it is sent again.
func untilReady(client *pgtest.Client) (lines []string, err error) {
	failed := false
	for {
		frame, err := client.Read()
		var timeout net.Error
		switch {
		case errors.As(err, &timeout) && timeout.Timeout():
			return lines, errors.New("the client is left hanging")
		case err != nil:
			return lines, nil
		case len(lines) < 10:
			lines = append(lines, string(pgwire.Trace(nil, false, frame)))
		}
		switch frame[0] {
		case pgwire.MsgReadyForQuery:
			return lines, nil
		case pgwire.MsgErrorResponse:
			if !failed {
				failed = true
				_ = client.SendBytes(pgwire.AppendSync(nil))
			}
		}
	}
}

// TestEndlessBackend has a backend answer without an end: memory is bounded, whether the client reads or not, and the session ends when
// the client leaves.
func TestEndlessBackend(t *testing.T) {
	endless := map[string][]byte{
		"notices": pgwire.AppendNotice(nil, &pgwire.Error{Severity: "NOTICE", Code: "00000", Message: "again"}),
		"rows":    pgwire.AppendDataRow(nil, [][]byte{[]byte(strings.Repeat("x", 1000))}),
		"reports": pgwire.AppendParameterStatus(nil, "TimeZone", "UTC"), "answers": pgwire.AppendCommandComplete(nil, "SELECT 0"),
		"notifications": pgtest.Frame('A', []byte("\x00\x00\x00\x01news\x00\x00")), "one row": pgtest.FalseFrame('D', 0x3fffffff),
	}
	server, address, _ := scriptedRig(t, pgtest.Script{Handle: func(c *pgtest.Conn, frame []byte) error {
		for name, one := range endless {
			if strings.Contains(string(frame), name+"\x00") {
				for many := bytes.Repeat(one, 1+(64<<10)/len(one)); ; {
					if err := c.Write(many); err != nil {
						return pgtest.ErrHangUp
					}
				}
			}
		}
		return c.Write(pgwire.AppendReadyForQuery(nil, 'I'))
	}})
	login := pgtest.Options{User: rigUser, Password: rigPassword, Database: "app", Timeout: 5 * time.Second}
	for name := range endless {
		for _, reads := range []int{0, 2000} {
			t.Run(fmt.Sprintf("%s, %d are read", name, reads), func(t *testing.T) {
				client := pgtest.Connect(t, address, login)
				before := heap()
				check(t, client.SendBytes(pgwire.AppendQuery(nil, name)))
				for i := 0; i < reads && name != "reports" && name != "one row" && name != "notifications"; i++ { // which the client does not hear of
					if _, err := client.Read(); err != nil {
						t.Fatal(err)
					}
				}
				pause(t.Context(), 50*time.Millisecond) // for what would pile up
				if cost := heap() - before; cost > unreadCosts {
					t.Errorf("it costs %d kB", cost>>10)
				}
				check(t, client.Abort())
				await(t, "the session has ended", func() bool { return len(server.Clients()) == 0 })
			})
		}
	}
}
