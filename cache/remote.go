package cache

import (
	"context"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// tokenFloor is the least time a scope's token lives in Redis. A token that ends
// makes the entries that hang on it unreadable, never readable.
const tokenFloor = time.Hour

// maxLookups bounds the lookups in flight: more would fill the connection's ring
// of commands, where a caller waits without a deadline.
const maxLookups = 1024

// remote is L2 and what proxies tell each other through Redis.
type remote struct {
	cache   *Cache
	dial    dialer
	start   time.Time
	prefix  string // of every key of this database
	member  string // this cache's name among the members
	first   chan struct{}
	kick    chan struct{}
	queue   chan *pending
	stop    [2]context.CancelFunc // of the writer, of the keeper
	done    [2]sync.WaitGroup
	closing sync.Once
	closed  atomic.Bool

	// state is the last beat that Redis answered; nil while there is none.
	state atomic.Pointer[beat]
	// lost counts writes that Redis was not told of (or may not have been).
	// L2 is used only under a beat that made up for all of them.
	lost atomic.Uint64
	// slow is set by a reader whom Redis kept waiting, down by a writer. Both
	// are cleared by the keeper.
	slow    atomic.Bool
	down    atomic.Bool
	lookups atomic.Int64

	shown shown
}

// beat is what one answered beat established. Immutable.
type beat struct {
	link *link
	inc  string // the incarnation of Redis's memory
	sent int64  // when it was sent, by sinceStart
	lost uint64 // writes not announced that this beat made up for
}

// shown is the state last logged, for Stats.
type shown struct {
	mu     sync.Mutex
	on     bool
	since  time.Time
	reason string
}

// connecting is the reason before the first attempt to connect has ended.
const connecting = "connecting"

func openRemote(ctx context.Context, c *Cache) (*remote, error) {
	dial, err := newDialer(c.cfg)
	if err != nil {
		return nil, err
	}
	r := &remote{
		cache:  c,
		dial:   dial,
		start:  time.Now(),
		prefix: "pgdrover:cache:" + url.QueryEscape(c.cfg.Namespace) + ":",
		member: randomToken(),
		first:  make(chan struct{}),
		kick:   make(chan struct{}, 1),
		queue:  make(chan *pending, c.cfg.Queue),
	}
	r.shown.since = c.cfg.Now()
	r.shown.reason = connecting
	ctx = context.WithoutCancel(ctx)
	for i, run := range []func(context.Context){r.writeBehind, r.keep} {
		own, cancel := context.WithCancel(ctx)
		r.stop[i] = cancel
		r.done[i].Go(func() { run(own) })
	}
	return r, nil
}

// close ends the writer first, which still needs the keeper's connection.
func (r *remote) close() {
	r.closing.Do(func() {
		r.closed.Store(true)
		for i := range r.stop {
			r.stop[i]()
			r.done[i].Wait()
		}
	})
}

func (r *remote) incKey() string     { return r.prefix + "incarnation" }
func (r *remote) membersKey() string { return r.prefix + "members" }

func (r *remote) scopeKey(inc, scope string) string {
	return r.prefix + inc + ":g:" + scope
}

func (r *remote) entryKey(inc string, hash uint64) string {
	return r.prefix + inc + ":e:" + hex64(hash)
}

// tokenTTL outlives every entry.
func (r *remote) tokenTTL() time.Duration {
	return max(tokenFloor, 2*r.cache.tables.Load().maxTTL)
}

// usable returns the beat under which L2 may be read just now, nil if there is
// none: connected, answering in time, no write left unannounced, and heard from
// within half a lease, so that this proxy cannot miss that another one is gone.
func (r *remote) usable() *beat {
	b := r.state.Load()
	if b == nil || r.slow.Load() || r.lost.Load() != b.lost {
		return nil
	}
	if r.sinceStart()-b.sent > int64(r.cache.cfg.Lease/2) {
		return nil
	}
	return b
}

// sinceStart is the real clock, whatever clock entries live by: leases are between
// this process and Redis.
func (r *remote) sinceStart() int64 { return int64(time.Since(r.start)) }

// worthAsking is usable without the details; before the first attempt to connect
// has ended, asking means waiting for it.
func (r *remote) worthAsking() bool {
	if r.usable() != nil {
		return true
	}
	select {
	case <-r.first:
		return false
	default:
		return !r.slow.Load()
	}
}

// awaitFirst waits for the first attempt to connect to end, unless somebody
// (gaveUp) has waited for it in vain.
func (r *remote) awaitFirst(ctx context.Context, gaveUp *atomic.Bool) {
	if gaveUp.Load() {
		return
	}
	select {
	case <-r.first:
	case <-ctx.Done():
		gaveUp.Store(true)
	}
}

// wake makes the keeper beat now.
func (r *remote) wake() {
	select {
	case r.kick <- struct{}{}:
	default:
	}
}

// show logs and remembers a change of state.
func (r *remote) show(on bool, reason string) {
	s := &r.shown
	s.mu.Lock()
	changed := s.on != on
	if changed {
		s.since = r.cache.cfg.Now()
	}
	changed = changed || s.reason == connecting
	s.on, s.reason = on, reason
	s.mu.Unlock()
	switch {
	case !changed:
	case on:
		r.cache.cfg.Log.Info("cache: L2 is on", "database", r.cache.cfg.Namespace)
	default:
		r.cache.cfg.Log.Warn("cache: L2 is off; reads go on without it", "database", r.cache.cfg.Namespace, "reason", reason)
	}
}

// addTo adds the state of L2 to st.
func (r *remote) addTo(st *Stats) {
	st.L2 = L2Off
	if b := r.usable(); b != nil {
		st.L2, st.L2Memory = L2On, b.inc
	}
	r.shown.mu.Lock()
	defer r.shown.mu.Unlock()
	st.L2Since, st.L2Reason = r.shown.since, r.shown.reason
	if st.L2 == L2On {
		st.L2Reason = ""
	} else if st.L2Reason == "" {
		st.L2Reason = "no answer from Redis just now"
	}
}
