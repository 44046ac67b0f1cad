package proxy

import (
	"time"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/router"
)

// fail answers a message of the extended protocol with an error of PgDrover's own. What follows is discarded up to Sync, and what
// the batch did is undone, as after an error of the server.
func (s *session) fail(e *pgwire.Error) bool {
	s.srv.metrics.Refused.Add(1)
	if e.Severity == pgwire.SeverityFatal {
		s.flushDeferredFakes()
		s.fatalError(e)
		return false
	}
	s.sweep()
	s.owe(deferred{fake: pgwire.AppendError(nil, e)})
	s.flushDeferredFakes()
	l := s.batch.link
	if l != nil && l.lost == nil && !l.aside {
		s.undoBatch(l)
	} else {
		l = nil
	}
	if s.concernsAlone(l) {
		s.tx.faulted = true // the backend aborts the transaction itself
	} else {
		s.abort()
	}
	s.skipping = true
	if l != nil { // as a server does, the error goes out at once: the client may wait for it before it sends Sync
		s.take()
		if !s.finish(l) {
			return false
		}
		s.skipping = true
	}
	return true
}

// mistake is fail for an error that the server would have found itself: what it has to say of messages before comes first.
func (s *session) mistake(e *pgwire.Error) bool {
	s.sweep()
	if s.batch.link == nil && !s.tx.poisoned {
		if joined := s.inTransaction(); len(joined) == 1 {
			s.batch.link = joined[0]
			s.applyDeferred(joined[0])
		} else if s.tx.open && s.place.single() { // let the only shard know that the transaction is aborted
			_, _ = s.onShard(&router.Route{Kind: router.Single, Write: true})
		} else if unsent := s.beginBatch(); unsent != nil {
			s.flushDeferredFakes()
			return s.fail(unsent)
		}
	}
	return s.fail(e)
}

// concernsAlone reports whether a link is the only one that takes part in the open transaction, or in the batch.
func (s *session) concernsAlone(l *link) bool {
	for _, o := range s.inTransaction() {
		if o != l {
			return false
		}
	}
	return l != nil
}

// malformed has a server say what is wrong with a message whose content cannot be understood.
func (s *session) malformed(frame []byte) bool {
	if s.tx.poisoned {
		return s.fail(&pgwire.Error{Code: "08P01", Message: "invalid message format"})
	}
	l, e := s.onShard(&router.Route{Kind: router.Any, Write: true})
	if e != nil {
		return s.fail(e)
	}
	l.conn.Queue(frame)
	l.replies.push(reply{kind: frame[0]})
	return s.relieve(l)
}

// endImplicit ends the implicit transaction of a batch that a Query follows without a Sync, if no backend gets to see the Query: undo
// says that the Query fails. It returns the error of that end.
func (s *session) endImplicit(undo bool) *pgwire.Error {
	var out sink
	for _, l := range s.links {
		if !l.replies.open || l.busy() || l.lost != nil {
			continue
		}
		if undo {
			s.undoBatch(l)
		}
		l.send(pgwire.AppendSync(l.conn.QueueBuffer()), reply{kind: pgwire.MsgSync, do: skip})
		s.command(l, &out, time.Now().Add(commitTime))
	}
	return out.fault
}

// undoBatch has a backend meet an error, which nobody hears of.
func (s *session) undoBatch(l *link) {
	l.send(pgwire.AppendDescribe(l.conn.QueueBuffer(), 'P', "pgdrover: undo the batch"),
		reply{kind: pgwire.MsgDescribe, do: skip, quiet: true})
}

// duplicate refuses a Parse whose name is in use. As PostgreSQL, it says so only if nothing else is wrong with the statement.
func (s *session) duplicate(m *pgwire.Parse) bool {
	if s.tx.poisoned {
		var q router.Query
		s.analyse(&q, m.Text)
		if s.refusesAborted(&prepared{query: q}) {
			return s.fail(s.abortedError())
		}
	}
	if s.place.single() && !s.tx.poisoned {
		if l, e := s.onShard(&router.Route{Kind: router.Single, Write: true}); e == nil {
			l.prepare(string(m.Text), m.OIDs)
		}
	}
	return s.mistake(&pgwire.Error{Code: "42P05", Message: "prepared statement \"" + string(m.Name) + "\" already exists"})
}
