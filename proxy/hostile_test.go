package proxy

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/internal/pgtest"
	"github.com/pgdrover/pgdrover/pgwire"
)

// evil is what a backend answers to a statement instead of what it should.
type evil struct {
	name   string
	answer []byte
	hangUp bool // the backend closes after it
}

func evilAnswers() []evil {
	row := pgwire.AppendDataRow(nil, [][]byte{[]byte(strings.Repeat("x", 100))})
	description := pgwire.AppendRowDescription(nil, []pgwire.Column{{Name: "c", OID: 25, Size: -1}})
	ready := pgwire.AppendReadyForQuery(nil, 'I')
	join := func(parts ...[]byte) []byte {
		var b []byte
		for _, p := range parts {
			b = append(b, p...)
		}
		return b
	}
	return []evil{
		{"nothing, and closes", nil, true},
		{"half a header", []byte{'T', 0, 0}, true},
		{"half a frame", description[:8], true},
		{"half a row", join(description, row[:20]), true},
		{"a row, and closes", join(description, row), true},
		{"a whole answer without ReadyForQuery", join(description, row, pgwire.AppendCommandComplete(nil, "SELECT 1")), true},
		{"length 0", pgtest.FalseFrame('D', 0), false},
		{"length 3", pgtest.FalseFrame('Z', 3), false},
		{"length -1", pgtest.FalseFrame('D', 0xffffffff), false},
		{"length 2^31-1", pgtest.FalseFrame('E', 0x7fffffff), true},
		{"length 2^31-1 of a row", pgtest.FalseFrame('D', 0x7fffffff), true},
		{"a gibibyte that does not come", pgtest.FalseFrame('T', 0x3fffffff), true},
		{"ReadyForQuery of no status", pgtest.Frame('Z', nil), false},
		{"ReadyForQuery of an unknown status", pgtest.Frame('Z', []byte{'X'}), false},
		{"CommandComplete without an end", pgtest.Frame('C', []byte("SELECT")), false},
		{"an empty error", join(pgtest.Frame('E', nil), ready), false},
		{"an error without SQLSTATE", join(pgtest.Frame('E', []byte("SERROR\x00Mwhy\x00\x00")), ready), false},
		{"an error without an end", join(pgtest.Frame('E', []byte("SERROR\x00Mwhy")), ready), false},
		{"a fatal error", pgwire.AppendError(nil, &pgwire.Error{Severity: "FATAL", Code: "57P01", Message: "shut down"}), true},
		{"a broken fatal error", pgtest.Frame('E', []byte("SFATAL\x00VFATAL\x00")), true},
		{"ParseComplete to nothing", join(pgwire.AppendParseComplete(nil), pgwire.AppendParseComplete(nil), ready), false},
		{"an unknown message", pgtest.Frame('?', []byte("what")), false},
		{"authentication again", pgwire.AppendAuthenticationOk(nil), false},
		{"a key again", pgwire.AppendBackendKeyData(nil, 1, []byte{1, 2, 3, 4}), false},
		{"CopyBothResponse", pgtest.Frame('W', []byte{0, 0, 0}), false},
		{"CopyInResponse, then nothing", pgtest.Frame('G', []byte{0, 0, 0}), true},
		{"a broken ParameterStatus", join(pgtest.Frame('S', []byte("name")), ready), false},
		{"a broken NotificationResponse", join(pgtest.Frame('A', []byte{1}), pgwire.AppendCommandComplete(nil, "SELECT 0"), ready), false},
		{"two ReadyForQuery", join(pgwire.AppendCommandComplete(nil, "SELECT 0"), ready, ready), false},
		{"an answer to what nobody asked", join(pgwire.AppendCommandComplete(nil, "SELECT 0"), ready, description, row), false},
		{"a tag that is none", join(pgwire.AppendCommandComplete(nil, strings.Repeat("é\x01", 500)), ready), false},
		{"ReadyForQuery in a transaction that nobody began", pgwire.AppendReadyForQuery(pgwire.AppendCommandComplete(nil, "SELECT 0"), 'T'), false},
	}
}

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
	for _, e := range evilAnswers() {
		for how, message := range map[string][]byte{"simple": pgwire.AppendQuery(nil, "select evil"), "extended": batch} {
			t.Run(e.name+", "+how, func(t *testing.T) {
				client := pgtest.Connect(t, address, login)
				next <- e
				if err := client.SendBytes(message); err != nil {
					t.Fatal(err)
				}
				if strings.HasPrefix(e.name, "CopyIn") && how == "extended" { // which took the Sync
					if lines, err := client.ReadUntil(pgwire.MsgErrorResponse); err != nil {
						t.Fatalf("%q, %v", lines, err)
					}
					if err := client.SendBytes(pgwire.AppendSync(nil)); err != nil {
						t.Fatal(err)
					}
				}
				lines, err := client.ReadUntilReady()
				var timeout net.Error
				if errors.As(err, &timeout) && timeout.Timeout() {
					t.Fatalf("the client is left hanging after %q", lines)
				}
				for len(next) > 0 {
					<-next
				}
				other := pgtest.Connect(t, address, login)
				lines, err = other.Query("select good")
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
