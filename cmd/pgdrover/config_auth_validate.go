package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/pgdrover/pgdrover/internal/yamlfile"
	"github.com/pgdrover/pgdrover/proxy"
)

// resolveAuth fills in what depends on other keys and on where the file lies.
func (l *loader) resolveAuth() {
	c := l.config
	for i := range c.TLS.Certificates {
		pair := &c.TLS.Certificates[i]
		for _, name := range []*string{&pair.Cert, &pair.Key} {
			if *name != "" {
				*name = beside(pair.at.File, *name)
			}
		}
	}
	l.relative(&c.TLS.ClientCA, key{"tls", "client_ca"})
	if c.TLS.ClientCerts == "" {
		c.TLS.ClientCerts = ClientCertsOff
		if c.TLS.ClientCA != "" {
			c.TLS.ClientCerts = ClientCertsOptional
		}
	}
	for i := range c.Auth.Rules {
		if r := &c.Auth.Rules[i]; r.TLS == "" {
			r.TLS = RuleTLSAny
			if r.Method == MethodCert || r.Method == MethodJWT {
				r.TLS = RuleTLSRequire
			}
		}
	}
	l.relative(&c.Auth.JWT.JWKSFile, key{"auth", "jwt", "jwks_file"})
	l.queryPassword()
}

// queryPassword reads the password file of the role that asks for users.
func (l *loader) queryPassword() {
	a, at := &l.config.Auth, key{"auth", "query_password_file"}
	l.relative(&a.QueryPasswordFile, at)
	switch {
	case a.QueryPasswordFile == "":
	case a.QueryPassword != "":
		l.fault(at, "query_password and query_password_file: give one of them")
	default:
		a.QueryPassword = l.secretFile(l.position(at), a.QueryPasswordFile)
	}
}

// validateAuth reports what is wrong with the ways to log in.
func (l *loader) validateAuth() {
	l.validateClientCerts(l.config.TLS)
	l.validateRules(l.config.Auth.Rules)
	l.validateQuery(key{"auth"}, l.config.Auth)
	l.validateJWT(key{"auth", "jwt"}, l.config.Auth)
}

func (l *loader) validateClientCerts(t TLS) {
	for _, pair := range t.Certificates {
		if t.Cert == "" {
			l.errs.Add(pair.at, "tls.cert and tls.key are missing: they are for clients that name no server, or another")
		}
		if pair.Cert == "" || pair.Key == "" {
			l.errs.Add(pair.at, "tls.certificates: give cert and key")
			continue
		}
		l.usablePair(pair.at, pair.Cert, pair.Key)
	}
	switch {
	case t.ClientCA == "" && t.ClientCerts != ClientCertsOff:
		l.fault(key{"tls", "client_certs"}, "%s needs tls.client_ca, the authorities that sign the clients' certificates", t.ClientCerts)
	case t.ClientCA != "" && t.Mode == TLSOff:
		l.fault(key{"tls", "client_ca"}, "clients show certificates over TLS only, and tls.mode is off")
	case t.ClientCA != "" && t.ClientCerts == ClientCertsOff:
		l.fault(key{"tls", "client_certs"}, "off, though tls.client_ca is given: write optional, require or verify, or remove client_ca")
	case t.ClientCA != "":
		l.authorities(key{"tls", "client_ca"}, t.ClientCA)
	}
}

func (l *loader) usablePair(at yamlfile.Position, cert, private string) {
	if _, err := tls.LoadX509KeyPair(cert, private); err != nil {
		l.errs.Add(at, "certificate %s with key %s cannot be used: %v", cert, private, err)
	}
}

// authorities reports whether a file holds certificates.
func (l *loader) authorities(at key, name string) {
	text, err := os.ReadFile(name)
	switch {
	case err != nil:
		l.fault(at, "%v", err)
	case !x509.NewCertPool().AppendCertsFromPEM(text):
		l.fault(at, "%s holds no certificate in PEM form", name)
	}
}

func (l *loader) validateRules(rules []Rule) {
	last := -1
	for i, r := range rules {
		if last >= 0 {
			l.errs.Add(r.at, "this rule never counts: the one on line %d is for everybody", rules[last].at.Line)
		}
		if fault := l.ruleFault(r); fault != "" {
			l.errs.Add(r.at, "auth.rules: %s", fault)
		}
		if last < 0 && r.everybody() {
			last = i
		}
	}
}

// ruleFault says what is wrong with a rule, "" for nothing.
func (l *loader) ruleFault(r Rule) string {
	c := l.config
	switch {
	case r.Method == "":
		return "method is missing: write scram, md5, cert, jwt, trust or reject"
	case r.From != nil && len(r.From) == 0, r.Users != nil && len(r.Users) == 0, r.Databases != nil && len(r.Databases) == 0:
		return "a list is empty: name somebody, or leave the list out to mean all"
	case r.Method == MethodCert && r.TLS != RuleTLSRequire:
		return fmt.Sprintf("a client shows its certificate over TLS: with method cert write tls: require, not %s", r.TLS)
	case r.Method == MethodCert && c.TLS.ClientCerts == ClientCertsOff:
		return "method cert needs tls.client_ca, the authorities that sign the clients' certificates"
	case r.Method == MethodJWT && !c.Auth.JWT.isSet():
		return "method jwt needs auth.jwt: whose tokens are good"
	case r.TLS == RuleTLSRequire && c.TLS.Mode == TLSOff:
		return "the rule is for TLS, and tls.mode is off: give tls.cert and tls.key"
	case r.TLS == RuleTLSOff && c.TLS.Mode == TLSRequire:
		return "the rule is for connections without TLS, and tls.mode is require"
	}
	for _, name := range r.Databases {
		if _, ok := c.Databases[name]; !ok && name != consoleDatabase {
			return fmt.Sprintf("there is no database %q%s", name, l.nearestDatabase(name))
		}
	}
	return ""
}

func (l *loader) validateQuery(at key, a Auth) {
	if a.Query == "" {
		for _, name := range []string{"query_database", "query_user", "query_password", "query_password_file"} {
			if _, ok := l.doc.KeyPosition(at.under(name)...); ok {
				l.fault(at.under(name), "there is no auth.query: give it, or remove this")
			}
		}
		return
	}
	if !strings.Contains(a.Query, "$1") {
		l.fault(at.under("query"), "it has no $1, which stands for the user's name")
	}
	if _, ok := l.config.Databases[a.QueryDatabase]; !ok && a.QueryDatabase != "" {
		l.fault(at.under("query_database"), "there is no database %q%s", a.QueryDatabase, l.nearestDatabase(a.QueryDatabase))
	}
	if a.QueryUser == "" && a.QueryPassword != "" {
		l.fault(at.under("query_password"), "query_user is missing: a password is of no use without its role")
	}
	if a.QueryTTL == 0 {
		l.fault(at.under("query_ttl"), "must be more than 0")
	}
}

func (l *loader) validateJWT(at key, a Auth) {
	j := a.JWT
	if !j.isSet() {
		return
	}
	switch {
	case j.JWKSFile == "" && j.JWKSURL == "":
		l.fault(at, "jwks_file or jwks_url is missing: where are the issuer's keys?")
	case j.JWKSFile != "" && j.JWKSURL != "":
		l.fault(at.under("jwks_url"), "jwks_file and jwks_url: give one of them")
	case j.JWKSURL != "" && !secureURL(j.JWKSURL):
		l.fault(at.under("jwks_url"), "%q: write https://…; plain http is for this machine's own addresses", j.JWKSURL)
	case j.JWKSFile != "":
		l.keySet(at.under("jwks_file"), j.JWKSFile)
	}
	if j.Issuer == "" {
		l.fault(at.under("issuer"), "missing: tokens of anybody who has the same keys would be good")
	}
	if j.Audience == "" {
		l.fault(at.under("audience"), "missing: tokens that the issuer made for others would be good")
	}
	if j.UserClaim == "" {
		l.fault(at.under("user_claim"), "empty: which claim is the user's name?")
	}
	if j.Refresh == 0 {
		l.fault(at.under("refresh"), "must be more than 0")
	}
	if !slices.ContainsFunc(a.Rules, func(r Rule) bool { return r.Method == MethodJWT }) {
		l.fault(at, "no rule under auth.rules has method jwt: nobody could log in with a token")
	}
}

// keySet checks a file of keys.
func (l *loader) keySet(at key, name string) {
	text, err := os.ReadFile(name)
	if err == nil {
		_, err = proxy.ParseKeySet(text)
	}
	if err != nil {
		l.fault(at, "%s: %v", name, err)
	}
}

// secureURL reports whether a URL is one that nobody can change the answer of on the way.
func secureURL(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" {
		return false
	}
	addr, err := netip.ParseAddr(u.Hostname())
	local := u.Hostname() == "localhost" || err == nil && addr.IsLoopback()
	return u.Scheme == "https" || u.Scheme == "http" && local
}

// withoutPassword reports whether a user may log in without a password.
func (c *Config) withoutPassword() bool {
	return slices.ContainsFunc(c.Auth.Rules, func(r Rule) bool {
		return r.Method == MethodCert || r.Method == MethodJWT || r.Method == MethodTrust
	})
}

// hasMethod reports whether a rule has a method.
func (c *Config) hasMethod(m Method) bool {
	return slices.ContainsFunc(c.Auth.Rules, func(r Rule) bool { return r.Method == m })
}
