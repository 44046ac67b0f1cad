package proxy

import (
	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/router"
)

// isEarly reports whether a statement inside a transaction is about the transaction or the session's settings, so that it enlists
// no shard: before the first routed statement it is answered as PostgreSQL would and sent along, and once several shards take
// part all of them hear of it (design, "Transactions").
func (s *session) isEarly(q *router.Query, r *router.Route) bool {
	if !s.tx.open || r.Kind != router.Any || len(q.Statements()) != 1 {
		return false
	}
	joined := len(s.inTransaction())
	if joined == 1 {
		return false
	}
	switch st := &q.Statements()[0]; st.Verb {
	case router.Set, router.Reset:
		return true
	case router.Show:
		return joined == 0
	case router.Utility: // SET CONSTRAINTS
		return !st.Write
	case router.Select: // set_config
		return len(st.Reads) == 0 && st.Hold == 0 && q.Configures()
	}
	return false
}

// early carries out such a statement: on every backend that has joined, or else on one that takes part for this statement only.
func (s *session) early(q *router.Query, set []router.Change, send sender) ([]byte, *pgwire.Error) {
	joined := s.inTransaction()
	if len(joined) == 0 {
		return s.ahead(q, set, send)
	}
	frames, e := s.runOn(joined, send)
	if e != nil {
		return nil, e
	}
	s.effect(joined[0], q, 0, set, false)
	for _, l := range joined[1:] {
		l.notes.settings = joined[0].notes.settings
	}
	return frames, nil
}

// ahead runs a statement on a backend that begins the transaction for it, and rolls it back there: what it set is kept in the
// session and its prelude.
func (s *session) ahead(q *router.Query, set []router.Change, send sender) ([]byte, *pgwire.Error) {
	l, e := s.join(s.shardFor(&router.Route{}), pool.Primary)
	if e != nil {
		return nil, e
	}
	before := l.before
	frames, e := s.runOn([]*link{l}, send)
	if e == nil {
		s.effect(l, q, 0, set, false)
		if l.notes.params != s.reported {
			s.report(l.notes.params)
		}
	}
	if l.lost != nil {
		return nil, e
	}
	s.rollback(l)
	if l.lost != nil {
		s.destroy(l, "not rolled back")
		return frames, e
	}
	l.notes.settings = before
	if l.hold == 0 {
		s.release(l)
	}
	s.leaveTransaction()
	return frames, e
}

// detach tells the client what its batch is owed so far, for a statement that other backends are told of than the batch's. It reports
// whether the statement may go on; if not, the client has been told.
func (s *session) detach() bool {
	if s.batch.link == nil && s.describes() && !s.startBatch() {
		return false
	}
	if l := s.batch.link; l != nil && !l.aside && (!s.tx.open || l.status == 'I') {
		s.fail(&pgwire.Error{Code: "0A000", Message: "a statement for several shards cannot follow others before one Sync",
			Detail: "They are one transaction, which has begun on shard " + s.place.shards.Shard(l.shard).Name + " alone.",
			Hint:   "send a Sync before it, or begin a transaction"})
		return false
	}
	if !s.leaveBatch() {
		return false
	}
	s.flushDeferredFakes()
	return true
}

// describes reports whether the client waits for the description of a statement.
func (s *session) describes() bool {
	for _, d := range s.batch.deferred {
		if d.kind == describeStatement {
			return true
		}
	}
	return false
}

// settleAside has a backend that served Parse and Describe only run the batch's statement too if it is the one to do so, and else
// gives it back. It reports whether the batch goes on; if not, the client has been told.
func (s *session) settleAside(r router.Route) bool {
	if s.batch.link == nil && !s.parts(r) {
		return false
	}
	l := s.batch.link
	if l == nil || !l.aside {
		return true
	}
	if s.tx.open || r.Kind == router.Every || r.Kind >= router.Scatter || r.Kind == router.Single && r.Shard != l.shard || r.Write && l.isReplica() {
		return s.leaveBatch()
	}
	l.aside = false
	return true
}

// leaveBatch ends what the batch has asked of its backend, for what follows to go elsewhere. A backend that serves Parse and Describe
// only is given back. It reports as settleAside does.
func (s *session) leaveBatch() bool {
	l := s.batch.link
	if l == nil {
		return true
	}
	if !s.settleBatch() || s.skipping {
		return false
	}
	if e := s.syncSkipped(l); e != nil {
		s.fail(e)
		return false
	}
	if l.hold == 0 && l.status == 'I' {
		s.release(l)
	}
	return true
}

// syncSkipped ends the batch on a backend, without an answer for the client.
func (s *session) syncSkipped(l *link) *pgwire.Error {
	l.send(pgwire.AppendSync(l.conn.QueueBuffer()), reply{kind: pgwire.MsgSync, do: skip})
	if e := s.drainSkipped(l); e != nil {
		return e
	}
	s.batch.link, l.aside = nil, false
	return nil
}

// syncSeveral takes the Sync of a batch that is a transaction on several shards: it is committed now, as PostgreSQL does with a batch.
func (s *session) syncSeveral() bool {
	if l := s.batch.link; l != nil && l.lost == nil {
		if !s.settleBatch() {
			return false
		}
		if e := s.syncSkipped(l); e != nil {
			s.tx.aborted = true
		}
	}
	s.skipping = false
	s.commitBatch()
	return s.syncAlone()
}

// commitBatch commits a batch that is a transaction on several shards, or rolls it back if it has failed.
func (s *session) commitBatch() {
	if _, e := s.endTransaction(&router.Statement{Verb: router.Commit}); e != nil {
		s.client.SetQueue(pgwire.AppendError(s.client.QueueBuffer(), e))
	}
}

// stepAside is a backend of a shard for Parse and Describe only.
func (s *session) stepAside(shard int) (l *link, e *pgwire.Error) {
	if l = s.linkTo(shard, pool.Primary); l == nil {
		l, e = s.acquire(shard, pool.Primary, nil)
	}
	if e == nil && !s.settingsInForce(l) {
		e = s.sendSettings(l)
	}
	if e != nil {
		return nil, e
	}
	s.keepLink(l)
	l.aside = true
	return l, nil
}

// startBatch sends what was deferred, when the batch asks for an answer before it says where it goes.
func (s *session) startBatch() bool {
	if e := s.beginBatch(); e != nil {
		s.flushDeferredFakes()
		return s.fail(e)
	}
	return true
}

// beginBatch sends what was deferred to any shard that can parse it. The batch may go elsewhere yet, and a transaction that no backend has joined is
// not begun for that.
func (s *session) beginBatch() *pgwire.Error {
	if s.batch.link != nil || len(s.batch.deferred) == 0 {
		return nil
	}
	r := s.deferredAt()
	var l *link
	var e *pgwire.Error
	if !s.place.single() && !s.joinedBy(r) {
		l, e = s.stepAside(s.shardFor(&r))
	} else {
		l, e = s.enlist(&r)
	}
	if e != nil {
		return e
	}
	s.batch.link = l
	s.applyDeferred(l)
	return nil
}
