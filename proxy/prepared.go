package proxy

import (
	"strconv"
	"sync"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/router"
)

// prepared is a statement that the client has prepared. It belongs to the session.
type prepared struct {
	name   string // the client's; empty for the unnamed statement
	text   []byte
	oids   []byte // the declared parameter types as Parse carries them: count and OIDs
	query  router.Query
	own    bool           // PgDrover answers it itself
	shared *statementName // of a named statement: its name on backends
	serial uint64         // of an unnamed statement: tells it from all others of the process
}

// backendName is what the statement is called on every backend.
func (p *prepared) backendName() string {
	if p.shared == nil {
		return ""
	}
	return p.shared.name
}

// statementName is what backends call a statement, whoever prepared it: statements of one text and types share it.
type statementName struct {
	id   uint64
	name string
	key  string
	uses int
}

// statementNames are the names in use in one database.
type statementNames struct {
	mu    sync.Mutex // guards what follows
	byKey map[string]*statementName
	next  uint64
}

func (n *statementNames) init() { n.byKey = map[string]*statementName{} }

// take returns the name for a text and types, counting the use.
func (n *statementNames) take(text, oids []byte) *statementName {
	n.mu.Lock()
	defer n.mu.Unlock()
	key := string(oids) + string(text)
	s := n.byKey[key]
	if s == nil {
		n.next++
		s = &statementName{id: n.next, name: "pgdrover_" + strconv.FormatUint(n.next, 10), key: key}
		n.byKey[key] = s
	}
	s.uses++
	return s
}

// leave ends a use. A name that nobody uses is never given again: backends may still know it.
func (n *statementNames) leave(s *statementName) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if s.uses--; s.uses == 0 {
		delete(n.byKey, s.key)
	}
}

// statementSet are the statements that a backend knows, the least recently used first.
type statementSet struct {
	order []*statementName
}

// use reports whether the backend knows a statement, and makes it the most recently used.
func (k *statementSet) use(s *statementName) bool {
	for i := len(k.order) - 1; i >= 0; i-- {
		if k.order[i] == s {
			copy(k.order[i:], k.order[i+1:])
			k.order[len(k.order)-1] = s
			return true
		}
	}
	return false
}

// add notes a statement and returns the one to forget, if there are more than limit.
func (k *statementSet) add(s *statementName, limit int) *statementName {
	k.order = append(k.order, s)
	if len(k.order) <= limit {
		return nil
	}
	oldest := k.order[0]
	copy(k.order, k.order[1:])
	k.order = k.order[:len(k.order)-1]
	return oldest
}

// forget notes that a statement is not on the backend after all.
func (n *notes) forget(p *prepared) {
	if p.shared == nil {
		n.unnamed = 0
		return
	}
	for i, s := range n.known.order {
		if s == p.shared {
			n.known.order = append(n.known.order[:i], n.known.order[i+1:]...)
			return
		}
	}
}

// forgetAll notes that the backend may have lost all of its statements.
func (n *notes) forgetAll() { n.known.order, n.unnamed = nil, 0 }

// know makes sure that the backend knows a statement by the time a message that follows is carried out. The reply to a Parse
// that the client did not send is skipped.
func (s *session) know(l *link, p *prepared) {
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
	l.send(pgwire.AppendParse(l.conn.QueueBuffer(), p.backendName(), string(p.text), p.oids),
		reply{kind: pgwire.MsgParse, do: skip, stmt: p})
}

// learn notes that a backend is being told a statement, and has it forget one if it knows too many.
func (s *session) learn(l *link, p *prepared) {
	if old := l.notes.known.add(p.shared, s.cfg.Statements); old != nil {
		l.send(pgwire.AppendClose(l.conn.QueueBuffer(), 'S', old.name), reply{kind: pgwire.MsgClose, do: skip})
	}
}

// statement is the client's statement of a name, nil if there is none.
func (s *session) statement(name []byte) *prepared {
	if len(name) == 0 {
		return s.unnamed
	}
	return s.statements[string(name)]
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
	if p.shared != nil {
		s.db.names.leave(p.shared)
		p.shared = nil
	}
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

func (s *session) forgetUnnamed() { s.unnamed = nil }

// forgetStatements ends all of them.
func (s *session) forgetStatements() {
	for _, p := range s.statements {
		s.forgetStatement(p)
	}
	s.unnamed = nil
}
