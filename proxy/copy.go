package proxy

import "github.com/pgdrover/pgdrover/pgwire"

// copyFromClient moves what the client has sent of COPY data to the backend, frame by frame or in pieces. It reports whether the
// session goes on. What else may come during COPY: Flush and Sync, which the server ignores, and which it is therefore not sent;
// anything else ends the COPY with an error, which the server raises (manual, "COPY Operations").
func (s *session) copyFromClient(l *link) bool {
	if s.cur > 0 {
		s.query = *s.query.Clone() // its text is about to be consumed
		s.take()
	}
	for l.copyIn && l.conn.Pending() <= queueLimit {
		b := s.client.Buffered()
		if s.copyRest > 0 {
			n := min(s.copyRest, len(b))
			if n == 0 {
				break
			}
			l.conn.QueueOrWrite(b[:n])
			s.consume(n)
			s.copyRest -= n
			continue
		}
		typ, size, err := pgwire.Peek(b, s.cfg.MaxFrame)
		if err != nil {
			s.fatal("08P01", "invalid message length", "")
			return false
		}
		if size == 0 || typ != pgwire.MsgCopyData && len(b) < size {
			break
		}
		switch typ {
		case pgwire.MsgCopyData:
			s.copyRest = size
			continue
		case pgwire.MsgFlush, pgwire.MsgSync:
			s.consume(size)
			continue
		case pgwire.MsgTerminate:
			return false
		}
		l.copyIn = false
		l.conn.Queue(b[:size])
		if typ != pgwire.MsgCopyDone && typ != pgwire.MsgCopyFail {
			s.consume(size) // the server answers it with an error and, in the simple protocol, goes on
			continue
		}
		s.consume(size)
	}
	_ = l.conn.Flush()
	return s.client.ReadErr() == nil || len(s.client.Buffered()) > 0 || !l.copyIn
}

// copyEnded swallows the rest of a frame that was being moved when the COPY ended early. It reports whether the session goes on.
func (s *session) copyEnded() bool {
	for s.copyRest > 0 {
		b := s.client.Buffered()
		n := min(s.copyRest, len(b))
		s.consume(n)
		s.copyRest -= n
		if s.copyRest > 0 && !s.park(0) {
			return false
		}
	}
	return true
}
