package proxy

import "github.com/pgdrover/pgdrover/router"

// A session that waits for the answer to a plain Query needs no stack: what is to be done with the answer is the same for all of them. So it ends
// its turn, as one does that waits for its client, and goes on in the next.

// mayAnswerLater reports whether that can be done. It cannot where another node may have to be asked, and where the time of the statement is
// limited.
func (s *session) mayAnswerLater(l *link, q *router.Query) bool {
	return q.Plain() && !l.retry && len(s.links) == 1 && l.lost == nil && l.conn.Pending() == 0 && s.client.Pending() == 0 && s.limits.Load().Statement == 0
}

// answerLater ends the turn until the backend has answered, or does at once what is left to do. It reports whether the session goes on in this turn.
func (s *session) answerLater(l *link) bool {
	s.awaited = l
	if s.resting = s.t.RestOn(l.conn); s.resting {
		return false
	}
	return s.answeredLater()
}

// answeredLater does what is left to do of a Query whose answer the last turn ended to wait for, if there is one. It reports whether the session
// goes on.
func (s *session) answeredLater() bool {
	l := s.awaited
	if l == nil {
		return true
	}
	s.awaited = nil
	if len(l.conn.Buffered()) > 0 || l.conn.Fill() {
		s.pump(l)
	}
	if l.busy() && !s.finish(l) {
		return false
	}
	s.skipping = false
	return s.unitEnd()
}
