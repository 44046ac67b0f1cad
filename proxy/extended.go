package proxy

import (
	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/router"
)

var (
	parseComplete = pgwire.AppendParseComplete(nil)
	bindComplete  = pgwire.AppendBindComplete(nil)
	closeComplete = pgwire.AppendCloseComplete(nil)
)

// extended takes a message of the extended protocol, and those that follow it in its batch as far as they have arrived.
func (s *session) extended(frame []byte) bool {
	if !s.batch.open {
		s.batch.open = true
		s.publish(ClientActive)
		s.enterTransaction()
	}
	for s.ofBatch(frame) {
		frame = s.following()
		switch {
		case frame == nil:
			return true
		case frame[0] == pgwire.MsgSync:
			return s.sync()
		}
	}
	return false
}

// following makes the next message the one in hand, if it has arrived whole and is another of the batch in hand, or its end; nil if not, or if
// something else comes first.
func (s *session) following() []byte {
	if s.skipping || s.tape.mending || s.copyRest > 0 || s.ear != nil || s.cut.Load() {
		return nil
	}
	b := s.client.Buffered()[s.cur:]
	typ, size, err := pgwire.Peek(b, s.cfg.MaxFrame)
	if err != nil || size == 0 || size > len(b) {
		return nil
	}
	switch typ {
	case pgwire.MsgParse, pgwire.MsgBind, pgwire.MsgDescribe, pgwire.MsgExecute, pgwire.MsgClose, pgwire.MsgSync:
		s.take()
		s.cur = size
		return b[:size]
	}
	return nil
}

// ofBatch takes one message of a batch. It reports whether the session goes on.
func (s *session) ofBatch(frame []byte) bool {
	if s.batch.link == nil && s.direct() {
		if e := s.startDirect(); e != nil {
			return s.fail(e)
		}
	}
	goOn := false
	switch frame[0] {
	case pgwire.MsgParse:
		goOn = s.parse(frame)
	case pgwire.MsgBind:
		goOn = s.bind(frame)
	case pgwire.MsgDescribe:
		goOn = s.describe(frame)
	case pgwire.MsgExecute:
		goOn = s.execute(frame)
	case pgwire.MsgClose:
		goOn = s.closeNamed(frame)
	default:
		return s.flush()
	}
	if goOn && s.batch.isLong() {
		return s.flush()
	}
	return goOn
}

// parse takes a Parse: the statement is analysed now, once, and sent when it is known where the batch goes.
func (s *session) parse(frame []byte) bool {
	var m pgwire.Parse
	if err := pgwire.DecodeParse(frame, &m); err != nil {
		return s.malformed(frame)
	}
	var old *prepared
	if len(m.Name) > 0 {
		old = s.statements[string(m.Name)]
	}
	if old != nil && !s.direct() {
		return s.duplicate(&m)
	}
	s.work.parses++
	p := s.newPrepared(&m)
	plain := p.query.Plain()
	sts := p.query.Statements()
	p.own = !plain && len(sts) == 1 && s.answersItself(&sts[0])
	if old != nil && (p.own || old.own) {
		return s.duplicate(&m)
	}
	p.names = !plain && p.query.Names() && !s.direct()
	if s.refusesAborted(p) {
		if p.name == "" { // a Parse ends the one before, also if it fails
			s.unnamed = nil
		}
		return s.mistake(s.abortedError())
	}
	gone := old
	if p.name == "" {
		gone = s.unnamed
	}
	s.keep(p)
	if p.own {
		s.owe(deferred{fake: parseComplete, stmt: p, gone: gone})
		return true
	}
	if s.direct() {
		return s.parseDirect(frame, p, gone)
	}
	if p.name == "" {
		s.reuse(p)
	} else if !p.names {
		p.shared = s.db.names.take(s.meaning(), p.text, p.oids)
	}
	return s.op(deferred{kind: pgwire.MsgParse, stmt: p, gone: gone})
}

// refusesAborted reports whether PgDrover itself refuses a statement because the transaction is aborted. What a backend gets to
// see, it refuses.
func (s *session) refusesAborted(p *prepared) bool {
	if !s.tx.aborted || !s.tx.poisoned && !p.own {
		return false
	}
	sts := p.query.Statements()
	if len(sts) != 1 {
		return true
	}
	switch sts[0].Verb {
	case router.Commit, router.Rollback, router.RollbackTo:
		return false
	}
	return true
}

// op carries out a message on the batch's backend, or keeps it until there is one.
func (s *session) op(d deferred) bool {
	if s.place.shards.BySchema() && !s.parts(s.parsePrepared(d.stmt)) {
		return !s.cut.Load()
	}
	if s.batch.link == nil {
		s.batch.deferred = append(s.batch.deferred, d)
		if d.kind == pgwire.MsgParse {
			s.batch.text += len(d.stmt.text)
		}
		return true
	}
	return s.apply(s.batch.link, &d)
}

// apply sends a deferred message.
func (s *session) apply(l *link, d *deferred) bool {
	p := d.stmt
	if d.kind == pgwire.MsgParse {
		s.knowUses(l, p)
		p.sent = true
		s.renewReused(l, p)
	}
	switch {
	case d.kind == 0:
		s.oweOn(l, d)
	case d.kind == describeStatement:
		s.settleReuse(p)
		if p.shared != nil {
			s.startTape(l)
		}
		if s.mayDiffer(l, p.shared) && !s.alike(l, p, func() []byte { return l.described }) {
			return !s.cut.Load()
		}
		s.know(l, p)
		l.send(pgwire.AppendDescribe(l.conn.QueueBuffer(), 'S', p.backendName()),
			reply{kind: describeStatement, name: p.shared, of: p})
	case p.shared != nil && l.notes.known.use(p.shared):
		if s.tx.aborted { // the server refuses it
			l.prepare(string(p.wire()), p.oids)
		}
		s.oweOn(l, &deferred{fake: parseComplete, stmt: p, gone: d.gone})
	default:
		if p.shared == nil {
			l.notes.unnamed = p.serial
		} else {
			s.learn(l, p)
		}
		s.work.backendParses++
		p.proven, p.fresh = true, true
		s.undoubt(l, p)
		l.send(pgwire.AppendParse(l.conn.QueueBuffer(), p.backendName(), p.wire(), p.oids),
			reply{kind: pgwire.MsgParse, stmt: p, gone: d.gone, name: p.shared, of: p})
		l.lookAt(p)
	}
	return s.relieve(l)
}

// relieve begins to send what is queued for a backend before the batch is over, when that is much.
func (s *session) relieve(l *link) bool {
	if l.conn.Pending() > queueLimit {
		_ = l.conn.Flush()
	}
	return true
}

// owe tells the client something in its turn.
func (s *session) owe(d deferred) {
	if s.batch.link == nil && len(s.batch.deferred) > 0 {
		s.batch.deferred = append(s.batch.deferred, d)
		return
	}
	s.oweOn(s.batch.link, &d)
}

func (s *session) oweOn(l *link, d *deferred) {
	if l == nil || !l.busy() {
		if s.client.Pending() == s.batch.ahead {
			s.batch.ahead += len(d.fake)
		}
		s.client.Queue(d.fake)
		if d.gone != nil {
			s.releaseName(d.gone)
		}
		if d.made != nil {
			d.made.had = nil
		}
		return
	}
	r := l.replies.add(0)
	r.do, r.fake, r.stmt, r.gone, r.made = fake, d.fake, d.stmt, d.gone, d.made
}

// onShard makes sure that the batch has a backend, and sends it what was deferred.
func (s *session) onShard(r *router.Route) (*link, *pgwire.Error) {
	if l := s.batch.link; l != nil {
		if r.Kind == router.Single && r.Shard != l.shard || r.Write && l.role == pool.Replica {
			return nil, s.severalShards(l)
		}
		return l, nil
	}
	l, e := s.enlist(r)
	s.mayQueue = false
	if e != nil {
		return nil, e
	}
	s.batch.link = l
	return l, s.applyDeferred(l)
}

func (s *session) applyDeferred(l *link) *pgwire.Error {
	list := s.batch.deferred
	for i := range list {
		s.apply(l, &list[i])
	}
	s.batch.settled()
	return nil
}

// describe takes a Describe of a statement or a portal.
func (s *session) describe(frame []byte) bool {
	kind, name, err := pgwire.DecodeDescribe(frame)
	if err != nil {
		return s.malformed(frame)
	}
	if kind == 'P' {
		return s.describePortal(frame, name)
	}
	p := s.statement(name)
	switch {
	case s.direct() && (p == nil || !p.own):
		return s.passDirect(frame, reply{kind: describeStatement})
	case p == nil:
		return s.mistake(noStatement(name))
	}
	bare := s.tx.aborted && p.givesNothing()
	switch {
	case s.refusesAborted(p) && !bare:
		return s.mistake(s.abortedError())
	case p.own || bare: // which PostgreSQL describes also in a transaction that is aborted
		s.owe(deferred{fake: s.describeOwn(p, true)})
		return true
	}
	return s.op(deferred{kind: describeStatement, stmt: p})
}

func noStatement(name []byte) *pgwire.Error {
	if len(name) == 0 {
		return &pgwire.Error{Code: "26000", Message: "unnamed prepared statement does not exist"}
	}
	return &pgwire.Error{Code: "26000", Message: "prepared statement \"" + string(name) + "\" does not exist"}
}

// closeNamed takes a Close. Backends keep the statement: others may use it.
func (s *session) closeNamed(frame []byte) bool {
	kind, name, err := pgwire.DecodeClose(frame)
	if err != nil {
		return s.malformed(frame)
	}
	if kind != 'S' {
		return s.closePortal(frame, name)
	}
	p := s.statement(name)
	switch {
	case s.direct() && (p == nil || !p.own):
		return s.closeDirect(frame, p)
	case p == nil:
		s.owe(deferred{fake: closeComplete})
		return true
	case s.deferredUses(p) && !s.startBatch(): // it was prepared in this batch: it has to be there until then
		return !s.cut.Load()
	}
	s.dropStatement(p)
	s.owe(deferred{fake: closeComplete, gone: p})
	return true
}

func (s *session) deferredUses(p *prepared) bool {
	for _, d := range s.batch.deferred {
		if d.stmt == p {
			return true
		}
	}
	return false
}
