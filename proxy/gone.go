package proxy

import (
	"time"

	"github.com/pgdrover/pgdrover/internal/task"
)

// slowAfter is how long an answer may take until the session begins to look whether its client is still there to read it.
const slowAfter = time.Second

// watchSlow looks after sessions that take long until Shutdown: it tells them of times that are over their limits, that for logging in among them, and wakes those whose
// statement takes long, again and again, so that they look for their client. Timers, and waiting for the client beside the backend,
// would cost every statement; so it costs the slow ones.
func (s *Server) watchSlow() {
	timer := time.NewTimer(slowAfter)
	defer timer.Stop()
	lately := time.Now()
	for {
		select {
		case <-s.stop:
			return
		case <-timer.C:
		}
		now := time.Now()
		abandoned := now.Sub(lately) >= slowAfter
		if abandoned {
			lately = now
		}
		s.each(func(ss *session) {
			ss.watch(now)
			ss.lateIn(now)
			if abandoned {
				ss.watchClient(now)
			}
		})
		timer.Reset(s.config.Load().pause)
	}
}

// watchClient has a session whose statement takes long look for its client. It is not the session's.
func (s *session) watchClient(now time.Time) {
	if since := s.busySince.Load(); since > 0 && since < int64(task.MomentOf(now.Add(-slowAfter))) {
		s.slow.Store(true)
		s.t.Wake()
	}
}

// abandoned reports that the client is gone while its statement runs. Nobody wants the answer: the backend is given up.
func (s *session) abandoned() bool { return s.slow.Load() && s.client.Gone() }

// atRest notes that the statement in hand is over.
func (s *session) atRest() {
	s.work.statement(&s.timing)
	s.timing = timing{}
	if since := s.busySince.Load(); since > 0 {
		s.busySince.Store(-since)
	}
	if s.slow.Load() {
		s.slow.Store(false)
	}
}
