package cache

import (
	"context"
	"math/rand/v2"
	"time"
)

// emptyShare is the part of its time that a result without rows may live: what
// was looked for and missed is often about to be made.
const emptyShare = 4

// Ticket is what was known when a read began. It is a plain value, good for one
// Store by the session that holds it.
type Ticket struct {
	stamp uint64
	began int64
	clean bool
	inc   string // the incarnation and tokens that L2 noted, "" if it was not asked
	notes string
}

// L1 returns the stored result for k, if nothing that d names has been written
// since, is being written now, and the entry's time is not over. It never waits
// for anything but a short lock and allocates nothing. The body must not be
// changed; it stays valid for as long as it is referred to.
func (c *Cache) L1(k *Key, d *Deps) (body []byte, ok bool) {
	return c.l1.get(k, d, c.gens, c.clock())
}

// Begin notes the moment before a read. Call it after L1 missed, before L2 and
// before anything is sent to PostgreSQL.
func (c *Cache) Begin(d *Deps) Ticket {
	t := Ticket{began: c.clock()}
	t.stamp, t.clean = c.gens.stamp(d)
	return t
}

// L2Ready says whether L2 is worth calling: Redis is configured and answers.
func (c *Cache) L2Ready() bool {
	return c.remote != nil && c.remote.worthAsking()
}

// L2 looks k up in Redis. It blocks for Config.ReadTimeout at most, so a session
// runs it in await; with Redis off it returns at once. A hit is as L1's and is
// put into L1. After a miss t knows what a later Store to Redis must prove, so
// pass the same ticket there.
func (c *Cache) L2(ctx context.Context, k *Key, d *Deps, t *Ticket) (body []byte, ok bool) {
	if c.remote == nil || !t.clean {
		return nil, false
	}
	found, ok := c.remote.lookup(ctx, k, d, t)
	if !ok {
		return nil, false
	}
	stamp, clean := c.gens.stamp(d)
	if !clean || stamp != t.stamp {
		c.counts.l2Misses.Add(1)
		return nil, false
	}
	c.counts.l2Hits.Add(1)
	if found.left > 0 {
		c.fill(k, t, found.key, found.body, found.left)
	}
	return found.body, true
}

// Store keeps the result of the read that t was taken for, read from a primary:
// in L1 at once, in Redis when the write-behind queue gets to it. It does not if
// anything that d names was written or announced since Begin. body is copied.
// empty says that the result has no rows: it then lives a quarter of ttl. Store
// never blocks.
func (c *Cache) Store(t *Ticket, k *Key, d *Deps, body []byte, ttl time.Duration, empty bool) {
	if empty {
		ttl /= emptyShare
	}
	stamp, clean := c.gens.stamp(d)
	fresh := t.clean && clean && stamp == t.stamp
	if !fresh || ttl <= 0 || len(body)+len(k.buf) > c.cfg.MaxEntry {
		c.counts.refused.Add(1)
		return
	}
	ttl = jitter(ttl)
	both := make([]byte, 0, len(k.buf)+len(body))
	both = append(append(both, k.buf...), body...)
	key, kept := both[:len(k.buf):len(k.buf)], both[len(k.buf):]
	c.fill(k, t, key, kept, ttl)
	if c.remote != nil {
		c.remote.enqueue(t, k.sum(), key, kept, ttl)
	}
}

// fill puts an entry into L1 whose content was current at t.began at the
// earliest. With Redis, other proxies may write, so it is served for L1Age only.
func (c *Cache) fill(k *Key, t *Ticket, key, body []byte, ttl time.Duration) {
	if c.remote != nil {
		ttl = min(ttl, c.cfg.L1Age)
	}
	e := &entry{key: key, body: body, stamp: t.stamp, expires: t.began + int64(ttl)}
	if !c.l1.put(k.sum(), e) {
		c.counts.refused.Add(1)
	}
}

// jitter spreads ttl by a tenth either way, so that entries stored together do
// not end together.
func jitter(ttl time.Duration) time.Duration {
	return ttl + time.Duration((rand.Float64()-0.5)*0.2*float64(ttl))
}
