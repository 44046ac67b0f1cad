package proxy

import (
	"context"
	"time"

	"github.com/pgdrover/pgdrover/cache"
	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/router"
)

// cacheQuery is one read that the cache may answer or keep. It belongs to the session and is reused.
type cacheQuery struct {
	key    cache.Key
	deps   cache.Deps
	ticket cache.Ticket
	ttl    time.Duration
	taken  capture
	text   []byte // scratch
}

// capture collects the bytes of an answer.
type capture struct {
	frames []byte
	limit  int
	spoilt bool
}

func (c *capture) spoil() { c.spoilt = true }

func (c *capture) add(p []byte) {
	if c.spoilt || len(c.frames)+len(p) > c.limit {
		c.spoilt = true
		return
	}
	c.frames = append(c.frames, p...)
}

// captureLimit is the largest answer that is offered to the cache, in bytes.
const captureLimit = 1 << 20

// unkeyed are settings that cannot change a result.
func unkeyed(name string) bool {
	switch name {
	case "application_name", "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "client_min_messages":
		return true
	}
	return false
}

// cacheable prepares a read for the cache; nil when the cache has nothing to do with it. The key holds all that the answer
// depends on (design, "Cache").
func (s *session) cacheable(q *router.Query, r *router.Route, b *pgwire.Bind) *cacheQuery {
	if s.db.cache == nil || !r.Cacheable || r.NoCache || s.tx.open || r.Tenant.IsZero() || len(s.links) > 0 || s.mode == ModeSession {
		return nil
	}
	c := &s.cached
	st := &q.Statements()[0]
	c.deps.Reset()
	c.ticket = cache.Ticket{}
	c.text = r.Tenant.Append(c.text[:0])
	c.deps.TenantBytes(c.text)
	for _, t := range st.Reads {
		c.deps.Table(t.String())
	}
	ttl, listed := s.db.cache.TTL(&c.deps)
	if !listed {
		return nil
	}
	if r.CacheFor > 0 {
		ttl = min(ttl, r.CacheFor)
	}
	c.ttl = ttl
	k := &c.key
	k.Reset()
	k.String(s.userName)
	k.Bytes(c.text)
	for _, e := range s.settings.sent() {
		if !unkeyed(e.name) {
			k.String(e.sql)
		}
	}
	k.Uint(uint64(r.Shard))
	k.Bytes(q.SQL())
	if b == nil {
		k.Uint(0)
	} else {
		s.keyParams(k, b)
	}
	return c
}

func (s *session) keyParams(k *cache.Key, b *pgwire.Bind) {
	k.Uint(uint64(b.NumParams()) + 1)
	for i := range b.NumParams() {
		value, binary, null := b.Param(i)
		switch {
		case null:
			k.Null()
		case binary:
			k.Uint(1)
			k.Bytes(value)
		default:
			k.Uint(0)
			k.Bytes(value)
		}
	}
	k.Bytes(b.ResultFormats)
	k.Bytes(s.params.stmt.oids)
}

// describe makes the description of the rows part of what is asked for.
func (c *cacheQuery) describe(wanted bool) {
	if wanted {
		c.key.Uint(1)
	} else {
		c.key.Uint(2)
	}
}

// answerCached answers a read from the cache, if it can, and else notes the moment before the read. In the extended protocol
// the answer comes after what the batch is owed so far.
func (s *session) answerCached(c *cacheQuery) bool {
	body, ok := s.db.cache.L1(&c.key, &c.deps)
	if !ok {
		c.ticket = s.db.cache.Begin(&c.deps)
		if s.db.cache.L2Ready() {
			s.t.Await(func() { body, ok = s.db.cache.L2(context.Background(), &c.key, &c.deps, &c.ticket) })
		}
	}
	if !ok {
		return false
	}
	if s.batch.open {
		s.flushDeferredFakes()
		s.client.Queue(bindComplete)
	}
	s.client.Queue(body)
	return true
}

// flushDeferredFakes answers what was deferred of a batch that no backend gets to see: its statement is known to be good, since
// its result was cached.
func (s *session) flushDeferredFakes() {
	for _, d := range s.batch.deferred {
		if d.kind == 0 {
			s.client.Queue(d.fake)
		} else if d.kind == pgwire.MsgParse {
			s.client.Queue(parseComplete)
		}
	}
	s.batch.settled()
}

// capture collects the answer that a link is about to give; c may be nil.
func (s *session) capture(l *link, c *cacheQuery) {
	if c == nil {
		return
	}
	c.taken = capture{frames: c.taken.frames[:0], limit: captureLimit}
	l.captured = &c.taken
}

// store keeps a captured answer.
func (s *session) store(l *link, c *cacheQuery) {
	if c == nil || l.captured == nil {
		return
	}
	l.captured = nil
	if body, empty, ok := c.taken.body(); ok && l.lost == nil {
		s.db.cache.Store(&c.ticket, &c.key, &c.deps, body, c.ttl, empty)
	}
}

// body is the captured answer without what the protocol adds around it; false if it is not a plain result.
func (c *capture) body() (body []byte, empty, ok bool) {
	if c.spoilt {
		return nil, false, false
	}
	kept := c.frames[:0]
	for b := c.frames; len(b) > 0; {
		typ, size, err := pgwire.Peek(b, captureLimit)
		if err != nil || size == 0 || size > len(b) {
			return nil, false, false
		}
		switch typ {
		case pgwire.MsgParseComplete, pgwire.MsgBindComplete, pgwire.MsgCloseComplete, pgwire.MsgReadyForQuery:
		case pgwire.MsgRowDescription, pgwire.MsgDataRow:
			kept = append(kept, b[:size]...)
		case pgwire.MsgCommandComplete:
			tag, _ := pgwire.CommandTag(b[:size])
			empty = string(tag) == "SELECT 0"
			kept = append(kept, b[:size]...)
			ok = true
		default:
			return nil, false, false
		}
		b = b[size:]
	}
	return kept, empty, ok
}

// markWrite makes what a statement writes dirty, before it is sent: until the outcome is known nobody gets it from the cache.
func (s *session) markWrite(q *router.Query, r *router.Route) {
	if s.db.cache == nil {
		return
	}
	sts := q.Statements()
	publish := false
	for i := range sts {
		st := s.carriedOut(&sts[i])
		if len(st.Writes) == 0 && !st.WritesUnknown {
			continue
		}
		s.unsure = s.unsure || st.WritesUnknown && !s.tx.open
		d := &s.written
		d.Reset()
		if r.Within {
			s.cached.text = r.Tenant.Append(s.cached.text[:0])
			d.TenantBytes(s.cached.text)
		}
		if !st.WritesUnknown {
			for _, t := range st.Writes {
				d.Table(t.String())
			}
		}
		publish = s.db.cache.Dirty(&s.mark, d) || publish
	}
	if publish {
		s.t.Await(func() { s.db.cache.Publish(context.Background(), &s.mark) })
	}
}

// settle ends what markWrite began, before the client hears of the outcome: nothing was written if the transaction is known to
// be rolled back; all of it may have been otherwise. A procedure outside a transaction may have committed before it failed.
func (s *session) settle(rolledBack bool) {
	rolledBack = rolledBack && !s.unsure
	s.unsure = false
	if s.db == nil || s.db.cache == nil || s.mark.Empty() {
		return
	}
	publish := false
	if rolledBack {
		publish = s.db.cache.Abort(&s.mark)
	} else {
		publish = s.db.cache.Commit(&s.mark)
	}
	if publish {
		s.t.Await(func() { s.db.cache.Publish(context.Background(), &s.mark) })
	}
}
