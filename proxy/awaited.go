package proxy

// A session that waits for the answer to a plain Query, or to a batch that has ended, needs no stack: what is to be done with the answer is the same
// for all of them. So it ends its turn, as one does that waits for its client, and goes on in the next.

// mayAnswerLater reports whether that can be done. It cannot where another node may have to be asked, and where the time of the statement is
// limited.
func (s *session) mayAnswerLater(l *link) bool {
	return !l.retry && len(s.links) == 1 && l.lost == nil && l.conn.Pending() == 0 && (s.client.Pending() == 0 || s.holdsBack(l)) && s.limits.Load().Statement == 0
}

// answerLater ends the turn until the backend has answered, or does at once what is left to do. It reports whether the session goes on in this turn.
func (s *session) answerLater(l *link) bool {
	s.awaited = l
	if s.resting = s.t.RestOn(l.conn); s.resting {
		return false
	}
	return s.answeredLater()
}

// answeredLater does what is left to do of what the last turn ended to wait for, if that was an answer. It reports whether the session goes on.
func (s *session) answeredLater() bool {
	l := s.awaited
	if l == nil {
		return true
	}
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
	return s.unitEnd()
}
