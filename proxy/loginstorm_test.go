package proxy

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/internal/pgtest"
	"github.com/pgdrover/pgdrover/pgwire"
)

// stormRig is a proxy for many clients: cheap has a verifier that takes a client no time, alice one of the usual kind.
func stormRig(t testing.TB, size int) *rig {
	return startRig(t, sharedCluster(t), rigOptions{size: size, wait: 5 * time.Minute, config: func(c *Config) {
		c.AuthTime = 5 * time.Minute
		c.Users["cheap"] = &User{Name: "cheap", Verifier: cheapVerifier(t, rigPassword)}
	}})
}

// dialStorm logs in for a test that may have to wait.
func (r *rig) dialStorm(user, password string) (*pgtest.Client, error) {
	return pgtest.Dial(r.addr, pgtest.Options{User: user, Password: password, Database: r.cluster.Database, Timeout: 5 * time.Minute})
}

// TestLoginsInAStorm has 5,000 clients log in, 500 at a time, while others work: all are let in or refused as they should be, and those who work go on.
func TestLoginsInAStorm(t *testing.T) {
	const clients, atOnce = 5000, 500
	r := stormRig(t, 4)
	k := r.tenants(0, 1)[0]
	var over atomic.Bool
	var workers, storm sync.WaitGroup
	var slowest, done [4]atomic.Int64
	for i := range slowest {
		c, err := r.dialStorm(rigUser, rigPassword)
		if err != nil {
			t.Fatal(err)
		}
		workers.Go(func() {
			defer c.Close()
			for !over.Load() {
				began := time.Now()
				lines, err := c.Query(fmt.Sprintf("select count(*) from orders where tenant_id = %d", k))
				if err != nil || !strings.Contains(strings.Join(lines, "\n"), "DataRow") {
					t.Errorf("a session at work: %q, %v", lines, err)
					return
				}
				slowest[i].Store(max(slowest[i].Load(), int64(time.Since(began))))
				done[i].Add(1)
			}
		})
	}
	next := make(chan int)
	var mu sync.Mutex
	var took []time.Duration
	for range atOnce {
		storm.Go(func() {
			for n := range next {
				user, password := "cheap", rigPassword
				switch {
				case n%20 == 7:
					user = rigUser
				case n%20 == 8:
					password = "wrong"
				case n%20 == 9:
					user = fmt.Sprint("nobody", n)
				}
				began := time.Now()
				c, err := r.dialStorm(user, password)
				if c != nil {
					_ = c.Close()
				}
				if refused := n%20 == 8 || n%20 == 9; refused != (err != nil) || refused && !strings.Contains(err.Error(), "28P01") {
					t.Errorf("client %d: %v", n, err)
				}
				mu.Lock()
				took = append(took, time.Since(began))
				mu.Unlock()
			}
		})
	}
	began := time.Now()
	for n := range clients {
		next <- n
	}
	close(next)
	storm.Wait()
	whole := time.Since(began)
	over.Store(true)
	workers.Wait()
	slices.Sort(took)
	worst := time.Duration(0)
	for i := range slowest {
		worst = max(worst, time.Duration(slowest[i].Load()))
		if done[i].Load() < 10 {
			t.Errorf("a session at work was served %d times only", done[i].Load())
		}
	}
	t.Logf("%d logins in %s: p50 %s, p99 %s, longest %s; of the sessions at work the slowest statement took %s", clients, whole,
		took[len(took)/2], took[len(took)*99/100], took[len(took)-1], worst)
	r.eventually("all have left", func() bool { return len(r.server.Clients()) == 0 })
}

// TestLoginsLeftHalfway has clients begin to log in and say no more: they cost little, and nobody has to wait for them.
func TestLoginsLeftHalfway(t *testing.T) {
	const clients = 1000
	r := stormRig(t, 1)
	one, err := r.dialStorm("cheap", rigPassword) // what the first login makes is not of interest
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	before := memoryInUse()
	var open []*pgtest.Client
	defer func() {
		for _, c := range open {
			_ = c.Abort()
		}
	}()
	for n := range clients {
		c, err := pgtest.Open(r.addr, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
		user := "cheap"
		if n%2 == 0 {
			user = fmt.Sprint("nobody", n)
		}
		check(t, c.SendBytes(pgwire.AppendStartup(nil, []pgwire.Param{{Name: "user", Value: user}, {Name: "database", Value: r.cluster.Database}})))
		if _, err := c.ReadUntil(pgwire.MsgAuthentication); err != nil {
			t.Fatal(err)
		}
		check(t, c.SendBytes(pgwire.AppendSASLInitialResponse(nil, scramMechanism, []byte("n,,n=,r=of_a_client_that_stops"))))
		if _, err := c.ReadUntil(pgwire.MsgAuthentication); err != nil {
			t.Fatal(err)
		}
	}
	each := (memoryInUse() - before) / clients
	t.Logf("a login that was left halfway keeps %d bytes, this test's own included", each)
	if each > 64<<10 {
		t.Errorf("a login that was left halfway keeps %d bytes", each)
	}
	for range 20 {
		c, err := r.dialStorm("cheap", rigPassword)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
	}
	if n := len(r.server.config.Load().turns); n != 0 {
		t.Errorf("%d turns are held", n)
	}
}

// memoryInUse is what the program uses of heap and stacks, in bytes.
func memoryInUse() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse)
}

// TestServedInOrder has clients wait for the only backend, one after the other: it goes to them in that order.
func TestServedInOrder(t *testing.T) {
	const clients = 60
	r := stormRig(t, 1)
	k := r.tenants(0, 1)[0]
	holder, err := r.dialStorm("cheap", rigPassword)
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	for _, sql := range []string{"begin", fmt.Sprintf("insert into orders values (%d, -1)", k)} {
		if _, err := holder.Query(sql); err != nil {
			t.Fatal(err)
		}
	}
	shard := r.cluster.Shards[r.shardOf(k)]
	r.on(shard.Primary, "create sequence turn; grant all on sequence turn to public")
	defer r.on(shard.Primary, "drop sequence turn")
	var group sync.WaitGroup
	for n := range clients {
		c, err := r.dialStorm("cheap", rigPassword)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		insert := fmt.Sprintf("insert into orders values (%d, %d, nextval('turn')::text)", k, n)
		if n%3 == 0 { // the others let one statement do
			insert = "begin; " + insert + "; commit"
		}
		group.Go(func() {
			if lines, err := c.Query(insert); err != nil || strings.Contains(strings.Join(lines, "\n"), "Error") {
				t.Errorf("client %d: %q, %v", n, lines, err)
			}
		})
		r.eventually("it waits", func() bool {
			waiting := 0
			for _, s := range r.db.Cluster().Stats() {
				waiting += s.Waiting
			}
			return waiting == n+1
		})
	}
	if _, err := holder.Query("commit"); err != nil {
		t.Fatal(err)
	}
	group.Wait()
	if got := r.on(shard.Primary, fmt.Sprintf("select string_agg(id::text, ' ' order by note::int) from orders where tenant_id = %d and id >= 0", k)); got != counting(clients) {
		t.Errorf("served in the order %s", got)
	}
}

// counting is 0 1 2 … up to n.
func counting(n int) string {
	var words []string
	for i := range n {
		words = append(words, fmt.Sprint(i))
	}
	return strings.Join(words, " ")
}

// TestCrowdIsServedInOrder has clients ask far more often than there are backends, all at once and again and again: each waits for about
// as many others to be served as any other does, and they are served about as fast as a few are.
func TestCrowdIsServedInOrder(t *testing.T) {
	const rounds = 5
	clients := 5000
	if raced || testing.Short() { // the race detector takes 8,000 goroutines, and sessions that wait have two
		clients = 1500
	}
	r := stormRig(t, 8)
	statement := fmt.Sprintf("select count(*) from orders where tenant_id = %d", r.tenants(0, 1)[0])
	for left := 3; left > 0; left-- { // what else the machine does may slow down the many alone, but not each time
		few := r.crowd(statement, 16, 100)
		many := r.crowd(statement, clients, rounds)
		t.Logf("%d clients of 8 backends log in in %s, and are served %.0f times a second, 16 are %.0f times; they wait for %d others at the median, %d at the 99th percentile and %d at most: %s, %s and %s", clients,
			many.logins, many.rate, few.rate, many.others[0], many.others[1], many.others[2], many.took[0], many.took[1], many.took[2])
		if many.others[1] > 2*many.others[0] {
			t.Errorf("the 99th percentile waits for %d others to be served, the median for %d", many.others[1], many.others[0])
		}
		if many.rate >= few.rate/4 {
			return
		}
	}
	t.Error("many clients are served far more slowly than a few, each time")
}

// crowded is how a crowd was served: the median, the 99th percentile and the maximum of how many others were served meanwhile, and of how
// long it took.
type crowded struct {
	others [3]int
	took   [3]time.Duration
	logins time.Duration // until all are in
	rate   float64       // statements a second
}

// crowd has clients log in at once, and each ask a number of times as soon as it has its answer. The first round does not count: all ask
// at the same moment.
func (r *rig) crowd(statement string, clients, rounds int) crowded {
	conns, began := make([]*pgtest.Client, clients), time.Now()
	var logins, group sync.WaitGroup
	var next, served atomic.Int64
	for range min(clients, 500) {
		logins.Go(func() {
			for i := next.Add(1) - 1; i < int64(clients); i = next.Add(1) - 1 {
				c, err := r.dialStorm("cheap", rigPassword)
				if err != nil {
					r.t.Errorf("client %d: %v", i, err)
					return
				}
				conns[i] = c
			}
		})
	}
	logins.Wait()
	if r.t.Failed() {
		r.t.FailNow()
	}
	all := crowded{logins: time.Since(began)}
	others, took := make([]int, clients*(rounds-1)), make([]time.Duration, clients*(rounds-1))
	began = time.Now()
	for i, c := range conns {
		group.Go(func() {
			defer c.Close()
			for round := range rounds {
				asked, before := time.Now(), served.Load()
				lines, err := c.Query(statement)
				if err != nil || len(lines) != 4 {
					r.t.Errorf("client %d: %q, %v", i, lines, err)
					return
				}
				if n := served.Add(1) - 1 - before; round > 0 {
					others[i*(rounds-1)+round-1], took[i*(rounds-1)+round-1] = int(n), time.Since(asked)
				}
			}
		})
	}
	group.Wait()
	all.rate = float64(clients*rounds) / time.Since(began).Seconds()
	slices.Sort(others)
	slices.Sort(took)
	for i, at := range []int{len(took) / 2, len(took) * 99 / 100, len(took) - 1} {
		all.others[i], all.took[i] = others[at], took[at]
	}
	return all
}

// BenchmarkManyClients has 500 clients share 5 backends, each in a hurry, and reports how long their statements take, waiting included.
func BenchmarkManyClients(b *testing.B) {
	const clients, backends, warm = 500, 5, 3
	r := stormRig(b, backends)
	k := r.tenants(0, 1)[0]
	statement := fmt.Sprintf("select pg_sleep(0.001) from (select count(*) from orders where tenant_id = %d) o", k)
	took := make([][]time.Duration, clients)
	var left atomic.Int64
	left.Store(int64(b.N) + clients*warm)
	var group sync.WaitGroup
	for n := range took {
		c, err := r.dialStorm("cheap", rigPassword)
		if err != nil {
			b.Fatal(err)
		}
		group.Go(func() {
			defer c.Close()
			for left.Add(-1) >= 0 {
				began := time.Now()
				if _, err := c.Query(statement); err != nil {
					b.Error(err)
					return
				}
				took[n] = append(took[n], time.Since(began))
			}
		})
	}
	group.Wait()
	var all []time.Duration
	for _, own := range took {
		all = append(all, own[min(warm, len(own)):]...)
	}
	if len(all) == 0 {
		return
	}
	slices.Sort(all)
	p50, p99 := all[len(all)/2], all[len(all)*99/100]
	b.ReportMetric(p50.Seconds()*1000, "p50-ms")
	b.ReportMetric(p99.Seconds()*1000, "p99-ms")
	b.ReportMetric(float64(p99)/float64(p50), "p99/p50")
}
