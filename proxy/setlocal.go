package proxy

import (
	"cmp"
	"slices"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/router"
)

// The server's settings that routes depend on.
const (
	searchPath     = "search_path"
	roleSetting    = "role"
	sessionUser    = "session_authorization"
	backslashes    = "standard_conforming_strings"
	clientEncoding = "client_encoding"
)

// changeLocal notes what a transaction has set for itself, as far as routes depend on it.
func (s *session) changeLocal(c router.Change) {
	s.tx.local = true
	switch c.Name {
	case ownTenant:
		s.tx.tenant, _ = s.db.Map().TenantType().ParseText([]byte(c.Value))
		s.tx.tenant = s.tx.tenant.Clone()
	case searchPath, roleSetting, sessionUser, backslashes, clientEncoding:
		value := c.Value
		if c.Reset {
			began, _ := s.initial.lookup(c.Name)
			value = began.value
		}
		s.setLocal(c.Name, value)
		if c.Name == sessionUser { // as for the session: who logs in anew has no role
			s.setLocal(roleSetting, "none")
		}
	default:
		return
	}
	s.applyEnv()
}

// setLocal notes a value that the open transaction has of a setting.
func (s *session) setLocal(name, value string) {
	s.tx.locals = cmp.Or(s.tx.locals, noSettings).with(setting{name: name, value: value})
}

// endLocal forgets what a change for the session ends of what the transaction has set for itself.
func (s *session) endLocal(c router.Change) {
	switch {
	case s.tx.locals == nil:
	case c.All: // RESET ALL leaves who one is (manual, "RESET")
		s.tx.locals = newSettings(slices.DeleteFunc(slices.Clone(s.tx.locals.list), func(e setting) bool { return rank(e.name) == 0 }))
	case c.Name == sessionUser: // who logs in anew has no role
		s.tx.locals = s.tx.locals.without(sessionUser).without(roleSetting)
	default:
		s.tx.locals = s.tx.locals.without(c.Name)
	}
}

// current is the session's value of a setting at this moment, if it is known to have been set to a constant.
func (s *session) current(name string) (setting, bool) {
	if s.tx.locals != nil {
		if e, ok := s.tx.locals.lookup(name); ok {
			return e, true
		}
	}
	return s.settings.lookup(name)
}

// currentUser is whose schema "$user" is on the servers.
func (s *session) currentUser() string {
	if e, ok := s.current(roleSetting); ok && e.value != "" && e.value != "none" {
		return e.value
	}
	if e, ok := s.current(sessionUser); ok && e.value != "" && e.value != "default" {
		return e.value
	}
	return s.backendUser()
}

// currentOrUsual is the value in force of a setting that servers report; empty: it is not known yet.
func (s *session) currentOrUsual(name string) string {
	if e, ok := s.current(name); ok {
		return e.value
	}
	value, _ := s.usual.value(name)
	return value
}

// valueOr is the value of a setting, or else what servers report of it.
func valueOr(set *settings, reported *params, name string) string {
	if e, ok := set.lookup(name); ok {
		return e.value
	}
	value, _ := reported.value(name)
	return value
}

// heedReported notes a value that a server reports in a transaction, if routes depend on it: a function may have set it.
func (s *session) heedReported(name, value string) {
	if s.tx.open && (name == backslashes || name == clientEncoding) && s.currentOrUsual(name) != value {
		s.setLocal(name, value)
		s.applyEnv()
	}
}

// heedUsual notes what a backend reports that has the session's settings, if routes depend on it: a role's own may have been altered.
func (s *session) heedUsual(now *params) {
	if s.tx.open || s.usual == nil {
		return
	}
	for _, name := range []string{backslashes, clientEncoding} {
		value, _ := now.value(name)
		if _, set := s.settings.lookup(name); !set && s.currentOrUsual(name) != value {
			s.usual = s.usual.with(name, value)
			s.applyEnv()
		}
	}
}

// rereads reports whether what the client sends next may mean something else once a statement has run that changes settings, or takes back what the transaction
// has changed or that it is aborted: it is not to be read before.
func (s *session) rereads(q *router.Query, set []router.Change) bool {
	if slices.ContainsFunc(set, func(c router.Change) bool { return !slices.Contains(senseless, c.Name) }) {
		return true
	}
	if !s.tx.open || !s.tx.aborted && s.tx.locals == nil && s.settings == s.committed {
		return false
	}
	return slices.ContainsFunc(q.Statements(), func(st router.Statement) bool {
		return st.Verb == router.Commit || st.Verb == router.Rollback || st.Verb == router.RollbackTo
	})
}

// readOtherwise is the error for a prepared statement whose strings were read by another standard_conforming_strings than what is in force: where it has to
// be read again nobody could tell what it says. It is nil for all others.
func (s *session) readOtherwise(q *router.Query) *pgwire.Error {
	if s.place.single() || q.ReadAs(&s.env) {
		return nil
	}
	return &pgwire.Error{Code: "0A000", Message: "the statement was prepared under another setting of standard_conforming_strings, and has a backslash",
		Hint: "prepare it again"}
}

// runsOtherwise is readOtherwise for the statements that those of q run by their names.
func (s *session) runsOtherwise(q *router.Query) *pgwire.Error {
	if q.Plain() || len(s.statements) == 0 {
		return nil
	}
	for i := range q.Statements() {
		if p := s.statements[q.Statements()[i].Runs]; p != nil {
			if e := s.readOtherwise(&p.query); e != nil {
				return e
			}
		}
	}
	return nil
}
