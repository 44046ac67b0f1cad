package proxy

import (
	"errors"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/router"
	"github.com/pgdrover/pgdrover/shardmap"
)

// simple carries out a Query message. It reports whether the session goes on.
func (s *session) simple(frame []byte) bool {
	text, err := pgwire.QueryText(frame)
	if err != nil {
		return s.legacy(frame)
	}
	s.timed()
	s.publish(ClientActive)
	if !s.closeBatch() || s.skipping {
		return s.skipping
	}
	s.forgetUnnamed() // as PostgreSQL (manual, "Simple Query")
	s.enterTransaction()
	q := &s.query
	s.analyse(q, text)
	if !q.Plain() || s.tx.aborted || s.tx.poisoned {
		return s.simpleAny()
	}
	if e := s.route(q, nil, &s.routed); e != nil {
		return s.refuseSimple(e)
	}
	if s.routed.Kind != router.Single {
		return s.simpleRouted()
	}
	return s.simpleOnShard()
}

// simpleAny is simple for what may be PgDrover's own business, and in a transaction that was aborted.
func (s *session) simpleAny() bool {
	q := &s.query
	sts := q.Statements()
	if e := s.modeError(q); e != nil {
		return s.refuseSimple(e)
	}
	if len(sts) == 1 && s.local(&sts[0]) {
		if e := s.endImplicit(false); e != nil {
			return s.refuseSimple(e)
		}
		s.answerLocal(q)
		return s.unitEnd()
	}
	if s.tx.poisoned && len(sts) == 1 && sts[0].Verb == router.Empty {
		s.client.SetQueue(pgwire.AppendEmptyQuery(s.client.QueueBuffer()))
		s.readyForQuery()
		return s.unitEnd()
	}
	if s.tx.poisoned {
		return s.refuseSimple(s.abortedError())
	}
	if l := s.abortedOn(q); l != nil {
		s.routed = router.Route{Kind: router.Single, Shard: l.shard, Write: true}
		return s.simpleOnShard()
	}
	if e := s.route(q, nil, &s.routed); e != nil {
		return s.refuseSimple(e)
	}
	return s.simpleRouted()
}

// simpleRouted carries out a Query whose route is known.
func (s *session) simpleRouted() bool {
	q, r := &s.query, &s.routed
	switch sts := q.Statements(); {
	case r.Kind == router.Local:
		s.answerRoute(q)
		return s.unitEnd()
	case r.Kind == router.ByRow:
		return s.copySimple(q, *r)
	case r.Kind == router.InTurn:
		s.inTurn(q)
		return s.unitEnd()
	case r.Kind >= router.Scatter:
		s.gatherSimple(q, *r)
		return s.unitEnd()
	case s.isForSeveral(q, r):
		s.everySimple(q, *r)
		return s.unitEnd()
	case len(sts) == 1 && sts[0].Verb == router.Prepare && !s.direct():
		return s.simplePrepare(q)
	}
	return s.simpleOnShard()
}

// analyse has the router read a text. Texts that are long, or of a shape that is not known yet, are read where they do not hold up others.
func (s *session) analyse(q *router.Query, text []byte) {
	r := s.router()
	if len(text) > longText {
		s.t.Await(func() { r.Analyse(q, text, &s.env) })
		return
	}
	if !r.Recall(q, text, &s.env) {
		s.t.Await(func() { r.Learn(q, &s.env) })
	}
}

// longText is the size of a text, in bytes, from which on a look at it is waited for.
const longText = 8 << 10

// simpleOnShard sends the Query in hand to the shard that its route names and relays the answer.
func (s *session) simpleOnShard() bool {
	if s.db.cache == nil && s.query.Plain() {
		return s.plainOnShard()
	}
	return s.simpleOnShardOrCached()
}

// simpleOnShardOrCached is simpleOnShard where the cache may have the answer, and for what is not plain.
func (s *session) simpleOnShardOrCached() bool {
	q, r := &s.query, &s.routed
	c := s.cacheable(q, r, nil)
	if c != nil {
		c.describe(true)
		if s.answerCached(c) {
			s.readyForQuery()
			return s.unitEnd()
		}
		r.Write = true // filled from the primary only
	}
	s.markWrite(q, r)
	if q.Plain() && c == nil {
		return s.plainOnShard()
	}
	var w *wording
	if !q.Plain() {
		if e := s.foresee(q); e != nil {
			return s.refuseSimple(e)
		}
		w = s.wordsOf(q)
	}
	return s.simpleOnNode(c, w, nil)
}

// plainOnShard is simpleOnShard for a plain Query, once the cache has no answer. The turn may end to wait for a backend, if the cache was not asked, and for
// the answer.
func (s *session) plainOnShard() bool {
	q := &s.query
	s.mayQueue = s.db.cache == nil
	l, e := s.enlist(&s.routed)
	s.mayQueue = false
	if e != nil {
		return e != errQueued && s.refuseSimple(e)
	}
	s.own(l, q)
	s.suspect(l, q)
	l.notes.unnamed = 0 // a Query ends the unnamed statement (manual, "Extended Query")
	l.conn.QueueOrWrite(s.frameInHand())
	l.replies.add(pgwire.MsgQuery).text = q
	s.dispatched(l)
	return s.answerLater(l)
}

// simpleOnNode is simpleOnShard once the cache has no answer. c is what the answer may fill, nil if nothing; w is what backends are told instead, nil for the
// text as it is; not is a node that is not to be asked, nil for none.
func (s *session) simpleOnNode(c *cacheQuery, w *wording, not *pool.Node) bool {
	q, r := &s.query, &s.routed
	for {
		l, e := s.enlistSimple(r, not)
		if e == nil {
			e = s.knowAll(l, w)
		}
		if e != nil && l != nil && l.isReplica() && !s.tx.open && !r.Write { // it may be behind
			r.Write = true
			continue
		}
		if e != nil {
			s.unmake(l, w)
			return s.refuseSimple(e)
		}
		s.capture(l, c)
		s.dispatch(l, q, w)
		if !s.finish(l) {
			return false
		}
		s.skipping = false
		if l.lost != nil && l.retry {
			not = s.elsewhere(l, r)
			continue
		}
		if w != nil && w.again && l.lost == nil {
			s.translate(w, q)
			w.tried = true
			continue
		}
		s.unmake(l, w)
		s.store(l, c)
		return s.unitEnd()
	}
}

// dispatch sends a Query to the backend that was found for it.
func (s *session) dispatch(l *link, q *router.Query, w *wording) {
	s.own(l, q)
	s.sayListens(l, q, false)
	s.sendSimple(l, q, w)
	s.dispatched(l)
}

// dispatched has a Query on its way to a backend, with what is queued before it, and notes that.
func (s *session) dispatched(l *link) {
	if l.conn.Pending() > 0 {
		_ = l.conn.Flush()
	}
	if l.retry = l.role == pool.Replica && l.hold == 0 && !s.tx.open; l.retry {
		l.mark = s.client.Queued()
	}
	s.sent(l)
}

// enlistSimple is enlist for a statement that another node may have failed to answer.
func (s *session) enlistSimple(r *router.Route, not *pool.Node) (*link, *pgwire.Error) {
	if not == nil {
		return s.enlist(r)
	}
	role := pool.Replica
	if r.Write {
		role = pool.Primary
	}
	l, e := s.acquire(s.shardFor(r), role, not)
	if e != nil {
		return nil, e
	}
	return l, s.prepareLink(l)
}

// elsewhere gives up a replica that could not answer, takes back what it said, and names the node not to ask again. A statement
// that only a primary may run goes there.
func (s *session) elsewhere(l *link, r *router.Route) *pool.Node {
	s.client.SetQueue(s.client.QueueBuffer()[:l.mark])
	node := l.backend.Node()
	if errors.Is(l.lost, errReadOnly) {
		r.Write = true
	}
	s.srv.metrics.Retries.Add(1)
	s.destroy(l, l.lost.Error())
	return node
}

// refuseSimple answers a Query with an error of PgDrover's own.
func (s *session) refuseSimple(e *pgwire.Error) bool {
	s.srv.metrics.Refused.Add(1)
	if e.Severity == pgwire.SeverityFatal {
		s.fatalError(e)
		return false
	}
	s.sweep()
	_ = s.endImplicit(true)
	s.abort()
	s.client.SetQueue(pgwire.AppendError(s.client.QueueBuffer(), e))
	if !s.tx.open {
		s.transactionEnded(false)
	}
	s.readyForQuery()
	return s.unitEnd()
}

// abort leaves the open transaction as an error of the server would.
func (s *session) abort() {
	s.tx.faulted = true
	if s.tx.open && !s.tx.aborted {
		s.tx.aborted, s.tx.poisoned = true, true
	}
}

// unitEnd is the end of a statement or of a batch: backends that nothing binds to the session are given back.
func (s *session) unitEnd() bool {
	if s.readyOwed {
		s.readyForQuery()
	}
	if len(s.links) == 1 && s.links[0].hold == 0 && s.links[0].rests() {
		s.release(s.links[0])
	} else {
		s.sweep()
		s.endHolds()
		s.releaseAfter()
	}
	if (len(s.links) > 0 || s.held != 0 || s.lookup.ddl || s.mode == ModeStatement) && !s.leavesMore() {
		return false
	}
	if !s.batch.open {
		s.atRest()
	}
	if s.tx.open {
		s.publish(ClientTransaction)
	} else {
		s.leaveTransaction()
		s.publish(ClientIdle)
		s.countTransaction()
	}
	s.take()
	return !s.cut.Load()
}

// leavesMore looks after what a statement has left beside its answer: backends that the session keeps, and a catalog that has changed. It reports whether the
// session goes on.
func (s *session) leavesMore() bool {
	if s.outlasts() {
		s.fatal("0A000", "transaction blocks are not available in statement mode", "")
		return false
	}
	s.afterDDL()
	s.noteHolds()
	return true
}

// legacy passes a call of the fast-path interface to a primary, or a Query that cannot be understood. The function may do anything:
// it counts as a write of a tenant that is not known.
func (s *session) legacy(frame []byte) bool {
	s.timed()
	s.publish(ClientActive)
	if !s.closeBatch() || s.skipping {
		return s.skipping
	}
	s.enterTransaction()
	if s.tx.poisoned {
		return s.refuseSimple(s.abortedError())
	}
	if e := s.boundError(); e != nil {
		return s.refuseSimple(e)
	}
	r := router.Route{Kind: router.Any, Write: true, Tenant: s.env.Tenant}
	switch {
	case s.place.single():
		r.Kind = router.Single
	case !s.env.Tenant.IsZero():
		r.Kind, r.Shard = router.Single, s.place.shards.Locate(s.env.Tenant)
	}
	l, e := s.enlist(&r)
	if e != nil {
		return s.refuseSimple(e)
	}
	s.own(l, nil)
	l.wrote, l.owned, l.unsure = true, s.tx.open, true
	l.conn.Queue(frame)
	l.replies.push(reply{kind: frame[0]})
	if !s.finish(l) {
		return false
	}
	return s.unitEnd()
}

// forgetMessage lets go of what still names the last message: an idle client would keep the buffer that it was in.
func (s *session) forgetMessage() {
	s.query.Forget()
	s.routed.Tenant = shardmap.Key{}
}
