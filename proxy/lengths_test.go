package proxy

import (
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/internal/pgtest"
	"github.com/pgdrover/pgdrover/pgwire"
)

// falseLengths are those that no message can have, or none of what follows them.
var falseLengths = []uint32{0, 1, 2, 3, 4, 5, 0x7fffffff, 0x80000000, 0xfffffffc, 0xffffffff}

// TestFalseLengths sends every message with lengths that are false: the client is refused, or told that the message is wrong, or waited
// for, as PostgreSQL would. Nobody else notices, and nothing is allocated for what does not come.
//
// Row 29: all messages of clients, after the login and in the place of a first packet.
func TestFalseLengths(t *testing.T) {
	c := sharedPrimaries(t, 1)
	r := startRig(t, c, rigOptions{size: 2})
	options := pgtest.Options{User: rigUser, Password: rigPassword, Database: c.Database, Timeout: 10 * time.Second}
	before := heap()
	var kept []*pgtest.Client // that wait for the rest of a message
	for _, typ := range []byte("QPBDEHSCFXdcfp") {
		for _, length := range falseLengths {
			client := pgtest.Connect(t, r.addr, options)
			check(t, client.SendBytes(append(pgtest.FalseFrame(typ, length), 0))) // 5 is true
			what := fmt.Sprintf("%q with length %#x", typ, length)
			if length < 5 {
				_ = client.SendBytes(pgwire.AppendSync(nil))
			}
			settle(t, what, client)
		}
		client := pgtest.Connect(t, r.addr, options)
		check(t, client.SendBytes(append(pgtest.FalseFrame(typ, 64<<20), 0)))
		kept = append(kept, client)
	}
	for _, length := range falseLengths {
		client, err := pgtest.Open(r.addr, 5*time.Second)
		check(t, err)
		check(t, client.SendBytes(pgtest.FalseFrame(0, length)[1:]))
		kept = append(kept, client)
	}
	if cost := heap() - before; cost > 16<<20 {
		t.Errorf("%d kB were allocated for messages that never came", cost>>10)
	}
	other := pgtest.Connect(t, r.addr, options)
	if lines, err := other.Query("select 1"); err != nil || len(lines) != 4 {
		t.Errorf("another client: %q, %v", lines, err)
	}
	for _, client := range kept {
		_ = client.Abort()
	}
	if n := r.server.Metrics().Panics.Load(); n > 0 {
		t.Errorf("%d panics", n)
	}
}

// settle reads until the client is told something and the server waits or closes; it must be one of the two.
func settle(t *testing.T, what string, client *pgtest.Client) {
	t.Helper()
	_ = client.SendBytes(pgwire.AppendTerminate(nil))
	for range 20 {
		_, err := client.Read()
		var op *net.OpError
		switch {
		case err == nil:
		case errors.Is(err, io.EOF), errors.As(err, &op) && !op.Timeout():
			return
		default:
			t.Errorf("%s: %v", what, err)
			return
		}
	}
	t.Errorf("%s: it goes on and on", what)
}
