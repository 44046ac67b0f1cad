package proxy

import (
	"strings"

	"github.com/pgdrover/pgdrover/pgwire"
)

// frame looks at one whole frame of a backend: it keeps the queue of replies and the session's state in step, and says what
// becomes of the frame.
func (s *session) frame(l *link, frame []byte) verdict {
	first := l.replies.first()
	switch frame[0] {
	case pgwire.MsgDataRow, pgwire.MsgCopyData, pgwire.MsgCopyDone, pgwire.MsgCopyOut, pgwire.MsgFunctionCallResponse:
		s.answering(l)
		return l.passed(first, frame)
	case pgwire.MsgNoticeResponse:
		return s.notice(l, first, frame)
	case pgwire.MsgParameterStatus:
		return s.parameterStatus(l, frame)
	case pgwire.MsgNotification:
		return s.notified(l, frame)
	}
	if first == nil {
		return s.unasked(l, frame)
	}
	switch frame[0] {
	case pgwire.MsgParseComplete:
		return s.prepareStep(l, first, frame, pgwire.MsgParse)
	case pgwire.MsgBindComplete:
		return s.prepareStep(l, first, frame, pgwire.MsgBind)
	case pgwire.MsgCloseComplete:
		return s.prepareStep(l, first, frame, pgwire.MsgClose)
	case pgwire.MsgNoData, pgwire.MsgRowDescription:
		return s.described(l, first, frame)
	case pgwire.MsgParameterDescription:
		return l.parameters(first, frame)
	case pgwire.MsgCopyIn:
		l.copyIn = true
		if l.replies.has(pgwire.MsgSync) { // the server ignores one that came before the data (manual, "COPY Operations")
			l.replies.remove(pgwire.MsgSync)
			l.unsynced, l.replies.open = true, true
		}
		s.answering(l)
		return l.passed(first, frame)
	case pgwire.MsgCommandComplete, pgwire.MsgEmptyQuery, pgwire.MsgPortalSuspended:
		return s.executed(l, first, frame)
	case pgwire.MsgErrorResponse:
		return s.failed(l, first, frame)
	case pgwire.MsgReadyForQuery:
		return s.readyAgain(l, first, frame)
	}
	l.lost = protocolError(frame[0])
	return stop
}

// notice is a notice, about what the client has sent or what the session has.
func (s *session) notice(l *link, first *reply, frame []byte) verdict {
	if first != nil && first.do == skip && !first.aloud {
		l.collect(frame)
		return drop
	}
	s.answering(l)
	if first != nil {
		if named := inClientsWords(first, frame); named != nil {
			l.replies.pushFront(reply{do: fake, fake: named})
			return drop
		}
	}
	return pass
}

// passed is the verdict on a frame of the answer that is arriving, to the oldest message; nil: to none.
func (l *link) passed(first *reply, frame []byte) verdict {
	if first == nil || first.do == forward {
		return pass
	}
	l.collect(frame)
	return drop
}

// unasked is a frame that answers nothing: only an error is allowed then, after which the server closes.
func (s *session) unasked(l *link, frame []byte) verdict {
	if frame[0] != pgwire.MsgErrorResponse {
		l.lost = protocolError(frame[0])
		return stop
	}
	e, err := pgwire.DecodeError(frame)
	if err != nil {
		l.lost = err
		return stop
	}
	l.lost = e
	return stop
}

// prepareStep is the reply to a message of a kind, which is the last to it: Parse, Bind, Close or Describe.
func (s *session) prepareStep(l *link, first *reply, frame []byte, kind byte) verdict {
	if first.kind != kind {
		l.lost = protocolError(frame[0])
		return stop
	}
	v := l.passed(first, frame)
	if v == pass {
		if first.of != nil {
			first.of.proven = true
		}
		if s.tape.on {
			s.tape.done(first)
		}
	}
	s.settled(first)
	l.replies.drop()
	return v
}

// described is what a backend says of the rows that are asked for, or that come.
func (s *session) described(l *link, first *reply, frame []byte) verdict {
	switch first.kind {
	case pgwire.MsgQuery, pgwire.MsgExecute:
		return l.passed(first, frame)
	case describeStatement:
		if first.name != nil {
			s.see(l, first, frame)
		}
		return s.prepareStep(l, first, frame, describeStatement)
	}
	return s.prepareStep(l, first, frame, pgwire.MsgDescribe)
}

// parameters is the first of the two replies to Describe of a statement.
func (l *link) parameters(first *reply, frame []byte) verdict {
	if first.do == skip {
		l.described = append(l.described[:0], frame...)
	} else if first.half { // the client has it already
		return drop
	}
	first.half = first.do == forward
	return l.passed(first, frame)
}

// executed is the end of one statement.
func (s *session) executed(l *link, first *reply, frame []byte) verdict {
	s.answering(l)
	v := l.passed(first, frame)
	l.copyIn = false
	if frame[0] == pgwire.MsgCommandComplete {
		tag, err := pgwire.CommandTag(frame)
		if err != nil {
			l.lost = err
			return stop
		}
		if l.sink != nil && first.do == skip {
			l.sink.tag = string(tag)
		}
		s.completed(l, first, tag)
	}
	s.clockAgain(first)
	if first.kind == pgwire.MsgExecute {
		if first.do == forward {
			s.tape.stop()
		}
		l.replies.drop()
	}
	return v
}

// failed is an error of the backend. In the extended protocol the server discards what follows, up to Sync.
func (s *session) failed(l *link, first *reply, frame []byte) verdict {
	if l.retry {
		if e := s.unable(frame); e != nil {
			l.lost = e
			return stop
		}
	}
	extended := first.kind != pgwire.MsgQuery && first.kind != pgwire.MsgFunctionCall
	if extended && s.mend(l, first, frame) || s.mendSimple(l, first, frame) {
		return drop
	}
	s.answering(l)
	l.copyIn = false
	if !first.quiet || s.tx.open {
		s.tx.fault(l)
	}
	if l.captured != nil {
		l.captured.spoil()
	}
	v := pass
	told := s.timedOut(frame)
	if told != nil {
		frame = told
	}
	if first.quiet || first.do == skip && (l.sink != nil || !extended) {
		l.fault(first, frame)
		v = drop
	}
	if last := lastWords(frame); last != nil {
		l.lost = last
		return stop
	}
	named := inClientsWords(first, frame)
	if extended {
		s.discardReplies(l, string(pgwire.ErrorField(frame, pgwire.FieldCode)))
	}
	if named != nil {
		told = named
	}
	if told != nil && v == pass {
		l.replies.pushFront(reply{do: fake, fake: told})
		v = drop
	}
	return v
}

// unable says why a replica could not answer, if the error is about the replica and not about the statement.
func (s *session) unable(frame []byte) error {
	code := string(pgwire.ErrorField(frame, pgwire.FieldCode))
	switch {
	case undefined(code) && s.db.catalog.redefinedLately():
		return errReadOnly // it may not have replayed what was defined a moment ago
	case code == "25006" || code == "40001": // it writes; or it conflicts with what the replica has to replay
		return errReadOnly
	case strings.HasPrefix(code, "57P"): // it is being stopped, or starts
		if e, err := pgwire.DecodeError(frame); err == nil {
			return e
		}
	}
	return nil
}

// undefined reports whether a SQLSTATE says that something does not exist.
func undefined(code string) bool {
	switch code {
	case "42P01", "42703", "42704", "42883", "3F000":
		return true
	}
	return false
}

// lastWords is what a server says before it ends the connection; nil when it goes on after an error.
func lastWords(frame []byte) error {
	switch string(pgwire.ErrorField(frame, pgwire.FieldSeverity)) {
	case pgwire.SeverityFatal, pgwire.SeverityPanic:
	default:
		return nil
	}
	e, err := pgwire.DecodeError(frame)
	if err != nil {
		return err
	}
	return e
}

// fault notes the first error of messages of the session's own, in the client's words.
func (l *link) fault(r *reply, frame []byte) {
	if l.sink == nil || l.sink.fault != nil {
		return
	}
	if own := inClientsWords(r, frame); own != nil {
		frame = own
	}
	if e, err := pgwire.DecodeError(frame); err == nil {
		e.Severity = pgwire.SeverityError // the backend may end with it, the session does not
		l.sink.fault = e
	} else {
		l.sink.fault = errProtocol
	}
}

// readyAgain is a ReadyForQuery: the backend has carried out all before it.
func (s *session) readyAgain(l *link, first *reply, frame []byte) verdict {
	status, err := pgwire.ReadyStatus(frame)
	if err != nil || first.kind != pgwire.MsgQuery && first.kind != pgwire.MsgSync && first.kind != pgwire.MsgFunctionCall {
		l.lost = protocolError(frame[0])
		return stop
	}
	skipped := first.do == skip
	l.replies.drop()
	l.status = status
	l.copyIn, l.unsynced = false, false
	if skipped {
		s.tape.ready = s.tape.mending && l == s.batch.link
		return drop
	}
	s.answering(l)
	s.synced(l, status)
	if s.ear != nil && (s.ear.due || s.ear.begun || !s.tx.open) {
		s.readyOwed = true
		return drop
	}
	return pass
}
