package proxy

import "time"

// slowAfter is how long an answer may take until the session begins to look whether its client is still there to read it.
const slowAfter = time.Second

// watchSlow wakes sessions whose statement takes long, again and again, so that they look for their client, until Shutdown. Waiting
// for the client beside the backend would cost every statement; so it costs the slow ones.
func (s *Server) watchSlow() {
	tick := time.NewTicker(slowAfter)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		late := time.Now().Add(-slowAfter).UnixNano()
		s.each(func(ss *session) {
			if since := ss.busySince.Load(); since > 0 && since < late {
				ss.slow.Store(true)
				ss.t.Wake()
			}
		})
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
	s.slow.Store(false)
}
