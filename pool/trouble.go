package pool

import "time"

// trouble is why a node cannot be dialled or probed.
type trouble struct {
	fault
	since time.Time // start of the first attempt that failed
}

// hopeless reports whether waiting for a backend is in vain. With n.mu held.
func (n *Node) hopeless(now time.Time) bool {
	t := n.trouble
	if t == nil || len(n.all) > 0 && n.up.Load() && !n.refused() {
		return false
	}
	return !t.patient || now.Sub(t.since) >= n.cluster.cfg.ConnectTimeout
}

// failed takes note of a failed attempt that began at start, and returns what to call once n.mu, which the caller holds, is
// released.
func (n *Node) failed(f fault, start time.Time) (after []func()) {
	now := time.Now()
	t := &trouble{fault: f, since: start}
	if n.trouble != nil {
		t.since = n.trouble.since
	}
	n.trouble = t
	if f.down && n.up.Swap(false) {
		n.since = now
		if n.owner == nil {
			after = append(after, func() { n.cluster.cfg.Log.Warn("node is down", "node", n.String(), "why", t.err.Message) })
		} else {
			after = append(after, func() { ring(n.of.check) })
		}
	}
	after = append(after, n.displace()...)
	if n.hopeless(now) {
		after = append(after, n.failAll(t.err)...)
	}
	return after
}

// displace sends the reads that wait for a replica elsewhere if it is not able to serve them, and returns whom to notify.
// With n.mu held.
func (n *Node) displace() []func() {
	n.published()
	if n.able.Load() || n.Role() != Replica {
		return nil
	}
	var wake []func()
	for r := n.queue.first; r != nil; {
		next := r.next
		if r.role == Replica {
			n.queue.remove(r)
			r.state = stateDisplaced
			wake = append(wake, r.Notify.Wake)
		}
		r = next
	}
	n.published()
	return wake
}

// markUp has the node serve again, and returns what to call once n.mu, which the caller holds, is released.
func (n *Node) markUp(now time.Time) (after func()) {
	if n.up.Swap(true) {
		return func() {}
	}
	n.since = now
	n.published()
	if n.owner != nil {
		return func() {}
	}
	return func() { n.cluster.cfg.Log.Info("node is up", "node", n.String()) }
}

// mended forgets a trouble. With n.mu held.
func (n *Node) mended() {
	n.trouble, n.failures, n.retryAt = nil, 0, noTime
	n.published()
	if n.queue.len > 0 {
		ring(n.kick)
	}
}
