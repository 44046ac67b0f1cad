package pool

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/shardmap"
)

func TestApplyKeepsPools(t *testing.T) {
	noLeaks(t)
	f, c, top := single(t, quick())
	b := mustAcquire(t, top, Primary)
	b.Release()
	held := mustAcquire(t, top, Primary)
	replica := startFake(t)
	next := c.Apply(mapOf(t, shardOf(f, replica)))
	if next.Primary(0) != top.Primary(0) {
		t.Fatal("the primary's pool was replaced")
	}
	if nodes := next.Replicas(0); len(nodes) != 1 || nodes[0].Role() != Replica || nodes[0].Shard() != "s1" {
		t.Fatalf("%v", nodes)
	}
	if s := next.Primary(0).Stats(); s.Counts.Acquired != 2 || s.Busy != 1 {
		t.Fatalf("%+v", s)
	}
	held.Release()
	if got := mustAcquire(t, next, Primary); got != b {
		t.Fatal("the backend was not kept")
	} else {
		got.Release()
	}
	if got := mustAcquire(t, next, Replica); got.Node() != next.Replicas(0)[0] {
		t.Fatalf("a read went to %s", got.Node())
	} else {
		got.Release()
	}
}

func TestNodeThatLeavesIsDrained(t *testing.T) {
	old, c, top := single(t, quick())
	fresh := startFake(t)
	idles, works := mustAcquire(t, top, Primary), mustAcquire(t, top, Primary)
	idles.Release()
	next := c.Apply(mapOf(t, shardOf(fresh)))
	n := top.Primary(0)
	if s := n.Stats(); s.Idle != 0 || s.Busy != 1 || !s.Draining || s.Counts.Destroyed[reasonRemoved] != 1 {
		t.Fatalf("%+v", s)
	}
	works.Release()
	if s := n.Stats(); s.Busy != 0 || s.Counts.Destroyed[reasonRemoved] != 2 {
		t.Fatalf("%+v", s)
	}
	late := mustAcquire(t, top, Primary) // a transaction that began with the old map
	if late.Node() != n {
		t.Fatal("the old topology uses another node")
	}
	mustAcquire(t, next, Primary).Release()
	again := c.Apply(mapOf(t, shardOf(old)))
	if again.Primary(0) != n || n.Stats().Draining {
		t.Fatal("a node that comes back is another one")
	}
	late.Release()
	if got := mustAcquire(t, again, Primary); got != late {
		t.Fatal("a node that came back was drained")
	} else {
		got.Release()
	}
}

func TestWaitersOfNodeThatLeavesAreServed(t *testing.T) {
	cfg := quick()
	cfg.Size = 1
	_, c, top := single(t, cfg)
	b := mustAcquire(t, top, Primary)
	one, two := queued(t, top, Primary), queued(t, top, Primary)
	c.Apply(mapOf(t, shardOf(startFake(t))))
	for _, s := range []*seeker{one, two} {
		b.Release()
		got, err := s.wait()
		if err != nil || got != b {
			t.Fatalf("got %v, %v", got, err)
		}
	}
	b.Release()
	if s := top.Primary(0).Stats(); s.Busy+s.Idle != 0 {
		t.Fatalf("%+v", s)
	}
}

func TestNodeThatLeftIsBuried(t *testing.T) {
	_, c, top := single(t, quick())
	c.Apply(mapOf(t, shardOf(startFake(t))))
	c.bury(time.Now())
	if len(c.Nodes()) != 2 {
		t.Fatal("it was buried at once")
	}
	b := mustAcquire(t, top, Primary)
	c.bury(time.Now().Add(2 * linger)) // in use: its time begins again
	if len(c.Nodes()) != 2 {
		t.Fatal("it was buried alive")
	}
	b.Release()
	c.bury(time.Now().Add(4 * linger))
	if len(c.Nodes()) != 1 {
		t.Fatal("it was not buried")
	}
	s := newSeeker()
	_, err := top.Acquire(&s.Request, 0, Primary)
	wantCode(t, err, CodeShutdown, "try again")
}

func TestNodeDatabases(t *testing.T) {
	f := startFake(t)
	c := open(t, quick())
	one, two := shardOf(f), shardOf(f)
	two.Name = "s2"
	two.Primary.DBName = "other"
	top := c.Apply(mapOf(t, one, two))
	if top.Len() != 2 || top.Shard(1) != "s2" || top.Primary(0) == top.Primary(1) {
		t.Fatal("two databases of one server are not two pools")
	}
	if top.Primary(0).Stats().Database != "app" || top.Primary(1).Stats().Database != "other" {
		t.Fatal("the databases are mixed up")
	}
}

// TestReplicaGoesDown: those who wait for it are served elsewhere, in the order of their waiting, and nobody gets an error.
func TestReplicaGoesDown(t *testing.T) {
	noLeaks(t)
	primary, one, two := startFake(t), startFake(t), startFake(t)
	cfg := quick()
	cfg.Size = 1
	c := open(t, cfg)
	shard := shardOf(primary, one, two)
	shard.Replicas[1].Backup = true
	top := c.Apply(mapOf(t, shard))
	awaitProbed(t, c)
	first := mustAcquire(t, top, Replica)
	if first.Node() != top.Replicas(0)[0] {
		t.Fatalf("a read went to %s", first.Node())
	}
	waits, also := queued(t, top, Replica), queued(t, top, Replica)
	one.stop()
	b, err := waits.wait()
	if err != nil {
		t.Fatal(err)
	}
	if b.Node() != top.Replicas(0)[1] {
		t.Fatalf("the waiter was served by %s", b.Node())
	}
	b.Release()
	if b, err = also.wait(); err != nil || b.Node() != top.Replicas(0)[1] {
		t.Fatalf("got %v, %v", b, err)
	}
	b.Release()
	two.stop()
	await(t, "the backup is down too", func() bool { return !top.Replicas(0)[1].Up() })
	b = mustAcquire(t, top, Replica)
	if b.Role() != Primary {
		t.Fatalf("without replicas a read went to %s", b.Node())
	}
	b.Release()
	first.Destroy("test")
	one.start()
	await(t, "the replica is up", top.Replicas(0)[0].Up)
	if b = mustAcquire(t, top, Replica); b.Node() != top.Replicas(0)[0] {
		t.Fatalf("a read went to %s", b.Node())
	}
	b.Release()
}

// TestReplicaWithoutRoom: a replica that lives but lets nobody in serves nobody, and nobody waits for it.
func TestReplicaWithoutRoom(t *testing.T) {
	primary, replica := startFake(t), startFake(t)
	c := open(t, quick())
	top := c.Apply(mapOf(t, shardOf(primary, replica)))
	awaitProbed(t, c)
	replica.set(func() {
		replica.refuse = &pgwire.Error{Severity: "FATAL", Code: "53300", Message: "sorry, too many clients already"}
	})
	b := mustAcquire(t, top, Replica)
	if b.Role() != Primary {
		t.Fatalf("served by %s", b.Node())
	}
	b.Release()
	if n := top.Replicas(0)[0]; !n.Up() || n.Stats().Why == "" {
		t.Fatalf("%+v", n.Stats())
	}
	replica.set(func() { replica.refuse = nil })
	await(t, "reads go to the replica again", func() bool {
		b := mustAcquire(t, top, Replica)
		defer b.Release()
		return b.Role() == Replica
	})
}

func TestMismatchIsShown(t *testing.T) {
	primary, replica := startFake(t), startFake(t)
	shard := shardOf(primary, replica)
	replica.recovery = "f" // it was promoted
	c := open(t, quick())
	c.Apply(mapOf(t, shard))
	awaitProbed(t, c)
	for _, s := range c.Stats() {
		if s.Mismatch() != (s.Role == Replica) || s.LSN != "0/1" || s.Latency <= 0 {
			t.Fatalf("%+v", s)
		}
	}
}

func TestCloseWaitsForHoldersAndFailsWaiters(t *testing.T) {
	noLeaks(t)
	f := startFake(t)
	cfg := quick()
	cfg.Size = 1
	c := New(cfg)
	top := c.Apply(mapOf(t, shardOf(f)))
	b := mustAcquire(t, top, Primary)
	s := queued(t, top, Primary)
	done := make(chan error, 1)
	go func() { done <- c.Close(context.Background()) }()
	_, err := s.wait()
	wantCode(t, err, CodeShutdown)
	select {
	case err := <-done:
		t.Fatalf("close did not wait: %v", err)
	default:
	}
	b.Release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, err := top.Acquire(&newSeeker().Request, 0, Primary); codeOf(err) != CodeShutdown {
		t.Fatalf("got %v", err)
	}
	later := c.Apply(mapOf(t, shardOf(startFake(t))))
	if _, err := later.Acquire(&newSeeker().Request, 0, Primary); codeOf(err) != CodeShutdown {
		t.Fatalf("got %v", err)
	}
}

func TestCloseCutsOffWhatIsHeld(t *testing.T) {
	noLeaks(t)
	f := startFake(t)
	c := New(quick())
	b := mustAcquire(t, c.Apply(mapOf(t, shardOf(f))), Primary)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if err := c.Close(ended); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if _, _, err := query(b, "select"); err == nil {
		t.Fatal("the backend still works")
	}
	b.Destroy("test")
	if err := c.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestExecNeedsAMap(t *testing.T) {
	c := open(t, quick())
	if _, err := c.Exec(t.Context(), "s1", Primary, "select 1"); err == nil {
		t.Fatal("no error")
	}
	f := startFake(t)
	rows, err := c.ExecOn(t.Context(), "s9", Primary, shardmap.Node{Host: "127.0.0.1", Port: f.addr.Port}, "select 1")
	if err != nil || len(rows.Rows) != 1 {
		t.Fatalf("got %v, %v", rows, err)
	}
	if len(c.Nodes()) != 0 {
		t.Fatal("it became a node of the cluster")
	}
}
