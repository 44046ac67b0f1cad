package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/router"
	"github.com/pgdrover/pgdrover/shardmap"
)

// poolConfig gives package pool what the configuration says of a database.
func (d *Database) poolConfig(name string, log *slog.Logger) (pool.Config, error) {
	cfg := pool.Config{
		Database: name,
		User:     d.Backend.User, Password: d.Backend.Password.Reveal(),
		TLS:  backendTLS[d.Backend.TLS],
		Size: d.Pool.Size, Wait: d.Pool.Wait, ConnectTimeout: d.Pool.ConnectTimeout,
		Idle: orNever(d.Pool.Idle), Lifetime: orNever(d.Pool.Lifetime),
		Params: map[string]string{"client_connection_check_interval": checkInterval},
		Log:    log,
	}
	if d.Backend.Cert != "" {
		pair, err := tls.LoadX509KeyPair(d.Backend.Cert, d.Backend.Key)
		if err != nil {
			return cfg, fmt.Errorf("database %s: backend.cert: %w", name, err)
		}
		cfg.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	}
	if d.Backend.CA == "" {
		return cfg, nil
	}
	text, err := os.ReadFile(d.Backend.CA)
	if err != nil {
		return cfg, fmt.Errorf("database %s: backend.ca: %w", name, err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return cfg, fmt.Errorf("database %s: backend.ca: %s holds no certificate in PEM form", name, d.Backend.CA)
	}
	if cfg.TLSConfig == nil {
		cfg.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	cfg.TLSConfig.RootCAs = roots
	return cfg, nil
}

// checkInterval is how often a node looks whether PgDrover is still there while a statement runs or waits for a lock, so that
// nothing goes on for long after PgDrover was killed.
const checkInterval = "10s"

// backendTLS says in the words of package pool what backend.tls says in libpq's. It is not changed.
var backendTLS = map[BackendTLS]pool.TLSMode{
	BackendTLSDisable:    pool.TLSOff,
	BackendTLSPrefer:     pool.TLSPrefer,
	BackendTLSRequire:    pool.TLSRequire,
	BackendTLSVerifyFull: pool.TLSVerifyFull,
}

// orNever is how package pool writes a time that never comes.
func orNever(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// asker puts questions to the nodes of one database, each over a connection of its own. It keeps none; close ends it.
type asker struct{ cluster *pool.Cluster }

// asker is the map of a placement, and what asks its nodes, which the caller closes.
func (p *placement) asker() (*shardmap.Map, asker, error) {
	m, err := p.toMap()
	if err != nil {
		return nil, asker{}, err
	}
	nodes, err := newAsker(p.name, p.db)
	return m, nodes, err
}

func newAsker(name string, db *Database) (asker, error) {
	cfg, err := db.poolConfig(name, slog.New(slog.DiscardHandler))
	if err != nil {
		return asker{}, err
	}
	return asker{pool.New(cfg)}, nil
}

// close cannot fail, because an asker holds no backends.
func (a asker) close(ctx context.Context) { _ = a.cluster.Close(ctx) }

// ask runs sql, which may be several statements, and gives the rows of the last one as text; NULL is empty.
func (a asker) ask(ctx context.Context, shard string, role pool.Role, node shardmap.Node, sql string) ([][]string, error) {
	answer, err := a.cluster.ExecOn(ctx, shard, role, node, sql)
	if err != nil {
		return nil, err
	}
	rows := make([][]string, len(answer.Rows))
	for i, row := range answer.Rows {
		rows[i] = make([]string, len(row))
		for j, value := range row {
			rows[i][j] = string(value)
		}
	}
	return rows, nil
}

// catalog reads the catalog of a shard from its primary.
func (a asker) catalog(ctx context.Context, m *shardmap.Map, s shardmap.Shard) (*router.Catalog, error) {
	rows, err := a.ask(ctx, s.Name, pool.Primary, s.Primary, router.CatalogSQL(m))
	if err != nil {
		return nil, err
	}
	if len(rows) != 1 || len(rows[0]) != 1 {
		return nil, fmt.Errorf("shard %s: the catalog query did not give one value", s.Name)
	}
	return router.ParseCatalog([]byte(rows[0][0]))
}

// anyCatalog reads the catalog of the first shard that answers.
func (a asker) anyCatalog(ctx context.Context, m *shardmap.Map) (*router.Catalog, error) {
	var errs []error
	for _, s := range m.Shards() {
		catalog, err := a.catalog(ctx, m, s)
		if err == nil {
			return catalog, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("no shard gave its catalog: %w", errors.Join(errs...))
}

// shardedTables are the tables with rows of tenants: those with the tenant column that the map does not call something
// else, and those it names with a column of their own.
func shardedTables(m *shardmap.Map, c *router.Catalog) []*router.Relation {
	var list []*router.Relation
	for i := range c.Relations {
		r := &c.Relations[i]
		if !strings.Contains("rpf", r.Kind) {
			continue
		}
		column := m.TenantColumn()
		t, named := m.Table(r.Schema, r.Name)
		if named && t.Kind != shardmap.Sharded {
			continue
		}
		if named {
			column = t.Column
		}
		if slices.ContainsFunc(r.Columns, func(c router.Column) bool { return c.Name == column }) {
			list = append(list, r)
		}
	}
	return list
}
