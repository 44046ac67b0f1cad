package pool

import (
	"context"
	"time"

	"github.com/pgdrover/pgdrover/internal/task"
)

// linger is how long a node that left the map is kept for those who began with an older map.
const linger = time.Minute

// seldom is for how long an idle backend keeps its buffers.
const seldom = time.Second

// clean ends what is idle or old until ctx ends.
func (c *Cluster) clean(ctx context.Context) {
	defer c.spares.end()
	for {
		l := c.limits.Load()
		pause := time.Second
		for _, limit := range []time.Duration{l.idle, l.lifetime} {
			if limit > 0 {
				pause = min(pause, max(limit/4, 5*time.Millisecond))
			}
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		now := time.Now()
		for _, n := range c.Nodes() {
			n.sweep(now)
		}
		c.spares.expire(now)
		c.dismissLogins()
		c.bury(now)
	}
}

// sweep closes idle backends that are past a limit.
func (n *Node) sweep(now time.Time) {
	n.mu.Lock()
	l := n.cluster.limits.Load()
	n.judged()
	at := task.MomentOf(now)
	var closing []*Backend
	kept := n.idle[:0]
	for _, b := range n.idle {
		reason := n.unfit(b, at)
		if reason == "" && l.idle > 0 && at.Sub(b.idleSince) >= l.idle {
			reason = reasonIdle
		}
		if reason == "" {
			if at.Sub(b.idleSince) >= seldom {
				b.Conn.Rest()
			}
			kept = append(kept, b)
			continue
		}
		n.forget(b, reason)
		closing = append(closing, b)
	}
	clear(n.idle[len(kept):cap(n.idle)])
	n.idle = kept
	n.published()
	n.mu.Unlock()
	for _, b := range closing {
		b.terminate()
	}
}

// bury ends the nodes that left the map and that nobody has used for a while.
func (c *Cluster) bury(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, n := range c.nodes {
		for l, own := range n.users {
			if own.unused(now) {
				delete(n.users, l)
				n.inherit(own)
				own.stop()
			}
		}
		if len(n.users) == 0 && n.unused(now) {
			delete(c.nodes, id)
			n.stop()
		}
	}
}

// unused closes a node that nobody needs any more, and reports whether it did.
func (n *Node) unused(now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.retired.IsZero() {
		return false
	}
	if len(n.all)+len(n.apart)+n.dialing+n.queue.len > 0 {
		n.retired = now
	}
	if now.Sub(n.retired) < linger {
		return false
	}
	n.closed = true
	n.judged()
	return true
}
