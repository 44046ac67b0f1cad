package proxy

import (
	"bytes"
	"fmt"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/router"
)

// portal is a bound statement.
type portal struct {
	stmt  *prepared // nil: there is no portal, and nothing else is looked at
	link  *link     // where it is; nil: on no backend
	route router.Route
	set   []router.Change // settings that running it changes
	had   *portal         // whose name it was, and is again if the server refuses the Bind; nil: nobody's, or the server has not

	own       bool              // PgDrover answers it itself; with link: the server has an empty portal in its place
	late      bool              // with own: the transaction was aborted before it was made
	ran       bool              // with own: it has run, and cannot again; with gathering: it has its rows
	answered  bool              // from the cache, whole, at Bind
	every     bool              // several backends are told of it
	described bool              // with every: the client wants the description of its rows
	bind      []byte            // with every: the Bind, kept until Execute
	gathering *router.Gathering // with every: it is answered so, from all shards
	held      []byte            // with gathering: rows of the answer that the client has not asked for yet
	splitting *router.Splitting // with every: its rows go to their shards
}

// bindParams are the parameters of a Bind as the router reads them.
type bindParams struct {
	bind *pgwire.Bind
	stmt *prepared
}

func (b *bindParams) Len() int                         { return b.bind.NumParams() }
func (b *bindParams) Param(i int) ([]byte, bool, bool) { return b.bind.Param(i) }

// OID is the type that Parse declared for a parameter; 0 when it left that to the server.
func (b *bindParams) OID(i int) uint32 {
	return declared(b.stmt.oids, i)
}

// bind takes a Bind: with its parameters the statement has a route.
func (s *session) bind(frame []byte) bool {
	m := &s.bound
	if err := pgwire.DecodeBind(frame, m); err != nil {
		return s.malformed(frame)
	}
	s.work.binds++
	p := s.statement(m.Statement)
	switch {
	case p == nil && s.direct():
		return s.bindUnseen(frame)
	case p == nil:
		return s.mistake(noStatement(m.Statement))
	}
	if e := s.modeError(&p.query); e != nil {
		return s.fail(e)
	}
	if want := (len(p.oids) - 2) / 4; p.own && m.NumParams() != want {
		return s.mistake(&pgwire.Error{Code: "08P01", Message: fmt.Sprintf(
			"bind message supplies %d parameters, but prepared statement \"%s\" requires %d", m.NumParams(), p.name, want)})
	}
	if s.refusesAborted(p) {
		return s.mistake(s.abortedError())
	}
	if e := s.readOtherwise(&p.query); e != nil {
		return s.fail(e)
	}
	if p.own {
		return s.bindOwn(p)
	}
	// Of two portals by one name the server says that it is taken, unless it knows nothing of the first: PgDrover's own, where there are several
	// shards.
	if old := s.namedPortal(m.Portal); old != nil && old.alone() {
		return s.mistake(portalTaken(m.Portal))
	}
	at := s.newPortal(m.Portal)
	at.stmt = p
	if l := s.abortedOn(&p.query); l != nil {
		at.route = router.Route{Kind: router.Single, Shard: l.shard, Write: true}
		return s.bindOnShard(frame, at)
	}
	if !p.query.Fits(s.router(), &s.env) {
		s.analyse(&p.query, p.sql())
	}
	s.params = bindParams{m, p}
	if e := s.route(&p.query, &s.params, &at.route); e != nil {
		s.dropPortal(at)
		return s.fail(e)
	}
	s.timed()
	if !s.settleAside(&at.route) {
		return !s.cut.Load()
	}
	if s.isForSeveral(&p.query, &at.route) || at.route.Kind >= router.Scatter {
		s.bindForAll(frame, at)
		return true
	}
	return s.bindOnShard(frame, at)
}

// bindForAll keeps a Bind until Execute: several shards are told of it then.
func (s *session) bindForAll(frame []byte, at *portal) {
	at.every = true
	at.gathering, at.splitting = at.stmt.query.Gathering(), at.stmt.query.Splitting()
	at.set, _ = at.stmt.query.Changes(0, &s.params)
	at.bind = append([]byte(nil), frame...)
	s.owe(deferred{fake: bindComplete, made: at})
}

// bindOnShard sends a Bind to the shard of its route, unless the cache has the answer.
func (s *session) bindOnShard(frame []byte, at *portal) bool {
	p, r := at.stmt, at.route
	alone, described := false, false
	if s.db.cache != nil || s.hasReplicas(&at.route) {
		alone, described = s.standsAlone(frame)
	}
	if !alone && !s.tx.open {
		r.Write = true // one backend serves the whole batch: the primary can
	}
	var c *cacheQuery
	if alone {
		if c = s.cacheable(&p.query, &r, &s.bound); c != nil {
			c.describe(described)
			if s.answerCached(c) {
				at.answered = true
				return true
			}
			r.Write = true
		}
	}
	if s.db.cache != nil {
		s.markWrite(&p.query, &at.route)
	}
	s.mayQueue = s.batch.link == nil && s.db.cache == nil
	l, e := s.onShard(&r)
	if e == errQueued {
		return false
	}
	if e != nil {
		s.dropPortal(at)
		return s.fail(e)
	}
	s.capture(l, c)
	s.own(l, &p.query)
	s.sayListens(l, &p.query, true)
	s.settleReuse(p)
	if p.shared != nil || p.names {
		s.startTape(l)
	}
	if q := s.otherResult(l, p); q != nil {
		frame = bytes.Clone(frame) // the client may be read meanwhile
		if !s.alike(l, q, p.boundBefore) || pgwire.DecodeBind(frame, &s.bound) != nil {
			s.dropPortal(at)
			return !s.cut.Load()
		}
	}
	from, to := s.record(frame)
	ask := s.sendBind(l, frame, &s.bound, p)
	ask.made, ask.from, ask.to = at, from, to
	at.link = l
	if alone && c == nil {
		s.mayAskAgain(l, at, frame)
	}
	if !p.query.Plain() && len(p.query.Statements()) == 1 {
		at.set, _ = p.query.Changes(0, &s.params)
	}
	s.runUnnamed(l, at)
	return s.relieve(l)
}

// sendBind sends the Bind of p in frame, which m is a view of, to a backend. It returns the reply that is owed to it, for the caller to say
// the rest of.
func (s *session) sendBind(l *link, frame []byte, m *pgwire.Bind, p *prepared) *reply {
	s.know(l, p)
	if p.names && s.tape.on && !s.tape.used {
		l.check(p.words.uses)
	}
	if p.shared == nil {
		l.conn.Queue(frame)
	} else {
		l.conn.SetQueue(pgwire.AppendBindNamed(l.conn.QueueBuffer(), m, p.backendName()))
	}
	ask := l.replies.add(pgwire.MsgBind)
	ask.of, ask.name, ask.words = p, p.shared, p.saying()
	return ask
}

// newPortal is an empty place for a portal of a name. What was there is forgotten, with a name that is not empty once the server has agreed.
func (s *session) newPortal(name []byte) *portal {
	if len(name) == 0 {
		if s.portal.stmt != nil {
			s.portal = portal{}
		}
		return &s.portal
	}
	if s.portals == nil {
		s.portals = map[string]*portal{}
	}
	p := &portal{had: s.portals[string(name)]}
	s.portals[string(name)] = p
	return p
}

// portalOf is the portal of a name; nil if PgDrover knows none, such as one that DECLARE made.
func (s *session) portalOf(name []byte) *portal {
	at := &s.portal
	if len(name) > 0 {
		at = s.namedPortal(name)
	}
	if at == nil || at.stmt == nil || at.ended() {
		return nil
	}
	return at
}

// namedPortal is the portal of a name that is not empty; nil if there is none.
func (s *session) namedPortal(name []byte) *portal {
	if len(s.portals) == 0 {
		return nil
	}
	return s.portals[string(name)]
}

// dropPortal forgets a portal that was not made after all: who had its name still has it.
func (s *session) dropPortal(at *portal) {
	if at == &s.portal {
		*at = portal{}
		return
	}
	for name, p := range s.portals {
		if p != at {
			continue
		}
		if delete(s.portals, name); at.had != nil {
			s.portals[name] = at.had
		}
	}
}

// endPortals forgets all portals: they end with their transaction.
func (s *session) endPortals() {
	if len(s.portals) > 0 {
		clear(s.portals)
	}
	if s.portal.stmt != nil {
		s.portal = portal{}
	}
}

// linkOf is where a message about a portal goes.
func (s *session) linkOf(at *portal) *link {
	if at != nil && at.link != nil && at.link.backend != nil {
		return at.link
	}
	if s.batch.link != nil {
		return s.batch.link
	}
	if joined := s.inTransaction(); len(joined) == 1 {
		return joined[0]
	}
	return nil
}

func noPortal(name []byte) *pgwire.Error {
	return &pgwire.Error{Code: "34000", Message: "portal \"" + string(name) + "\" does not exist"}
}

func portalTaken(name []byte) *pgwire.Error {
	return &pgwire.Error{Code: "42P03", Message: "cursor \"" + string(name) + "\" already exists"}
}

// describePortal takes a Describe of a portal.
func (s *session) describePortal(frame, name []byte) bool {
	at := s.portalOf(name)
	switch {
	case at != nil && at.own:
		return s.describeOwnPortal(frame, at, name)
	case at != nil && at.answered:
		return true
	case at != nil && at.every:
		at.described = true
		return true
	}
	l, e := s.portalLink(at, name)
	if e == nil && s.tx.poisoned {
		e = s.abortedError()
	}
	if e != nil {
		return s.mistake(e)
	}
	s.passOn(l, frame)
	return s.relieve(l)
}

// passOn sends a message of the client's as it is. It returns the reply that is owed to it, for the caller to say the rest of.
func (s *session) passOn(l *link, frame []byte) *reply {
	l.conn.Queue(frame)
	r := l.replies.add(frame[0])
	r.from, r.to = s.record(frame)
	return r
}

// portalLink is linkOf, with the batch begun there. What no transaction has may be a cursor WITH HOLD.
func (s *session) portalLink(at *portal, name []byte) (*link, *pgwire.Error) {
	l := s.linkOf(at)
	for i := 0; l == nil && i < len(s.links); i++ {
		if o := s.links[i]; o.hold&router.HoldCursor != 0 && o.lost == nil {
			var e *pgwire.Error
			if l, e = s.join(o.shard, o.role); e != nil {
				return nil, e
			}
		}
	}
	if l == nil {
		return nil, noPortal(name)
	}
	if s.batch.link == nil {
		s.batch.link = l
		return l, s.applyDeferred(l)
	}
	if s.batch.link != l {
		return nil, noPortal(name)
	}
	return l, nil
}

// closePortal takes a Close of a portal.
func (s *session) closePortal(frame, name []byte) bool {
	at := s.portalOf(name)
	was := portal{link: s.linkOf(at)}
	if at != nil {
		*at = portal{}
		delete(s.portals, string(name))
	}
	if l, e := s.portalLink(&was, name); e == nil {
		l.mayEnd |= l.hold & router.HoldCursor
		s.passOn(l, frame)
		return s.relieve(l)
	}
	s.owe(deferred{fake: closeComplete})
	return true
}

// execute takes an Execute.
func (s *session) execute(frame []byte) bool {
	name, most, err := pgwire.DecodeExecute(frame)
	if err != nil {
		return s.malformed(frame)
	}
	at := s.portalOf(name)
	switch {
	case at != nil && at.answered:
		return true
	case at != nil && at.own:
		return s.executeOwnPortal(frame, at, name)
	case at != nil && at.ran && at.splitting != nil:
		return s.mistake(s.ranPortal(at, name))
	case at != nil && at.splitting != nil:
		at.ran = true
		return s.executeCopy(at)
	case at != nil && at.gathering != nil:
		return s.executeGather(at, name, most)
	case at != nil && at.every:
		return s.executeEvery(at)
	}
	l, e := s.portalLink(at, name)
	if e == nil && s.tx.poisoned {
		e = s.abortedError()
	}
	if e != nil {
		return s.mistake(e)
	}
	if at != nil {
		s.knowUses(l, at.stmt)
		s.suspect(l, &at.stmt.query)
	} else { // a cursor of SQL, or one whose Close the server has discarded
		l.unsure = l.unsure || !s.direct()
	}
	s.tellApart(l)
	r := s.passOn(l, frame)
	if at != nil {
		r.text, r.set, r.words = &at.stmt.query, at.set, at.stmt.saying()
		if back := s.resets(&at.stmt.query); back != "" {
			s.sendBack(l, back)
		}
		if at.stmt.own {
			s.endUnnamedOwn(&at.stmt.query)
		}
		if !l.retry && s.rereads(&at.stmt.query, at.set) { // with retry nothing is behind it but the Sync
			return s.settleBatch() && !s.cut.Load()
		}
	}
	return s.relieve(l)
}
