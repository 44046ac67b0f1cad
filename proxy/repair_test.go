package proxy

import (
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/internal/pgtest"
	"github.com/pgdrover/pgdrover/pgwire"
)

// forgetful is a backend that says of statements which it was told that they do not exist.
type forgetful struct {
	forgets atomic.Bool
	hangsUp atomic.Bool // after it has said so
	told    atomic.Int32
}

var namedStatement = regexp.MustCompile(`pgdrover_[0-9]+`)

func (f *forgetful) handle(c *pgtest.Conn, frame []byte) error {
	name := namedStatement.FindString(string(frame))
	unknown := pgwire.AppendError(nil, &pgwire.Error{Code: "26000", Message: "prepared statement \"" + name + "\" does not exist"})
	forgets := f.forgets.Load() && name != ""
	switch frame[0] {
	case pgwire.MsgParse:
		f.told.Add(1)
		return c.Write(pgwire.AppendParseComplete(nil))
	case pgwire.MsgClose:
		return c.Write(pgwire.AppendCloseComplete(nil))
	case pgwire.MsgDescribe:
		return c.Write(pgwire.AppendNoData(pgwire.AppendParameterDescription(nil, nil)))
	case pgwire.MsgBind:
		if !forgets {
			return c.Write(pgwire.AppendBindComplete(nil))
		}
		return f.discard(c, unknown)
	case pgwire.MsgExecute:
		return c.Write(pgwire.AppendCommandComplete(nil, "SELECT 0"))
	case pgwire.MsgSync:
		return c.Write(pgwire.AppendReadyForQuery(nil, 'I'))
	case pgwire.MsgQuery:
		if !forgets || !strings.Contains(string(frame), "execute") {
			return c.Write(pgtest.Result("SELECT 1", []string{"c"}, []string{"good"}))
		}
		if f.hangsUp.Load() {
			_ = c.Write(unknown)
			return pgtest.ErrHangUp
		}
		return c.Write(pgwire.AppendReadyForQuery(unknown, 'I'))
	}
	return nil
}

// discard says what is wrong and reads on to the Sync, as a server does.
func (f *forgetful) discard(c *pgtest.Conn, e []byte) error {
	if err := c.Write(e); err != nil {
		return err
	}
	for {
		frame, err := c.Read()
		switch {
		case err != nil:
			return err
		case frame[0] != pgwire.MsgSync:
		case f.hangsUp.Load():
			return pgtest.ErrHangUp
		default:
			return c.Write(pgwire.AppendReadyForQuery(nil, 'I'))
		}
	}
}

// TestRepairEnds has a backend lose every statement, or its connection while it is told one anew: the client hears of the first failure
// that could not be mended, in its own words, and goes on.
func TestRepairEnds(t *testing.T) {
	for _, hangsUp := range []bool{false, true} {
		f := &forgetful{}
		_, address, _ := scriptedRig(t, pgtest.Script{Handle: f.handle})
		c := pgtest.Connect(t, address, pgtest.Options{User: rigUser, Password: rigPassword, Database: "app", Timeout: 5 * time.Second})
		bind := append(framed(pgwire.MsgBind, []byte("\x00s\x00\x00\x00\x00\x00\x00\x00")), pgwire.AppendSync(pgwire.AppendExecute(nil, "", 0))...)
		ask := func(what string, message []byte, want string) {
			t.Helper()
			if err := c.SendBytes(message); err != nil {
				t.Fatal(err)
			}
			lines, err := c.ReadUntilReady()
			if got := strings.Join(lines, "\n"); err != nil || !strings.Contains(got, want) {
				t.Fatalf("%s: %s, %v; want %s", what, got, err, want)
			}
		}
		ask("Parse", append(pgwire.AppendParse(nil, "s", "select 1", nil), bind...), "SELECT 0")
		ask("PREPARE", pgwire.AppendQuery(nil, "prepare x as select 1"), "PREPARE")
		f.forgets.Store(true)
		f.hangsUp.Store(hangsUp)
		want := map[bool]string{false: `"26000" M "prepared statement \"s\" does not exist"`, true: "ErrorResponse"}[hangsUp]
		before := f.told.Load()
		ask("Bind", bind, want)
		if told := f.told.Load() - before; told > 2 {
			t.Errorf("it was told %d statements", told)
		}
		ask("EXECUTE", pgwire.AppendQuery(nil, "execute x"), strings.ReplaceAll(want, `\"s\"`, `\"x\"`))
		f.forgets.Store(false)
		ask("Bind", bind, "SELECT 0")
		ask("EXECUTE", pgwire.AppendQuery(nil, "execute x"), "good")
	}
}
