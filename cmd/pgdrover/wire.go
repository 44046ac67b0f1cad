package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"time"

	"github.com/pgdrover/pgdrover/admin"
	"github.com/pgdrover/pgdrover/cache"
	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/proxy"
	"github.com/pgdrover/pgdrover/router"
	"github.com/pgdrover/pgdrover/shardmap"
)

// open makes a database ready to be served: its placement, its catalog, its backends and its cache.
func (s *service) open(ctx context.Context, name string, config *Config) (*served, error) {
	db := config.Databases[name]
	p, err := readPlacement(name, db)
	if err != nil {
		return nil, err
	}
	first := p.lock == nil
	if err := s.firstLock(ctx, p); err != nil {
		return nil, err
	}
	m, err := p.toMap()
	if err != nil {
		return nil, err
	}
	catalog, err := s.awaitCatalog(ctx, p, m)
	if err != nil {
		return nil, err
	}
	if err := s.fillReferences(ctx, p, m, first, config.Limits.ReloadWait); err != nil {
		return nil, err
	}
	poolConfig, err := db.poolConfig(name, s.log)
	if err != nil {
		return nil, err
	}
	poolConfig.Loops = s.loops
	results, err := s.openCache(ctx, name, db)
	if err != nil {
		return nil, err
	}
	opened := &served{proxy.OpenDatabase(db.options(p, config, s), pool.New(poolConfig), results, m, catalog), p}
	if db.TwoPhaseCommit == TwoPhaseOn {
		if err := opened.prepareTwoPhase(ctx, s.log); err != nil {
			opened.Close(context.WithoutCancel(ctx))
			return nil, err
		}
	}
	return opened, nil
}

// prepareTwoPhase makes what two_phase_commit needs on the shards that can be reached; one that cannot be is made ready when it can.
func (d *served) prepareTwoPhase(ctx context.Context, log *slog.Logger) error {
	err := d.PrepareTwoPhase(ctx)
	var refused *pgwire.Error
	if errors.As(err, &refused) {
		return fmt.Errorf("database %s: %w", d.Name(), err)
	}
	if err != nil {
		log.Warn("not all shards are ready for two_phase_commit yet", "database", d.Name(), "error", err)
	}
	return nil
}

// options are the settings of a database in the words of package proxy.
func (d *Database) options(p *placement, config *Config, s *service) proxy.Options {
	return proxy.Options{
		Name: p.name, DryRun: p.dry, Mode: d.Pool.Mode.proxy(), NameAddHost: d.NameAddHost, Replicas: d.Reads.To == ReadReplicas, Sticky: d.Reads.Sticky,
		Cached: cachedTables(d.Cache.Tables), Holding: holdFunctions(d.HoldFunctions), Drain: config.Limits.ReloadWait, Templates: config.Limits.Templates, Log: s.log,
		PassThrough: d.Backend.PassThrough, Scatter: d.Scatter == ScatterReads, TwoPhase: d.TwoPhaseCommit == TwoPhaseOn, ScatterMemory: int(d.Limits.ScatterMemory),
		Reuse: d.ReuseUnnamed == SwitchOn,
		Limits: proxy.Limits{
			Clients: d.Limits.Clients, IdleTransaction: d.Limits.IdleTransactionTimeout, Statement: d.Limits.StatementTimeout,
		},
	}
}

// firstLock writes the lock of a database that has none. With several shards they have to be empty: where rows lie already, only
// the lock that was lost knew what belongs where.
func (s *service) firstLock(ctx context.Context, p *placement) error {
	if p.lock != nil {
		return nil
	}
	if len(p.file.Shards) > 1 {
		if err := p.checkEmpty(ctx); err != nil {
			return fmt.Errorf("%s is missing, and a new one can be written for empty shards only: restore it: %w", p.db.Lock, err)
		}
	}
	s.log.Info("writing the first placement", "database", p.name, "lock", p.db.Lock)
	return p.writeFirstLock()
}

// awaitCatalog reads the catalog, waiting for a shard to come up, and checks what stands in it against the map.
func (s *service) awaitCatalog(ctx context.Context, p *placement, m *shardmap.Map) (*router.Catalog, error) {
	nodes, err := newAsker(p.name, p.db)
	if err != nil {
		return nil, err
	}
	defer nodes.close(ctx)
	for {
		catalog, err := s.checkShards(ctx, nodes, m)
		if err == nil || !isUnreachable(err) {
			return catalog, err
		}
		s.log.Warn("no shard gave its catalog; trying again", "database", p.name, "error", err)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// openCache opens the cache of a database; nil when no table is listed.
func (s *service) openCache(ctx context.Context, name string, db *Database) (*cache.Cache, error) {
	if len(db.Cache.Tables) == 0 {
		return nil, nil
	}
	c, err := cache.Open(ctx, cache.Config{
		Namespace: name, Tables: cacheTables(db.Cache.Tables), Memory: int64(db.Cache.Memory), Redis: db.Cache.Redis.Reveal(), Log: s.log,
	})
	if err != nil {
		return nil, fmt.Errorf("database %s: %w", name, err)
	}
	return c, nil
}

// cacheTables are the listed tables by their qualified names: a bare name is a table of schema public.
func cacheTables(listed map[string]CachedTable) map[string]cache.Table {
	tables := make(map[string]cache.Table, len(listed))
	for name, t := range listed {
		tables[qualified(name)] = cache.Table{TTL: t.TTL}
	}
	return tables
}

func qualified(name string) string {
	if strings.Contains(name, ".") {
		return name
	}
	return "public." + name
}

// cachedTables tells the router which tables are listed.
func cachedTables(listed map[string]CachedTable) func(schema, name string) bool {
	tables := maps.Clone(cacheTables(listed))
	return func(schema, name string) bool {
		_, ok := tables[schema+"."+name]
		return ok
	}
}

// holdFunctions tells the router which functions are listed.
func holdFunctions(listed []string) func(schema, name string) bool {
	if len(listed) == 0 {
		return nil
	}
	names := map[string]bool{}
	for _, name := range listed {
		names[name] = true
	}
	return func(schema, name string) bool { return names[schema+"."+name] }
}

// proxyConfig is the configuration in the words of package proxy, with the directories that it asks for.
func (s *service) proxyConfig(config *Config, d *directories) (proxy.Config, error) {
	cfg := proxy.Config{
		Users: map[string]*proxy.User{}, Databases: map[string]*proxy.Database{}, Console: s.newConsole(),
		MaxFrame: int(config.Limits.MaxMessage), AuthTime: config.Limits.AuthTimeout, Statements: config.Limits.PreparedStatements,
		TLSMode: clientTLS[config.TLS.Mode], Log: s.log,
		ClientCerts: clientCerts[config.TLS.ClientCerts], Rules: config.Auth.rules(), Query: d.query, Tokens: d.tokens,
		Logins: config.Limits.Logins, PerAddress: config.Limits.PerAddress, Clients: config.Limits.Clients, AuthDelay: config.Limits.AuthDelay,
		PeerID: config.PeerID, Peers: config.peers(), Loops: s.loops,
	}
	for name, db := range s.databases {
		cfg.Databases[name] = db.Database
	}
	for _, u := range config.Users {
		user, err := u.proxyUser(config.hasMethod(MethodMD5))
		if err != nil {
			return cfg, fmt.Errorf("users: %s: %w", u.Name, err)
		}
		cfg.Users[u.Name] = user
	}
	var err error
	cfg.TLS, err = config.TLS.clientTLS()
	return cfg, err
}

// clientTLS says in the words of package proxy what tls.mode says. It is not changed.
var clientTLS = map[TLSMode]proxy.TLSMode{TLSOff: proxy.TLSOff, TLSPrefer: proxy.TLSPrefer, TLSRequire: proxy.TLSRequire}

// newConsole is the psql console, which lives as long as the service.
func (s *service) newConsole() *admin.Console {
	if s.console == nil {
		s.console = admin.NewConsole(s.adminOptions())
	}
	return s.console
}

// adminOptions are what console and HTTP side need to know of the service.
func (s *service) adminOptions() admin.Options {
	return admin.Options{
		Server:   func() *proxy.Server { return s.server },
		Reload:   s.reload,
		Shutdown: s.stop,
		Version:  buildVersion(),
		Config:   s.settings,
		Users:    s.users,
		Draining: s.draining.Load,

		SchemaDifferences: s.drift.differences,

		Profile: s.config.Admin.Profile,
		Log:     s.log,
	}
}

// users are who may log in.
func (s *service) users() map[string]*proxy.User { return s.server.Users() }

// settings are the settings in force, secrets masked.
func (s *service) settings() []admin.Setting {
	s.mu.Lock()
	defer s.mu.Unlock()
	defaults := s.config.defaults()
	var list []admin.Setting
	for _, e := range s.config.Settings() {
		list = append(list, admin.Setting{Key: e.Key, Value: e.Value, Default: defaults[e.Key], Changeable: changeable(e.Key)})
	}
	return list
}
