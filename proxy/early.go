package proxy

import (
	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/router"
)

// isEarly reports whether a statement inside a transaction is about the transaction or the session's settings, so that it enlists
// no shard: before the first routed statement it is answered as PostgreSQL would and sent along, and once several shards take
// part all of them hear of it (design, "Transactions").
func (s *session) isEarly(q *router.Query, r router.Route) bool {
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
	l, e := s.join(s.shardFor(router.Route{}), pool.Primary)
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
	if l := s.batch.link; l != nil && !l.aside {
		s.fail(&pgwire.Error{Code: "0A000", Message: "a statement for several shards must be the only one before its Sync",
			Hint: "send a Sync before and after it"})
		return false
	}
	if !s.leaveAside() {
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
	l := s.batch.link
	if l == nil || !l.aside {
		return true
	}
	if s.tx.open || r.Kind == router.Every || r.Kind == router.Single && r.Shard != l.shard || r.Write && l.isReplica() {
		return s.leaveAside()
	}
	l.aside = false
	return true
}

// leaveAside gives back the batch's backend if it serves Parse and Describe only, once it has answered those. It reports as
// settleAside does.
func (s *session) leaveAside() bool {
	l := s.batch.link
	if l == nil || !l.aside {
		return true
	}
	if !s.settleBatch() || s.skipping {
		return false
	}
	l.send(pgwire.AppendSync(l.conn.QueueBuffer()), reply{kind: pgwire.MsgSync, do: skip})
	if e := s.drainSkipped(l); e != nil {
		s.fail(e)
		return false
	}
	s.batch.link = nil
	l.aside = false
	s.release(l)
	return true
}
