package proxy

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/router"
	"github.com/pgdrover/pgdrover/shardmap"
)

// What session.partition says besides a partition plus one.
const (
	noTransaction  = 0
	anyTransaction = -1 // its tenant is not known: it counts for all
)

// gate holds new transactions of some partitions while their placement is being changed.
type gate struct {
	closed  atomic.Pointer[closure]
	waiters waiters
}

// waiters are sessions that wait for somebody outside of them. The zero value is ready.
type waiters struct {
	mu  sync.Mutex // guards what follows
	all map[*session]struct{}
}

func (w *waiters) enter(s *session) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = map[*session]struct{}{}
	}
	w.all[s] = struct{}{}
}

func (w *waiters) leave(s *session) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.all, s)
}

// wake has all of them look again.
func (w *waiters) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for s := range w.all {
		s.t.Wake()
	}
}

// closure says which partitions are held; immutable.
type closure struct {
	all        bool
	partitions map[int]bool
	keys       []shardmap.Key // tenants whose partitions are held, until those are worked out
}

// concerns reports whether a transaction, as session.partition says it, is held.
func (c *closure) concerns(partition int64) bool {
	switch {
	case partition == noTransaction:
		return false
	case c.all || partition == anyTransaction:
		return true
	}
	return c.partitions[int(partition-1)]
}

// enterGate announces the transaction of a statement and reports whether the statement may run on the placement it was routed
// by. It waits while the gate is closed to it; when false is returned, the placement has changed and the route is to be made
// again. A transaction that has begun stays on its placement, and is refused what has another place by now.
//
// The session announces first and looks at the gate second; who closes the gate does it the other way round. So either the
// session sees the closed gate, or the other sees the transaction.
func (s *session) enterGate(r *router.Route) (bool, *pgwire.Error) {
	p, was := s.partitionOf(r), s.partition.Load()
	if p == noTransaction || p == was || was == anyTransaction {
		return true, nil
	}
	if was == noTransaction {
		s.partition.Store(p)
		if s.db.gate.closed.Load() == nil && s.place == s.db.place.Load() {
			return true, nil
		}
	}
	return s.passGate(r, p, was)
}

// passGate is enterGate where it may be that the statement has to wait.
func (s *session) passGate(r *router.Route, p, was int64) (bool, *pgwire.Error) {
	begun := was != noTransaction
	for {
		if begun {
			s.partition.Store(anyTransaction)
		} else {
			s.partition.Store(p)
		}
		c := s.db.gate.closed.Load()
		current := s.db.place.Load()
		held := c != nil && c.concerns(p)
		if !held && (s.place == current || begun && s.place.agrees(current, r)) {
			return true, nil
		}
		s.partition.Store(was)
		if !held && begun {
			return false, &pgwire.Error{Code: "40001", Message: "the shard map was changed while the transaction was open",
				Hint: "repeat the transaction"}
		}
		if !held {
			return false, nil
		}
		if e := s.waitGate(c); e != nil {
			return false, e
		}
	}
}

// follow takes the placement in force for a transaction that has not begun. Backends that the session holds are known by their
// shards' names; one that the map does not have any more cannot be used, and what the session had there is lost with it.
func (s *session) follow() *pgwire.Error {
	next := s.db.place.Load()
	for _, l := range s.links {
		name := s.place.shards.Shard(l.shard).Name
		i, ok := next.shards.ShardByName(name)
		if !ok || !next.serves(i, l.backend.Node()) {
			return &pgwire.Error{Severity: pgwire.SeverityFatal, Code: "57P01",
				Message: "node " + l.node() + ", which this session holds, was taken out of the shard map", Hint: "connect again"}
		}
	}
	for _, l := range s.links {
		l.shard, _ = next.shards.ShardByName(s.place.shards.Shard(l.shard).Name)
	}
	s.stand(next)
	s.leaveDirect()
	return nil
}

// serves reports whether a node is one of a shard's.
func (p *placement) serves(shard int, n *pool.Node) bool {
	return p.nodes.Primary(shard).Same(n) || slices.ContainsFunc(p.nodes.Replicas(shard), n.Same)
}

// partitionOf is what a statement's transaction is announced as. What touches no tenant's rows adds nothing to what it has been
// announced as already: the end of a transaction must not wait for those who wait for it.
func (s *session) partitionOf(r *router.Route) int64 {
	was := s.partition.Load()
	switch {
	case s.place.single():
		return anyTransaction
	case r.Kind == router.Any && (was != noTransaction || !r.Write && !s.tx.open):
		return was
	case !r.Tenant.IsZero():
		return int64(s.place.shards.Partition(r.Tenant)) + 1
	}
	return anyTransaction
}

// waitGate waits until the gate is not closed in this way any more.
func (s *session) waitGate(c *closure) *pgwire.Error {
	g := &s.db.gate
	g.waiters.enter(s)
	s.cancelled.Store(false)
	s.beginWait()
	defer func() {
		s.waiting.Store(false)
		g.waiters.leave(s)
	}()
	until := time.Now().Add(2 * s.db.options().Drain)
	for s.db.gate.closed.Load() == c {
		if s.cancelled.Swap(false) {
			return errCancelled
		}
		if s.cut.Load() {
			return errShutdown
		}
		if s.t.Wait(until) {
			return &pgwire.Error{Code: "55P03", Message: "the placement of this tenant is being changed, and that takes too long",
				Hint: "repeat the transaction"}
		}
	}
	return nil
}

// close holds new transactions of the partitions that c names.
func (g *gate) close(c *closure) { g.closed.Store(c) }

// open lets all go on.
func (g *gate) open() {
	g.closed.Store(nil)
	g.waiters.wake()
}
