package proxy

import (
	"runtime/debug"

	"github.com/pgdrover/pgdrover/internal/task"
)

// Turn is the life of the session up to its next rest, or its end. It reports whether that is a rest.
func (s *session) Turn(t *task.Task) (rests bool) {
	if s.t == nil {
		s.t, s.wake, s.began = t, t.Wake, t.Now()
		s.entered = s.arrive() && s.srv.enter(s)
	}
	if s.entered {
		s.takeScratch()
		if s.run() {
			s.putScratch()
			return true
		}
		s.putScratch()
		s.srv.leave(s)
	}
	s.depart()
	s.client.Close()
	return false
}

// run carries out what the client wants, until the session rests, which it reports, or ends.
func (s *session) run() (rests bool) {
	defer func() {
		if !rests {
			s.end()
		}
	}()
	defer s.recoverPanic()
	if !s.loggedIn {
		until := s.t.Now().Add(s.cfg.AuthTime)
		if !s.start(until) || !s.flushOut(until) {
			return false
		}
		s.loggedIn = true
	}
	s.resting = false
	for goOn := s.goOn(); goOn && !s.killed.Load(); {
		goOn = s.advance()
	}
	if !s.resting {
		s.farewell()
	}
	return s.resting
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

// recoverPanic keeps a mistake in one session from ending all others.
func (s *session) recoverPanic() {
	if p := recover(); p != nil {
		s.srv.metrics.Panics.Add(1)
		s.log().Error("a session failed", "panic", p, "stack", string(debug.Stack()))
		s.fatal("XX000", "internal error of PgDrover", "please report it with PgDrover's log of this moment")
	}
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
