package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"slices"
	"sync"

	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/proxy"
)

// directories are what knows users and tokens that are not in the files. They live as long as their settings stay the same.
type directories struct {
	auth   Auth
	query  *proxy.AuthQuery
	tokens *proxy.Tokens
	asker  *roleAsker
}

// openDirectories makes what a configuration asks for; the ones in use if nothing has changed.
func (s *service) openDirectories(config *Config) *directories {
	a := config.Auth
	a.Rules = nil // they concern no directory
	if s.directories != nil && reflect.DeepEqual(s.directories.auth, a) {
		return s.directories
	}
	d := &directories{auth: a}
	if a.Query != "" {
		d.asker = &roleAsker{service: s, auth: a, clusters: map[string]*pool.Cluster{}}
		d.query = proxy.NewAuthQuery(proxy.AuthQueryConfig{SQL: a.Query, Run: d.asker.run, TTL: a.QueryTTL, Log: s.log})
	}
	if a.JWT.isSet() {
		d.tokens = proxy.NewTokens(proxy.TokensConfig{
			Issuer: a.JWT.Issuer, Audience: a.JWT.Audience, User: a.JWT.UserClaim, Tenant: a.JWT.TenantClaim,
			Leeway: a.JWT.Leeway, Refresh: a.JWT.Refresh, Fetch: a.JWT.fetch, Log: s.log,
		})
	}
	return d
}

// renew reads the keys of tokens again.
func (d *directories) renew() {
	if d.tokens != nil {
		d.tokens.Renew()
	}
}

// close ends them, unless they are others that stay in use.
func (d *directories) close(inUse *directories) {
	if d == nil || d == inUse {
		return
	}
	if d.query != nil {
		d.query.Close()
		d.asker.close()
	}
	if d.tokens != nil {
		d.tokens.Close()
	}
}

// roleAsker runs auth.query on a node, over connections of its own that no client's settings reach.
type roleAsker struct {
	service *service
	auth    Auth

	mu       sync.Mutex
	clusters map[string]*pool.Cluster // by database: with query_user for a login; without backends
}

// run asks the primary of a database's first shard, and a replica where that is not to be had.
func (r *roleAsker) run(ctx context.Context, database, sql string) (*pool.Rows, error) {
	if r.auth.QueryDatabase != "" {
		database = r.auth.QueryDatabase
	}
	db := r.service.server.Databases()[database]
	if db == nil { // the client is told so after its login
		return &pool.Rows{}, nil
	}
	m := db.Map()
	home := m.Shard(0)
	for _, sh := range m.Shards() {
		if sh.Owned > 0 {
			home = sh
			break
		}
	}
	cluster, err := r.cluster(database, db)
	if err != nil {
		return nil, err
	}
	rows, err := cluster.ExecOn(ctx, home.Name, pool.Primary, home.Primary, sql)
	for _, replica := range home.Replicas {
		var down *pool.Error
		if !errors.As(err, &down) {
			break
		}
		rows, err = cluster.ExecOn(ctx, home.Name, pool.Replica, replica, sql)
	}
	return rows, err
}

// cluster is how to log in to the nodes of a database.
func (r *roleAsker) cluster(name string, db *proxy.Database) (*pool.Cluster, error) {
	if r.auth.QueryUser == "" {
		return db.Cluster(), nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.clusters[name]; c != nil {
		return c, nil
	}
	cfg := db.Cluster().Config()
	cfg.User, cfg.Password = r.auth.QueryUser, r.auth.QueryPassword.Reveal()
	r.clusters[name] = pool.New(cfg)
	return r.clusters[name], nil
}

func (r *roleAsker) close() {
	for _, c := range r.clusters {
		_ = c.Close(context.Background()) // there is no backend to wait for
	}
}

// maxKeySet is the largest key set that is read, in bytes.
const maxKeySet = 1 << 20

// fetch reads the key set from where it is.
func (j JWT) fetch(ctx context.Context) ([]byte, error) {
	if j.JWKSFile != "" {
		return os.ReadFile(j.JWKSFile)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, j.JWKSURL, nil)
	if err != nil {
		return nil, err
	}
	client := http.Client{CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if len(via) > 5 || !secureURL(r.URL.String()) {
			return errors.New("it leads to another place that is not https, or too many")
		}
		return nil
	}}
	answer, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", j.JWKSURL, answer.Status)
	}
	return io.ReadAll(io.LimitReader(answer.Body, maxKeySet+1))
}

// clientTLS is the TLS of the clients' side: certificates, and who vouches for the clients' own.
func (t TLS) clientTLS() (*tls.Config, error) {
	if t.Mode == TLSOff {
		return nil, nil
	}
	secure := &tls.Config{MinVersion: tls.VersionTLS12}
	for _, files := range append([]CertPair{{Cert: t.Cert, Key: t.Key}}, t.Certificates...) {
		pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
		if err != nil {
			return nil, fmt.Errorf("tls: %s: %w", files.Cert, err)
		}
		secure.Certificates = append(secure.Certificates, pair)
	}
	if t.ClientCA != "" {
		text, err := os.ReadFile(t.ClientCA)
		if err != nil {
			return nil, fmt.Errorf("tls.client_ca: %w", err)
		}
		secure.ClientCAs = x509.NewCertPool()
		secure.ClientCAs.AppendCertsFromPEM(text) // Load has seen that there are some
	}
	return secure, nil
}

// watched are the files whose change is a change of the configuration.
func (c *Config) watched() []string {
	files := []string{c.TLS.Cert, c.TLS.Key, c.TLS.ClientCA, c.Auth.JWT.JWKSFile}
	for _, pair := range c.TLS.Certificates {
		files = append(files, pair.Cert, pair.Key)
	}
	return slices.DeleteFunc(files, func(name string) bool { return name == "" })
}

// rules are auth.rules in the words of package proxy.
func (a Auth) rules() []proxy.Rule {
	var list []proxy.Rule
	for _, r := range a.Rules {
		list = append(list, proxy.Rule{From: r.From, Users: r.Users, Databases: r.Databases, TLS: ruleTLS[r.TLS], Method: methods[r.Method]})
	}
	return list
}

// The words of the configuration in those of package proxy. They are not changed.
var (
	methods = map[Method]proxy.Method{
		MethodSCRAM: proxy.MethodSCRAM, MethodMD5: proxy.MethodMD5, MethodCert: proxy.MethodCert, MethodJWT: proxy.MethodJWT,
		MethodTrust: proxy.MethodTrust, MethodReject: proxy.MethodReject,
	}
	ruleTLS = map[RuleTLS]proxy.RuleTLS{
		RuleTLSAny: proxy.RuleAnyTLS, RuleTLSRequire: proxy.RuleRequireTLS, RuleTLSOff: proxy.RuleNoTLS,
	}
	clientCerts = map[ClientCerts]proxy.ClientCerts{
		ClientCertsOff: proxy.ClientCertsOff, ClientCertsOptional: proxy.ClientCertsOptional,
		ClientCertsRequire: proxy.ClientCertsRequire, ClientCertsVerify: proxy.ClientCertsVerify,
	}
)

// proxyUser is a user in the words of package proxy.
func (u User) proxyUser(md5 bool) (*proxy.User, error) {
	p := &proxy.User{Name: u.Name, Databases: u.Databases, Admin: u.Admin, Mode: u.Mode.proxy(), Limits: proxy.Limits{
		Clients: u.Limits.Clients, QueryWait: u.Limits.QueryWaitTimeout, IdleTransaction: u.Limits.IdleTransactionTimeout,
		Statement: u.Limits.StatementTimeout,
	}}
	var err error
	switch {
	case u.Verifier != "":
		p.Verifier, err = proxy.ParseVerifier(u.Verifier.Reveal())
	case u.Password != "":
		p.Verifier, err = proxy.NewVerifier(u.Password.Reveal())
	}
	switch {
	case u.MD5 != "" && err == nil:
		p.MD5, err = proxy.ParseMD5(u.MD5.Reveal())
	case u.Password != "" && md5:
		p.MD5 = proxy.MD5Verifier(u.Name, u.Password.Reveal())
	}
	return p, err
}
