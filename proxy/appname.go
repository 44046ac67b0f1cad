package proxy

import (
	"net"
	"unicode/utf8"

	"github.com/pgdrover/pgdrover/pgwire"
)

// Clients of one pool often differ in application_name and nothing else. No statement depends on it, and setting it cannot fail: so it
// goes ahead of the statement without a wait.

const applicationName = "application_name"

// nameLimit is the length that a server cuts an application_name to, in bytes (NAMEDATALEN - 1).
const nameLimit = 63

// nameAlone is the setting that is anyone's own.
var nameAlone = []string{applicationName}

// asIs reports whether a server reports an application_name as it was set.
func asIs(name string) bool {
	for i := range len(name) {
		if name[i] < ' ' || name[i] > '~' {
			return false
		}
	}
	return len(name) <= nameLimit
}

// sameButName reports whether settings differ in the application's name at most, for a backend.
func (s *settings) sameButName(o *settings) bool {
	if s.like != o.like {
		return false
	}
	a, b := s.list, o.list
	for {
		a, b = fromOther(a), fromOther(b)
		if len(a) == 0 || len(b) == 0 {
			return len(a) == len(b)
		}
		if a[0].name != b[0].name || a[0].sql != b[0].sql {
			return false
		}
		a, b = a[1:], b[1:]
	}
}

// fromOther is a list from the first setting on that a backend has to know and that is not the application's name.
func fromOther(list []setting) []setting {
	for len(list) > 0 && (list[0].sql == "" || list[0].name == applicationName) {
		list = list[1:]
	}
	return list
}

// nameOnly reports whether a backend has the session's settings but for the application's name, of which the client has been told what
// the server will say.
func (s *session) nameOnly(l *link) bool {
	return s.reported != nil && l.notes.settings != nil && l.notes.settings.sameButName(s.settings)
}

// sendName changes the application's name on a backend, ahead of what comes next there.
func (s *session) sendName(l *link) {
	sql := "RESET application_name"
	if e, ok := s.settings.lookup(applicationName); ok {
		sql = e.sql
	}
	l.sendQuery(sql)
	l.notes.settings, l.before = s.settings, s.settings
	told, ok := s.reported.value(applicationName)
	switch {
	case !ok:
	case l.notes.params.sameBut(s.reported, applicationName):
		l.notes.params = s.reported
	default:
		l.notes.params = l.notes.params.with(applicationName, told)
	}
}

// setNameSQL sets the application's name, which is all that a statement sets that runs as often as clients take turns.
func setNameSQL(name string) string { return "SET application_name TO " + quoteLiteral(name) }

// addHost adds the client's address and port to the application_name among startup settings.
func (s *session) addHost(pairs []pgwire.Param) []pgwire.Param {
	address := s.client.RemoteAddr()
	suffix := " - " + address.String()
	if _, ok := address.(*net.UnixAddr); ok {
		suffix = " - unix"
	}
	name := "app"
	for _, p := range pairs {
		if p.Name == applicationName && p.Value != "" {
			name = p.Value // the last one counts
		}
	}
	for len(name) > max(0, nameLimit-len(suffix)) { // the address is what was asked for
		_, size := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-size]
	}
	return append(pairs, pgwire.Param{Name: applicationName, Value: name + suffix})
}
