package pool

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/shardmap"
)

// TestLoginOfFakes has scripted servers.
func TestLoginOfFakes(t *testing.T) {
	t.Run("a map without the node", testLoginTopology)
	t.Run("down and up", testLoginDown)
	t.Run("bounded", testLoginsBounded)
	t.Run("at once", testLoginsAtOnce)
}

func testLoginTopology(t *testing.T) {
	noLeaks(t)
	first, second := startFake(t), startFake(t)
	cfg := quick()
	cfg.Idle = time.Hour
	c := open(t, cfg)
	before := c.Apply(mapOf(t, shardOf(first)))
	l := loginOf(t, c, "una", Keys{})
	b := mustAcquire(t, l.Topology(before), Primary)
	mustAcquire(t, l.Topology(before), Primary).Release()
	after := c.Apply(mapOf(t, shardOf(second)))
	await(t, "the idle backend on the node that left is closed", func() bool {
		return c.Nodes()[0] != nil && poolStatsAt(c, first).Idle == 0
	})
	moved := mustAcquire(t, l.Topology(after), Primary)
	if moved.Node().Addr() != second.addr.String() || b.Node().Addr() != first.addr.String() {
		t.Fatalf("backends on %s and %s", b.Node(), moved.Node())
	}
	moved.Release()
	b.Release()
	if s := poolStatsAt(c, first); s.Busy+s.Idle != 0 || !s.Draining {
		t.Fatalf("%+v", s)
	}
	again := c.Apply(mapOf(t, shardOf(first)))
	b = mustAcquire(t, l.Topology(again), Primary)
	b.Release()
	if s := poolStatsAt(c, first); s.Idle != 1 || s.Draining {
		t.Fatalf("%+v", s)
	}
}

// poolStatsAt is the pool of the only login on a scripted server.
func poolStatsAt(c *Cluster, f *fake) NodeStats {
	for _, s := range c.Stats() {
		if s.Own && s.Addr == f.addr.String() {
			return s
		}
	}
	return NodeStats{}
}

func testLoginDown(t *testing.T) {
	noLeaks(t)
	f := startFake(t)
	cfg := quick()
	cfg.ConnectTimeout = 100 * time.Millisecond
	c := open(t, cfg)
	c.forgive = 50 * time.Millisecond
	top := loginOf(t, c, "una", Keys{}).Topology(c.Apply(mapOf(t, shardOf(f))))
	mustAcquire(t, top, Primary).Release()
	f.stop()
	await(t, "requests fail at once", func() bool {
		b, err := newSeeker().acquire(top, Primary)
		if b != nil {
			b.Destroy("test")
		}
		return codeOf(err) == CodeUnreachable
	})
	late := loginOf(t, c, "late", Keys{}).Topology(c.current.Load()) // who comes now hears the same
	if _, err := newSeeker().acquire(late, Primary); codeOf(err) != CodeUnreachable {
		t.Errorf("a user who comes while the node is down: %v", err)
	}
	f.start()
	await(t, "the user's pool serves again", func() bool {
		b, err := newSeeker().acquire(top, Primary)
		if err == nil {
			b.Release()
		}
		return err == nil
	})
	for i, code := range []string{"3D000", "28000"} {
		f.set(func() { f.refuse = &pgwire.Error{Severity: "FATAL", Code: code, Message: "go away"} })
		fresh := loginOf(t, c, fmt.Sprint("vera", i), Keys{}).Topology(c.current.Load())
		_, err := newSeeker().acquire(fresh, Primary)
		wantCode(t, err, code)
		f.set(func() { f.refuse = nil })
		await(t, "what was refused is tried again", func() bool {
			b, err := newSeeker().acquire(fresh, Primary)
			if err == nil {
				b.Release()
			}
			return err == nil
		})
	}
}

func testLoginsBounded(t *testing.T) {
	noLeaks(t)
	f := startFake(t)
	cfg := quick()
	cfg.Idle = 10 * time.Millisecond
	c := open(t, cfg)
	top := c.Apply(mapOf(t, shardOf(f)))
	var all []*Login
	for i := range maxLogins {
		l, err := c.Login(fmt.Sprint("user", i), Keys{})
		if err != nil {
			t.Fatal(err)
		}
		l.Topology(top)
		all = append(all, l)
	}
	if _, err := c.Login("one more", Keys{}); codeOf(err) != CodeTooMany {
		t.Fatalf("one more: %v", err)
	}
	used := mustAcquire(t, all[0].Topology(top), Primary)
	dials := c.Stats()[0].Counts.Dials
	used.Release()
	all[0].Leave()
	more, err := c.Login("one more", Keys{}) // the one that has no session makes room
	if err != nil {
		t.Fatal(err)
	}
	await(t, "its backend is closed", func() bool { return len(c.Backends()) == 0 })
	if now := c.Stats()[0].Counts; now.Dials != dials+1 || now.Acquired != 1 {
		t.Fatalf("what it did is not counted any more: %+v", now)
	}
	for _, l := range append(all[1:], more) {
		l.Leave()
	}
	await(t, "logins that nobody needs are gone", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.logins) == 0
	})
	if n := len(c.Nodes()); n != 1 {
		t.Fatalf("%d pools are left", n)
	}
}

// testLoginsAtOnce has many users come, work, and go while maps change and the janitor works.
func testLoginsAtOnce(t *testing.T) {
	noLeaks(t)
	first, second := startFake(t), startFake(t)
	cfg := quick()
	cfg.Size, cfg.Idle = 2, 5*time.Millisecond
	c := open(t, cfg)
	maps := []*shardmap.Map{mapOf(t, shardOf(first)), mapOf(t, shardOf(second))}
	c.Apply(maps[0])
	var all sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	for i := range 24 {
		all.Go(func() {
			for round := 0; round < 30; round++ {
				l, err := c.Login(fmt.Sprint("user", i%8), Keys{Iterations: round % 3})
				if err != nil {
					t.Error(err)
					return
				}
				b, err := newSeeker().acquire(l.Topology(c.current.Load()), Primary)
				if err != nil {
					t.Error(err)
				} else {
					b.Release()
				}
				l.Leave()
			}
		})
	}
	var changer sync.WaitGroup
	changer.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			c.Apply(maps[i%2])
			time.Sleep(2 * time.Millisecond)
		}
	})
	all.Wait()
	stop()
	changer.Wait()
	await(t, "nothing is left", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.logins) == 0 && c.live.Load() == 0
	})
	var acquired uint64
	for _, s := range c.Stats() {
		acquired += s.Counts.Acquired
	}
	if acquired != 24*30 {
		t.Fatalf("%d acquisitions are counted, of %d", acquired, 24*30)
	}
}
