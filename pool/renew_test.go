package pool

import "testing"

func TestReconnectReplacesBackends(t *testing.T) {
	noLeaks(t)
	_, c, top := single(t, quick())
	holder, other := newSeeker(), newSeeker()
	held, err := holder.acquire(top, Primary)
	if err != nil {
		t.Fatal(err)
	}
	b, err := other.acquire(top, Primary)
	if err != nil {
		t.Fatal(err)
	}
	b.Release()
	c.Reconnect()
	if s := c.Stats()[0]; s.Idle != 0 || s.Busy != 1 || s.Counts.Destroyed[reasonRenewed] != 1 {
		t.Fatalf("%+v", s)
	}
	if all := c.Backends(); len(all) != 1 || !all[0].Closing {
		t.Fatalf("%+v", all)
	}
	held.Release()
	if s := c.Stats()[0]; s.Idle+s.Busy != 0 || s.Counts.Destroyed[reasonRenewed] != 2 {
		t.Fatalf("%+v", s)
	}
	if b, err = other.acquire(top, Primary); err != nil {
		t.Fatal(err)
	}
	if all := c.Backends(); len(all) != 1 || all[0].Closing {
		t.Fatalf("%+v", all)
	}
	b.Release()
	if s := c.Stats()[0]; s.Idle != 1 {
		t.Fatalf("%+v", s)
	}
}

func TestDrainedReplicaIsSentNoReads(t *testing.T) {
	noLeaks(t)
	primary, replica := startFake(t), startFake(t)
	cfg := quick()
	cfg.Size = 1
	c := open(t, cfg)
	top := c.Apply(mapOf(t, shardOf(primary, replica)))
	node := top.Replicas(0)[0]
	works := mustAcquire(t, top, Replica)
	if works.Node() != node {
		t.Fatalf("a read went to %s", works.Node())
	}
	waits := queued(t, top, Replica)
	node.Drain(true)
	got, err := waits.wait()
	if err != nil || got.Node() != top.Primary(0) {
		t.Fatalf("who waited got %v, %v", got, err)
	}
	got.Release()
	if s := node.Stats(); !node.Drained() || !s.Drained || s.Busy != 1 {
		t.Fatalf("%+v", s)
	}
	works.Release()
	if s := node.Stats(); s.Idle+s.Busy != 0 || s.Counts.Destroyed[reasonDrained] != 1 {
		t.Fatalf("%+v", s)
	}
	if b := mustAcquire(t, top, Replica); b.Node() != top.Primary(0) {
		t.Fatalf("a read went to %s", b.Node())
	} else {
		b.Release()
	}
	node.Drain(false)
	if b := mustAcquire(t, top, Replica); b.Node() != node {
		t.Fatalf("a read went to %s", b.Node())
	} else {
		b.Release()
	}
}

// TestDrainedReplicaOfLogins: the pools of logins are drained with their node, those that are made meanwhile too.
func TestDrainedReplicaOfLogins(t *testing.T) {
	noLeaks(t)
	primary, replica := startFake(t), startFake(t)
	c := open(t, quick())
	top := c.Apply(mapOf(t, shardOf(primary, replica)))
	una, vera := loginOf(t, c, "una", Keys{}), loginOf(t, c, "vera", Keys{})
	mustAcquire(t, una.Topology(top), Replica).Release()
	node := top.Replicas(0)[0]
	readsAt := func(l *Login, role Role) {
		t.Helper()
		b := mustAcquire(t, l.Topology(top), Replica)
		defer b.Release()
		if b.Role() != role {
			t.Errorf("a read went to %s", b.Node())
		}
	}
	node.Drain(true)
	for _, s := range c.Stats() {
		if s.Role == Replica && (!s.Drained || s.Idle+s.Busy != 0) {
			t.Errorf("%+v", s)
		}
	}
	readsAt(una, Primary)
	readsAt(vera, Primary)
	node.Drain(false)
	readsAt(una, Replica)
	readsAt(vera, Replica)
}

// TestExchangedIsNotAboutToClose: a backend that serves its holder alone is to be closed before that has left only if new ones are
// asked for.
func TestExchangedIsNotAboutToClose(t *testing.T) {
	noLeaks(t)
	_, c, top := single(t, quick())
	b, err := mustAcquire(t, top, Primary).Exchange(t.Context(), map[string]string{"replication": "database"})
	if err != nil {
		t.Fatal(err)
	}
	if all := c.Backends(); len(all) != 1 || all[0].Closing {
		t.Errorf("%+v", all)
	}
	c.Reconnect()
	if all := c.Backends(); len(all) != 1 || !all[0].Closing {
		t.Errorf("%+v", all)
	}
	b.Release()
}
