package proxy

import (
	"net/netip"
	"slices"

	"github.com/pgdrover/pgdrover/pgwire"
)

// Method is how a client proves who it is.
type Method uint8

// The methods.
const (
	MethodSCRAM  Method = iota // SCRAM-SHA-256, over TLS with channel binding where the client can
	MethodMD5                  // PostgreSQL's old challenge where there is an md5 verifier, SCRAM otherwise
	MethodCert                 // a TLS client certificate with the user's name
	MethodJWT                  // a signed token in the place of a password
	MethodTrust                // nothing: whoever comes is who they say
	MethodReject               // nobody logs in
)

// RuleTLS says which connections a rule is for, by their encryption.
type RuleTLS uint8

// The connections.
const (
	RuleAnyTLS     RuleTLS = iota // all
	RuleRequireTLS                // those with TLS
	RuleNoTLS                     // those without
)

// Rule says how certain clients log in. An empty list means all of them.
type Rule struct {
	From      []netip.Prefix
	Users     []string
	Databases []string
	TLS       RuleTLS
	Method    Method
}

// covers reports whether a rule is for a client.
func (r *Rule) covers(from netip.Addr, user, database string, encrypted bool) bool {
	return (len(r.From) == 0 || slices.ContainsFunc(r.From, func(p netip.Prefix) bool { return p.Contains(from) })) &&
		(len(r.Users) == 0 || slices.Contains(r.Users, user)) &&
		(len(r.Databases) == 0 || slices.Contains(r.Databases, database)) &&
		(r.TLS == RuleAnyTLS || (r.TLS == RuleRequireTLS) == encrypted)
}

// byDefault is the rule where none is configured.
var byDefault = Rule{Method: MethodSCRAM} // it is not changed

// rule is the first rule for the client; nil when there are rules and none of them is.
func (c *Config) rule(from netip.Addr, user, database string, encrypted bool) *Rule {
	if len(c.Rules) == 0 {
		return &byDefault
	}
	for i := range c.Rules {
		if r := &c.Rules[i]; r.covers(from, user, database, encrypted) {
			return r
		}
	}
	return nil
}

// method is how the client has to log in, by the rules.
func (s *session) method() (Method, *pgwire.Error) {
	r := s.cfg.rule(s.login.from, s.userName, s.databaseName, s.client.Encrypted())
	switch {
	case r == nil:
		return 0, &pgwire.Error{Code: "28000", Message: "no rule for " + s.whoAsks(),
			Hint: "add one under \"auth: rules\" in pgdrover.yaml; the first that fits counts"}
	case r.Method == MethodReject:
		return 0, &pgwire.Error{Code: "28000", Message: "a rule rejects " + s.whoAsks(), Hint: "the rules are under \"auth: rules\" in pgdrover.yaml"}
	}
	return r.Method, nil
}

// whoAsks is what rules tell clients apart by, in the words of PostgreSQL.
func (s *session) whoAsks() string {
	with := "no encryption"
	if s.client.Encrypted() {
		with = "TLS"
	}
	return "host \"" + s.login.from.String() + "\", user \"" + s.userName + "\", database \"" + s.databaseName + "\", " + with
}
