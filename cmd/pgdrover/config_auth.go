package main

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/pgdrover/pgdrover/internal/yamlfile"
)

// Auth is how clients prove who they are.
type Auth struct {
	// Rules say which clients log in how: the first that fits counts, and a client that none fits is refused. Key: auth.rules.
	// Default: everybody by scram.
	Rules []Rule `yaml:"rules"`
	// Query finds users that are not listed: with $1 for the name, it gives the name and the password's verifier, as pg_authid has
	// them. Key: auth.query. Default: none.
	Query string `yaml:"query"`
	// QueryDatabase is the database that is asked; empty means the one that the client wants. Key: auth.query_database.
	// Default: none.
	QueryDatabase string `yaml:"query_database"`
	// QueryUser is the role that asks; empty means the database's backend.user. Key: auth.query_user. Default: none.
	QueryUser string `yaml:"query_user"`
	// QueryPassword is that role's password, be it given as query_password or in query_password_file. Key: auth.query_password.
	// Default: none.
	QueryPassword Secret `yaml:"query_password,secret"`
	// QueryPasswordFile is a file of one line that holds it. Key: auth.query_password_file. Default: none.
	QueryPasswordFile string `yaml:"query_password_file"`
	// QueryTTL is how long an answer is good; it is renewed in the background from half of that on. Key: auth.query_ttl.
	// Default: 1m.
	QueryTTL time.Duration `yaml:"query_ttl"`
	// JWT says which tokens are good for users with method jwt. Key: auth.jwt.
	JWT JWT `yaml:"jwt"`
}

// JWT says which tokens are good in the place of a password, and what they say.
type JWT struct {
	// JWKSFile is a file with the issuer's public keys, a JWK set. Key: auth.jwt.jwks_file. Default: none.
	JWKSFile string `yaml:"jwks_file"`
	// JWKSURL is where they are fetched from, by https. Key: auth.jwt.jwks_url. Default: none.
	JWKSURL string `yaml:"jwks_url"`
	// Issuer is what the claim iss has to be. Key: auth.jwt.issuer. Required with jwt.
	Issuer string `yaml:"issuer"`
	// Audience is what the claim aud has to hold. Key: auth.jwt.audience. Required with jwt.
	Audience string `yaml:"audience"`
	// UserClaim is the claim that has to be the user's name. Key: auth.jwt.user_claim. Default: sub.
	UserClaim string `yaml:"user_claim"`
	// TenantClaim is the claim that names the tenant which the session is bound to; empty means that it is bound to none. Key:
	// auth.jwt.tenant_claim. Default: none.
	TenantClaim string `yaml:"tenant_claim"`
	// Leeway is by how much clocks may differ. Key: auth.jwt.leeway. Default: 30s.
	Leeway time.Duration `yaml:"leeway"`
	// Refresh is how old the keys may become before they are fetched again. Key: auth.jwt.refresh. Default: 5m.
	Refresh time.Duration `yaml:"refresh"`
}

// isSet reports whether the block is there.
func (j JWT) isSet() bool {
	return j.JWKSFile != "" || j.JWKSURL != "" || j.Issuer != "" || j.Audience != "" || j.TenantClaim != ""
}

// Rule says how certain clients log in.
type Rule struct {
	// From are the addresses that it is for, as 10.0.0.0/8, one or a list. Key: auth.rules[].from. Default: all.
	From Networks `yaml:"from"`
	// Users are the users that it is for. Key: auth.rules[].users. Default: all.
	Users []string `yaml:"users"`
	// Databases are the databases that it is for, the console pgdrover among them. Key: auth.rules[].databases. Default: all.
	Databases []string `yaml:"databases"`
	// TLS is require, any or off: which connections it is for. Key: auth.rules[].tls. Default: require for cert and jwt, else any.
	TLS RuleTLS `yaml:"tls"`
	// Method is scram, md5, cert, jwt, trust or reject. Key: auth.rules[].method. Required.
	Method Method `yaml:"method"`

	at yamlfile.Position
}

// UnmarshalNode reads a rule, and remembers where it is.
func (r *Rule) UnmarshalNode(n yamlfile.Node) error {
	type plain Rule
	r.at = n.Position()
	return n.Decode((*plain)(r))
}

// everybody reports whether the rule leaves nobody to the rules after it.
func (r Rule) everybody() bool {
	return len(r.From) == 0 && len(r.Users) == 0 && len(r.Databases) == 0 && r.TLS == RuleTLSAny
}

// Networks are ranges of addresses.
type Networks []netip.Prefix

// UnmarshalNode reads a range or an address, or a list of them.
func (list *Networks) UnmarshalNode(n yamlfile.Node) error {
	var texts []yamlfile.Value[string]
	if n.Kind() == yamlfile.Scalar {
		text, err := n.Text()
		if err != nil {
			return err
		}
		texts = append(texts, yamlfile.Value[string]{V: text, Pos: n.Position()})
	} else if err := n.Decode(&texts); err != nil {
		return err
	}
	var errs yamlfile.Errors
	*list = Networks{}
	for _, text := range texts {
		one, err := network(text.V)
		errs.Append(text.Pos, err)
		*list = append(*list, one)
	}
	return errs.Err()
}

func network(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	one, err := netip.ParsePrefix(text)
	switch {
	case err != nil || one.Addr().Is4In6():
		return one, fmt.Errorf("%q is no range of addresses: write 10.0.0.0/8, 2001:db8::/32 or a single address", text)
	case one != one.Masked():
		return one, fmt.Errorf("%s has bits beyond its length: write %s", text, one.Masked())
	}
	return one, nil
}

// CertPair is a certificate and its key.
type CertPair struct {
	// Cert is a PEM file with a certificate and the chain above it; the names in it say which clients see it. Key:
	// tls.certificates[].cert. Required.
	Cert string `yaml:"cert"`
	// Key is a PEM file with its private key. Key: tls.certificates[].key. Required.
	Key string `yaml:"key"`

	at yamlfile.Position
}

// UnmarshalNode reads a pair, and remembers where it is.
func (p *CertPair) UnmarshalNode(n yamlfile.Node) error {
	type plain CertPair
	p.at = n.Position()
	return n.Decode((*plain)(p))
}
