package proxy

import (
	"hash/maphash"
	"slices"
	"strings"

	"github.com/pgdrover/pgdrover/router"
)

// setting is one run-time parameter that a session changed.
type setting struct {
	name  string // lower case
	sql   string // the statement that sets it on a backend; empty for PgDrover's own settings
	value string // as text, when it is a constant
}

// settings are the parameters that follow a session from backend to backend: immutable, and compared by content.
type settings struct {
	list []setting // by rank and name
	id   uint64    // of the content that backends have to know; 0 for nothing
	like uint64    // of that without the application's name

	sense uint64 // of that part of the content that the meaning of a statement may depend on; 0 for nothing
}

var noSettings = &settings{like: nothingAlike}

// nothingAlike is settings.like of nothing: backends on which nothing is set are alike, too.
const nothingAlike = 2

// settingsSeed makes ids comparable within the process.
var settingsSeed = maphash.MakeSeed()

// rank orders the parameters that decide who may set others after those: a role may not be allowed what the login is.
func rank(name string) int {
	switch name {
	case "session_authorization":
		return 1
	case "role":
		return 2
	}
	return 0
}

func compareSettings(a, b setting) int {
	if d := rank(a.name) - rank(b.name); d != 0 {
		return d
	}
	return strings.Compare(a.name, b.name)
}

// lookup returns the session's value of a parameter, if it changed it to a constant.
func (s *settings) lookup(name string) (setting, bool) {
	for _, e := range s.list {
		if e.name == name {
			return e, true
		}
	}
	return setting{}, false
}

// with returns the settings with e in place of what was said of its name.
func (s *settings) with(e setting) *settings {
	list := append(slices.Clone(s.without(e.name).list), e)
	slices.SortFunc(list, compareSettings)
	return newSettings(list)
}

// without returns the settings with nothing said of a name.
func (s *settings) without(name string) *settings {
	if _, ok := s.lookup(name); !ok {
		return s
	}
	list := slices.DeleteFunc(slices.Clone(s.list), func(e setting) bool { return e.name == name })
	return newSettings(list)
}

func newSettings(list []setting) *settings {
	return &settings{list: list, id: hashSettings(list, nil), like: max(hashSettings(list, nameAlone), nothingAlike), sense: hashSettings(list, senseless)}
}

// senseless are settings that change when a statement runs, and not what it is.
var senseless = []string{"application_name", "client_min_messages", "idle_in_transaction_session_timeout", "idle_session_timeout",
	"lock_timeout", "statement_timeout", "synchronous_commit", "tcp_keepalives_idle", "transaction_timeout"}

// hashSettings is a hash of what backends have to know, 0 for nothing.
func hashSettings(list []setting, but []string) uint64 {
	var h maphash.Hash
	h.SetSeed(settingsSeed)
	n := 0
	for _, e := range list {
		if e.sql == "" || slices.Contains(but, e.name) {
			continue
		}
		_, _ = h.WriteString(e.name)
		_ = h.WriteByte(0)
		_, _ = h.WriteString(e.sql)
		_ = h.WriteByte(0)
		n++
	}
	if n == 0 {
		return 0
	}
	return h.Sum64() | 1
}

// same reports whether a backend with one of them needs nothing to have the other.
func (s *settings) same(o *settings) bool {
	if s == o || s.id == 0 && o.id == 0 {
		return true
	}
	return s.id == o.id && slices.EqualFunc(s.list, o.list, func(a, b setting) bool { return a.name == b.name && a.sql == b.sql })
}

// sent are the settings that backends have to know.
func (s *settings) sent() []setting {
	if s.id == 0 {
		return nil
	}
	list := make([]setting, 0, len(s.list))
	for _, e := range s.list {
		if e.sql != "" {
			list = append(list, e)
		}
	}
	return list
}

// changeSQL is the string of statements that takes a backend from one set of settings to another; from is nil when nobody
// knows what the backend has.
func changeSQL(from, to *settings) string {
	var sql strings.Builder
	if from == nil || len(from.sent()) > 0 && rank(from.sent()[len(from.sent())-1].name) > 0 {
		sql.WriteString("RESET SESSION AUTHORIZATION;RESET ROLE;")
	}
	if from == nil {
		sql.WriteString("RESET ALL;")
		from = noSettings
	}
	for _, e := range from.sent() {
		if _, kept := to.lookup(e.name); !kept && rank(e.name) == 0 {
			sql.WriteString("RESET " + quoteSetting(e.name) + ";")
		}
	}
	for _, e := range to.sent() {
		if old, ok := from.lookup(e.name); ok && old.sql == e.sql && rank(e.name) == 0 {
			continue
		}
		sql.WriteString(e.sql + ";")
	}
	return sql.String()
}

// apply returns the settings after a change that was carried out; initial are the session's startup settings, which RESET goes
// back to.
func (s *settings) apply(c router.Change, initial *settings) *settings {
	next := s.changed(c, initial)
	if c.Name != "session_authorization" {
		return next
	}
	// Who logs in anew has no role (set_config_with_handle in PostgreSQL's guc.c).
	role, ok := initial.lookup("role")
	if c.Reset && ok {
		return next.with(role)
	}
	return next.without("role")
}

func (s *settings) changed(c router.Change, initial *settings) *settings {
	switch {
	case c.All:
		next := initial
		for _, e := range s.list { // RESET ALL leaves who one is (manual, "RESET")
			if rank(e.name) > 0 && c.Name != router.DiscardAll {
				next = next.with(e)
			}
		}
		return next
	case c.Reset:
		if e, ok := initial.lookup(c.Name); ok {
			return s.with(e)
		}
		return s.without(c.Name)
	case isOwn(c.Name):
		return s.with(setting{name: c.Name, value: c.Value})
	}
	e := setting{name: c.Name, sql: c.SQL, value: c.Value}
	if old, ok := s.lookup(c.Name); ok && c.Name == dateStyle {
		e = e.onto(old)
	}
	return s.with(e)
}

func quoteSetting(name string) string {
	parts := strings.Split(name, ".")
	for i, p := range parts {
		parts[i] = quoteIdent(p)
	}
	return strings.Join(parts, ".")
}

func quoteIdent(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// quoteLiteral quotes for any setting of standard_conforming_strings.
func quoteLiteral(s string) string {
	q := strings.ReplaceAll(s, "'", "''")
	if strings.Contains(q, `\`) {
		return " E'" + strings.ReplaceAll(q, `\`, `\\`) + "'"
	}
	return "'" + q + "'"
}

// setConfigSQL sets a parameter as the startup packet would: the value is one string, also for lists such as search_path.
func setConfigSQL(name, value string) string {
	return "SELECT pg_catalog.set_config(" + quoteLiteral(name) + "," + quoteLiteral(value) + ",false)"
}
