package proxy

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/internal/pgtest"
	"github.com/pgdrover/pgdrover/pgwire"
)

// behind is what a client sends while it waits: two Queries, with a Sync between them.
var behind = pgwire.AppendQuery(pgwire.AppendSync(pgwire.AppendQuery(nil, "select 'behind'")), "select 'last'")

// TestWhileAnAnswerIsAwaited has things happen to a session that waits for its backend's answer, by either protocol, with more messages behind: the
// client hears of them in order, once each, and goes on with what came behind unless its session has ended.
func TestWhileAnAnswerIsAwaited(t *testing.T) {
	r := startRig(t, sharedCluster(t), rigOptions{size: 2, wait: 20 * time.Second})
	bind, err := (&step{line: "Bind", rest: "- - 100"}).bind()
	check(t, err)
	batch := append(pgwire.AppendParse(nil, "", "select pg_sleep($1)", nil), bind...)
	cancel := func(c *pgtest.Client) error { return c.Cancel() }
	kill := func(c *pgtest.Client) error { return r.server.KillClient(t.Context(), c.PID) }
	stop := func(*pgtest.Client) error {
		r.on(r.cluster.Shards[0].Primary, "select pg_terminate_backend(pid, 5000) from pg_stat_activity where wait_event = 'PgSleep'")
		return nil
	}
	for how, message := range map[string][]byte{"Query": pgwire.AppendQuery(nil, "select pg_sleep(100)"), "batch": pgwire.AppendSync(pgwire.AppendExecute(batch, "", 0))} {
		for _, test := range []struct {
			name  string
			do    func(*pgtest.Client) error
			last  string // message behind all others
			codes string // of errors, in order
			ready int    // how often it is ready
		}{
			{"cancelled", cancel, "", "57014", 4},
			{"its backend ends", stop, "", "57P01", 4},
			{"killed", kill, "", "57014 57P01", 1},
			{"it takes its leave", cancel, "X\x00\x00\x00\x04", "57014", 4},
			{"it breaks the protocol", cancel, "!\x00\x00\x00\x04", "57014 08P01", 4},
		} {
			t.Run(how+", "+test.name, func(t *testing.T) {
				r.whileWaiting(t, message, func(*pgtest.Client) { r.sleeps() }, test.do, test.last, test.codes, test.ready)
			})
		}
	}
}

// sleeps waits until a backend of the first shard sleeps.
func (r *rig) sleeps() {
	r.eventually("it runs", func() bool {
		return r.on(r.cluster.Shards[0].Primary, "select count(*) from pg_stat_activity where wait_event = 'PgSleep'") == "1"
	})
}

// TestWhileABackendIsAwaited has things happen to a session that waits for a backend, by either protocol, with more messages behind.
func TestWhileABackendIsAwaited(t *testing.T) {
	r := startRig(t, sharedPrimaries(t, 1), rigOptions{size: 1, wait: 20 * time.Second})
	batch := batchOf(t, "select 'first'")
	for how, message := range map[string][]byte{"Query": pgwire.AppendQuery(nil, "select 'first'"), "batch": batch} {
		for _, test := range []struct {
			name  string
			do    func(*pgtest.Client) error // nil: it is served
			last  string
			codes string
			ready int
		}{
			{"served", nil, "", "", 4},
			{"cancelled", (*pgtest.Client).Cancel, "", "57014", 4},
			{"killed", func(c *pgtest.Client) error { return r.server.KillClient(t.Context(), c.PID) }, "", "57P01", 0},
			{"it takes its leave", nil, "X\x00\x00\x00\x04", "", 4},
			{"it breaks the protocol", nil, "!\x00\x00\x00\x04", "08P01", 4},
		} {
			t.Run(how+", "+test.name, func(t *testing.T) {
				holder := r.connect()
				defer holder.Close(t.Context())
				r.exec(holder, "begin")
				r.exec(holder, "select 1")
				waits := func(c *pgtest.Client) { r.running(c.PID, ClientWaiting) }
				r.whileWaiting(t, message, waits, func(c *pgtest.Client) error {
					if test.do != nil {
						r.endsWait(c, test.do)
					}
					r.exec(holder, "commit")
					return nil
				}, test.last, test.codes, test.ready)
			})
		}
	}
}

// endsWait does what ends a client's wait for a backend with an error, and waits until it has.
func (r *rig) endsWait(c *pgtest.Client, do func(*pgtest.Client) error) {
	refused := r.server.Metrics().Refused.Load()
	check(r.t, do(c))
	r.eventually("it waits no more", func() bool {
		here := slices.ContainsFunc(r.server.Clients(), func(one Client) bool { return one.PID == c.PID })
		return !here || r.server.Metrics().Refused.Load() > refused
	})
}

// batchOf is a batch of one statement, without parameters, up to its Sync.
func batchOf(t testing.TB, sql string) []byte {
	t.Helper()
	bind, err := (&step{line: "Bind", rest: "- -"}).bind()
	check(t, err)
	return pgwire.AppendSync(pgwire.AppendExecute(append(pgwire.AppendParse(nil, "", sql, nil), bind...), "", 0))
}

// whileWaiting has a client send a message, and what is behind it and last once it waits for what that needs. do says what happens then.
func (r *rig) whileWaiting(t *testing.T, message []byte, waits func(*pgtest.Client), do func(*pgtest.Client) error, last, codes string, ready int) {
	c := pgtest.Connect(t, r.addr, pgtest.Options{User: rigUser, Password: rigPassword, Database: r.cluster.Database, Timeout: 30 * time.Second})
	check(t, c.SendBytes(message))
	waits(c)
	check(t, c.SendBytes(behind))
	check(t, c.SendBytes([]byte(last)))
	check(t, do(c))
	if last == "" && ready == 4 { // it goes on: the client ends it
		check(t, c.SendBytes(pgwire.AppendTerminate(nil)))
	}
	answers, err := c.ReadRest()
	check(t, err)
	if got := strings.Join(errorsIn(answers), " "); got != codes {
		t.Errorf("errors %q, want %q", got, codes)
	}
	if n := strings.Count(string(answers), "Z\x00\x00\x00\x05I"); n != ready {
		t.Errorf("%d times ready, want %d", n, ready)
	}
	first, second := strings.Index(string(answers), "\x06behind"), strings.Index(string(answers), "\x04last")
	if all := first > 0 && first < second; all != (ready == 4) {
		t.Errorf("answers %q", answers)
	}
}

// TestWaitingHasNoStack has many clients wait for the one backend, by either protocol, and one for its answer: none has a coroutine meanwhile, and all are served.
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
		message := pgwire.AppendQuery(nil, fmt.Sprintf("select %d", i))
		if i%2 == 0 {
			message = batchOf(t, fmt.Sprintf("select %d", i))
		}
		check(t, c.SendBytes(message))
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
