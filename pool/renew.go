package pool

import (
	"maps"
	"slices"
	"time"
)

// Reconnect has all backends replaced: those that are idle are closed now, the others when they are released. What is dialled from
// now on is kept.
func (c *Cluster) Reconnect() {
	now := time.Now()
	for _, n := range c.Nodes() {
		n.mu.Lock()
		n.renewed = now
		n.judged()
		n.mu.Unlock()
		n.sweep(now)
	}
}

// Drain has no reads sent to a replica any more, or has them sent there again, in the pools of logins too. Reads that wait for the
// node ask another; backends are closed when they are idle or released. A primary takes no notice: writes have nowhere else to go.
func (n *Node) Drain(on bool) {
	server := n.server()
	var wake []func()
	c := n.cluster
	c.mu.Lock()
	pools := append(slices.Collect(maps.Values(server.users)), server)
	for _, p := range pools {
		p.mu.Lock()
		p.drained = on
		p.judged()
		wake = append(wake, p.displace()...)
		p.mu.Unlock()
	}
	c.mu.Unlock()
	wakeAll(wake)
	for _, p := range pools {
		p.sweep(time.Now())
	}
}

// Drained reports whether reads are kept from the node, as Drain says.
func (n *Node) Drained() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.drained
}

// Wait is how long a request may wait for a backend.
func (c *Cluster) Wait() time.Duration { return c.limits.Load().wait }
