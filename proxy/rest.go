package proxy

import "github.com/pgdrover/pgdrover/internal/task"

// Turn is the life of the session up to its next rest, or its end. It reports whether that is a rest.
func (s *session) Turn(t *task.Task) (rests bool) {
	if s.underway || s.logIn(t) {
		s.takeScratch()
		s.resting = false
		for goOn := s.goOn(); goOn && !s.killed.Load(); {
			goOn = s.advance()
		}
		if !s.resting {
			s.farewell()
		}
	}
	if s.resting {
		s.putScratch()
		return true
	}
	s.leave()
	return false
}

// logIn is what comes before the client's first message. It reports whether the session goes on; if not, it rests until more has come, and logIn is to
// be called again, or it ends, as one does that has failed.
func (s *session) logIn(t *task.Task) bool {
	s.resting = false
	if s.faulty {
		s.fatal("XX000", "internal error of PgDrover", "please report it with PgDrover's log of this moment")
		return false
	}
	if s.t == nil {
		s.t, s.began = t, t.Moment()
		s.entered = s.arrive() && s.srv.enter(s)
	}
	if !s.entered {
		return false
	}
	s.underway = s.start() && s.welcomed()
	return s.underway && !s.restsAtOnce()
}

// leave ends a session that does not go on.
func (s *session) leave() {
	if s.entered {
		s.end()
		if !s.faulty {
			s.putScratch()
		}
		s.srv.leave(s)
	}
	s.depart()
	s.client.Close()
}

// Failed keeps a mistake in one session from ending all others.
func (s *session) Failed(fault any, stack []byte) {
	s.underway, s.faulty = false, true
	s.srv.metrics.Panics.Add(1)
	s.log().Error("a session failed", "panic", fault, "stack", string(stack))
}

// advance takes the session one message further. It reports whether it goes on at once.
func (s *session) advance() bool {
	switch {
	case s.db == nil:
		return s.consoleStep()
	case s.replicates:
		return s.replicate()
	}
	return s.step()
}

// mayRest reports whether there is nothing to wait for but the client's next message.
func (s *session) mayRest() bool {
	if s.batch.open || s.ear != nil || s.client.Flush() != nil || s.client.Pending() > 0 || s.cut.Load() {
		return false
	}
	for _, l := range s.links {
		if l.busy() || l.hold != 0 {
			return false
		}
	}
	return true
}

// rest waits for the client's next message, in a turn to come if it is not there yet. It reports whether the session goes on at once.
func (s *session) rest() bool {
	s.forgetMessage()
	return s.awaitClient()
}

// awaitClient is rest for a session that has nothing in hand.
func (s *session) awaitClient() bool {
	s.resting = s.t.Rest()
	s.rested = s.resting
	return !s.resting && s.heard()
}
