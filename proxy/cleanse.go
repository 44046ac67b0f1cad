package proxy

import (
	"slices"
	"strings"
	"time"

	"github.com/pgdrover/pgdrover/router"
)

// cleanseTime bounds how long a backend may take to be cleaned.
const cleanseTime = 5 * time.Second

// What cleans a backend of all that code which no proxy sees may have left there. A replica has no channels and no temporary tables.
const (
	cleanseReplica = "RESET SESSION AUTHORIZATION;RESET ROLE;RESET ALL;CLOSE ALL;SELECT pg_catalog.pg_advisory_unlock_all()"
	cleansePrimary = cleanseReplica + ";UNLISTEN *;DISCARD TEMP"
)

// suspect notes that a query which is being sent may change unseen what the backend keeps for the session, also if it fails. After DDL
// nobody knows what a name stands for, in its transaction and, until the catalog tells of it, in any other.
func (s *session) suspect(l *link, q *router.Query) {
	l.unsure = l.unsure || s.db.catalog.behind()
	if !q.Plain() {
		s.suspectEach(l, q)
	}
}

func (s *session) suspectEach(l *link, q *router.Query) {
	sts := q.Statements()
	for i := range sts {
		st := s.carriedOut(&sts[i])
		l.unsure = l.unsure || st.Unsettles || st.Redefines
	}
}

// cleanse takes from a backend what such queries may have left there, before anyone else gets it, and puts the session's settings in
// force again, by which the session finds it the next time. It waits for the result, after the client has got its own unless that is
// to wait for the catalog, and reports whether the backend is clean.
func (s *session) cleanse(l *link) bool {
	if !s.lookup.ddl || s.routesBehind() {
		_ = s.client.Flush()
	}
	faulted := s.tx.faulted
	var out sink
	sql := cleansePrimary
	if l.isReplica() {
		sql = cleanseReplica
	}
	l.noteCustoms(s.settings)
	l.sendQuery(sql + ";" + changeSQL(noSettings, s.settings))
	s.command(l, &out, time.Now().Add(cleanseTime))
	s.tx.faulted = faulted // it is the session's transaction that this would say something of
	l.notes.settings, l.before = s.settings, s.settings
	l.notes.temporary = true // it may have been the code that made some
	return out.fault == nil && l.lost == nil && l.status == 'I'
}

// discardHeld takes from a backend all that a session which has ended had there. It reports whether that is certain: nobody knows what
// a function that is declared to need its backend leaves there, and the name of a setting that is nobody's own stays known, as does
// the schema of temporary tables, which in session mode the next client is not to see.
func (s *session) discardHeld(l *link) bool {
	if l.hold&router.HoldFunction != 0 || s.mode == ModeSession && (l.custom || l.unsure) {
		return false
	}
	var out sink
	l.sendQuery("DISCARD ALL")
	s.command(l, &out, time.Now().Add(cleanseTime))
	l.notes.forgetAll()
	l.notes.settings, l.before = noSettings, noSettings
	l.hold, l.unsure = 0, false
	return out.fault == nil && out.tag == "DISCARD ALL" && l.lost == nil && l.status == 'I'
}

// noteCustom notes that a setting was made on a backend; l may be nil.
func (l *link) noteCustom(name string) {
	if l != nil && isCustom(name) {
		l.custom = true
	}
}

// noteCustoms is noteCustom for settings that are being put in force.
func (l *link) noteCustoms(to *settings) {
	l.custom = l.custom || slices.ContainsFunc(to.sent(), func(e setting) bool { return isCustom(e.name) })
}

// isCustom reports whether a setting is nobody's own: any name with a dot may be set.
func isCustom(name string) bool { return strings.Contains(name, ".") && !isOwn(name) }
