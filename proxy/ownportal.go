package proxy

import (
	"bytes"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/router"
)

// executeOwn carries out a statement that PgDrover answers. Transaction control goes to the one backend that has joined.
func (s *session) executeOwn(at *portal) bool {
	p := at.stmt
	st := &p.query.Statements()[0]
	if isTransactionVerb(st.Verb) && !s.tx.poisoned {
		if s.place.single() && s.unsent() && !s.startBatch() {
			return false
		}
		l := s.batch.link
		if joined := s.inTransaction(); l == nil && len(joined) == 1 {
			l = joined[0]
		}
		if l != nil && !l.aside && (len(s.inTransaction()) <= 1) {
			return s.executeOn(l, p)
		}
	}
	if st.Verb == router.Prepare {
		return s.executePrepare(&p.query)
	}
	if !s.settleBatch() || s.skipping {
		return s.skipping
	}
	if st.Verb == router.ExplainRoute {
		return s.executeRoute(p)
	}
	rows, tag, e := s.runLocal(&p.query, nil)
	if e != nil {
		return s.fail(e)
	}
	s.owe(deferred{fake: pgwire.AppendCommandComplete(withoutDescription(rows), tag)})
	return true
}

// executeOn runs a statement on a backend that has not been told of it before.
func (s *session) executeOn(l *link, p *prepared) bool {
	if s.batch.link == nil {
		s.batch.link = l
		s.applyDeferred(l)
	}
	l.run(string(p.text), reply{kind: pgwire.MsgExecute, text: &p.query})
	return s.relieve(l)
}

// settleBatch waits until the client has been told all that backends owe it so far.
func (s *session) settleBatch() bool {
	l := s.batch.link
	if l == nil || !l.busy() {
		return true
	}
	l.conn.SetQueue(pgwire.AppendFlush(l.conn.QueueBuffer()))
	return s.finish(l)
}

// executeRoute answers EXPLAIN (ROUTE) in the extended protocol.
func (s *session) executeRoute(p *prepared) bool {
	r, err := s.askInner(&p.query, &s.params)
	if err != nil {
		return s.fail(clientError(err))
	}
	rows := withoutDescription(textRows("ROUTE", s.explain(&p.query, r)))
	s.owe(deferred{fake: pgwire.AppendCommandComplete(rows, "EXPLAIN")})
	return true
}

// describeOwn describes a statement that PgDrover answers.
func (s *session) describeOwn(p *prepared, params bool) []byte {
	var b []byte
	if params {
		b = pgwire.AppendParameterDescription(b, nil)
	}
	switch st := &p.query.Statements()[0]; st.Verb {
	case router.Show:
		return append(b, textRows(st.Name, nil)...)
	case router.ExplainRoute:
		return append(b, textRows("ROUTE", nil)...)
	}
	return pgwire.AppendNoData(b)
}

// givesNothing reports whether it is certain, without a server's word, that a statement has neither rows nor parameters.
func (p *prepared) givesNothing() bool {
	switch st := &p.query.Statements()[0]; st.Verb {
	case router.Empty, router.Set, router.Reset, router.Discard, router.Prepare, router.Deallocate, router.Listen, router.Unlisten, router.Notify,
		router.Declare, router.CloseCursor, router.Lock, router.Do, router.DDL, router.Copy:
		return !bytes.ContainsRune(p.text, '$')
	case router.Insert, router.Update, router.Delete, router.Merge:
		return !bytes.ContainsRune(p.text, '$') && !bytes.Contains(bytes.ToLower(p.text), []byte("returning"))
	case router.Select:
		return st.Hold&router.HoldTempTable != 0 && !bytes.ContainsRune(p.text, '$') // INTO
	case router.Fetch:
		return bytes.EqualFold(p.text[:min(len(p.text), 4)], []byte("move"))
	default:
		return isTransactionVerb(st.Verb)
	}
}

// withoutDescription drops a RowDescription at the head of frames.
func withoutDescription(frames []byte) []byte {
	if typ, size, err := pgwire.Peek(frames, maxBackendFrame); err == nil && typ == pgwire.MsgRowDescription {
		return frames[size:]
	}
	return frames
}

// ranPortal says that a portal of PgDrover's own is done: it runs once.
func (s *session) ranPortal(at *portal, name []byte) *pgwire.Error {
	if s.tx.aborted {
		return s.abortedError()
	}
	return &pgwire.Error{Code: "55000", Message: "portal \"" + string(name) + "\" cannot be run"}
}

// ended reports whether a portal has ended the transaction, and itself with it.
func (at *portal) ended() bool {
	if !at.own || !at.ran {
		return false
	}
	v := at.stmt.query.Statements()[0].Verb
	return v == router.Commit || v == router.Rollback
}
