package proxy

import (
	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/router"
)

// Mode says for how long a client has a backend to itself.
type Mode uint8

// The modes of a pool.
const (
	ModeUnset       Mode = iota // a user's: the database's; a database's: ModeTransaction
	ModeTransaction             // for a transaction, and for as long as something holds the backend
	ModeSession                 // from its login or its first statement until it leaves
	ModeStatement               // for a statement: nothing may last longer
)

// String is the word that the files and the console use; empty for ModeUnset.
func (m Mode) String() string {
	return [...]string{"", "transaction", "session", "statement"}[min(m, ModeStatement)]
}

// Why a session keeps its backends besides the router's reasons.
const (
	holdSession     router.Hold = 1 << 15 // it is in session mode
	holdReplication router.Hold = 1 << 14 // it is a replication connection
)

// modeOf is the mode of a session whose user and database are known.
func (s *session) modeOf() Mode {
	if s.user != nil && s.user.Mode != ModeUnset {
		return s.user.Mode
	}
	return s.db.Mode()
}

// keepLink has a session in session mode keep a backend that is ready for it.
func (s *session) keepLink(l *link) {
	if s.mode == ModeSession {
		l.hold |= holdSession
	}
}

// outlasts reports, in statement mode, that a statement which could not be understood has left something behind.
func (s *session) outlasts() bool {
	if s.mode != ModeStatement {
		return false
	}
	kept := s.tx.open
	for _, l := range s.links {
		kept = kept || l.hold != 0
	}
	return kept
}

// modeError refuses in statement mode what lasts longer than a statement: a transaction block, and what would hold the backend. In
// the other modes it is nil.
func (s *session) modeError(q *router.Query) *pgwire.Error {
	if s.mode != ModeStatement {
		return nil
	}
	sts := q.Statements()
	for i := range sts {
		st := &sts[i]
		switch {
		case st.Verb == router.Begin:
			return &pgwire.Error{Code: "0A000", Message: "transaction blocks are not available in statement mode",
				Hint: "every statement is a transaction of its own here: for BEGIN, have \"pool: {mode: transaction}\" for the database or the user in pgdrover.yaml"}
		case st.Hold != 0:
			return keepsNothing(holdsIn(st.Hold)[0])
		}
	}
	return nil
}

func keepsNothing(what string) *pgwire.Error {
	return &pgwire.Error{Code: "0A000", Message: "nothing can be kept for a session in statement mode: " + what,
		Detail: "The next statement may run on another backend.",
		Hint:   "for temporary tables, session advisory locks and cursors WITH HOLD, have \"pool: {mode: transaction}\" for the database or the user in pgdrover.yaml"}
}
