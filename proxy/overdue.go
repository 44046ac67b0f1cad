package proxy

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/pgdrover/pgdrover/pgwire"
)

// overdue is what the watch over sessions and the session itself tell each other about times that are limited. A moment, in Unix
// nanoseconds, says what it is about: the session sets it when something begins, and the watch repeats it when it has taken too long.
type overdue struct {
	runs  atomic.Int64 // since when the statement in hand runs on backends
	idles atomic.Int64 // since when the client has left a transaction open without a word
	found atomic.Int64 // the one of them that is over its limit
}

// watch looks whether a time of the session is over its limit, and wakes the session if so. It is not the session's.
func (s *session) watch(now time.Time) {
	l := s.limits.Load()
	late := func(since, limit int64) bool {
		return limit > 0 && since != 0 && now.UnixNano()-since >= limit && s.overdue.found.Load() != since
	}
	if since := s.overdue.runs.Load(); late(since, int64(l.Statement)) {
		s.overdue.found.Store(since)
		s.t.Wake()
	}
	if since := s.overdue.idles.Load(); late(since, int64(l.IdleTransaction)) {
		s.overdue.found.Store(since)
		s.t.Wake()
	}
}

// clock begins to measure what a backend has in hand, if its time is limited. The time is for one statement. Of those of one Query a
// server tells the end only with that of the last, so they have as many times as long together.
func (s *session) clock(l *link) {
	if limit := s.limits.Load().Statement; limit > 0 {
		s.overdue.runs.Store(time.Now().Add(time.Duration(l.inHand()-1) * limit).UnixNano())
	}
}

// inHand is how many statements a link has in one Query, and 1 where it has none.
func (l *link) inHand() int {
	n := 1
	for i := range l.replies.n {
		if r := l.replies.at(i); r.kind == pgwire.MsgQuery && r.text != nil {
			n = max(n, len(r.text.Statements()))
		}
	}
	return n
}

// clockAgain begins anew for the next statement of a batch, as PostgreSQL does (manual, "statement_timeout").
func (s *session) clockAgain(r *reply) {
	if r.kind == pgwire.MsgExecute && s.overdue.runs.Load() != 0 {
		s.overdue.runs.Store(time.Now().UnixNano())
	}
}

// stopClock ends the measuring.
func (s *session) stopClock() {
	if s.overdue.runs.Load() != 0 {
		s.overdue.runs.Store(0)
	}
	s.stopped = false
}

// tellApart has a backend answer what it was sent of a batch before the next Execute, if a statement's time is limited: otherwise it
// might keep the answers until the Sync, and nobody could tell how long which of them took.
func (s *session) tellApart(l *link) {
	if s.batch.executes && s.limits.Load().Statement > 0 {
		l.conn.SetQueue(pgwire.AppendFlush(l.conn.QueueBuffer()))
	}
	s.batch.executes = true
}

// stopOverdue asks the nodes to stop what has run for too long. It returns when they have passed that on, so that it cannot concern
// anything that the session sends later. A node that had not begun the statement yet ignores it: it is asked again in time.
func (s *session) stopOverdue() {
	since := s.overdue.runs.Load()
	if since == 0 || s.overdue.found.Load() != since {
		return
	}
	if !s.stopped {
		s.srv.metrics.crossed(LimitKey{s.db.Name(), limitStatement})
	}
	s.stopped = true
	s.t.Await(func() {
		ctx, done := context.WithTimeout(context.Background(), cancelTime)
		defer done()
		for _, l := range s.links {
			if !l.busy() || l.lost != nil {
				continue
			}
			if err := l.backend.Cancel(ctx, &l.req); err != nil {
				s.log().Warn("a statement that ran for too long could not be stopped", "node", l.node(), "error", err)
			}
		}
	})
	s.overdue.runs.Store(time.Now().UnixNano())
}

// timedOut is the error that a backend gave because it was told to stop, in the words of PostgreSQL's own statement_timeout; nil for
// any other frame.
func (s *session) timedOut(frame []byte) []byte {
	if !s.stopped || string(pgwire.ErrorField(frame, pgwire.FieldCode)) != errCancelled.Code {
		return nil
	}
	e, err := pgwire.DecodeError(frame)
	if err != nil {
		return nil
	}
	e.Message = "canceling statement due to statement timeout"
	e.Hint = "the limit is \"limits: statement_timeout\" of the user or the database in pgdrover.yaml"
	return pgwire.AppendError(nil, e)
}

// idle notes that the session waits for its client, inside a transaction or not.
func (s *session) idle(inTransaction bool) {
	switch {
	case inTransaction && s.limits.Load().IdleTransaction > 0:
		s.overdue.idles.Store(time.Now().UnixNano())
	case s.overdue.idles.Load() != 0:
		s.overdue.idles.Store(0)
	}
}

// idledTooLong ends a session whose client has left its transaction open for too long, as idle_in_transaction_session_timeout does.
// It reports whether that is so; the client has been told then.
func (s *session) idledTooLong() bool {
	since := s.overdue.idles.Load()
	return since != 0 && s.overdue.found.Load() == since && !s.complete() && s.endIdle()
}

// endIdle ends the session for that.
func (s *session) endIdle() bool {
	s.srv.metrics.crossed(LimitKey{s.db.Name(), limitIdleTransaction})
	s.fatal("25P03", "terminating connection due to idle-in-transaction timeout",
		"the limit is \"limits: idle_transaction_timeout\" of the user or the database in pgdrover.yaml")
	return true
}
