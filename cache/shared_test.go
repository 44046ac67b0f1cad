package cache

import (
	"context"
	"strings"
	"testing"
	"time"
)

// closedPort is an address where nothing listens.
const closedPort = "redis://127.0.0.1:1/0"

func TestL2OutlivesTheProxy(t *testing.T) {
	redis := startEmbedded(t)
	k, d := keyOf("q"), depsOf("42", "users")
	a := openShared(t, redis.url(), nil)
	want(t, a, k, d, fixed("row"), "row", "primary")
	want(t, a, k, d, fixed("other"), "row", "L1")
	a.Close() // writes what is queued
	b := openShared(t, redis.url(), nil)
	want(t, b, k, d, fixed("other"), "row", "L2")
	want(t, b, k, d, fixed("other"), "row", "L1")
	if st := b.Stats(); st.L2Hits != 1 || st.Voids != 0 || st.L2Memory == "" || st.L2Reason != "" {
		t.Errorf("stats %+v", st)
	}
}

func TestL2HitsLiveInL1ForL1Age(t *testing.T) {
	redis := startEmbedded(t)
	clock := newFakeClock()
	k, d := keyOf("q"), depsOf("42", "users")
	a := openShared(t, redis.url(), func(c *Config) { c.Now = clock.Now })
	want(t, a, k, d, fixed("row"), "row", "primary")
	flushed(t, a, 1)
	clock.add(999 * time.Millisecond)
	want(t, a, k, d, fixed("other"), "row", "L1")
	clock.add(time.Millisecond)
	want(t, a, k, d, fixed("other"), "row", "L2")
	want(t, a, k, d, fixed("other"), "row", "L1")
	redis.FastForward(70 * time.Second)
	clock.add(time.Second)
	want(t, a, k, d, fixed("other"), "other", "primary")
}

func TestAnEntryAboutToEndIsNotKeptLongerInL1(t *testing.T) {
	redis := startEmbedded(t)
	clock := newFakeClock()
	k, d := keyOf("q"), depsOf("42", "users")
	a := openShared(t, redis.url(), func(c *Config) { c.Now = clock.Now; c.Tables = map[string]Table{"users": {TTL: 10 * time.Second}} })
	want(t, a, k, d, fixed("row"), "row", "primary")
	flushed(t, a, 1)
	var left time.Duration
	for _, key := range redis.Keys() {
		if strings.Contains(key, ":e:") {
			left = redis.TTL(key)
		}
	}
	if left < 9*time.Second || left > 11*time.Second {
		t.Fatalf("the entry lives %v", left)
	}
	redis.FastForward(left - 100*time.Millisecond)
	clock.add(time.Second)
	want(t, a, k, d, fixed("other"), "row", "L2")
	clock.add(101 * time.Millisecond)
	redis.FastForward(101 * time.Millisecond)
	want(t, a, k, d, fixed("other"), "other", "primary")
}

func TestAWriteKillsL2EntriesOfItsScope(t *testing.T) {
	redis := startEmbedded(t)
	mine, others := depsOf("42", "users"), depsOf("7", "users")
	a, b := openShared(t, redis.url(), nil), openShared(t, redis.url(), nil)
	want(t, a, keyOf("mine"), mine, fixed("old"), "old", "primary")
	want(t, a, keyOf("theirs"), others, fixed("old"), "old", "primary")
	flushed(t, a, 2)
	write(a, mine, func() {
		ticket := b.Begin(mine)
		if _, ok := b.L2(context.Background(), keyOf("mine"), mine, &ticket); ok || ticket.inc != "" {
			t.Error("another proxy was served, or may store, while the write is under way")
		}
	})
	want(t, b, keyOf("mine"), mine, fixed("new"), "new", "primary")
	want(t, b, keyOf("theirs"), others, fixed("new"), "old", "L2")
	flushed(t, b, 1)
	want(t, a, keyOf("mine"), mine, fixed("newer"), "new", "L2")
	if st := a.Stats(); st.Unannounced != 0 || st.Invalidations != 1 {
		t.Errorf("stats %+v", st)
	}
}

func TestWideWritesReachOtherProxies(t *testing.T) {
	redis := startEmbedded(t)
	a, b := openShared(t, redis.url(), nil), openShared(t, redis.url(), nil)
	d := depsOf("42", "users")
	wide := map[string]*Deps{"tenant": depsOf("42"), "table": depsOf("", "users"), "everything": depsOf("")}
	for name, w := range wide {
		k := keyOf(name)
		want(t, a, k, d, fixed("old"), "old", "primary")
		flushed(t, a, a.Stats().L2Stores)
		write(a, w, func() {})
		want(t, b, k, d, fixed("new"), "new", "primary")
	}
	k := keyOf("invalidated")
	want(t, a, k, d, fixed("old"), "old", "primary")
	flushed(t, a, a.Stats().L2Stores)
	a.Invalidate(context.Background(), depsOf("42"))
	want(t, b, k, d, fixed("new"), "new", "primary")
	flushed(t, b, b.Stats().L2Stores)
	narrow := keyOf("kept")
	want(t, a, narrow, d, fixed("old"), "old", "primary")
	flushed(t, a, a.Stats().L2Stores+1)
	write(a, depsOf("42", "orders"), func() {})
	want(t, b, narrow, d, fixed("new"), "old", "L2")
}

func TestAbortKeepsL2Entries(t *testing.T) {
	redis := startEmbedded(t)
	a, b := openShared(t, redis.url(), nil), openShared(t, redis.url(), nil)
	k, d := keyOf("q"), depsOf("42", "users")
	want(t, a, k, d, fixed("row"), "row", "primary")
	flushed(t, a, 1)
	var m Mark
	if !a.Dirty(&m, d) {
		t.Fatal("Redis need not be told")
	}
	a.Publish(context.Background(), &m)
	ticket := b.Begin(d)
	if _, ok := b.L2(context.Background(), k, d, &ticket); ok {
		t.Error("served while the write is under way")
	}
	if !a.Abort(&m) {
		t.Fatal("Redis need not be told of the end")
	}
	a.Publish(context.Background(), &m)
	want(t, b, k, d, fixed("other"), "row", "L2")
}

func TestOverlappingWritersOfTwoProxiesAreCounted(t *testing.T) {
	redis := startEmbedded(t)
	a, b := openShared(t, redis.url(), nil), openShared(t, redis.url(), nil)
	d := depsOf("42", "users")
	ctx := context.Background()
	var first, second Mark
	a.Dirty(&first, d)
	a.Publish(ctx, &first)
	b.Dirty(&second, d)
	b.Publish(ctx, &second)
	b.Commit(&second)
	b.Publish(ctx, &second)
	ticket := b.Begin(d)
	b.L2(ctx, keyOf("q"), d, &ticket)
	if ticket.inc != "" {
		t.Error("a reader may store while the first proxy's write is under way")
	}
	a.Commit(&first)
	a.Publish(ctx, &first)
	b.L2(ctx, keyOf("q"), d, &ticket)
	if ticket.inc == "" {
		t.Error("still dirty after both ended")
	}
}

func TestOneTransactionAnnouncesAScopeOnce(t *testing.T) {
	redis := startEmbedded(t)
	c := openShared(t, redis.url(), nil)
	var m Mark
	ctx := context.Background()
	if !c.Dirty(&m, depsOf("42", "users")) {
		t.Fatal("first write need not be told")
	}
	c.Publish(ctx, &m)
	if c.Dirty(&m, depsOf("42", "users")) {
		t.Error("the same scope is to be told again")
	}
	if c.Dirty(&m, depsOf("42", "audit")) {
		t.Error("a table that is not listed is to be told")
	}
	if !c.Dirty(&m, depsOf("42", "orders")) {
		t.Error("a second table need not be told")
	}
	c.Publish(ctx, &m)
	c.Commit(&m)
	c.Publish(ctx, &m)
	if !m.Empty() || c.Stats().OpenWrites != 0 {
		t.Errorf("mark left: %+v", c.Stats())
	}
}

func TestATableListedDuringAWriteIsAnnouncedAtItsEnd(t *testing.T) {
	redis := startEmbedded(t)
	a := openShared(t, redis.url(), func(c *Config) { c.Tables = map[string]Table{} })
	b := openShared(t, redis.url(), nil)
	k, d := keyOf("q"), depsOf("42", "users")
	var m Mark
	if a.Dirty(&m, d) {
		t.Fatal("nothing is listed, yet Redis is to be told")
	}
	if err := a.SetTables(map[string]Table{"users": {TTL: time.Minute}}); err != nil {
		t.Fatal(err)
	}
	want(t, b, k, d, fixed("old"), "old", "primary")
	flushed(t, b, 1)
	if !a.Commit(&m) {
		t.Fatal("Redis need not be told")
	}
	a.Publish(context.Background(), &m)
	ticket := b.Begin(d)
	if _, ok := b.L2(context.Background(), k, d, &ticket); ok {
		t.Error("the entry survived")
	}
}

func TestLostTokensAreNeverGuessed(t *testing.T) {
	redis := startEmbedded(t)
	a := openShared(t, redis.url(), func(c *Config) { c.L1Age = time.Nanosecond })
	k, d := keyOf("q"), depsOf("42", "users")
	want(t, a, k, d, fixed("row"), "row", "primary")
	flushed(t, a, 1)
	want(t, a, k, d, fixed("other"), "row", "L2")
	for _, key := range redis.Keys() {
		if strings.Contains(key, ":g:") {
			redis.Del(key) // as Redis does when its memory is full
		}
	}
	want(t, a, k, d, fixed("other"), "other", "primary")
	flushed(t, a, 2)
	want(t, a, k, d, fixed("third"), "other", "L2")
}

func TestForgettingBeginsANewIncarnation(t *testing.T) {
	redis := startEmbedded(t)
	k, d := keyOf("q"), depsOf("42", "users")
	forget := map[string]func(){
		"flush":              redis.FlushAll,
		"incarnation gone":   func() { redis.Del("pgdrover:cache:app:incarnation") },
		"member list gone":   func() { redis.Del("pgdrover:cache:app:members") },
		"a proxy was silent": func() { _, _ = redis.ZAdd("pgdrover:cache:app:members", 1, "dead") },
	}
	for name, f := range forget {
		t.Run(name, func(t *testing.T) {
			a := openShared(t, redis.url(), func(c *Config) { c.L1Age = time.Nanosecond })
			want(t, a, k, d, fixed(name), name, "primary")
			flushed(t, a, 1)
			old := a.Stats().L2Memory
			f()
			a.remote.wake()
			until(t, "a new incarnation", func() bool { m := a.Stats().L2Memory; return m != "" && m != old })
			want(t, a, k, d, fixed("other"), "other", "primary")
			flushed(t, a, 2)
			want(t, a, k, d, fixed("third"), "other", "L2")
			write(a, d, func() {})
		})
	}
}

// A restart that brings old content back must not be mistaken for the same memory.
func TestAnotherRunOfRedisIsAnotherMemory(t *testing.T) {
	redis := startEmbedded(t)
	k, d := keyOf("q"), depsOf("42", "users")
	a := openShared(t, redis.url(), func(c *Config) { c.L1Age = time.Nanosecond; c.Lease = 4 * time.Second })
	want(t, a, k, d, fixed("row"), "row", "primary")
	flushed(t, a, 1)
	old := a.Stats().L2Memory
	redis.Close()
	redis.setRunID("run2")
	until(t, "L2 is off", func() bool { fetch(a, k, d, fixed("other")); return a.Stats().L2 == L2Off })
	if err := redis.Restart(); err != nil { // on the same port, content kept
		t.Fatal(err)
	}
	redis.hook()
	until(t, "L2 is on again", func() bool { return a.Stats().L2 == L2On })
	if now := a.Stats().L2Memory; now == old || !strings.HasPrefix(now, "run2.") {
		t.Errorf("incarnation was %q, is %q", old, now)
	}
	want(t, a, k, d, fixed("other"), "other", "primary")
}

func TestAServerThatHidesItsRunIDIsTrustedPerConnection(t *testing.T) {
	redis := startEmbedded(t)
	redis.setRunID("")
	k, d := keyOf("q"), depsOf("42", "users")
	a := openShared(t, redis.url(), func(c *Config) { c.L1Age = time.Nanosecond })
	want(t, a, k, d, fixed("row"), "row", "primary")
	flushed(t, a, 1)
	want(t, a, k, d, fixed("other"), "row", "L2")
	a.Close()
	b := openShared(t, redis.url(), nil)
	want(t, b, k, d, fixed("other"), "other", "primary")
}

func TestWithoutRedisReadsAndWritesGoOn(t *testing.T) {
	began := time.Now()
	c := openCache(t, Config{Redis: closedPort})
	k, d := keyOf("q"), depsOf("42", "users")
	until(t, "the first attempt has failed", func() bool { return !c.L2Ready() })
	want(t, c, k, d, fixed("old"), "old", "primary")
	want(t, c, k, d, fixed("new"), "old", "L1")
	write(c, d, func() {})
	want(t, c, k, d, fixed("new"), "new", "primary")
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
	if st := c.Stats(); st.L2 != L2Off || !strings.Contains(st.L2Reason, "cannot connect") || st.Unannounced != 2 {
		t.Errorf("stats %+v", st)
	}
}

// A write that could not be announced voids L2 for everybody once Redis is back.
func TestUnannouncedWritesVoidL2(t *testing.T) {
	redis := startEmbedded(t)
	k, d := keyOf("q"), depsOf("42", "users")
	a := openShared(t, redis.url(), func(c *Config) { c.L1Age = time.Nanosecond })
	b := openShared(t, redis.url(), func(c *Config) { c.L1Age = time.Nanosecond })
	want(t, a, k, d, fixed("old"), "old", "primary")
	flushed(t, a, 1)
	want(t, b, k, d, fixed("new"), "old", "L2")
	redis.SetError("OOM command not allowed when used memory > 'maxmemory'")
	write(a, d, func() {})
	if a.Stats().Unannounced == 0 || a.Stats().L2 != L2Off {
		t.Fatalf("stats %+v", a.Stats())
	}
	redis.SetError("")
	until(t, "L2 is on", func() bool { return a.Stats().L2 == L2On })
	want(t, a, k, d, fixed("new"), "new", "primary")
	until(t, "L2 of the other is on", func() bool { return b.Stats().L2 == L2On })
	if body, from := fetch(b, k, d, fixed("newer")); body == "old" {
		t.Errorf("the other proxy still serves %q from %s", body, from)
	}
}

// A proxy whose own beats are late may have missed that another fell silent.
func TestL2IsNotReadWithoutARecentBeat(t *testing.T) {
	redis := startEmbedded(t)
	a := openShared(t, redis.url(), func(c *Config) { c.Lease = time.Hour })
	k, d := keyOf("q"), depsOf("42", "users")
	late := *a.remote.state.Load()
	late.sent -= int64(time.Hour/2) + 1
	a.remote.state.Store(&late)
	if st := a.Stats(); a.L2Ready() || st.L2 != L2Off || st.L2Reason == "" {
		t.Errorf("stats %+v", st)
	}
	ticket := a.Begin(d)
	a.L2(context.Background(), k, d, &ticket)
	if ticket.inc != "" {
		t.Error("asked all the same")
	}
	a.remote.wake()
	until(t, "the next beat", a.L2Ready)
}

// A write that this proxy announced while Redis was answering makes the answer void.
func TestAnL2AnswerOvertakenByAWriteIsDropped(t *testing.T) {
	redis := startEmbedded(t)
	a := openShared(t, redis.url(), nil)
	k, d := keyOf("q"), depsOf("42", "users")
	want(t, a, k, d, fixed("old"), "old", "primary")
	flushed(t, a, 1)
	ticket := a.Begin(d)
	var m Mark
	a.Dirty(&m, d) // Redis does not know yet
	if body, ok := a.L2(context.Background(), k, d, &ticket); ok {
		t.Errorf("served %q", body)
	}
	a.Abort(&m)
	if body, ok := a.L2(context.Background(), k, d, &ticket); !ok || string(body) != "old" {
		t.Errorf("after the write was rolled back: %q %v", body, ok)
	}
}
