package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgdrover/pgdrover/internal/pgtest"
	"github.com/pgdrover/pgdrover/pgwire"
)

// loginRig is a rig whose ways to log in the subtests choose.
type loginRig struct {
	*rig
	ca      *authority
	pair    tls.Certificate // of the server
	caFile  string
	present Config
}

func startLoginRig(t *testing.T) *loginRig {
	l := &loginRig{ca: newAuthority(t)}
	l.pair = l.ca.sign(newRSAKey(t), []string{"localhost"}, "localhost")
	_, _, l.caFile = l.ca.write(l.pair)
	l.rig = startRig(t, sharedPrimaries(t, 2), rigOptions{config: func(cfg *Config) { l.present = *cfg }})
	return l
}

// with puts a configuration in force: TLS, and what change adds.
func (l *loginRig) with(t *testing.T, change func(*Config)) {
	t.Helper()
	cfg := l.present
	cfg.TLSMode, cfg.TLS = TLSPrefer, &tls.Config{Certificates: []tls.Certificate{l.pair}, ClientCAs: l.ca.pool}
	cfg.AuthTime = 10 * time.Second
	if change != nil {
		change(&cfg)
	}
	l.server.Reconfigure(cfg)
}

// psql runs a statement by libpq and returns what it prints, or its error.
func (l *loginRig) psql(t *testing.T, sql string, params ...string) (string, error) {
	t.Helper()
	program, err := exec.LookPath("psql")
	if err != nil {
		t.Skip("psql is not installed")
	}
	host, port, _ := strings.Cut(l.addr, ":")
	words := append([]string{"hostaddr=" + host, "host=localhost", "port=" + port, "user=" + rigUser, "password='" + rigPassword + "'", "dbname=" + l.cluster.Database,
		"sslmode=verify-full", "sslrootcert=" + l.caFile, "connect_timeout=10"}, params...)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "-X", "-A", "-t", "-v", "VERBOSITY=verbose", "-c", sql, strings.Join(words, " "))
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + t.TempDir(), "LC_ALL=C"}
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// works logs in by psql; fails has to be refused with words.
func (l *loginRig) works(t *testing.T, params ...string) {
	t.Helper()
	if out, err := l.psql(t, "select 41+1", params...); err != nil || out != "42" {
		t.Errorf("%q: %v: %s", params, err, out)
	}
}

func (l *loginRig) fails(t *testing.T, words string, params ...string) {
	t.Helper()
	if out, err := l.psql(t, "select 41+1", params...); err == nil || !strings.Contains(out, words) {
		t.Errorf("%q: %v: %s; want %q", params, err, out, words)
	}
}

// code is the SQLSTATE with which a login by pgtest is refused, "" if it is not.
func (l *loginRig) code(t *testing.T, o pgtest.Options) string {
	t.Helper()
	if o.Database == "" {
		o.Database = l.cluster.Database
	}
	c, err := pgtest.Dial(l.addr, o)
	var e *pgwire.Error
	switch {
	case errors.As(err, &e):
		return e.Code
	case err != nil:
		t.Fatalf("login: %v", err)
	}
	_ = c.Close()
	return ""
}

func (l *loginRig) clientTLS() *tls.Config {
	return &tls.Config{RootCAs: l.ca.pool, ServerName: "localhost"}
}

func TestLogins(t *testing.T) {
	l := startLoginRig(t)
	for _, test := range []struct {
		name string
		run  func(*testing.T, *loginRig)
	}{
		{"channel binding", testChannelBinding}, {"server names", testServerNames}, {"direct TLS", testDirectTLS}, {"client certificates", testClientCertificates},
		{"md5", testMD5}, {"rules", testRules}, {"auth_query", testAuthQuery}, {"tokens", testTokenLogin}, {"bound to a tenant", testBoundSession},
		{"limits", testLoginLimits}, {"hostile clients", testHostileLogins}, {"a storm", testLoginStorm},
	} {
		t.Run(test.name, func(t *testing.T) {
			l.t = t
			test.run(t, l)
		})
	}
}

// testChannelBinding logs in by libpq with and without channel binding.
//
// Row 35: a client that requires it, and one that never heard of it.
func testChannelBinding(t *testing.T, l *loginRig) {
	l.with(t, nil)
	l.works(t, "channel_binding=require")
	l.works(t, "channel_binding=disable")
	l.works(t, "sslmode=disable")
	l.fails(t, "channel binding required", "channel_binding=require", "sslmode=disable")
	l.fails(t, "password authentication failed", "channel_binding=require", "password=wrong")
	out, err := l.psql(t, "select 1", "password=wrong")
	if err == nil || !strings.Contains(out, "FATAL:  password authentication failed for user \"alice\"") {
		t.Errorf("a wrong password: %s", out)
	}
	same, err := l.psql(t, "select 1", "password=wrong", "user=nobody")
	if err == nil || strings.ReplaceAll(same, "nobody", "alice") != out {
		t.Errorf("an unknown user is told apart: %s", same)
	}
	l.with(t, func(c *Config) {
		c.TLS.Certificates = []tls.Certificate{l.ca.sign(newECKey(t), []string{"localhost"})}
		c.TLS.MaxVersion = tls.VersionTLS12
	})
	l.works(t, "channel_binding=require")
	conn, err := pgx.Connect(t.Context(), l.url("sslmode=require", "channel_binding=require"))
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close(t.Context())
}

func testServerNames(t *testing.T, l *loginRig) {
	other := l.ca.sign(newECKey(t), []string{"eu.example.org"})
	l.with(t, func(c *Config) { c.TLS.Certificates = append(c.TLS.Certificates, other) })
	l.works(t, "channel_binding=require")
	l.works(t, "channel_binding=require", "host=eu.example.org")
	l.fails(t, "does not match host name", "host=us.example.org")
}

// testDirectTLS begins with TLS at once, and names its protocol.
//
// Row 34: TLS that names no protocol, or another, is refused.
func testDirectTLS(t *testing.T, l *loginRig) {
	l.with(t, nil)
	direct := func(protocols ...string) (string, error) {
		secure := l.clientTLS()
		secure.NextProtos = protocols
		nc, err := tls.Dial("tcp", l.addr, secure)
		if err != nil {
			return "", err
		}
		defer nc.Close()
		_ = nc.SetDeadline(time.Now().Add(10 * time.Second))
		// An SSLRequest within TLS is answered N, as PostgreSQL does.
		if _, err := nc.Write([]byte{0, 0, 0, 8, 4, 210, 22, 47}); err != nil {
			return "", err
		}
		answer := make([]byte, 1)
		_, err = nc.Read(answer)
		return string(answer), err
	}
	if got, err := direct("postgresql"); err != nil || got != "N" {
		t.Errorf("with the protocol's name: %q, %v", got, err)
	}
	if got, err := direct(); err == nil {
		t.Errorf("without a protocol's name: %q", got)
	}
	if _, err := direct("http/1.1"); err == nil || !strings.Contains(err.Error(), "no application protocol") {
		t.Errorf("with another protocol's name: %v", err)
	}
	conn, err := pgx.Connect(t.Context(), l.url("sslmode=require", "sslnegotiation=direct", "channel_binding=require"))
	if err != nil {
		t.Fatal(err)
	}
	if got := l.value(conn, "select 41+1"); got != "42" {
		t.Errorf("42 is %s", got)
	}
	_ = conn.Close(t.Context())

	// The name is told in a negotiated handshake too.
	c, err := pgtest.Open(l.addr, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Abort() }()
	var chosen string
	secure := l.clientTLS()
	secure.NextProtos = []string{"postgresql"}
	secure.VerifyConnection = func(s tls.ConnectionState) error { chosen = s.NegotiatedProtocol; return nil }
	if err := c.StartTLS(secure); err != nil || chosen != "postgresql" {
		t.Errorf("protocol %q, %v", chosen, err)
	}

	l.with(t, func(c *Config) { c.TLSMode = TLSOff })
	if _, err := direct("postgresql"); err == nil {
		t.Error("direct TLS where there is none")
	}
}

func testClientCertificates(t *testing.T, l *loginRig) {
	shown := func(names ...string) []string {
		cert, key, _ := l.ca.write(l.ca.sign(newECKey(t), nil, names...))
		return []string{"sslcert=" + cert, "sslkey=" + key}
	}
	alice, bob := shown(rigUser), shown("bob")
	strange := newAuthority(t)
	cert, key, _ := strange.write(strange.sign(newECKey(t), nil, rigUser))
	stranger := []string{"sslcert=" + cert, "sslkey=" + key}
	with := func(mode ClientCerts, rules ...Rule) {
		l.with(t, func(c *Config) { c.ClientCerts, c.Rules = mode, rules })
	}
	const needed = "connection requires a valid client certificate"
	with(ClientCertsOptional)
	l.works(t)
	l.works(t, bob...)
	l.fails(t, "unknown ca", stranger...)
	with(ClientCertsRequire)
	l.fails(t, needed)
	l.fails(t, needed, "sslmode=disable")
	l.works(t, bob...)
	l.fails(t, "password authentication failed", append(alice, "password=wrong")...)
	with(ClientCertsVerify)
	l.fails(t, "certificate authentication failed for user \"alice\"", bob...)
	l.works(t, alice...)
	with(ClientCertsOptional, Rule{Method: MethodCert})
	l.works(t, append(alice, "password=")...)
	l.fails(t, needed)
	l.fails(t, needed, "sslmode=disable")
	l.fails(t, "certificate authentication failed for user \"alice\"", bob...)
	l.fails(t, "certificate authentication failed for user \"alice\"", shown(rigUser, "bob")...)
	l.fails(t, "role \"bob\" does not exist", append(bob, "user=bob")...)
	with(ClientCertsOff, Rule{Method: MethodCert})
	l.fails(t, needed, alice...)
}
