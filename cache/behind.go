package cache

import (
	"context"
	"time"
)

const (
	batchEntries = 128
	batchBytes   = 1 << 20
	// lastFlush is how long Close lets the queue drain.
	lastFlush = 500 * time.Millisecond
)

// pending is an entry on its way to Redis.
type pending struct {
	inc     string
	notes   string
	hash    uint64
	key     []byte
	body    []byte
	expires int64 // on the cache's clock
}

func (p *pending) bytes() int64 { return int64(len(p.key) + len(p.body)) }

// enqueue hands an entry to the writer, or drops it if L2 was not asked before
// the read (then nothing is known that could prove the entry), or the queue is full.
func (r *remote) enqueue(t *Ticket, hash uint64, key, body []byte, ttl time.Duration) {
	n := &r.cache.counts
	if t.inc == "" || r.closed.Load() {
		n.l2Drops.Add(1)
		return
	}
	p := &pending{inc: t.inc, notes: t.notes, hash: hash, key: key, body: body, expires: t.began + int64(ttl)}
	n.queue.Add(1)
	if n.queueBytes.Add(p.bytes()) <= r.cache.cfg.QueueBytes {
		select {
		case r.queue <- p:
			return
		default:
		}
	}
	n.l2Drops.Add(1)
	r.taken(p)
}

// taken accounts for an entry that left the queue.
func (r *remote) taken(p *pending) {
	r.cache.counts.queue.Add(-1)
	r.cache.counts.queueBytes.Add(-p.bytes())
}

// writeBehind writes the queue to Redis in batches until ctx ends, then what is
// left, for lastFlush at most.
func (r *remote) writeBehind(ctx context.Context) {
	for {
		select {
		case p := <-r.queue:
			r.flush(ctx, r.gather(p))
		case <-ctx.Done():
			r.drain()
			return
		}
	}
}

func (r *remote) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), lastFlush)
	defer cancel()
	for ctx.Err() == nil {
		select {
		case p := <-r.queue:
			r.flush(ctx, r.gather(p))
		default:
			return
		}
	}
}

// gather adds to first what else waits, up to a batch.
func (r *remote) gather(first *pending) []*pending {
	batch := []*pending{first}
	size := first.bytes()
	for len(batch) < batchEntries && size < batchBytes {
		select {
		case p := <-r.queue:
			batch = append(batch, p)
			size += p.bytes()
		default:
			return batch
		}
	}
	return batch
}

// flush writes one batch. Entries from another incarnation, and those whose time
// is over, are dropped. So is the batch when Redis does not answer: the entry is
// a copy of what PostgreSQL has.
func (r *remote) flush(ctx context.Context, batch []*pending) {
	n := &r.cache.counts
	b := r.usable()
	now := r.cache.clock()
	var out []stored
	for _, p := range batch {
		left := time.Duration(p.expires - now)
		if b != nil && p.inc == b.inc && left >= time.Millisecond {
			out = append(out, stored{
				key:   r.entryKey(p.inc, p.hash),
				value: string(encode(p.notes, p.key, p.body)),
				ttl:   left,
			})
		}
	}
	done := 0
	if len(out) > 0 {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.cache.cfg.OpTimeout)
		defer cancel()
		var err error
		if done, err = b.link.write(bounded, out); err != nil {
			r.wake()
		}
	}
	n.l2Stores.Add(uint64(done))
	n.l2Drops.Add(uint64(len(batch) - done))
	for _, p := range batch {
		r.taken(p)
	}
}
