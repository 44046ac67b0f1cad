package proxy

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/internal/pgtest"
	"github.com/pgdrover/pgdrover/pgwire"
)

// TestWaitingHasNoStack has many clients wait for the one backend and one for its answer: none has a coroutine meanwhile, and all are served.
func TestWaitingHasNoStack(t *testing.T) {
	r := startRig(t, sharedPrimaries(t, 1), rigOptions{size: 1, wait: 20 * time.Second})
	const many = 200
	clients := make([]*pgtest.Client, many)
	for i := range clients {
		clients[i] = pgtest.Connect(t, r.addr, pgtest.Options{User: rigUser, Password: rigPassword, Database: r.cluster.Database, Timeout: 20 * time.Second})
	}
	before := runtime.NumGoroutine()
	check(t, clients[0].SendBytes(pgwire.AppendQuery(nil, "select pg_sleep(3)")))
	r.eventually("the backend is busy", func() bool {
		return r.on(r.cluster.Shards[0].Primary, "select count(*) from pg_stat_activity where wait_event = 'PgSleep'") == "1"
	})
	for i, c := range clients[1:] {
		check(t, c.SendBytes(pgwire.AppendQuery(nil, fmt.Sprintf("select %d", i))))
	}
	r.eventually("all others wait for it", func() bool {
		n := 0
		for _, c := range r.server.Clients() {
			if c.State == ClientWaiting {
				n++
			}
		}
		return n == many-1
	})
	if more := runtime.NumGoroutine() - before; r.loops != nil && more > many/2 {
		t.Errorf("%d goroutines for sessions that wait", more)
	}
	if _, err := clients[0].ReadUntilReady(); err != nil {
		t.Fatal(err)
	}
	for i, c := range clients[1:] {
		lines, err := c.ReadUntilReady()
		check(t, err)
		if want := fmt.Sprint(i); !strings.Contains(strings.Join(lines, " "), want) {
			t.Fatalf("%q has no %s", lines, want)
		}
	}
}
