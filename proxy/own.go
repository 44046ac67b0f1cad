package proxy

import (
	"strings"
	"unicode"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/router"
	"github.com/pgdrover/pgdrover/shardmap"
)

// PgDrover's own settings, which no backend hears of.
const (
	ownPrefix  = "pgdrover."
	ownTenant  = "pgdrover.tenant"
	ownScatter = "pgdrover.scatter"
	ownShard   = "pgdrover.shard"
)

func isOwn(name string) bool { return strings.HasPrefix(name, ownPrefix) }

// checkOwn says what is wrong with a value of one of PgDrover's settings; nil when it is fine.
func (s *session) checkOwn(name, value string) *pgwire.Error {
	switch name {
	case ownTenant:
		if e := s.keepsTenant(value); e != nil {
			return e
		}
		if value == "" {
			return nil
		}
		m := s.db.Map()
		if _, err := m.TenantType().ParseText([]byte(value)); err != nil {
			return &pgwire.Error{Code: "22023", Message: "invalid value for parameter \"" + name + "\": \"" + value + "\"",
				Hint: "the tenant key of this database is a " + m.TenantType().String()}
		}
		return nil
	case ownScatter:
		if _, ok := boolean(value); ok {
			return nil
		}
		return &pgwire.Error{Code: "22023", Message: "parameter \"" + name + "\" requires a Boolean value"}
	}
	if name == ownShard {
		return s.checkShard(value)
	}
	return &pgwire.Error{Code: "42704", Message: "unrecognized configuration parameter \"" + name + "\"",
		Hint: "PgDrover's own settings are " + ownTenant + " and " + ownScatter}
}

// keepsTenant says that a value of pgdrover.tenant would take the session out of the tenant that its login bound it to.
func (s *session) keepsTenant(value string) *pgwire.Error {
	if s.login.tenant.IsZero() {
		return nil
	}
	key, err := s.db.Map().TenantType().ParseText([]byte(value))
	if err == nil && key == s.login.tenant {
		return nil
	}
	return &pgwire.Error{Code: "42501", Message: "this session is bound to tenant \"" + s.login.tenant.String() + "\" and cannot leave it",
		Hint: "the token that it logged in with says so: log in with another for another tenant"}
}

// keepsRole refuses a startup setting that changes the role to a session that is bound to a tenant, as the router refuses SET ROLE.
func (s *session) keepsRole(name string) *pgwire.Error {
	if s.login.tenant.IsZero() || name != "role" && name != "session_authorization" {
		return nil
	}
	return &pgwire.Error{Code: "42501", Message: "this session is bound to tenant \"" + s.login.tenant.String() + "\": it cannot change its role",
		Hint: "a change of role may leave the tenant's policies: leave \"" + name + "\" out of the options"}
}

// boundError refuses what cannot be understood to a session that is bound to a tenant; nil to others.
func (s *session) boundError() *pgwire.Error {
	if s.login.tenant.IsZero() {
		return nil
	}
	return &pgwire.Error{Code: "42501", Message: "this session is bound to tenant \"" + s.login.tenant.String() + "\": a function call cannot be shown to stay within it",
		Hint: "call the function in a statement"}
}

// showOwn is the value of one of PgDrover's settings as SHOW prints it.
func (s *session) showOwn(name string) string {
	if name == ownTenant && !s.login.tenant.IsZero() {
		return s.login.tenant.String()
	}
	if name == ownTenant && !s.tx.tenant.IsZero() {
		return s.tx.tenant.String()
	}
	if e, ok := s.settings.lookup(name); ok {
		return e.value
	}
	if name == ownScatter {
		return map[bool]string{true: "on", false: "off"}[s.db.options().Scatter]
	}
	return ""
}

// isForeign reports an encoding in which text is converted on its way to a database in UTF8 (manual, "Automatic Character Set Conversion").
func isForeign(encoding string) bool {
	if encoding == "UTF8" { // what nearly all say
		return false
	}
	name := strings.Map(func(c rune) rune {
		if c == '_' || c == '-' || c == ' ' || c == '\'' {
			return -1
		}
		return unicode.ToLower(c)
	}, encoding)
	return name != "" && name != "utf8" && name != "unicode" && name != "sqlascii"
}

// applyEnv tells the router what the session's settings say, after they changed.
func (s *session) applyEnv() {
	s.set.Store(s.settings)
	s.env.User = s.currentUser()
	path, _ := s.current(searchPath)
	s.env.SearchPath = path.value
	s.applyReported()
	s.env.Tenant, s.env.TenantSource = s.tenantSet()
	s.env.Scatter = s.db.options().Scatter
	if e, ok := s.settings.lookup(ownScatter); ok {
		s.env.Scatter, _ = boolean(e.value)
	}
}

// applyReported is applyEnv for the settings that servers report.
func (s *session) applyReported() {
	s.applySense(senseBy(s.currentOrUsual(backslashes), s.currentOrUsual(clientEncoding)))
}

// applySense has the router read texts so.
func (s *session) applySense(r textSense) {
	s.env.PlainBackslash, s.env.Foreign = r.plainBackslash, r.foreign
}

// textSense is how the router reads texts, as router.Env has it.
type textSense struct{ plainBackslash, foreign bool }

// senseBy is the sense by standard_conforming_strings and client_encoding; each is empty where it is not known.
func senseBy(backslashes, encoding string) textSense {
	standard, known := boolean(backslashes)
	return textSense{known && !standard, isForeign(encoding)}
}

// tenantSet is the tenant of the session, and how it came to it: by its login, or else SET LOCAL before SET before the startup packet.
func (s *session) tenantSet() (shardmap.Key, router.Source) {
	if !s.login.tenant.IsZero() {
		return s.login.tenant, router.SourceAuth
	}
	if !s.tx.tenant.IsZero() {
		return s.tx.tenant, router.SourceSetLocal
	}
	e, ok := s.settings.lookup(ownTenant)
	if !ok || e.value == "" {
		return shardmap.Key{}, router.SourceNone
	}
	key, err := s.db.Map().TenantType().ParseText([]byte(e.value))
	if err != nil {
		return shardmap.Key{}, router.SourceNone
	}
	if b, ok := s.initial.lookup(ownTenant); ok && b == e {
		return key, router.SourceStartup
	}
	return key, router.SourceSet
}
