package proxy

import (
	"bytes"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/router"
)

// On one shard the server knows of portals by name that PgDrover runs itself: SQL and the protocol share the names, and much ends a portal
// that nobody but the server sees. So it has a portal of each such name: of the statement, if that is about the transaction, and else of
// an empty one.

// bindOwn binds a statement that PgDrover answers itself, by the Bind in hand.
func (s *session) bindOwn(p *prepared) bool {
	name := s.bound.Portal
	if len(name) > 0 && s.place.single() && !s.tx.poisoned {
		return s.bindOnServer(p)
	}
	if old := s.namedPortal(name); old != nil && !old.ended() {
		return s.mistake(portalTaken(name))
	}
	at := s.newPortal(name)
	at.stmt, at.own, at.late = p, true, s.tx.aborted
	s.owe(deferred{fake: bindComplete, made: at})
	return true
}

// bindOnServer has the server make the portal that the Bind in hand is for.
func (s *session) bindOnServer(p *prepared) bool {
	l, e := s.onShard(&router.Route{Kind: router.Single, Write: !s.tx.open})
	if e != nil {
		return s.fail(e)
	}
	s.tape.stop()
	at, text := s.newPortal(s.bound.Portal), ""
	at.stmt, at.link = p, l
	if at.own = !isTransactionVerb(p.query.Statements()[0].Verb); !at.own {
		text = string(p.text)
	}
	l.prepare(text, p.oids)
	l.send(pgwire.AppendBindNamed(l.conn.QueueBuffer(), &s.bound, ownName), reply{kind: pgwire.MsgBind, made: at})
	return s.relieve(l)
}

// describeOwnPortal describes a portal of PgDrover's own. If the server has it too, that says first what is wrong with it.
func (s *session) describeOwnPortal(frame []byte, at *portal, name []byte) bool {
	if e := s.passOnOwn(frame, at, name); e != nil {
		return s.mistake(e)
	}
	s.owe(deferred{fake: s.describeOwn(at.stmt, false)})
	return true
}

// passOnOwn passes a message about a portal of PgDrover's own on, if the server has the portal too. The client does not hear of the answer, unless it is an
// error.
func (s *session) passOnOwn(frame []byte, at *portal, name []byte) *pgwire.Error {
	if at.link == nil {
		return nil
	}
	l, e := s.portalLink(at, name)
	if e == nil {
		s.passOn(l, frame).do = skip
	}
	return e
}

// executeOwnPortal runs a portal of PgDrover's own. If the server has it too, that says first whether it can be run.
func (s *session) executeOwnPortal(frame []byte, at *portal, name []byte) bool {
	if e := s.passOnOwn(frame, at, name); e != nil {
		return s.mistake(e)
	}
	if at.link != nil && (!s.settleBatch() || s.skipping) {
		return s.skipping
	}
	switch {
	case at.ran:
		return s.mistake(s.ranPortal(at, name))
	case s.refusesAborted(at.stmt) || s.tx.aborted && !at.late:
		return s.mistake(s.abortedError())
	}
	at.ran = true
	return s.executeOwn(at)
}

// endUnnamedOwn forgets the unnamed portal, if it is PgDrover's own, when the server is told to end the transaction by another.
func (s *session) endUnnamedOwn(q *router.Query) {
	if s.portal.own && endsAll(q) {
		s.portal = portal{}
	}
}

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

// executeOn runs a transaction statement on a backend that has not been told of it before. What it changes of how the client is read is waited for.
func (s *session) executeOn(l *link, p *prepared) bool {
	if s.batch.link == nil {
		s.batch.link = l
		s.applyDeferred(l)
	}
	l.run(string(p.text), reply{kind: pgwire.MsgExecute, text: &p.query})
	named := len(s.portals) > 0 && !s.place.single() && endsAll(&p.query) // some may be known to PgDrover alone
	if !named && !s.rereads(&p.query, nil) {
		return s.relieve(l)
	}
	if !s.settleBatch() {
		return false
	}
	if named && !s.skipping {
		s.endPortals()
	}
	return !s.cut.Load()
}

// endsAll reports whether a statement ends the transaction, and all portals with it.
func endsAll(q *router.Query) bool {
	v := q.Statements()[0].Verb
	return v == router.Commit || v == router.Rollback
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

// alone reports whether a portal is PgDrover's own, and no server knows its name.
func (at *portal) alone() bool { return at.own && at.link == nil && !at.ended() }

// ended reports whether a portal has ended the transaction, or taken it back to a savepoint, and itself with it.
func (at *portal) ended() bool {
	if !at.own || !at.ran || at.link != nil {
		return false
	}
	return endsAll(&at.stmt.query) || at.stmt.query.Statements()[0].Verb == router.RollbackTo
}
