package proxy

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
	"github.com/pgdrover/pgdrover/internal/pgtest"
)

// storming are the clients of a storm, each of which does the same.
const storming = 40

// TestCancelStorm has 10 000 cancel requests arrive, of which few are for anybody: those who have nothing to cancel go on, and what is
// running is cancelled once.
//
// Row 16: 10 000 cancel requests, with right keys and wrong ones.
func TestCancelStorm(t *testing.T) {
	r := startRig(t, sharedCluster(t), rigOptions{size: 4, wait: 20 * time.Second})
	requests := 10_000
	if testing.Short() {
		requests = 1000
	}
	target, idle, worker := r.connect(simpleMode), r.connect(), r.connect()
	result := make(chan error, 1)
	go func() {
		_, err := target.Exec(t.Context(), "select pg_sleep(120)")
		result <- err
	}()
	r.running(target.PgConn().PID(), ClientActive)
	var left, answered atomic.Int64
	left.Store(int64(requests))
	var group sync.WaitGroup
	for range storming {
		group.Go(func() {
			for n := left.Add(-1); n >= 0; n = left.Add(-1) {
				switch n % 4 {
				case 0:
					r.cancelRequest(target.PgConn().PID(), target.PgConn().SecretKey())
				case 1:
					r.cancelRequest(idle.PgConn().PID(), idle.PgConn().SecretKey())
				default:
					r.cancelRequest(uint32(n), []byte{1, 2, 3, byte(n)})
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { group.Wait(); close(done) }()
	for storm := true; storm; answered.Add(1) {
		if got := r.value(worker, "select 42"); got != "42" {
			t.Fatal(got)
		}
		select {
		case <-done:
			storm = false
		default:
		}
	}
	if err := <-result; !isCode(err, "57014") {
		t.Fatalf("the statement ended with %v", err)
	}
	for range 100 {
		r.value(idle, "select 1")
		r.value(target, "select 1")
	}
	if n := r.server.Metrics().Cancels.Load(); n < int64(requests) {
		t.Errorf("%d requests were counted", n)
	}
	t.Logf("%d statements of another client meanwhile", answered.Load())
}

// TestReconnectStorm restarts the node under a thousand clients, all of which want it back at once: nobody is disconnected, everybody is
// served in the end, and the node never sees more connections than the pool has.
//
// Row 41: a node that restarts under a thousand clients.
func TestReconnectStorm(t *testing.T) {
	const size = 8
	clients := 1000
	if testing.Short() {
		clients = 200
	}
	c := pgcluster.Test(t, pgcluster.Config{})
	r := startRig(t, c, rigOptions{size: size, wait: 60 * time.Second, config: func(c *Config) {
		c.Users = map[string]*User{rigUser: {Name: rigUser, Verifier: cheapVerifier(t, rigPassword)}}
	}})
	options := pgtest.Options{User: rigUser, Password: rigPassword, Database: c.Database, Timeout: 90 * time.Second}
	all := make([]*pgtest.Client, clients)
	for i := range all {
		all[i] = pgtest.Connect(t, r.addr, options)
	}
	most := 0
	for round := range 3 {
		if round > 0 {
			check(t, c.Shards[0].Primary.Restart(t.Context()))
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			askAll(t, all)
		}()
		for waiting := true; waiting; {
			var n int
			_, _ = fmt.Sscan(r.on(c.Shards[0].Primary, "select count(*) from pg_stat_activity where application_name = '' and usename = '"+c.User+"'"), &n)
			most = max(most, n)
			select {
			case <-done:
				waiting = false
			default:
			}
		}
	}
	if most > 2*size { // those that a restart ends may still be shown beside the new ones
		t.Errorf("%d connections to the node, where the pool has %d", most, size)
	}
}

// askAll has all clients ask at once.
func askAll(t *testing.T, all []*pgtest.Client) {
	var group sync.WaitGroup
	for i, client := range all {
		group.Go(func() {
			if lines, err := client.Query("select 1"); err != nil || len(lines) != 4 {
				t.Errorf("client %d: %q, %v", i, lines, err)
			}
		})
	}
	group.Wait()
}
