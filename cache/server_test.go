package cache

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"
)

// These tests need a real Redis process: signals, restarts, its own eviction.

// impatient is a cache with the timeouts of production and a short lease.
func impatient(c *Config) {
	c.ReadTimeout, c.WriteTimeout, c.OpTimeout = 0, 0, 0
	c.Lease = 800 * time.Millisecond
	c.L1Age = time.Nanosecond
}

func TestServerRestartOfTheProxyHitsL2(t *testing.T) {
	redis := startServer(t)
	k, d := keyOf("q"), depsOf("42", "users")
	a := openShared(t, redis.url(), nil)
	want(t, a, k, d, fixed("row"), "row", "primary")
	write(a, depsOf("7", "users"), func() {})
	a.Close()
	b := openCache(t, Config{Redis: redis.url(), ReadTimeout: 2 * time.Second})
	want(t, b, k, d, fixed("other"), "row", "L2") // the first lookup waits for the connection
}

func TestServerFrozenCostsReadersNothing(t *testing.T) {
	redis := startServer(t)
	k, d := keyOf("q"), depsOf("42", "users")
	a := openShared(t, redis.url(), impatient)
	want(t, a, k, d, fixed("row"), "row", "primary")
	flushed(t, a, 1)
	old := a.Stats().L2Memory
	redis.freeze()
	for range 10 { // the first may wait for ReadTimeout
		fetch(a, k, d, fixed("other"))
	}
	until(t, "L2 is off", func() bool { return a.Stats().L2 == L2Off })
	began := time.Now()
	const reads = 2000
	for range reads {
		want(t, a, k, d, fixed("other"), "other", "primary")
	}
	if each := time.Since(began) / reads; each > DefaultReadTimeout/10 {
		t.Errorf("a read takes %v with Redis frozen", each)
	}
	write(a, d, func() {}) // the first writer may wait for WriteTimeout, twice
	began = time.Now()
	const writes = 500
	for range writes {
		write(a, d, func() {})
	}
	if each := time.Since(began) / writes; each > DefaultWriteTimeout/10 {
		t.Errorf("a write takes %v with Redis frozen", each)
	}
	redis.thaw()
	until(t, "L2 is on again", func() bool { return a.Stats().L2 == L2On })
	if a.Stats().L2Memory == old {
		t.Error("the same incarnation after unannounced writes")
	}
	want(t, a, k, d, fixed("new"), "new", "primary")
}

func TestServerFrozenForLessThanALeaseLosesNothing(t *testing.T) {
	redis := startServer(t)
	k, d := keyOf("q"), depsOf("42", "users")
	a := openShared(t, redis.url(), func(c *Config) {
		c.ReadTimeout, c.WriteTimeout = 0, 0
		c.L1Age, c.Lease = time.Nanosecond, time.Minute
	})
	want(t, a, k, d, fixed("row"), "row", "primary")
	flushed(t, a, 1)
	redis.freeze()
	until(t, "L2 is off", func() bool { fetch(a, k, d, fixed("other")); return a.Stats().L2 == L2Off })
	redis.thaw()
	until(t, "L2 is on again", func() bool {
		a.remote.wake()
		return a.Stats().L2 == L2On
	})
	want(t, a, k, d, fixed("other"), "row", "L2")
}

func TestServerFrozenWhileOpeningAndClosing(t *testing.T) {
	redis := startServer(t)
	goroutines := runtime.NumGoroutine()
	redis.freeze()
	began := time.Now()
	c := openCache(t, Config{Redis: redis.url()})
	k, d := keyOf("q"), depsOf("42", "users")
	for range 100 {
		fetch(c, k, d, fixed("row"))
		write(c, d, func() {})
	}
	c.Close()
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("opened, used and closed in %v", took)
	}
	if st := c.Stats(); st.L2 != L2Off || st.L2Stores != 0 {
		t.Errorf("stats %+v", st)
	}
	until(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= goroutines })
}

// One proxy loses its way to Redis with writes to come; the other must stop serving
// what those writes overtook, and does so long before the TTL.
func TestServerLostByOneProxyOnly(t *testing.T) {
	redis := startServer(t)
	way := startWire(t, redis.url())
	k, d := keyOf("q"), depsOf("42", "users")
	a := openShared(t, way.url(), impatient)
	b := openShared(t, redis.url(), impatient)
	want(t, a, k, d, fixed("old"), "old", "primary")
	flushed(t, a, 1)
	want(t, b, k, d, fixed("new"), "old", "L2")
	way.silence(true)
	write(a, d, func() {})
	wrote := time.Now()
	until(t, "the other proxy notices", func() bool {
		body, _ := fetch(b, k, d, fixed("new"))
		return body == "new"
	})
	if late := time.Since(wrote); late > 10*time.Second {
		t.Errorf("noticed after %v", late)
	}
	way.silence(false)
	until(t, "the lost proxy is back", func() bool { return a.Stats().L2 == L2On })
	for range 100 {
		want(t, a, k, d, fixed("newer"), "newer", "primary")
		write(a, d, func() {})
	}
}

// A write that was marked dirty before the connection went is not served by others
// even for a moment.
func TestServerLostAfterTheMark(t *testing.T) {
	redis := startServer(t)
	way := startWire(t, redis.url())
	k, d := keyOf("q"), depsOf("42", "users")
	a := openShared(t, way.url(), impatient)
	b := openShared(t, redis.url(), impatient)
	want(t, a, k, d, fixed("old"), "old", "primary")
	flushed(t, a, 1)
	var m Mark
	a.Dirty(&m, d)
	a.Publish(context.Background(), &m)
	way.silence(true)
	a.Commit(&m)
	a.Publish(context.Background(), &m)
	began := time.Now()
	for time.Since(began) < 2*time.Second {
		if body, from := fetch(b, k, d, fixed("new")); body != "new" {
			t.Fatalf("got %q from %s after %v", body, from, time.Since(began))
		}
	}
}

func TestServerFlushedUnderUse(t *testing.T) {
	redis := startServer(t)
	k, d := keyOf("q"), depsOf("42", "users")
	a := openShared(t, redis.url(), func(c *Config) { c.L1Age = time.Nanosecond })
	want(t, a, k, d, fixed("row"), "row", "primary")
	flushed(t, a, 1)
	old := a.Stats().L2Memory
	redis.cli("FLUSHALL")
	want(t, a, k, d, fixed("other"), "other", "primary")
	until(t, "a new incarnation", func() bool { m := a.Stats().L2Memory; return m != "" && m != old })
}

// Redis comes back from a file that is older than the last write.
func TestServerRestartedFromAnOldFile(t *testing.T) {
	redis := startServer(t)
	k, d := keyOf("q"), depsOf("42", "users")
	a := openShared(t, redis.url(), impatient)
	want(t, a, k, d, fixed("old"), "old", "primary")
	flushed(t, a, 1)
	redis.cli("SAVE")
	write(a, d, func() {}) // announced, and then forgotten by Redis
	redis.kill()
	redis.start()
	want(t, a, k, d, fixed("new"), "new", "primary")
	until(t, "L2 is on again", func() bool { return a.Stats().L2 == L2On })
	for range 100 {
		if body, from := fetch(a, k, d, fixed("new")); body != "new" {
			t.Fatalf("got %q from %s", body, from)
		}
	}
	if st := a.Stats(); st.Unannounced != 0 {
		t.Errorf("stats %+v", st)
	}
}

func TestServerFullOfMemory(t *testing.T) {
	for _, policy := range []string{"noeviction", "allkeys-random"} {
		t.Run(policy, func(t *testing.T) {
			redis := startServer(t, "--maxmemory", "3mb", "--maxmemory-policy", policy)
			a := openShared(t, redis.url(), func(c *Config) { c.L1Age = time.Nanosecond })
			version := make(map[string]string)
			body := strings.Repeat("x", 4000)
			for i := range 3000 {
				tenant := string(rune('a' + i%26))
				k, d := keyOf("q", tenant, string(rune(i%97))), depsOf(tenant, "users")
				if i%5 == 0 {
					write(a, d, func() { version[tenant] += "." })
				}
				if got, from := fetch(a, k, d, func() string { return version[tenant] + body }); got != version[tenant]+body {
					t.Fatalf("read %d: an old result from %s", i, from)
				}
			}
		})
	}
}

func TestServerBatchesAreBounded(t *testing.T) {
	redis := startServer(t)
	a := openShared(t, redis.url(), func(c *Config) { c.Queue = 64; c.QueueBytes = 40 << 10 })
	d := depsOf("42", "users")
	ticket := a.Begin(d)
	a.L2(context.Background(), keyOf("none"), d, &ticket)
	redis.freeze()
	body := make([]byte, 1000)
	for i := range 300 {
		k := new(Key)
		k.Uint(uint64(i))
		a.Store(&ticket, k, d, body, time.Minute, false)
	}
	st := a.Stats()
	if st.L2QueueBytes > 40<<10+batchBytes || st.L2Drops == 0 {
		t.Errorf("queued %d bytes, dropped %d", st.L2QueueBytes, st.L2Drops)
	}
	redis.thaw()
	until(t, "every entry is stored or dropped", func() bool {
		st := a.Stats()
		return st.L2Queue == 0 && st.L2QueueBytes == 0 && st.L2Stores+st.L2Drops == 300
	})
}
