package proxy

import (
	"encoding/binary"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/router"
)

// fromSQL is the statement that the i-th of q, a PREPARE, prepares.
func (s *session) fromSQL(q *router.Query, i int) *prepared {
	tail, query, end := q.Prepares(i)
	p := &prepared{name: strings.Clone(q.Statements()[i].Name), bySQL: true, sent: true, types: q.Declared(i)}
	p.text = append([]byte(nil), q.SQL()[tail:end]...)
	p.body = query - tail
	p.at = int32(utf8.RuneCount(q.SQL()[:tail]))
	p.oids = binary.BigEndian.AppendUint16(nil, uint16(len(p.types)))
	for _, oid := range p.types {
		p.oids = binary.BigEndian.AppendUint32(p.oids, oid)
	}
	s.analyse(&p.query, p.sql())
	return p
}

// prepareSQL begins a PREPARE.
const prepareSQL = "PREPARE "

// shift is what is to be added to a place in the text that a backend knows, for the place in the client's.
func (p *prepared) shift() int32 {
	if !p.bySQL || p.shared == nil {
		return 0
	}
	return p.at - int32(len(prepareSQL)+len(p.shared.name))
}

// Prepared implements router.Prepared.
func (s *session) Prepared(name string) (*router.Query, []uint32) {
	p := s.statements[name]
	if p == nil {
		return nil, nil
	}
	if !p.query.Fits(s.router(), &s.env) {
		s.analyse(&p.query, p.sql())
	}
	return &p.query, p.types
}

// simplePrepare carries out a Query that is one PREPARE.
func (s *session) simplePrepare(q *router.Query) bool {
	l, e := s.checking(q)
	if e != nil {
		return s.refuseSimple(e)
	}
	refused := s.prepareOn(l, q)
	if refused != nil {
		s.oweOn(l, &deferred{fake: pgwire.AppendError(nil, refused)})
		s.undoBatch(l)
	}
	aside := l.aside
	sync := reply{kind: pgwire.MsgSync}
	if aside {
		sync.do = skip
	}
	l.send(pgwire.AppendSync(l.conn.QueueBuffer()), sync)
	s.sent(l)
	if !s.finish(l) {
		return false
	}
	s.skipping = false
	if aside {
		if refused != nil || l.lost != nil {
			s.abort()
		}
		s.readyForQuery()
	}
	return s.unitEnd()
}

// executePrepare is simplePrepare for the Execute of a portal.
func (s *session) executePrepare(q *router.Query) bool {
	l, e := s.checking(q)
	if e != nil {
		return s.fail(e)
	}
	if e := s.prepareOn(l, q); e != nil {
		return s.mistake(e)
	}
	return s.relieve(l)
}

// checking is the backend that checks a PREPARE. One shard is enough, which need not take part in the transaction: what the
// others say comes with the first EXECUTE there.
func (s *session) checking(q *router.Query) (*link, *pgwire.Error) {
	joined := s.inTransaction()
	r := router.Route{Kind: router.Any, Write: len(joined) == 0 || !joined[0].isReplica()}
	if s.place.shards.BySchema() {
		r = s.parseAt(&s.fromSQL(q, 0).query)
	}
	aside := !s.place.single() && !s.joinedBy(r)
	switch {
	case s.batch.open && s.batch.link == nil && aside:
		l, e := s.stepAside(s.shardFor(&r))
		if e != nil {
			return nil, e
		}
		s.batch.link = l
		return l, s.applyDeferred(l)
	case s.batch.open:
		return s.onShard(&r)
	case s.tx.open && aside:
		return s.stepAside(s.shardFor(&r))
	}
	return s.enlist(&r)
}

var (
	prepareComplete = pgwire.AppendCommandComplete(nil, "PREPARE")
	tried           = &statementName{name: "pgdrover_tried"} // a statement that is prepared to see what is wrong with it
)

// prepareOn has a backend prepare what a PREPARE says, and tells the client. As PostgreSQL, it refuses a name that is in use only if
// nothing else is wrong.
func (s *session) prepareOn(l *link, q *router.Query) *pgwire.Error {
	p, queued := s.fromSQL(q, 0), l.replies.n
	if s.statements[p.name] != nil {
		p.shared = tried
		l.send(pgwire.AppendClose(l.conn.QueueBuffer(), 'S', tried.name), reply{kind: pgwire.MsgClose, do: skip})
		s.teach(l, p)
		l.replies.speak(queued, p)
		return &pgwire.Error{Code: "42P05", Message: "prepared statement \"" + p.name + "\" already exists"}
	}
	p.shared = s.db.names.take(s.meaning(), p.text, p.key())
	s.keep(p)
	p.proven = !l.notes.known.use(p.shared)
	s.know(l, p)
	l.replies.speak(queued, p)
	s.oweOn(l, &deferred{fake: prepareComplete, stmt: p})
	return nil
}

// keepMade registers what a PREPARE among several statements has made.
func (s *session) keepMade(l *link, q *router.Query, i int) {
	if s.direct() {
		s.keep(s.fromSQL(q, i))
		return
	}
	var p *prepared
	if q == &s.query {
		p = s.words.takeMade(i)
	}
	if p != nil {
		p.proven = true
		s.keep(p)
		if !l.notes.known.use(p.shared) { // a DEALLOCATE ALL came before it
			l.notes.known.restore(p.shared)
		}
		return
	}
	p = s.fromSQL(q, i)
	p.shared = s.db.names.take(s.meaningAlone(), p.text, p.key())
	s.keep(p)
}

// unmake ends what a query string was to prepare and has not.
func (s *session) unmake(l *link, w *wording) {
	if w == nil {
		return
	}
	for i, m := range w.made {
		if m.stmt == nil {
			continue
		}
		if l != nil && l.backend != nil {
			l.notes.forget(m.stmt.shared)
		}
		s.releaseName(m.stmt)
		w.made[i].stmt = nil
	}
}

// knowAll makes sure that a backend knows the statements that a query string names, before it gets the string. They are all there
// at once, however few are kept.
func (s *session) knowAll(l *link, w *wording) *pgwire.Error {
	if w == nil || l.status == 'E' {
		return nil
	}
	began := l.replies.open
	for _, p := range w.uses {
		l.notes.known.use(s.sharedName(p))
		if s.mayDiffer(l, p.shared) {
			if e := s.compare(l, p); e != nil {
				return e
			}
		}
	}
	l.room = len(w.uses) + len(w.made)
	for _, p := range w.uses {
		s.know(l, p)
	}
	for _, m := range w.made {
		s.learn(l, m.stmt)
	}
	l.room = 0
	return s.wait(l, began)
}

// wait waits until a backend has carried out messages of the session's own, if it was sent any: however long, since they may wait for
// locks as the client's own would. In the middle of a batch, as inside says, they become part of that.
func (s *session) wait(l *link, inside bool) *pgwire.Error {
	var out sink
	if !l.busy() {
		return nil
	}
	if inside {
		l.conn.SetQueue(pgwire.AppendFlush(l.conn.QueueBuffer()))
		s.command(l, &out, time.Time{})
		if out.fault == nil {
			return nil
		}
	}
	l.send(pgwire.AppendSync(l.conn.QueueBuffer()), reply{kind: pgwire.MsgSync, do: skip})
	s.command(l, &out, time.Time{})
	return out.fault
}
