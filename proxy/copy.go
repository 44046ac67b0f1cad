package proxy

import (
	"errors"
	"time"

	"github.com/pgdrover/pgdrover/internal/task"
	"github.com/pgdrover/pgdrover/pgwire"
)

// copyFromClient moves what the client has sent of COPY data to the backend, frame by frame or in pieces. It reports whether the
// session goes on. What else may come during COPY: Flush and Sync, which the server ignores, and which it is therefore not sent;
// anything else ends the COPY with an error, which the server raises (manual, "COPY Operations").
func (s *session) copyFromClient(l *link) bool {
	if s.cur > 0 {
		s.query = *s.query.Clone() // its text is about to be consumed
		s.take()
	}
	short := false // a message is not whole
	for l.copyIn && !short && l.conn.Pending() <= queueLimit {
		b := s.client.Buffered()
		if s.copyRest > 0 {
			n := min(s.copyRest, len(b))
			if short = n == 0; short {
				continue
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
		if short = size == 0 || typ != pgwire.MsgCopyData && len(b) < size; short {
			continue
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
		s.consume(size) // what does not belong there the server answers with an error
		if f := l.replies.first(); f != nil && f.kind == pgwire.MsgExecute {
			l.conn.SetQueue(pgwire.AppendFlush(l.conn.QueueBuffer())) // else it says nothing until Sync
		}
	}
	_ = l.conn.Flush()
	return s.client.ReadErr() == nil || !short || !l.copyIn
}

// copyTail gives the backend the rest of a CopyData that was being moved when the COPY failed: it discards that, and must have all of
// it before it can be anyone else's. It reports whether the session goes on.
func (s *session) copyTail(l *link) bool {
	for s.copyRest > 0 || l.conn.Pending() > 0 {
		b := s.client.Buffered()
		n := min(s.copyRest, len(b))
		l.conn.QueueOrWrite(b[:n])
		s.consume(n)
		s.copyRest -= n
		if s.copyRest == 0 && l.conn.Flush() == nil && l.conn.Pending() == 0 {
			break
		}
		gone := s.copyRest > 0 && len(s.client.Buffered()) == 0 && s.client.ReadErr() != nil
		if gone || s.client.Flush() != nil || l.conn.WriteErr() != nil || s.cut.Load() {
			l.lost = errHalfFrame
			return false
		}
		s.t.Wait(time.Time{}, task.Writing(l.conn),
			task.Interest{Conn: s.client, Read: s.copyRest > 0 && l.conn.Pending() <= queueLimit, Write: s.client.Pending() > 0})
	}
	return true
}

// errHalfFrame says that a backend waits for the rest of a message that will not come.
var errHalfFrame = errors.New("the client left in the middle of a message")

// copyMessage takes a message of COPY that no COPY was seen to wait for. If one may be about to begin, the message stays for it, else
// it is late: the COPY has failed already (manual, "COPY Operations").
func (s *session) copyMessage() bool {
	if l := s.batch.link; l == nil || !l.busy() || s.skipping {
		return true
	}
	s.cur = 0
	return s.settleBatch()
}

// copyEnded swallows the rest of a frame that was being moved when its backend was lost. It reports whether the session goes on.
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
