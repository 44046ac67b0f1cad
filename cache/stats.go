package cache

import (
	"sync/atomic"
	"time"
)

// Stats is a snapshot of the cache's counters, for the console and metrics.
// Counters only grow while the cache is open; the others are the state now.
type Stats struct {
	L1Hits, L1Misses uint64
	L1Stale          uint64 // misses because a write came between
	L1Expired        uint64 // misses because the entry's time was over
	L1Stores         uint64
	L1Evictions      uint64
	L1Entries        int64
	L1Bytes          int64
	L1Budget         int64

	L2Hits, L2Misses uint64
	L2Errors         uint64 // lookups that Redis did not answer in time
	L2Stores         uint64 // entries that reached Redis
	L2Drops          uint64 // entries that did not: queue full, L2 off, overtaken
	L2Queue          int64  // entries waiting to be written
	L2QueueBytes     int64

	Refused       uint64 // results not stored: overtaken by a write, or too large
	Invalidations uint64 // scopes made stale by writes through this proxy
	Unannounced   uint64 // announcements of writes that did not reach Redis
	Voids         uint64 // times this proxy declared all of L2 void

	L2         L2State
	L2Since    time.Time // when L2 entered this state
	L2Reason   string    // why it is off, "" when it is on
	L2Memory   string    // the incarnation of Redis's memory in use
	OpenWrites int64     // writes between Dirty and the end of their publication
}

// L2State says whether results are looked up in Redis.
type L2State uint8

// The states of L2.
const (
	L2None L2State = iota // no Redis is configured
	L2Off                 // Redis is configured and not used just now
	L2On
)

// String is the word shown on the console.
func (s L2State) String() string {
	switch s {
	case L2Off:
		return "off"
	case L2On:
		return "on"
	}
	return "none"
}

// counters are the parts of Stats that are counted outside L1.
type counters struct {
	l2Hits, l2Misses, l2Errors  atomic.Uint64
	l2Stores, l2Drops           atomic.Uint64
	refused, invalidations      atomic.Uint64
	unannounced, voids          atomic.Uint64
	queue, queueBytes, openMark atomic.Int64
}

// Stats returns the counters and the state of L2.
func (c *Cache) Stats() Stats {
	n := &c.counts
	st := Stats{
		L2Hits:        n.l2Hits.Load(),
		L2Misses:      n.l2Misses.Load(),
		L2Errors:      n.l2Errors.Load(),
		L2Stores:      n.l2Stores.Load(),
		L2Drops:       n.l2Drops.Load(),
		L2Queue:       n.queue.Load(),
		L2QueueBytes:  n.queueBytes.Load(),
		Refused:       n.refused.Load(),
		Invalidations: n.invalidations.Load(),
		Unannounced:   n.unannounced.Load(),
		Voids:         n.voids.Load(),
		OpenWrites:    n.openMark.Load(),
	}
	c.l1.addTo(&st)
	if c.remote != nil {
		c.remote.addTo(&st)
	}
	return st
}
