package proxy

import (
	"crypto/tls"
	"net/netip"
	"testing"
)

// TestFirstRuleWins is the matrix of address, user, database and encryption.
func TestFirstRuleWins(t *testing.T) {
	office := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}
	cfg := Config{Rules: []Rule{
		{From: office, Users: []string{"mallory"}, Method: MethodReject},
		{From: office, TLS: RuleRequireTLS, Method: MethodCert},
		{From: office, TLS: RuleNoTLS, Databases: []string{"app", "old"}, Method: MethodMD5},
		{Users: []string{"svc", "batch"}, TLS: RuleRequireTLS, Method: MethodJWT},
		{From: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Method: MethodTrust},
		{Databases: []string{"app"}, TLS: RuleRequireTLS, Method: MethodSCRAM},
	}}
	const none = Method(255)
	for _, test := range []struct {
		from, user, database string
		tls                  bool
		want                 Method
	}{
		{"10.1.2.3", "mallory", "app", true, MethodReject},
		{"10.1.2.3", "alice", "app", true, MethodCert},
		{"10.1.2.3", "alice", "app", false, MethodMD5},
		{"10.1.2.3", "alice", "old", false, MethodMD5},
		{"10.1.2.3", "alice", "new", false, none},
		{"10.1.2.3", "svc", "app", true, MethodCert},
		{"11.1.2.3", "svc", "app", true, MethodJWT},
		{"11.1.2.3", "svc", "app", false, none},
		{"11.1.2.3", "mallory", "app", true, MethodSCRAM},
		{"11.1.2.3", "mallory", "app", false, none},
		{"11.1.2.3", "mallory", "new", true, none},
		{"127.0.0.1", "mallory", "new", false, MethodTrust},
		{"127.0.0.2", "mallory", "new", false, none},
		{"127.0.0.1", "svc", "new", true, MethodJWT},
		{"2001:db8::7", "alice", "app", true, MethodCert},
		{"2001:db9::7", "alice", "new", true, none},
		{"::1", "alice", "app", false, none},
	} {
		got := none
		if r := cfg.rule(netip.MustParseAddr(test.from), test.user, test.database, test.tls); r != nil {
			got = r.Method
		}
		if got != test.want {
			t.Errorf("%s %s %s TLS %v: method %d, want %d", test.from, test.user, test.database, test.tls, got, test.want)
		}
	}
	cfg.Rules = nil
	if r := cfg.rule(netip.MustParseAddr("11.1.2.3"), "alice", "app", false); r == nil || r.Method != MethodSCRAM {
		t.Errorf("without rules: %v, want SCRAM", r)
	}
}

// TestCertificateByServerName checks which certificate a client is shown.
func TestCertificateByServerName(t *testing.T) {
	a := newAuthority(t)
	first := a.sign(newECKey(t), []string{"db.example.com"})
	pattern := a.sign(newECKey(t), []string{"*.example.org"})
	exact := a.sign(newECKey(t), []string{"eu.example.org"})
	modern := a.sign(newEdKey(t), []string{"two.example.net"})
	classic := a.sign(newRSAKey(t), []string{"two.example.net"})
	c := newCertificates([]tls.Certificate{first, pattern, exact, modern, classic})
	for _, test := range []struct {
		name    string
		schemes []tls.SignatureScheme
		want    tls.Certificate
	}{
		{"", nil, first},
		{"db.example.com", nil, first},
		{"elsewhere.example.com", nil, first},
		{"us.example.org", nil, pattern},
		{"eu.example.org", nil, exact},
		{"EU.Example.ORG.", nil, exact},
		{"a.eu.example.org", nil, first},
		{"example.org", nil, first},
		{"two.example.net", []tls.SignatureScheme{tls.Ed25519}, modern},
		{"two.example.net", []tls.SignatureScheme{tls.PSSWithSHA256}, classic},
	} {
		schemes := test.schemes
		if schemes == nil {
			schemes = []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}
		}
		got := c.choose(&tls.ClientHelloInfo{ServerName: test.name, SupportedVersions: []uint16{tls.VersionTLS13}, SignatureSchemes: schemes})
		if got.Leaf.SerialNumber.Cmp(test.want.Leaf.SerialNumber) != 0 {
			t.Errorf("%q: certificate for %v, want the one for %v", test.name, got.Leaf.DNSNames, test.want.Leaf.DNSNames)
		}
	}
	if c.first.binding == nil || c.byName["two.example.net"][0].binding == nil {
		t.Error("a certificate signed with ECDSA has no channel binding")
	}
	own := a.sign(newEdKey(t), []string{"self"})
	own.Leaf.SignatureAlgorithm = 16 // x509.PureEd25519, which names no hash
	if newCertificates([]tls.Certificate{own}).first.binding != nil {
		t.Error("a certificate signed with Ed25519 has a channel binding, which libpq cannot compute")
	}
}

// TestCertificateNames checks which certificates are for a user.
func TestCertificateNames(t *testing.T) {
	a := newAuthority(t)
	for _, test := range []struct {
		names []string
		want  bool
	}{
		{[]string{"alice"}, true}, {[]string{"Alice"}, false}, {[]string{"alice "}, false}, {nil, false}, {[]string{""}, false},
		{[]string{"alice", "bob"}, false}, {[]string{"bob", "alice"}, false}, {[]string{"alice", "alice"}, false},
	} {
		if got := names(a.sign(newECKey(t), nil, test.names...).Leaf, "alice"); got != test.want {
			t.Errorf("common names %q: %v, want %v", test.names, got, test.want)
		}
	}
}
