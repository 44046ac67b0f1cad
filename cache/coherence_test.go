package cache

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// world is a primary with one row per tenant, proxies before it, and a record of
// what clients were told.
type world struct {
	rows    [6]atomic.Int64
	proxies []*Cache
	told    [][6]atomic.Int64 // by proxy: the newest version a client has heard of
	mu      sync.Mutex
	history [6][]told // of all proxies, in order of time
	bound   time.Duration
	faults  chan string
}

type told struct {
	at      time.Time
	version int64
}

// heard records that a client of a proxy heard of a version.
func (w *world) heard(proxy, tenant int, version int64) {
	raise(&w.told[proxy][tenant], version)
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.history[tenant]
	if len(h) > 0 {
		version = max(version, h[len(h)-1].version)
	}
	w.history[tenant] = append(h, told{time.Now(), version})
}

// heardBefore is the newest version that any client had heard of at a time.
func (w *world) heardBefore(tenant int, at time.Time) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.history[tenant]
	for i := len(h) - 1; i >= 0; i-- {
		if !h[i].at.After(at) {
			return h[i].version
		}
	}
	return 0
}

func raise(v *atomic.Int64, to int64) {
	for old := v.Load(); old < to && !v.CompareAndSwap(old, to); old = v.Load() {
	}
}

// pause is the time a statement takes.
func pause() {
	if rand.IntN(4) == 0 {
		time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond)
	}
}

// read checks one lookup through one proxy.
func (w *world) read(proxy, tenant int) {
	c := w.proxies[proxy]
	name := strconv.Itoa(tenant)
	k, d := keyOf("q", name), depsOf(name, "users")
	began := time.Now()
	own, all := w.told[proxy][tenant].Load(), w.heardBefore(tenant, began.Add(-w.bound))
	body, from := fetch(c, k, d, func() string {
		pause()
		v := w.rows[tenant].Load()
		pause()
		return strconv.FormatInt(v, 10)
	})
	got, err := strconv.ParseInt(body, 10, 64)
	switch {
	case err != nil:
		w.fault("proxy %d, tenant %d: %q from %s", proxy, tenant, body, from)
	case got < own:
		w.fault("proxy %d, tenant %d: version %d from %s, its clients had heard of %d", proxy, tenant, got, from, own)
	case got < all:
		w.fault("proxy %d, tenant %d: version %d from %s, clients had heard of %d %v before", proxy, tenant, got, from, all, w.bound)
	}
}

func (w *world) fault(format string, args ...any) {
	select {
	case w.faults <- fmt.Sprintf(format, args...):
	default:
	}
}

// write does one write, of the kinds a proxy sees; some are rolled back.
func (w *world) write(proxy, tenant int) {
	c := w.proxies[proxy]
	name := strconv.Itoa(tenant)
	d := depsOf(name, "users")
	switch rand.IntN(12) {
	case 0:
		d = depsOf(name)
	case 1:
		d = depsOf("", "users")
	case 2:
		d = depsOf("")
	}
	var m Mark
	if c.Dirty(&m, d) {
		c.Publish(context.Background(), &m)
	}
	pause()
	if rand.IntN(5) == 0 {
		if c.Abort(&m) {
			c.Publish(context.Background(), &m)
		}
		return
	}
	version := w.rows[tenant].Add(1)
	pause()
	if c.Commit(&m) {
		c.Publish(context.Background(), &m)
	}
	w.heard(proxy, tenant, version)
}

// run lets readers and writers loose on all proxies while meanwhile runs.
func (w *world) run(t *testing.T, meanwhile func()) {
	t.Helper()
	w.told = make([][6]atomic.Int64, len(w.proxies))
	w.faults = make(chan string, 1)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	work := func(n int, every time.Duration, do func(proxy, tenant int)) {
		for i := range n {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					do(i%len(w.proxies), rand.IntN(len(w.rows)))
					if every > 0 {
						time.Sleep(time.Duration(rand.Int64N(int64(every))))
					}
				}
			})
		}
	}
	work(6, 200*time.Microsecond, w.read)
	work(4, 8*time.Millisecond, w.write)
	meanwhile()
	close(stop)
	wg.Wait()
	select {
	case f := <-w.faults:
		t.Error(f)
	default:
	}
	for i, c := range w.proxies {
		st := c.Stats()
		t.Logf("proxy %d: L1 %d hits, L2 %d hits %d misses %d errors, %d stored, %d writes, %d unannounced, %d voids",
			i, st.L1Hits, st.L2Hits, st.L2Misses, st.L2Errors, st.L2Stores, st.Invalidations, st.Unannounced, st.Voids)
		if st.OpenWrites != 0 {
			t.Errorf("proxy %d: %d writes left open", i, st.OpenWrites)
		}
	}
}

// steady runs until every proxy has had enough hits of both kinds to mean something.
func (w *world) steady(t *testing.T) func() {
	return func() {
		until(t, "hits on L1 and L2 of every proxy", func() bool {
			for _, c := range w.proxies {
				if st := c.Stats(); st.L1Hits < 500 || st.L2Hits < 100 || st.Invalidations < 100 {
					return false
				}
			}
			return true
		})
	}
}

func TestNoReadIsOlderThanPromised(t *testing.T) {
	const age = 20 * time.Millisecond
	patient := func(c *Config) {
		c.L1Age = age
		c.ReadTimeout, c.WriteTimeout, c.OpTimeout, c.Lease = 10*time.Second, 10*time.Second, 10*time.Second, 2*time.Minute
	}
	t.Run("no redis", func(t *testing.T) {
		w := &world{proxies: []*Cache{openCache(t, Config{})}}
		w.run(t, func() {
			until(t, "hits", func() bool { st := w.proxies[0].Stats(); return st.L1Hits > 500 && st.Invalidations > 100 })
		})
	})
	t.Run("embedded", func(t *testing.T) {
		redis := startEmbedded(t)
		w := &world{bound: age, proxies: []*Cache{openShared(t, redis.url(), patient), openShared(t, redis.url(), patient)}}
		w.run(t, w.steady(t))
	})
	t.Run("server", func(t *testing.T) {
		redis := startServer(t)
		w := &world{bound: age, proxies: []*Cache{openShared(t, redis.url(), patient), openShared(t, redis.url(), patient)}}
		w.run(t, w.steady(t))
		for i, c := range w.proxies {
			if n := c.Stats().Unannounced; n != 0 {
				t.Errorf("proxy %d: %d writes unannounced", i, n)
			}
		}
	})
}

// The same while Redis freezes, forgets, restarts, and one proxy loses its way to it.
func TestNoReadIsOlderThanPromisedWhenRedisFails(t *testing.T) {
	const (
		lease  = 400 * time.Millisecond
		outage = 300 * time.Millisecond
	)
	redis := startServer(t)
	way := startWire(t, redis.url())
	hasty := func(c *Config) {
		c.L1Age, c.Lease = 20*time.Millisecond, lease
		c.ReadTimeout, c.WriteTimeout, c.OpTimeout = 20*time.Millisecond, 50*time.Millisecond, 200*time.Millisecond
	}
	w := &world{proxies: []*Cache{openShared(t, redis.url(), hasty), openShared(t, way.url(), hasty)}}
	// An outage, what Redis had in hand when it began, a lease and a half, and L1Age
	// make 1.3s; the TTL that would bound it otherwise is a minute.
	w.bound = 2 * time.Second
	during := func(begin, end func()) {
		until(t, "both are on", func() bool {
			return w.proxies[0].Stats().L2 == L2On && w.proxies[1].Stats().L2 == L2On
		})
		time.Sleep(outage / 3)
		begin()
		time.Sleep(outage)
		end()
	}
	w.run(t, func() {
		during(redis.freeze, redis.thaw)
		during(func() { way.silence(true) }, func() { way.silence(false) })
		during(func() { redis.cli("FLUSHALL") }, func() {})
		during(func() { redis.cli("SAVE"); redis.kill() }, redis.start)
	})
	for i, c := range w.proxies {
		if st := c.Stats(); st.Unannounced == 0 || st.L2Hits == 0 {
			t.Errorf("proxy %d: nothing failed or nothing worked: %+v", i, st)
		}
	}
}
