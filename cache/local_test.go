package cache

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestSecondLookupIsAHitUntilItsTimeIsOver(t *testing.T) {
	clock := newFakeClock()
	c := openCache(t, Config{Now: clock.Now})
	k, d := keyOf("select 1"), depsOf("42", "users")
	want(t, c, k, d, fixed("row"), "row", "primary")
	want(t, c, k, d, fixed("other"), "row", "L1")
	clock.add(50 * time.Second)
	want(t, c, k, d, fixed("other"), "row", "L1")
	clock.add(17 * time.Second) // 66s is a minute and a tenth
	want(t, c, k, d, fixed("other"), "other", "primary")
	want(t, c, keyOf("select 2"), d, fixed("x"), "x", "primary")
	if st := c.Stats(); st.L1Hits != 2 || st.L1Misses != 3 || st.L1Expired != 1 || st.L2 != L2None {
		t.Errorf("stats %+v", st)
	}
}

func TestEmptyResultsLiveAQuarter(t *testing.T) {
	clock := newFakeClock()
	c := openCache(t, Config{Now: clock.Now})
	k, d := keyOf("q"), depsOf("42", "users")
	want(t, c, k, d, fixed(""), "", "primary")
	clock.add(13 * time.Second)
	want(t, c, k, d, fixed("late"), "", "L1")
	clock.add(4 * time.Second)
	want(t, c, k, d, fixed("late"), "late", "primary")
}

// Each write must invalidate exactly the lookups whose scopes it covers.
func TestWritesInvalidateTheirScope(t *testing.T) {
	lookups := map[string]*Deps{
		"42/users": depsOf("42", "users"), "42/orders": depsOf("42", "orders"),
		"7/users": depsOf("7", "users"), "42/both": depsOf("42", "users", "orders"),
		"reference": depsOf("", "orders"),
	}
	cases := []struct {
		name  string
		write *Deps
		kills map[string]bool
	}{
		{"one tenant, one table", depsOf("42", "users"), map[string]bool{"42/users": true, "42/both": true}},
		{"one tenant, two tables", depsOf("42", "users", "orders"), map[string]bool{"42/users": true, "42/orders": true, "42/both": true}},
		{"one tenant, any table", depsOf("42"), map[string]bool{"42/users": true, "42/orders": true, "42/both": true}},
		{"one table, every tenant", depsOf("", "orders"), map[string]bool{"42/orders": true, "42/both": true, "reference": true}},
		{"everything", depsOf(""), map[string]bool{"42/users": true, "42/orders": true, "7/users": true, "42/both": true, "reference": true}},
		{"another tenant", depsOf("8", "users"), nil},
		{"a table that is not listed", depsOf("42", "audit"), nil},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			c := openCache(t, Config{})
			for name, d := range lookups {
				want(t, c, keyOf(name), d, fixed("old"), "old", "primary")
			}
			write(c, tc.write, func() {
				for name, d := range lookups {
					if _, ok := c.L1(keyOf(name), d); ok == tc.kills[name] {
						t.Errorf("%s while the write is under way: hit %v", name, ok)
					}
				}
			})
			for name, d := range lookups {
				if _, ok := c.L1(keyOf(name), d); ok == tc.kills[name] {
					t.Errorf("%s after the write: hit %v", name, ok)
				}
			}
		})
	}
}

func TestNothingIsStoredAcrossAWrite(t *testing.T) {
	k, d := keyOf("q"), depsOf("42", "users")
	steps := map[string]func(c *Cache, m *Mark){
		"write began": func(c *Cache, m *Mark) { c.Dirty(m, d) },
		"write ended": func(c *Cache, m *Mark) { c.Dirty(m, d); c.Commit(m) },
		"wider write": func(c *Cache, m *Mark) { c.Dirty(m, depsOf("")); c.Commit(m) },
	}
	for name, step := range steps {
		t.Run(name, func(t *testing.T) {
			c := openCache(t, Config{})
			ticket := c.Begin(d)
			var m Mark
			step(c, &m)
			c.Store(&ticket, k, d, []byte("old"), time.Minute, false)
			c.Commit(&m)
			if _, ok := c.L1(k, d); ok || c.Stats().Refused != 1 {
				t.Errorf("hit %v, stats %+v", ok, c.Stats())
			}
		})
	}
	t.Run("began during the write", func(t *testing.T) {
		c := openCache(t, Config{})
		var m Mark
		c.Dirty(&m, d)
		ticket := c.Begin(d)
		c.Commit(&m)
		c.Store(&ticket, k, d, []byte("unknown"), time.Minute, false)
		if _, ok := c.L1(k, d); ok {
			t.Error("stored")
		}
	})
}

func TestAbortKeepsWhatWasStored(t *testing.T) {
	c := openCache(t, Config{})
	k, d := keyOf("q"), depsOf("42", "users")
	want(t, c, k, d, fixed("row"), "row", "primary")
	var m Mark
	c.Dirty(&m, d)
	if _, ok := c.L1(k, d); ok {
		t.Fatal("served while a write is under way")
	}
	c.Abort(&m)
	want(t, c, k, d, fixed("other"), "row", "L1")
	if !m.Empty() || c.Stats().OpenWrites != 0 {
		t.Errorf("mark left: %+v", c.Stats())
	}
}

func TestOverlappingWritersAreCounted(t *testing.T) {
	c := openCache(t, Config{})
	k, d := keyOf("q"), depsOf("42", "users")
	var first, second Mark
	c.Dirty(&first, d)
	c.Dirty(&second, d)
	c.Dirty(&second, d) // the same scope again in one transaction counts once
	c.Commit(&second)
	ticket := c.Begin(d)
	c.Store(&ticket, k, d, []byte("x"), time.Minute, false)
	if _, ok := c.L1(k, d); ok {
		t.Fatal("stored while the first writer is still at work")
	}
	if st := c.Stats(); st.OpenWrites != 1 {
		t.Errorf("open writes: %d", st.OpenWrites)
	}
	c.Abort(&first)
	want(t, c, k, d, fixed("new"), "new", "primary")
	want(t, c, k, d, fixed("newer"), "new", "L1")
}

func TestTTLIsTheLeastOfTheListedTables(t *testing.T) {
	c := openCache(t, Config{Tables: map[string]Table{"a": {TTL: time.Minute}, "b": {TTL: time.Second}}})
	for _, tc := range []struct {
		d   *Deps
		ttl time.Duration
		ok  bool
	}{
		{depsOf("1", "a"), time.Minute, true},
		{depsOf("1", "a", "b"), time.Second, true},
		{depsOf("1", "a", "c"), 0, false},
		{depsOf("1"), 0, false},
	} {
		if ttl, ok := c.TTL(tc.d); ttl != tc.ttl || ok != tc.ok {
			t.Errorf("%v: %v %v", tc.d.tables, ttl, ok)
		}
	}
	if err := c.SetTables(map[string]Table{"c": {}}); !errors.Is(err, ErrConfig) {
		t.Errorf("no ttl: %v", err)
	}
	if err := c.SetTables(map[string]Table{"c": {TTL: time.Hour}}); err != nil {
		t.Fatal(err)
	}
	if _, ok := c.TTL(depsOf("1", "a")); ok {
		t.Error("a is still listed")
	}
}

func TestBadSettingsAreRefused(t *testing.T) {
	for _, cfg := range []Config{
		{Memory: -1},
		{Lease: -time.Second},
		{Redis: "http://localhost"},
		{Redis: "redis://:hunter2@local host:6379"},
		{Redis: "redis://:hunter2"},
		{Redis: "redis://localhost/zero"},
		{Redis: "redis://a:1?addr=b:2"},
		{Redis: "redis://a:1?master_set=m"},
		{Tables: map[string]Table{"users": {TTL: -1}}},
	} {
		c, err := Open(context.Background(), cfg)
		if !errors.Is(err, ErrConfig) {
			t.Errorf("%+v: %v", cfg, err)
		}
		if err == nil {
			c.Close()
		} else if s := err.Error(); len(s) < 30 || strings.Contains(s, "hunter2") {
			t.Errorf("message %q", s)
		}
	}
}

func TestMemoryStaysWithinItsBudget(t *testing.T) {
	const budget = 1 << 20
	c := openCache(t, Config{Memory: budget, MaxEntry: 8 << 10})
	d := depsOf("42", "users")
	body := string(make([]byte, 1000))
	for i := range 5000 {
		fetch(c, keyOf(fmt.Sprint(i)), d, fixed(body))
	}
	st := c.Stats()
	if st.L1Bytes > budget || st.L1Bytes < budget/2 || st.L1Evictions == 0 || st.L1Entries+int64(st.L1Evictions) != 5000 {
		t.Errorf("stats %+v", st)
	}
	fetch(c, keyOf("large"), d, fixed(string(make([]byte, 9<<10))))
	if _, ok := c.L1(keyOf("large"), d); ok || c.Stats().Refused != 1 {
		t.Error("an entry above MaxEntry was stored")
	}
	for range 3 { // replacing must not be counted twice
		ticket := c.Begin(d)
		c.Store(&ticket, keyOf("same"), d, []byte(body), time.Minute, false)
	}
	var bytes int64
	for i := range c.l1.shards {
		for _, e := range c.l1.shards[i].lru.Values() {
			bytes += e.cost()
		}
	}
	if got := c.Stats().L1Bytes; got != bytes {
		t.Errorf("accounted %d, held %d", got, bytes)
	}
}

func TestRecentlyUsedStays(t *testing.T) {
	m, err := newMemory(maxShards*(4*entryOverhead), 1)
	if err != nil {
		t.Fatal(err)
	}
	g, d := newGenerations(0), depsOf("1", "t")
	put := func(hash uint64, key string) {
		m.put(hash, &entry{key: keyOf(key).buf, expires: 1})
	}
	get := func(hash uint64, key string) bool {
		k := keyOf(key)
		k.hash, k.hashed = hash, true
		_, ok := m.get(k, d, g, 0)
		return ok
	}
	put(1, "a")
	put(2, "b")
	put(3, "c")
	if !get(1, "a") || get(1, "z") {
		t.Fatal("the key is not compared, or not found")
	}
	put(4, "d") // the shard has room for three
	if !get(1, "a") || get(2, "b") || !get(3, "c") || !get(4, "d") {
		t.Error("the least recently used did not go first")
	}
}

// Scopes that share a slot must never hide a write from each other.
func TestSharedSlotsOnlyCostMisses(t *testing.T) {
	g := newGenerations(0)
	g.slots, g.mask = g.slots[:1], 0
	d := depsOf("42", "users")
	before, clean := g.stamp(d)
	g.mark(12345)
	if _, dirty := g.stamp(d); !clean || dirty {
		t.Error("a writer in the same slot was not seen")
	}
	g.bump(12345)
	g.unmark(12345)
	if after, clean := g.stamp(d); !clean || after <= before {
		t.Errorf("stamp went from %d to %d", before, after)
	}
}

func TestBumpsNeverGoBack(t *testing.T) {
	g := newGenerations(0)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 5000 {
				was := g.slot(9).gen.Load()
				g.bump(9)
				if g.slot(9).gen.Load() <= was {
					t.Error("a bump left the number where it was")
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestGenerationsAreBounded(t *testing.T) {
	for memory, slots := range map[int64]int{0: minSlots, 4 << 20: 4096, 5 << 20: 8192, 256 << 20: maxSlots, 1 << 40: maxSlots} {
		if n := len(newGenerations(memory).slots); n != slots {
			t.Errorf("%d bytes: %d slots, want %d", memory, n, slots)
		}
	}
}
