package main

import (
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// consoleDatabase is the database name of the psql console, which no configured database may have.
const consoleDatabase = "pgdrover"

// validate reports what is wrong with the tree, key against key.
func (l *loader) validate() {
	c := l.config
	l.validateListen(c)
	l.validateTLS(c.TLS)
	l.validateAuth()
	l.validatePeers(c)
	if len(c.Databases) == 0 {
		l.fault(key{"databases"}, "missing: name a database, with its shardmap and backend")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Databases)) {
		l.validateDatabase(key{"databases", name}, name, c.Databases[name])
	}
	l.validateLimits(key{"limits"}, c.Limits)
}

func (l *loader) validateLimits(at key, limits Limits) {
	if limits.MaxMessage < 64<<10 || limits.MaxMessage > 1<<30 {
		l.fault(at.under("max_message"), "must be between 64kB and 1GB, which is PostgreSQL's own limit")
	}
	if limits.PreparedStatements < 1 || limits.PreparedStatements > 100_000 {
		l.fault(at.under("prepared_statements"), "must be between 1 and 100000")
	}
	if limits.Templates < 16 || limits.Templates > 10_000_000 {
		l.fault(at.under("templates"), "must be between 16 and 10000000")
	}
	if limits.ReloadWait == 0 {
		l.fault(at.under("reload_wait"), "must be more than 0, or no change of placement could wait for a transaction")
	}
	if limits.AuthTimeout == 0 {
		l.fault(at.under("auth_timeout"), "must be more than 0, or a client that never logs in stays for ever")
	}
	if limits.Logins < 0 || limits.Logins > 10_000 {
		l.fault(at.under("logins"), "must be between 0 (twice the processors) and 10000")
	}
	if limits.PerAddress < 0 {
		l.fault(at.under("per_address"), "must be 0 (any number) or more")
	}
	if limits.Clients < 0 {
		l.fault(at.under("clients"), "must be 0 (any number) or more")
	}
}

func (l *loader) validateListen(c *Config) {
	if err := checkAddress(c.Listen); err != nil {
		l.fault(key{"listen"}, "%v", err)
	}
	if c.Admin.Listen == "" {
		return
	}
	if err := checkAddress(c.Admin.Listen); err != nil {
		l.fault(key{"admin", "listen"}, "%v", err)
		return
	}
	if _, port, _ := net.SplitHostPort(c.Listen); c.Admin.Listen == c.Listen && port != "0" {
		l.fault(key{"admin", "listen"}, "%s is what clients connect to (listen): give HTTP a port of its own", c.Listen)
	}
}

// checkAddress reports whether text is an address to listen on. The host may be empty, which means every interface.
func checkAddress(text string) error {
	_, port, err := net.SplitHostPort(text)
	if err != nil {
		return fmt.Errorf("%q is not an address: write HOST:PORT, as 127.0.0.1:6432", text)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("%q is not a port: write a number from 0 (any free one) to 65535", port)
	}
	return nil
}

func (l *loader) validateTLS(t TLS) {
	switch {
	case t.Cert == "" && t.Key == "" && t.Mode == TLSOff:
	case t.Cert == "" && t.Key == "":
		l.fault(key{"tls", "mode"}, "%s needs a certificate: give tls.cert and tls.key, or write mode: off", t.Mode)
	case t.Key == "":
		l.fault(key{"tls", "cert"}, "tls.key is missing: a certificate is of no use without its key")
	case t.Cert == "":
		l.fault(key{"tls", "key"}, "tls.cert is missing: a key is of no use without its certificate")
	default:
		if _, err := tls.LoadX509KeyPair(t.Cert, t.Key); err != nil {
			l.fault(key{"tls", "cert"}, "certificate %s with key %s cannot be used: %v", t.Cert, t.Key, err)
		}
	}
}

func (l *loader) validateDatabase(at key, name string, db *Database) {
	switch {
	case db == nil:
		l.fault(at, "says nothing: give its shardmap and backend")
		return
	case name == consoleDatabase:
		l.fault(at, "%q is the name of the console: choose another", name)
	case name == "" || len(name) > 63:
		l.fault(at, "a database name has 1 to 63 bytes")
	}
	if db.ShardMap == "" {
		l.fault(at.under("shardmap"), "missing: name the file that says which shards there are")
	}
	if db.ShardMap != "" && filepath.Clean(db.ShardMap) == filepath.Clean(db.Lock) {
		l.fault(at.under("lock"), "%s is the shard map itself: PgDrover would overwrite it", db.Lock)
	}
	l.validateBackend(at, db.Backend)
	l.validatePool(at.under("pool"), db.Pool)
	l.validateCache(at.under("cache"), db.Cache)
	if db.Limits.Clients < 0 {
		l.fault(at.under("limits", "clients"), "must be 0 (any number) or more")
	}
	l.validateHoldFunctions(at.under("hold_functions"), db.HoldFunctions)
}

func (l *loader) validateHoldFunctions(at key, names []string) {
	for i, name := range names {
		fault := ""
		schema, function, ok := strings.Cut(name, ".")
		switch {
		case !ok || schema == "" || function == "":
			fault = "it is no function: write schema.function"
		case strings.ContainsAny(name, "()\""):
			fault = "write schema.function as pg_proc has it, without arguments and quotes"
		case slices.Contains(names[:i], name):
			fault = "it is listed twice"
		}
		if fault != "" {
			l.errs.Add(l.position(at.under(strconv.Itoa(i))), "%s: %q: %s", strings.Join(at, "."), name, fault)
		}
	}
}

func (l *loader) validateBackend(at key, b Backend) {
	if b.User == "" {
		l.fault(at.under("backend", "user"), "missing: name the role that PgDrover logs in to the nodes with")
	}
	l.validateBackendCert(at.under("backend"), b)
	if b.CA == "" {
		return
	}
	at = at.under("backend", "ca")
	if b.TLS != BackendTLSVerifyFull {
		l.fault(at, "certificates are checked with tls: verify-full only, and it is %s here", b.TLS)
	}
	l.authorities(at, b.CA)
}

func (l *loader) validateBackendCert(at key, b Backend) {
	switch {
	case b.Cert == "" && b.Key == "":
	case b.Key == "":
		l.fault(at.under("cert"), "key is missing: a certificate is of no use without its key")
	case b.Cert == "":
		l.fault(at.under("key"), "cert is missing: a key is of no use without its certificate")
	case b.TLS == BackendTLSDisable:
		l.fault(at.under("cert"), "a certificate is shown over TLS only, and tls is disable here")
	default:
		l.usablePair(l.position(at.under("cert")), b.Cert, b.Key)
	}
}

func (l *loader) validatePool(at key, p Pool) {
	if p.Size < 1 || p.Size > 10000 {
		l.fault(at.under("size"), "must be between 1 and 10000 backends per node")
	}
	if p.Wait == 0 {
		l.fault(at.under("wait"), "must be more than 0: with 0 no client would ever wait for a backend")
	}
	if p.ConnectTimeout == 0 {
		l.fault(at.under("connect_timeout"), "must be more than 0")
	}
}

func (l *loader) validateCache(at key, c Cache) {
	if c.Redis != "" && !redisURL(c.Redis) {
		l.fault(at.under("redis"), "not a Redis URL: write redis://[[USER]:PASSWORD@]HOST[:PORT][/NUMBER], rediss:// for TLS, or unix:///PATH")
	}
	if c.Memory < 1<<20 {
		l.fault(at.under("memory"), "must be 1MB or more; to switch the cache off, list no table")
	}
	for name, table := range c.Tables {
		if table.TTL == 0 {
			l.fault(at.under("tables", name, "ttl"), "missing or 0: say how long a result of %s may be served, as ttl: 60s", name)
		}
	}
}

// redisURL reports whether a text is a URL of a Redis. The text holds a secret, so it is not repeated in errors.
func redisURL(text Secret) bool {
	u, err := url.Parse(text.Reveal())
	if err != nil {
		return false
	}
	switch u.Scheme {
	case "redis", "rediss":
		return u.Hostname() != ""
	case "unix":
		return u.Path != ""
	}
	return false
}
