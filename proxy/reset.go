package proxy

import (
	"slices"
	"strings"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/router"
)

// RESET goes back to what the session began with. A backend began with something else: so a RESET there is followed, before anyone
// hears of it, by the settings of the session's startup packet.

// sendSimple sends a Query of the client's, in the words of w if there are any.
func (s *session) sendSimple(l *link, q *router.Query, w *wording) {
	l.notes.unnamed = 0
	s.suspect(l, q)
	back := ""
	if !q.Plain() {
		back = s.resets(q)
	}
	if back == "" {
		if w == nil {
			l.conn.QueueOrWrite(s.frameInHand())
		} else {
			l.conn.SetQueue(pgwire.AppendQuery(l.conn.QueueBuffer(), string(w.text)))
		}
		r := l.replies.add(pgwire.MsgQuery)
		r.text, r.words = q, w
		return
	}
	if s.direct() { // a Query would have ended the unnamed statement there
		l.send(pgwire.AppendClose(l.conn.QueueBuffer(), 'S', ""), reply{kind: pgwire.MsgClose, do: skip})
	}
	l.run(string(q.SQL()), reply{kind: pgwire.MsgExecute, text: q})
	s.sendBack(l, back)
	l.send(pgwire.AppendSync(l.conn.QueueBuffer()), reply{kind: pgwire.MsgSync})
}

// resets is the statement that has to follow a RESET: empty when q is none of what the startup packet has set.
func (s *session) resets(q *router.Query) string {
	if s.initial.id == 0 || len(q.Statements()) != 1 {
		return ""
	}
	changes, _ := q.Changes(0, nil)
	var calls []string
	for _, c := range changes {
		for _, e := range s.initial.sent() {
			if takesBack(c, e.name) {
				calls = append(calls, "pg_catalog.set_config("+quoteLiteral(e.name)+","+quoteLiteral(e.value)+","+onOff(c.Local)+")")
			}
		}
	}
	if len(calls) == 0 {
		return ""
	}
	return "SELECT " + strings.Join(calls, ",")
}

// takesBack reports whether a change takes a setting of the startup packet back: RESET ALL leaves who one is, and who goes back to the
// login goes back to the role that it began with.
func takesBack(c router.Change, name string) bool {
	switch {
	case !c.Reset:
		return false
	case c.All:
		return rank(name) == 0 || c.Name == router.DiscardAll
	}
	return c.Name == name || c.Name == "session_authorization" && name == "role"
}

func onOff(b bool) string {
	if b {
		return "true"
	}
	return "false"
}

// sendBack sends the statement that follows a RESET.
func (s *session) sendBack(l *link, sql string) {
	l.run(sql, reply{kind: pgwire.MsgExecute, do: skip})
	if s.direct() {
		l.forgetOwn() // the client may look what there is
	}
	l.resetsTo = s.initial
}

// fixedParams are reported by servers and set by nobody, or not in this way.
var fixedParams = []string{"in_hot_standby", "integer_datetimes", "is_superuser", "server_encoding", "server_version",
	"session_authorization"}

// adopt makes settings the session's that a backend reports to have changed in the transaction that is over, though no statement
// was seen to change them: a function did.
func (s *session) adopt(l *link) {
	before := s.reportedIdle
	s.reportedIdle = s.reported
	if s.tx.faulted || l.notes.settings == nil {
		return
	}
	for _, e := range s.reported.list {
		name := strings.ToLower(e.Name)
		if old, ok := before.value(e.Name); ok && old == e.Value || slices.Contains(fixedParams, name) {
			continue
		}
		now, _ := s.settings.lookup(name)
		if was, _ := s.committed.lookup(name); was != now || now.value == e.Value {
			continue
		}
		set := setting{name, setConfigSQL(name, e.Value), e.Value}
		s.settings = s.settings.with(set)
		l.notes.settings = l.notes.settings.with(set)
	}
}
