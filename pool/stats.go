package pool

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/pgdrover/pgdrover/internal/task"
)

// waitBuckets is the number of buckets of the wait-time histogram, the last of which has no bound.
const waitBuckets = 14

// maxReasons bounds the reasons that are counted apart.
const maxReasons = 32

// WaitBounds are the upper bounds of the buckets of Counts.Waits, in seconds; the last bucket has none.
func WaitBounds() []float64 {
	bounds := make([]float64, waitBuckets-1)
	for i := range bounds {
		bounds[i] = waitBound(i).Seconds()
	}
	return bounds
}

// waitLimits is filled once, and never changes.
var waitLimits = newWaitLimits()

func newWaitLimits() (t [waitBuckets - 1]time.Duration) {
	for i := range t {
		t[i] = waitBound(i)
	}
	return t
}

// waitBound is 100 µs, 250 µs, 1 ms, 2.5 ms, … 100 s.
func waitBound(i int) time.Duration {
	bound := 100 * time.Microsecond
	for range i / 2 {
		bound *= 10
	}
	if i%2 == 1 {
		bound = bound * 5 / 2
	}
	return bound
}

func waitBucket(waited time.Duration) int {
	for i := range waitLimits {
		if waited <= waitLimits[i] {
			return i
		}
	}
	return waitBuckets - 1
}

// Counts are what a node's pool has done since it was made. All of them only grow.
type Counts struct {
	Acquired   uint64
	Waited     time.Duration       // in all
	Waits      [waitBuckets]uint64 // acquisitions by waiting time, as WaitBounds says; each in one bucket only
	Timeouts   uint64              // waits that took too long
	Rejected   uint64              // requests that found the queue full
	Failed     uint64              // requests that failed because the node could not be dialled
	Cancels    uint64
	Dials      uint64 // those that failed included
	DialErrors uint64
	Destroyed  map[string]uint64 // by reason
}

type counts struct{ Counts }

// waited counts an acquisition that was waited for. A loop's clock may say less than nothing, which is nothing.
func (c *counts) waited(d time.Duration) {
	c.Waited += max(0, d)
	c.Waits[waitBucket(d)]++
}

func (c *counts) destroyed(reason string) {
	if c.Destroyed == nil {
		c.Destroyed = map[string]uint64{}
	}
	if _, known := c.Destroyed[reason]; !known && len(c.Destroyed) >= maxReasons {
		reason = "other"
	}
	c.Destroyed[reason]++
}

// Add counts what another pool has done as well.
func (c *Counts) Add(o *Counts) {
	c.Acquired += o.Acquired
	c.Waited += o.Waited
	for i := range c.Waits {
		c.Waits[i] += o.Waits[i]
	}
	c.Timeouts += o.Timeouts
	c.Rejected += o.Rejected
	c.Failed += o.Failed
	c.Cancels += o.Cancels
	c.Dials += o.Dials
	c.DialErrors += o.DialErrors
	destroyed := maps.Clone(c.Destroyed)
	if destroyed == nil {
		destroyed = map[string]uint64{}
	}
	for reason, count := range o.Destroyed {
		destroyed[reason] += count
	}
	c.Destroyed = destroyed
}

// NodeStats is a node and its pool at one moment.
type NodeStats struct {
	Shard, Addr, Database, User string
	Own                         bool // User is a client's own
	Role                        Role
	Backup                      bool
	Weight                      int
	Draining                    bool // not in the map in force any more
	Drained                     bool // no reads are sent to it, as Drain says

	Up    bool
	Since time.Time // since when it is up, or down
	Why   string    // what is wrong with it, also while it counts as up; empty when nothing is

	Probed   time.Time // the last good probe; zero: none yet
	Recovery bool      // what it said of pg_is_in_recovery
	LSN      string    // replayed, or inserted on a primary
	Latency  time.Duration

	Size, Idle, Busy, Dialing int
	Listening                 int // backends beside the pool
	Waiting                   int
	OldestWait                time.Duration
	Counts                    Counts
}

// Mismatch reports whether the server's own role is not the one that the shard map gives it.
func (s *NodeStats) Mismatch() bool { return !s.Probed.IsZero() && s.Recovery != (s.Role == Replica) }

// BackendStats is a backend at one moment.
type BackendStats struct {
	Serial      uint64
	PID         uint32
	Shard, Addr string
	User        string
	Role        Role
	State       string // held, idle, cancelling (released while a cancel is under way), or listening (of Open)
	Age         time.Duration
	Idle        time.Duration // 0 unless it is idle
	Local       string        // the address at this end
	Cipher      string        // of TLS; empty in plaintext
	Closing     bool          // it is closed once it is released
}

// Stats are all nodes, as Nodes orders them.
func (c *Cluster) Stats() []NodeStats {
	var all []NodeStats
	for _, n := range c.Nodes() {
		all = append(all, n.Stats())
	}
	return all
}

// Stats is the node at this moment.
func (n *Node) Stats() NodeStats {
	p := n.place.Load()
	now := time.Now()
	n.mu.Lock()
	defer n.mu.Unlock()
	s := NodeStats{
		Shard: p.shard, Addr: n.addr, Database: n.id.database, User: n.user(), Own: n.owner != nil, Role: p.role, Backup: p.backup, Weight: p.weight,
		Draining: !n.retired.IsZero(), Drained: n.drained, Up: n.up.Load(), Since: n.since,
		Probed: n.health.at, Recovery: n.health.recovery, LSN: n.health.lsn, Latency: n.health.took,
		Size: n.cluster.limits.Load().size, Idle: len(n.idle), Busy: len(n.all) - len(n.idle), Dialing: n.dialing, Listening: len(n.apart),
		Waiting: n.queue.len, Counts: n.counts.Counts,
	}
	for _, many := range s.Counts.Waits {
		s.Counts.Acquired += many
	}
	s.Counts.Destroyed = maps.Clone(n.counts.Destroyed)
	if n.trouble != nil {
		s.Why = n.trouble.err.Message
	}
	if n.queue.first != nil {
		s.OldestWait = task.MomentOf(now).Sub(n.queue.first.since)
	}
	return s
}

// Backends are all backends, by node and serial.
func (c *Cluster) Backends() []BackendStats {
	var all []BackendStats
	for _, n := range c.Nodes() {
		all = append(all, n.backends()...)
	}
	return all
}

func (n *Node) backends() []BackendStats {
	p := n.place.Load()
	now := time.Now()
	at := task.MomentOf(now)
	n.mu.Lock()
	list := make([]BackendStats, 0, len(n.all)+len(n.apart))
	for _, b := range slices.AppendSeq(slices.Collect(maps.Keys(n.all)), maps.Keys(n.apart)) {
		s := BackendStats{
			Serial: b.serial, PID: b.PID, Shard: p.shard, Addr: n.addr, User: n.user(), Role: p.role,
			State: "held", Age: now.Sub(b.born), Local: b.wire.LocalAddr().String(), Cipher: b.cipher, Closing: n.closing(b, at),
		}
		switch b.state {
		case idle:
			s.State, s.Idle = "idle", at.Sub(b.idleSince)
		case returning:
			s.State = "cancelling"
		case apart:
			s.State = "listening"
		}
		list = append(list, s)
	}
	n.mu.Unlock()
	slices.SortFunc(list, func(a, b BackendStats) int { return cmp.Compare(a.Serial, b.Serial) })
	return list
}
