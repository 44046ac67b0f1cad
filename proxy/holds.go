package proxy

import (
	"time"

	"github.com/pgdrover/pgdrover/router"
)

// What a session has on a backend and cannot take along keeps the backend with it. What begins that, the text says; what ends it,
// only the server knows: a table may be dropped with another, a lock taken twice. So after a statement that may have ended it, and
// after a rollback, the server is asked, once the client has its answer. A session that keeps nothing asks nothing.

// holdTime bounds how long the server may take to answer.
const holdTime = 30 * time.Second

// heldThings ask a server whether the session has anything left of what holds a backend, by bit. Whatever lies in the schema of the
// session's temporary tables depends on it.
var heldThings = map[router.Hold]string{
	router.HoldTempTable:    "SELECT FROM pg_catalog.pg_depend WHERE refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND refobjid = pg_catalog.pg_my_temp_schema()",
	router.HoldAdvisoryLock: "SELECT FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND pid = pg_catalog.pg_backend_pid()",
	router.HoldCursor:       "SELECT FROM pg_catalog.pg_cursors WHERE is_holdable",
}

// holds reports whether a backend is held for a reason.
func (s *session) holds(why router.Hold) bool {
	for _, l := range s.links {
		if l.hold&why != 0 {
			return true
		}
	}
	return false
}

// holdFor notes what a statement that was carried out holds a backend for, and what it may have freed on any.
func (s *session) holdFor(l *link, st *router.Statement) {
	l.gained |= st.Hold &^ l.hold
	l.hold |= st.Hold
	if st.Hold&router.HoldTempTable != 0 {
		l.notes.temporary = true
		s.beginTemporary()
	}
	if st.Frees == 0 {
		return
	}
	for _, o := range s.links {
		o.mayEnd |= st.Frees
	}
}

// beginTemporary has the session's statements prepared anew once it has its first temporary table, which may hide a table of theirs. A
// server notices that by the search path, which has one schema more; but a backend on which others had such tables has that already.
func (s *session) beginTemporary() {
	if s.temporary {
		return
	}
	s.temporary = true
	for _, p := range s.statements {
		if p.shared != nil {
			s.rename(p)
		}
	}
}

// doubtGained notes that what the open transaction has added may be undone.
func (s *session) doubtGained() {
	for _, l := range s.links {
		l.mayEnd |= l.gained
	}
}

// endHolds asks what may be over whether it is, where no transaction is open, and stops holding for what is. In session mode the
// backend is held anyway.
func (s *session) endHolds() {
	if s.mode == ModeSession {
		return
	}
	for _, l := range s.links {
		doubted := l.hold & l.mayEnd
		if doubted == 0 || !l.rests() || s.cut.Load() {
			continue
		}
		for why := range heldThings {
			if doubted&why != 0 && !s.stillHas(l, why) {
				l.hold &^= why
			}
		}
		l.mayEnd = 0
	}
}

// stillHas asks a backend whether the session has something there. If the backend is lost by that, so is what the session had.
func (s *session) stillHas(l *link, why router.Hold) bool {
	if l.lost != nil {
		return true
	}
	_ = s.client.Flush()
	faulted := s.tx.faulted
	var out sink
	l.sendQuery(heldThings[why] + " LIMIT 1")
	s.command(l, &out, time.Now().Add(holdTime))
	s.tx.faulted = faulted
	if l.lost != nil {
		s.linkLost(l)
	}
	return out.fault != nil || out.tag != "SELECT 0"
}

// holdWords are the reasons of router.Hold in words, by bit.
var holdWords = [...]string{"temp table", "advisory lock", "cursor", "prepare", "setting", "function"}

// noteHolds says why the session keeps backends, if that has changed.
func (s *session) noteHolds() {
	var held router.Hold
	for _, l := range s.links {
		held |= l.hold
	}
	if held == s.held {
		return
	}
	s.held = held
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holdReasons = holdsIn(held)
}

// holdsIn are reasons in words.
func holdsIn(held router.Hold) []string {
	var list []string
	for i, word := range holdWords {
		if held&(1<<i) != 0 {
			list = append(list, word)
		}
	}
	if held&holdSession != 0 {
		list = append(list, "session")
	}
	if held&holdReplication != 0 {
		list = append(list, "replication")
	}
	return list
}
