package proxy

import "github.com/pgdrover/pgdrover/pgwire"

// A session that waits for a backend to send a plain Query or a Bind to, or for the answer to a plain Query or to a batch that has ended, needs no stack:
// what is to be done then is the same for all of them. So it ends its turn, as one does that waits for its client, and goes on in the next.

// errQueued says that the turn ends, to wait for a backend. No client hears of it.
var errQueued = &pgwire.Error{Code: "XX000", Message: "the session waits for a backend"}

// queuesLater ends the turn until the pool has served the request of l, if that can be done, which it reports: for a plain Query or a Bind, which acquire
// then goes on with.
func (s *session) queuesLater(l *link) bool {
	if !s.mayQueue {
		return false
	}
	if s.resting = s.t.RestUntil(l.req.Deadline()); s.resting {
		s.queued = l
	}
	return s.resting
}

// mayAnswerLater reports whether the turn may end until the backend has answered. It may not where the time of the statement is limited.
func (s *session) mayAnswerLater(l *link) bool {
	return len(s.links) == 1 && l.lost == nil && l.conn.Pending() == 0 && (s.client.Pending() == 0 || s.holdsBack(l)) && s.limits.Load().Statement == 0
}

// answerLater ends the turn until the backend has answered, if that can be done, or does at once what is left to do. It reports whether the session goes on in
// this turn.
func (s *session) answerLater(l *link) bool {
	s.awaited = l
	if s.mayAnswerLater(l) {
		if s.resting = s.t.RestOn(l.conn); s.resting {
			return false
		}
	}
	return s.answeredLater()
}

// goOn does what is left to do of what the last turn ended to wait for. It reports whether the session goes on.
func (s *session) goOn() bool {
	switch {
	case s.rested:
		return s.awaitClient()
	case s.awaited != nil:
		return s.answeredLater()
	}
	return s.queued == nil || s.servedLater()
}

// servedLater goes on with a plain Query or a Bind once the pool has served its request, or at any other time: then it is waited for here.
func (s *session) servedLater() bool {
	if !s.batch.open {
		return s.simpleOnShard()
	}
	goOn := s.bindOnShard(s.frameInHand(), s.portalOf(s.bound.Portal))
	s.take()
	return goOn && !s.cut.Load()
}

// answeredLater does what is left to do of a Query or a batch once its answer has come, or at any other time: then it is waited for here.
func (s *session) answeredLater() bool {
	l := s.awaited
	s.awaited = nil
	if len(l.conn.Buffered()) > 0 || l.conn.Fill() {
		s.pump(l)
	}
	if s.batch.open {
		return s.synchronise(l)
	}
	if l.busy() && !s.finish(l) {
		return false
	}
	s.skipping = false
	if l.lost != nil && l.retry {
		return s.simpleElsewhere(l)
	}
	return s.unitEnd()
}

// simpleElsewhere sends a Query again, to another node than the one that could not answer.
func (s *session) simpleElsewhere(l *link) bool {
	not := s.elsewhere(l, &s.routed)
	return s.simpleOnNode(nil, nil, not)
}
