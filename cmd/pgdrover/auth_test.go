package main

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
)

// authCase is a proxy that runs as the program does, in front of a node that wants a certificate of it.
type authCase struct {
	*testing.T
	proxy proxyAddrs
	node  *pgcluster.Node
}

const nodeRules = `hostssl all certuser 127.0.0.1/32 cert
host all all 127.0.0.1/32 scram-sha-256
host replication all 127.0.0.1/32 scram-sha-256
`

// connect logs in through the proxy and returns the role on the node and the tenant, or the SQLSTATE of what went wrong.
func (c authCase) connect(user, password string, params ...string) string {
	c.Helper()
	u := url.URL{Scheme: "postgres", User: url.UserPassword(user, password), Host: c.proxy.SQL, Path: "/app", RawQuery: strings.Join(params, "&")}
	ctx, cancel := context.WithTimeout(c.Context(), 20*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, u.String())
	var role, tenant string
	if err == nil {
		defer conn.Close(ctx)
		err = errors.Join(conn.QueryRow(ctx, "select current_user::text").Scan(&role), conn.QueryRow(ctx, "show pgdrover.tenant").Scan(&tenant))
	}
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &refused):
		return refused.Code
	case err != nil:
		return err.Error()
	}
	return role + " " + tenant
}

// until waits for connect to give an answer.
func (c authCase) until(want, user, password string, params ...string) {
	c.Helper()
	got := ""
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if got = c.connect(user, password, params...); got == want {
			return
		}
	}
	c.Errorf("user %s: %s, want %s", user, got, want)
}

// TestWaysToLogIn runs the program with every way to log in, and changes certificates and rules under it.
func TestWaysToLogIn(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("PGDROVER_CONFIG", "")
	writeKeys(t)
	_, clientCert, clientKey := newCertificate(t, "certuser")
	writeFile(t, "backend.crt", clientCert)
	writeFile(t, "backend.key", clientKey)
	settings := map[string]string{}
	for name, text := range map[string]string{"ssl_ca_file": clientCert, "hba_file": nodeRules} {
		writeFile(t, name, text)
		settings[name] = publicFile(t, name)
	}
	cluster := pgcluster.Test(t, pgcluster.Config{TLS: true, Settings: settings})
	c := authCase{T: t, node: cluster.Shards[0].Primary}
	for _, sql := range []string{
		"create role certuser login", "grant all on schema public to certuser",
		"create role asker login password 'asks'", "create role dora login password 'dora'",
		`create function public.find_user(name) returns table(n name, p text) language sql security definer set search_path = pg_catalog
		 as 'select rolname, rolpassword from pg_authid where rolname = $1 and not rolsuper'`,
		"revoke all on function public.find_user(name) from public", "grant execute on function public.find_user(name) to asker",
	} {
		if _, err := c.node.Query(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	key, _, _ := newCertificate(t, "issuer")
	keys := &keyServer{text: keySet(t, key)}
	web := httptest.NewServer(keys)
	defer web.Close()
	config := fmt.Sprintf(`listen: 127.0.0.1:0
tls: {cert: server.crt, key: server.key, client_ca: clients.crt}
databases: {app: {shardmap: shardmap.yaml, backend: {user: certuser, tls: verify-full, ca: %s, cert: backend.crt, key: backend.key}}}
auth:
  rules:
    - {users: [batch], method: cert}
    - {users: [legacy], method: md5}
    - {users: [token], method: jwt}
    - {databases: [app], method: scram}
  query: select n, p from public.find_user($1);
  query_user: asker
  query_password: asks
  jwt: {jwks_url: %q, issuer: us, audience: pgdrover, tenant_claim: tenant}
users: [{name: listed, password: listed}, {name: legacy, password: old}, {name: batch}]
limits: {auth_delay: 1ms}
log: {level: error}
`, cluster.CAFile, web.URL)
	_, batchCert, batchKey := newCertificate(t, "batch")
	writeFile(t, "clients.crt", batchCert)
	writeFile(t, "batch.crt", batchCert)
	writeFile(t, "batch.key", batchKey)
	writeFile(t, "pgdrover.yaml", config)
	writeFile(t, "shardmap.yaml", fmt.Sprintf("database: app\ntenant: {column: tenant_id, type: bigint}\nshards: [{name: s1, primary: {host: %s, port: %d}}]\n",
		c.node.Host, c.node.Port))
	c.start("pgdrover.yaml")

	const secure = "sslmode=require"
	const in = "certuser "
	for _, test := range []struct{ user, password, want string }{
		{"listed", "listed", in}, {"listed", "wrong", "28P01"}, {"dora", "dora", in}, {"dora", "wrong", "28P01"}, {"postgres", "x", "28P01"},
		{"legacy", "old", in}, {"legacy", "wrong", "28P01"}, {"batch", "x", "28000"}, {"token", "x", "28P01"}, {"token", token(t, key, 42), in + "42"},
	} {
		if got := c.connect(test.user, test.password, secure); got != test.want {
			t.Errorf("user %s, password %.10s: %s, want %s", test.user, test.password, got, test.want)
		}
	}
	if got := c.connect("batch", "", secure, "sslcert=batch.crt", "sslkey=batch.key"); got != in {
		t.Errorf("by certificate: %s", got)
	}
	if got := c.connect("token", token(t, key, 42), "sslmode=disable"); got != "28P01" {
		t.Errorf("a token in plaintext: %s", got)
	}
	if got := c.connect("listed", "listed", secure, "channel_binding=require"); got != in {
		t.Errorf("bound to the channel: %s", got)
	}

	// A new certificate is seen without a word, and so are new rules; the directories' answers stay.
	if got := c.connect("listed", "listed", "sslmode=verify-full", "sslrootcert=server.crt"); got != in {
		t.Errorf("with the certificate: %s", got)
	}
	_, cert, private := newCertificate(t, "127.0.0.1")
	writeFile(t, "new.crt", cert)
	writeFile(t, "server.key", private)
	writeFile(t, "server.crt", cert)
	c.until(in, "listed", "listed", "sslmode=verify-full", "sslrootcert=new.crt")
	next, _, _ := newCertificate(t, "issuer")
	keys.set(keySet(t, next))
	writeFile(t, "pgdrover.yaml", strings.Replace(config, "- {users: [batch], method: cert}", "- {users: [listed], method: reject}", 1))
	c.until("28000", "listed", "listed", secure)
	c.until(in+"43", "token", token(t, next, 43), secure)
	writeFile(t, "pgdrover.yaml", strings.Replace(config, "query_password: asks", "query_password: wrong", 1))
	c.until("57P03", "dora", "dora", secure)

	// Backends that are logged in as their clients, over TLS that is checked.
	writeFile(t, "pass.yaml", strings.Replace(config, "backend: {", "backend: {pass_through: true, ", 1))
	c.start("pass.yaml")
	for _, test := range []struct{ user, password, want string }{
		{"dora", "dora", "dora "}, {"asker", "asks", "asker "}, {"dora", "wrong", "28P01"}, {"listed", "listed", "28P01"}, {"legacy", "old", "28000"},
	} {
		if got := c.connect(test.user, test.password, secure); got != test.want {
			t.Errorf("passed through: user %s, password %s: %s, want %s", test.user, test.password, got, test.want)
		}
	}
}

// start runs a proxy until the test ends, and connects to it from now on.
func (c *authCase) start(files ...string) {
	c.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ready, done := make(chan proxyAddrs, 1), make(chan error, 1)
	go func() { done <- runProxy(ctx, files, ready) }()
	c.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			c.Errorf("the proxy: %v", err)
		}
	})
	select {
	case c.proxy = <-ready:
	case err := <-done:
		done <- nil
		c.Fatal(err)
	}
}

// publicFile is a copy of a file which the nodes' user can read.
func publicFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.CreateTemp("", "pgdrover-test-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(f.Name()) })
	_, err = f.Write(text)
	if err := errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// token is one for the user token, of a tenant.
func token(t *testing.T, key *ecdsa.PrivateKey, tenant int) string {
	t.Helper()
	made := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"iss": "us", "aud": "pgdrover", "sub": "token", "tenant": tenant, "exp": time.Now().Add(time.Hour).Unix()})
	made.Header["kid"] = "k"
	text, err := made.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// keyServer serves a key set.
type keyServer struct {
	mu   sync.Mutex
	text string
}

func (k *keyServer) set(text string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.text = text
}

func (k *keyServer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, _ = w.Write([]byte(k.text))
}
