package cache

import (
	"fmt"
	"testing"
	"time"
)

func filled(tb testing.TB, n int) (*Cache, []*Key, []*Deps) {
	c := openCache(tb, Config{})
	keys, deps := make([]*Key, n), make([]*Deps, n)
	for i := range n {
		keys[i] = keyOf("app", "select name from users where tenant_id = $1", fmt.Sprint(i))
		deps[i] = depsOf(fmt.Sprint(i), "users")
		fetch(c, keys[i], deps[i], fixed("a row of some forty bytes, as they often are"))
	}
	return c, keys, deps
}

func TestL1HitsAllocateNothing(t *testing.T) {
	c, _, _ := filled(t, 1)
	var k Key
	var d Deps
	tenant := []byte("0")
	hit := func() {
		k.Reset()
		k.String("app")
		k.String("select name from users where tenant_id = $1")
		k.Bytes(tenant)
		d.Reset()
		d.TenantBytes(tenant)
		d.Table("users")
		if _, ok := c.L1(&k, &d); !ok {
			t.Fatal("no hit")
		}
	}
	if n := testing.AllocsPerRun(100, hit); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkL1Hit(b *testing.B) {
	c, keys, deps := filled(b, 1)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := c.L1(keys[0], deps[0]); !ok {
			b.Fatal("no hit")
		}
	}
}

// BenchmarkL1HitWhole includes what a session does for each lookup.
func BenchmarkL1HitWhole(b *testing.B) {
	c, _, _ := filled(b, 1)
	var k Key
	var d Deps
	tenant := []byte("0")
	b.ReportAllocs()
	for b.Loop() {
		k.Reset()
		k.String("app")
		k.String("select name from users where tenant_id = $1")
		k.Bytes(tenant)
		d.Reset()
		d.TenantBytes(tenant)
		d.Table("users")
		if _, ok := c.L1(&k, &d); !ok {
			b.Fatal("no hit")
		}
	}
}

func BenchmarkL1HitParallel(b *testing.B) {
	const n = 1024
	c, keys, deps := filled(b, n)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if _, ok := c.L1(keys[i%n], deps[i%n]); !ok {
				b.Error("no hit")
			}
		}
	})
}

func BenchmarkMissAndStore(b *testing.B) {
	c := openCache(b, Config{})
	d := depsOf("42", "users")
	body := make([]byte, 100)
	var k Key
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		k.Reset()
		k.Uint(uint64(i))
		if _, ok := c.L1(&k, d); ok {
			b.Fatal("hit")
		}
		ticket := c.Begin(d)
		c.Store(&ticket, &k, d, body, time.Minute, false)
	}
}

func BenchmarkL2Hit(b *testing.B) {
	redis := startServer(b)
	c := openShared(b, redis.url(), func(c *Config) { c.L1Age = 1 })
	k, d := keyOf("q"), depsOf("42", "users")
	fetch(c, k, d, fixed("a row"))
	flushed(b, c, 1)
	b.ReportAllocs()
	for b.Loop() {
		if _, from := fetch(c, k, d, fixed("a row")); from != "L2" {
			b.Fatal(from)
		}
	}
}

func BenchmarkWriteAnnounced(b *testing.B) {
	redis := startServer(b)
	c := openShared(b, redis.url(), nil)
	d := depsOf("42", "users")
	b.ReportAllocs()
	for b.Loop() {
		write(c, d, func() {})
	}
}
