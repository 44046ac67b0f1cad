package proxy

import (
	"bytes"
	"errors"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/internal/pgtest"
	"github.com/pgdrover/pgdrover/pgwire"
)

// unreadSize is what a client sends without reading, in bytes, until it is stopped.
const unreadSize = 64 << 20

// unreadCosts is what its session may cost the proxy meanwhile, in bytes.
const unreadCosts = 16 << 20

// TestClientThatDoesNotRead sends far more than any buffer holds and reads nothing: it is stopped, at little cost, others are served
// meanwhile, and when it goes its backend is free.
//
// Row 13: a client that does not read.
func TestClientThatDoesNotRead(t *testing.T) {
	c := sharedPrimaries(t, 1)
	r := startRig(t, c, rigOptions{size: 2, wait: 20 * time.Second})
	kilobyte := strings.Repeat("x", 1024)
	bind := func(value string) []byte {
		b, err := (&step{line: "Bind", rest: "- - " + value}).bind()
		if err != nil {
			t.Fatal(err)
		}
		return pgwire.AppendExecute(b, "", 0)
	}
	parse := pgwire.AppendParse(nil, "", "select $1::text, repeat('y', 300)", nil)
	for name, test := range map[string]struct{ head, each []byte }{
		"a batch of large values":    {parse, bind(kilobyte)},
		"a batch of small values":    {parse, bind("7")},
		"a Sync after each":          {parse, pgwire.AppendSync(bind(kilobyte))},
		"queries":                    {nil, pgwire.AppendQuery(nil, "select '"+kilobyte+"'")},
		"statements, never run":      {nil, pgwire.AppendParse(nil, "", "select '"+kilobyte+"'", nil)},
		"descriptions":               {parse, pgwire.AppendDescribe(nil, 'S', "")},
		"Closes":                     {nil, pgwire.AppendClose(nil, 'S', "nosuch")},
		"Closes behind a statement":  {append(bytes.Clone(parse), bind("7")...), pgwire.AppendClose(nil, 'S', "nosuch")},
		"COPY out, and queries":      {pgwire.AppendQuery(nil, "copy (select repeat('z', 1000) from generate_series(1, 200000)) to stdout"), pgwire.AppendQuery(nil, "select 1")},
		"empty queries and warnings": {nil, pgwire.AppendQuery(nil, "commit")},
	} {
		t.Run(name, func(t *testing.T) { sendUnread(t, r, test.head, test.each) })
	}
}

func sendUnread(t *testing.T, r *rig, head, each []byte) {
	options := pgtest.Options{User: rigUser, Password: rigPassword, Database: r.cluster.Database, Timeout: 400 * time.Millisecond}
	silent := pgtest.Connect(t, r.addr, options)
	options.Timeout = 20 * time.Second
	other := pgtest.Connect(t, r.addr, options)
	piece := bytes.Repeat(each, max(1, 64<<10/len(each)))
	before := heap()
	check(t, silent.SendBytes(head))
	stopped := false
	for sent := 0; sent < unreadSize && !stopped; sent += len(piece) {
		var timeout net.Error
		if err := silent.SendBytes(piece); errors.As(err, &timeout) && timeout.Timeout() {
			stopped = true
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if cost := heap() - before; cost > unreadCosts {
		t.Errorf("it costs %d kB", cost>>10)
	}
	if !stopped && bytes.HasPrefix(each, []byte{pgwire.MsgQuery}) {
		t.Error("it was not stopped")
	}
	if lines, err := other.Query("select count(*) from orders where tenant_id = 1"); err != nil || len(lines) != 4 {
		t.Errorf("another client: %q, %v", lines, err)
	}
	check(t, silent.Abort())
	r.eventually("its backend is free", func() bool {
		for _, c := range r.server.Clients() {
			if c.PID == silent.PID {
				return false
			}
		}
		return true
	})
}

// heap is what is in use of the heap, in bytes.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
