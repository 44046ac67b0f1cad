package proxy

import (
	"encoding/binary"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/router"
)

// prepared is a statement that the client has prepared. It belongs to the session.
type prepared struct {
	name   string // the client's; empty for the unnamed statement
	text   []byte
	oids   []byte // the declared parameter types as Parse carries them: count and OIDs
	query  router.Query
	sense  uint64         // of an unnamed statement: that of the settings that query was analysed under
	reused reusedAs       // of an unnamed statement: what was found when it was last reused
	own    bool           // PgDrover answers it itself
	sent   bool           // a backend has been told of it, or is about to be
	proven bool           // a backend has carried out something with it
	seen   bool           // its result, on some backend since the client has prepared it
	fresh  bool           // a backend was told of it by the client's own Parse
	shared *statementName // of a named statement, and of one that is reused: its name on backends
	serial uint64         // of an unnamed statement: tells it from all others of the process
	types  []uint32       // of a named statement: the declared types of its parameters

	bySQL bool  // PREPARE has prepared it: text is what followed the name
	body  int   // with bySQL: where the query begins in text
	at    int32 // with bySQL: the place of text in the client's query string, in characters

	names   bool     // it names prepared statements: an EXECUTE
	words   *wording // with names: what backends are told
	fitting bool     // with names: words is being made
}

// backendName is what the statement is called on every backend.
func (p *prepared) backendName() string {
	if p.shared == nil {
		return ""
	}
	return p.shared.name
}

// sql is the statement's own text.
func (p *prepared) sql() []byte { return p.text[p.body:] }

// wire is the statement's text as backends are told it.
func (p *prepared) wire() []byte {
	if p.names && p.words != nil && len(p.words.text) > 0 {
		return p.words.text
	}
	return p.text
}

// saying is what backends are told of a statement that names others; nil if it does not.
func (p *prepared) saying() *wording {
	if !p.names {
		return nil
	}
	return p.words
}

// key is what besides a statement's text tells it from others: SQL and the protocol do not share statements.
func (p *prepared) key() []byte {
	if p.bySQL {
		return bySQLKey
	}
	return p.oids
}

var bySQLKey = []byte("SQL")

// statementName is what backends call a statement, whoever prepared it: statements of one meaning share it.
type statementName struct {
	id   uint64
	name string
	key  string
	in   uint64 // the sense of the settings that it was prepared under first
	uses int    // guarded by the mutex of the names

	age   atomic.Uint64 // until when nothing has changed that its result depends on: see statementNames
	shape atomic.Uint64 // of its result, on the backend that knew it first; 0: not known yet
	stale atomic.Bool   // a backend has found that its result has changed
}

// statementNames are the names in use in one database.
type statementNames struct {
	mu    sync.Mutex // guards what follows
	byKey map[string]*statementName
	next  uint64

	reused reusedTexts

	age atomic.Uint64 // counts what may have changed the meaning of texts; it changes under mu
}

func (n *statementNames) init() { n.byKey = map[string]*statementName{} }

// meaning is what the meaning of a statement's text depends on besides the text: the settings that it was prepared under, and a
// number of its own (0: none) for a statement that shares its meaning with no other.
type meaning struct{ settings, alone uint64 }

// take returns the name for a text and types of a meaning, counting the use.
func (n *statementNames) take(m meaning, text, oids []byte) *statementName {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.takeLocked(m, text, oids)
}

// takeLocked is take for those who hold n.mu.
func (n *statementNames) takeLocked(m meaning, text, oids []byte) *statementName {
	age := n.age.Load()
	k := binary.BigEndian.AppendUint64(make([]byte, 0, 24+len(oids)+len(text)), m.settings)
	k = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(k, m.alone), age)
	key := string(append(append(k, oids...), text...))
	s := n.byKey[key]
	if s == nil {
		n.next++
		s = &statementName{id: n.next, name: "pgdrover_" + strconv.FormatUint(n.next, 10), key: key}
		s.age.Store(age)
		s.in = m.settings
		n.byKey[key] = s
	}
	s.uses++
	return s
}

// leave ends a use. A name that nobody uses is never given again: backends may still know it.
func (n *statementNames) leave(s *statementName) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.leaveLocked(s)
}

func (n *statementNames) leaveLocked(s *statementName) {
	if s.uses--; s.uses == 0 {
		n.drop(s)
	}
}

// retire has statements that are prepared from now on not share a name: what it means has changed.
func (n *statementNames) retire(s *statementName) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s.stale.Store(true)
	n.drop(s)
}

func (n *statementNames) drop(s *statementName) {
	if n.byKey[s.key] == s {
		delete(n.byKey, s.key)
	}
}

// renew retires all names: tables or functions have changed.
func (n *statementNames) renew() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.age.Add(1)
}

// know makes sure that the backend knows a statement by the time a message that follows is carried out. The reply to a Parse
// that the client did not send is skipped.
func (s *session) know(l *link, p *prepared) {
	if s.direct() {
		return
	}
	s.knowUses(l, p)
	if p.shared == nil {
		if l.notes.unnamed == p.serial {
			return
		}
		l.notes.unnamed = p.serial
	} else {
		if l.notes.known.use(p.shared) {
			return
		}
		s.learn(l, p)
	}
	s.teach(l, p)
}

// knowUses makes sure that the backend knows the statements that p names, if it is one that names any.
func (s *session) knowUses(l *link, p *prepared) {
	if !p.names || p.fitting || s.tx.aborted {
		return
	}
	s.refit(p)
	p.fitting = true
	for _, used := range p.words.uses {
		if !s.mayDiffer(l, used.shared) {
			s.know(l, used)
		}
	}
	p.fitting = false
}

// teach tells a backend a statement, unseen by the client unless something is wrong with it.
func (s *session) teach(l *link, p *prepared) {
	s.work.backendParses++
	s.undoubt(l, p)
	if p.bySQL {
		l.run(prepareSQL+p.shared.name+string(p.text),
			reply{kind: pgwire.MsgExecute, do: skip, name: p.shared, of: p})
	} else {
		l.send(pgwire.AppendParse(l.conn.QueueBuffer(), p.backendName(), p.wire(), p.oids),
			reply{kind: pgwire.MsgParse, do: skip, name: p.shared, of: p})
	}
	l.lookAt(p)
}

// undoubt has a backend forget a statement that it may know all the same.
func (s *session) undoubt(l *link, p *prepared) {
	if l.notes.doubtful && p.shared != nil {
		l.send(pgwire.AppendClose(l.conn.QueueBuffer(), 'S', p.shared.name), reply{kind: pgwire.MsgClose, do: skip})
	}
}

// learn notes that a backend is being told a statement, and has it forget what it knows too many.
func (s *session) learn(l *link, p *prepared) {
	known := knownStatement{name: p.shared}
	if p.name == "" {
		known.told = s.t.Moment()
	}
	for _, old := range l.notes.known.add(known, max(s.cfg.Statements, l.room)) {
		l.send(pgwire.AppendClose(l.conn.QueueBuffer(), 'S', old.name), reply{kind: pgwire.MsgClose, do: skip, name: old})
	}
}

// statement is the client's statement of a name, nil if there is none.
func (s *session) statement(name []byte) *prepared {
	if len(name) == 0 {
		return s.unnamed
	}
	return s.statements[string(name)]
}

// newPrepared copies a Parse and has its text analysed, unless that is known.
func (s *session) newPrepared(m *pgwire.Parse) *prepared {
	var p *prepared
	known := false
	if len(m.Name) == 0 {
		p, known = s.unnamedSpace(m)
		s.batch.parsed = true // what runs in this batch may still refer to it
	} else {
		p = &prepared{name: string(m.Name)}
	}
	p.sent, p.proven, p.seen, p.fresh, p.names, p.shared, p.words = false, false, false, false, false, nil, nil
	p.serial = s.srv.serials.Add(1)
	if known {
		return p
	}
	p.text = append(p.text[:0], m.Text...)
	p.oids = append(p.oids[:0], m.OIDs...)
	for i := range m.NumOIDs() {
		if p.name != "" {
			p.types = append(p.types, m.OID(i))
		}
	}
	s.analyse(&p.query, p.text)
	p.sense, p.reused = s.settings.sense, reusedAs{}
	return p
}

// declared is the i-th type that Parse declared, 0 if it did not. oids are as in prepared.
func declared(oids []byte, i int) uint32 {
	if at := 2 + 4*i; at+4 <= len(oids) {
		return binary.BigEndian.Uint32(oids[at:])
	}
	return 0
}

// keep registers a statement under its name.
func (s *session) keep(p *prepared) {
	if p.name == "" {
		s.unnamed = p
		return
	}
	if s.statements == nil {
		s.statements = map[string]*prepared{}
	}
	s.statements[p.name] = p
}

// forgetStatement ends a statement of the client's.
func (s *session) forgetStatement(p *prepared) {
	s.dropStatement(p)
	s.releaseName(p)
}

// dropStatement takes a statement's name from it, which may come back if the server does not get to see the message.
func (s *session) dropStatement(p *prepared) {
	if p.name == "" {
		if s.unnamed == p {
			s.unnamed = nil
		}
		return
	}
	if s.statements[p.name] == p {
		delete(s.statements, p.name)
	}
}

// releaseName ends the use of the name that backends know a statement by. That of a reused statement is not the session's.
func (s *session) releaseName(p *prepared) {
	if p.shared != nil && p.name != "" {
		s.db.names.leave(p.shared)
	}
	p.shared = nil
}

// forgetUnnamed ends the unnamed statement, and the unnamed portal unless the Query that ends them is refused.
func (s *session) forgetUnnamed() {
	if s.unnamed != nil || s.portal.stmt != nil {
		s.dropUnnamed()
	}
}

func (s *session) dropUnnamed() {
	old := s.unnamed
	s.unnamed = nil
	if s.portal.stmt != nil && !s.tx.aborted {
		s.portal = portal{}
	}
	if old != nil {
		s.freeSpace(old)
	}
}

// forgetStatements ends all that have a name.
func (s *session) forgetStatements() {
	for _, p := range s.statements {
		s.forgetStatement(p)
	}
}

// meaningAlone is the meaning of a statement that is shared with nobody.
func (s *session) meaningAlone() meaning { return meaning{s.settings.sense, s.srv.serials.Add(1)} }

// meaning is what a statement that is prepared now depends on.
func (s *session) meaning() meaning {
	if s.tx.reshaped || s.tx.local || s.holds(router.HoldTempTable) { // others do not see what its names stand for
		return s.meaningAlone()
	}
	return meaning{settings: s.settings.sense}
}
