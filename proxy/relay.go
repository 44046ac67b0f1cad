package proxy

import (
	"errors"
	"fmt"
	"time"

	"github.com/pgdrover/pgdrover/internal/task"
	"github.com/pgdrover/pgdrover/pgwire"
)

// maxBackendFrame bounds a message of a backend that is looked into, in bytes. Rows and COPY data are streamed and may be larger.
const maxBackendFrame = 1 << 30

// What becomes of a frame of a backend.
type verdict uint8

const (
	pass verdict = iota // on to the client
	drop                // not for the client
	stop                // the link can not go on
)

// finish relays until no reply of the link is outstanding, or until the client has to speak.
// It returns false when the session can not go on.
func (s *session) finish(l *link) bool {
	s.clock(l)
	ok := s.relayAll(l)
	s.stopClock()
	return ok
}

// relayAll does the work of finish.
func (s *session) relayAll(l *link) bool {
	_ = l.conn.Flush()
	for l.busy() && l.lost == nil {
		s.stopOverdue()
		if l.copyIn && !s.copyFromClient(l) {
			return false
		}
		if !s.holdsBack(l) && s.client.Flush() != nil || s.cut.Load() {
			return false
		}
		if s.abandoned() && !l.copyIn {
			return false
		}
		s.waitFor(l)
		s.pump(l)
	}
	return s.copyRest == 0 || l.lost != nil || s.copyTail(l)
}

// waitFor parks until the backend sent something, or there is room for what waits to be written. While one side is being written
// the other is being read, so that neither can block both.
func (s *session) waitFor(l *link) {
	held := s.holdsBack(l)
	clientFull := !held && s.client.Pending() > queueLimit
	var on [2]task.Interest
	on[0] = task.Interest{Conn: l.conn, Read: !clientFull, Write: l.conn.Pending() > 0}
	n := 1
	if l.copyIn || clientFull || !held && s.client.Pending() > 0 {
		on[1] = task.Interest{Conn: s.client, Read: l.copyIn && l.conn.Pending() <= queueLimit, Write: !held && s.client.Pending() > 0}
		n = 2
	}
	s.t.Wait(time.Time{}, on[:n]...)
}

// holdsBack reports whether what is queued for the client is not to be written yet: another node may still answer instead, or it is only
// what PgDrover has answered itself of a batch, which goes out with what the backend says.
func (s *session) holdsBack(l *link) bool {
	return l.retry || s.batch.ahead > 0 && s.batch.ahead == s.client.Pending()
}

// pump relays what has arrived on a link.
func (s *session) pump(l *link) {
	if l.lost != nil {
		return
	}
	if b := l.conn.Buffered(); s.plainAnswer(l, b) {
		s.pass(l, b)
		l.conn.Discard(len(b))
	} else if !s.pumpFrames(l) {
		return
	}
	if l.conn.ReadErr() != nil || l.conn.WriteErr() != nil {
		s.connectionEnded(l)
	}
}

// pumpFrames is pump for what has to be looked at frame by frame. It reports whether the link still is one.
func (s *session) pumpFrames(l *link) bool {
	for {
		b := l.conn.Buffered()
		n, ok := s.relay(l, b)
		if l.backend == nil {
			return false // released by what it said
		}
		l.conn.Discard(n)
		if !ok {
			s.linkLost(l)
			return false
		}
		if n == 0 || n == len(b) {
			break
		}
	}
	if s.tape.ready && l == s.batch.link && l.lost == nil {
		s.resendAll(l)
	}
	l.conn.Reserve(l.need)
	return true
}

// connectionEnded notes that a side of a backend's connection has ended, once all that has come before was relayed.
func (s *session) connectionEnded(l *link) {
	err := l.conn.ReadErr()
	if err == nil && len(l.conn.Buffered()) == 0 && !l.conn.Fill() {
		err = l.conn.WriteErr()
	}
	if err != nil && l.lost == nil {
		l.lost = err
		s.linkLost(l)
	}
}

// relay forwards the whole frames at the head of b, in as few writes as can be, and the begun large one. It returns how many
// bytes it is done with; false when the link is lost.
func (s *session) relay(l *link, b []byte) (int, bool) {
	l.need = 0
	start, i := 0, 0 // b[start:i] is to be forwarded
	for i < len(b) {
		if l.rest > 0 {
			start, i = s.relayRest(l, b, start, i)
			continue
		}
		typ, size, err := pgwire.Peek(b[i:], maxBackendFrame)
		if err != nil {
			l.lost = err
			return i, false
		}
		if size == 0 {
			break
		}
		if len(b)-i < size {
			if !streamed(typ) {
				l.need = size
				break
			}
			l.rest, l.restSkip = size, !l.forwards()
			if !l.restSkip {
				s.answering(l)
			}
			continue
		}
		if typ == pgwire.MsgDataRow && l.forwards() {
			s.answering(l)
			i += size
			continue
		}
		v := s.frame(l, b[i:i+size])
		if v == stop {
			s.pass(l, b[start:i])
			return i, false
		}
		if v == drop {
			s.pass(l, b[start:i])
			start = i + size
		}
		i += size
		if f := l.replies.first(); f != nil && f.do == fake {
			s.pass(l, b[start:i])
			start = i
			s.fakes(l)
		}
	}
	s.pass(l, b[start:i])
	return i, true
}

// relayRest takes more of the large frame that has begun. It returns what start and i of relay are then.
func (s *session) relayRest(l *link, b []byte, start, i int) (int, int) {
	n := min(l.rest, len(b)-i)
	l.rest -= n
	if !l.restSkip {
		return start, i + n
	}
	s.pass(l, b[start:i])
	l.collect(b[i : i+n])
	return i + n, i + n
}

// streamed reports whether frames of a type are forwarded as they arrive, before they are whole.
func streamed(typ byte) bool {
	return typ == pgwire.MsgDataRow || typ == pgwire.MsgCopyData || typ == pgwire.MsgFunctionCallResponse
}

// forwards reports whether the answer that is arriving is the client's.
func (l *link) forwards() bool {
	f := l.replies.first()
	return f == nil || f.do == forward
}

// pass hands bytes to the client. While another node may still answer instead, they are queued and not written.
func (s *session) pass(l *link, p []byte) {
	if len(p) == 0 {
		return
	}
	if l.captured != nil {
		l.captured.add(p)
	}
	if l.retry {
		s.client.Queue(p)
		return
	}
	s.client.QueueOrWrite(p)
}

// answering says that the answer has begun to reach the client: no other node may give it now.
func (s *session) answering(l *link) { l.retry = false }

// fakes tells the client what it is owed for messages that no backend got, up to the next reply of the backend.
func (s *session) fakes(l *link) {
	for f := l.replies.first(); f != nil && f.do == fake; f = l.replies.first() {
		s.client.Queue(f.fake)
		s.settled(f)
		l.replies.drop()
	}
}

// collect gives skipped bytes to whoever waits for them.
func (l *link) collect(p []byte) {
	if l.sink != nil && l.sink.keep {
		l.sink.frames = append(l.sink.frames, p...)
	}
}

// command relays until no reply of the link is outstanding, giving the skipped ones to out. It is for messages of the session's
// own; what was outstanding before goes to the client. A zero deadline is none.
func (s *session) command(l *link, out *sink, deadline time.Time) {
	l.sink = out
	for l.busy() && l.lost == nil && !s.cut.Load() {
		_ = l.conn.Flush()
		if s.t.Wait(deadline, task.Interest{Conn: l.conn, Read: true, Write: l.conn.Pending() > 0}) {
			l.lost = errTooSlow
			s.linkLost(l)
			break
		}
		s.pump(l)
	}
	l.sink = nil
	switch {
	case out.fault != nil:
	case l.lost != nil:
		out.fault = l.lostFault()
	case l.busy():
		out.fault = errShutdown
	}
}

func (l *link) node() string {
	if l.backend == nil {
		return "?"
	}
	return l.backend.Node().String()
}

var (
	errTooSlow  = errors.New("the node did not answer in time")
	errNotReset = errors.New("the transaction could not be rolled back")
)

// protocolError says that a backend sent what the protocol does not allow here.
func protocolError(typ byte) error {
	return fmt.Errorf("unexpected %s from the server", pgwire.MessageName(false, typ))
}
