package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgdrover/pgdrover/cache"
	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/router"
	"github.com/pgdrover/pgdrover/shardmap"
)

// Options are the settings of one database.
type Options struct {
	Name        string
	Mode        Mode                           // of sessions of users that have none of their own (default ModeTransaction)
	NameAddHost bool                           // the application_name that a client logs in with gets its address and port added
	Replicas    bool                           // reads outside transactions go to replicas
	Sticky      time.Duration                  // for so long after a write a session reads the primary
	Cached      func(schema, name string) bool // the tables whose results may be cached; nil: none
	Holding     func(schema, name string) bool // the functions that need their backend from then on; nil: none
	Drain       time.Duration                  // how long a change of placement waits for transactions of the tenants concerned (default 10s)
	Templates   int                            // routes kept (default of the router when 0)
	Limits      Limits                         // of all its clients
	PassThrough bool                           // backends are logged in as the client's own user, with its SCRAM keys; it stays as the database was opened with
	Log         *slog.Logger
}

// Database is one database of the applications: its placement in force, its backends, and its cache.
type Database struct {
	opt     atomic.Pointer[Options]
	cluster *pool.Cluster
	cache   *cache.Cache // nil: off
	place   atomic.Pointer[placement]
	gate    gate
	orders  orders
	names   statementNames
	logins  loginParams

	loads loads

	listeners listeners

	redefined atomic.Int64 // when the catalog last changed, in Unix nanoseconds

	mu sync.Mutex // one change of the map or the options at a time
}

// placement is what a transaction begins and ends with: one map, the router made from it, and its nodes.
type placement struct {
	shards *shardmap.Map
	router *router.Router
	nodes  *pool.Topology
}

// home is the first shard that owns partitions: one that was added owns nothing, and serves nothing, until it is given some.
func (p *placement) home() int {
	for i := range p.shards.ShardCount() {
		if p.shards.Shard(i).Owned > 0 {
			return i
		}
	}
	return 0
}

func (p *placement) single() bool { return p.shards.ShardCount() == 1 }

// agrees reports whether a statement that was routed by p would go to the same shards by o.
func (p *placement) agrees(o *placement, r router.Route) bool {
	if p.shards == o.shards {
		return true
	}
	for _, c := range shardmap.Diff(p.shards, o.shards) {
		switch {
		case c.Kind == shardmap.TableChanged:
			return false
		case r.Kind == router.Every && (c.Kind == shardmap.ShardAdded || c.Kind == shardmap.ShardRemoved):
			return false
		}
	}
	if r.Tenant.IsZero() {
		return true
	}
	return p.shards.Shard(p.shards.Locate(r.Tenant)).Name == o.shards.Shard(o.shards.Locate(r.Tenant)).Name
}

// OpenDatabase makes a database of its backends, its map and its catalog; cache may be nil. It owns cluster and cache.
func OpenDatabase(opt Options, cluster *pool.Cluster, results *cache.Cache, m *shardmap.Map, c *router.Catalog) *Database {
	d := &Database{cluster: cluster, cache: results}
	opt = opt.withDefaults()
	d.opt.Store(&opt)
	d.names.init()
	d.logins.init()
	d.listeners.init(d)
	d.place.Store(&placement{shards: m, router: d.newRouter(m, c), nodes: cluster.Apply(m)})
	return d
}

func (o Options) withDefaults() Options {
	if o.Drain == 0 {
		o.Drain = 10 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return o
}

func (d *Database) options() *Options { return d.opt.Load() }

// Adjust replaces the options, for statements that begin from now on. Name and PassThrough stay.
func (d *Database) Adjust(opt Options) {
	d.mu.Lock()
	defer d.mu.Unlock()
	opt = opt.withDefaults()
	opt.Name, opt.PassThrough = d.Name(), d.options().PassThrough
	d.opt.Store(&opt)
	d.replace(func(old *placement) *placement { return &placement{shards: old.shards, nodes: old.nodes} })
}

// replace puts another placement in force, made from the one that is: with a router for the catalog of that moment.
func (d *Database) replace(next func(old *placement) *placement) {
	for {
		old := d.place.Load()
		p := next(old)
		p.router = d.newRouter(p.shards, old.router.Catalog())
		if d.place.CompareAndSwap(old, p) {
			return
		}
	}
}

func (d *Database) newRouter(m *shardmap.Map, c *router.Catalog) *router.Router {
	return router.New(m, c, router.Options{Templates: d.options().Templates, Cached: d.options().Cached, Holding: d.options().Holding})
}

// Name is the name that clients connect to.
func (d *Database) Name() string { return d.options().Name }

// Limits are those of all its clients.
func (d *Database) Limits() Limits { return d.options().Limits }

// Mode is that of sessions of users that have none of their own.
func (d *Database) Mode() Mode {
	if mode := d.options().Mode; mode != ModeUnset {
		return mode
	}
	return ModeTransaction
}

// Map is the shard map in force.
func (d *Database) Map() *shardmap.Map { return d.place.Load().shards }

// Router is the router in force.
func (d *Database) Router() *router.Router { return d.place.Load().router }

// Cluster are the backends.
func (d *Database) Cluster() *pool.Cluster { return d.cluster }

// Cache is the result cache; nil when it is off.
func (d *Database) Cache() *cache.Cache { return d.cache }

// Close closes the backends and the cache. No session may be left.
func (d *Database) Close(ctx context.Context) {
	d.listeners.close()
	d.cluster.Close(ctx)
	if d.cache != nil {
		d.cache.Close()
	}
}

// LoadCatalog reads the catalog from the first shard that answers. One that was added and owns nothing may have no tables yet: it is
// asked last.
func LoadCatalog(ctx context.Context, c *pool.Cluster, m *shardmap.Map) (*router.Catalog, error) {
	var last error
	shards := m.Shards()
	slices.SortStableFunc(shards, func(a, b shardmap.Shard) int { return min(b.Owned, 1) - min(a.Owned, 1) })
	for _, sh := range shards {
		rows, err := c.Exec(ctx, sh.Name, pool.Primary, router.CatalogSQL)
		for range catalogTries - 1 {
			if !dropped(err) {
				break
			}
			rows, err = c.Exec(ctx, sh.Name, pool.Primary, router.CatalogSQL)
		}
		if err != nil {
			last = fmt.Errorf("shard %s: %w", sh.Name, err)
			continue
		}
		return router.ParseCatalog(rows.Rows[0][0])
	}
	return nil, fmt.Errorf("no shard gave its catalog: %w", last)
}

// catalogTries is how often one shard is asked for its catalog while others drop what it is about to tell of.
const catalogTries = 20

// dropped reports the error of PostgreSQL's functions that write out a definition, when what they are asked for has just been dropped
// (an internal one, "could not open relation with OID", or "cache lookup failed").
func dropped(err error) bool {
	var answer *pgwire.Error
	return errors.As(err, &answer) && answer.Code == "XX000"
}

// refreshCatalog loads the catalog again and, if it changed, routes by it from the next transaction on. Whoever asks while it is
// being loaded waits for a load that begins after the question.
func (d *Database) refreshCatalog(ctx context.Context) error {
	asked := d.loads.asked.Add(1)
	d.loads.mu.Lock()
	defer d.loads.mu.Unlock()
	if d.loads.covers >= asked {
		return nil
	}
	covers := d.loads.asked.Load()
	old := d.place.Load()
	c, err := LoadCatalog(ctx, d.cluster, old.shards)
	if err != nil {
		return err
	}
	d.loads.covers = covers
	for c.Version() != old.router.Catalog().Version() {
		next := &placement{shards: old.shards, router: d.newRouter(old.shards, c), nodes: old.nodes}
		if d.place.CompareAndSwap(old, next) {
			d.redefined.Store(time.Now().UnixNano())
			return nil
		}
		old = d.place.Load()
	}
	return nil
}

// redefinedLately reports whether the catalog changed so recently that a replica may not have heard of it.
func (d *Database) redefinedLately() bool {
	return time.Now().UnixNano()-d.redefined.Load() < int64(replayTime)
}

// replayTime is how long a replica may take to replay DDL before a read of what it defines fails.
const replayTime = 10 * time.Second

// loads keeps many who ask for the catalog from loading it many times.
type loads struct {
	asked  atomic.Uint64 // questions so far
	mu     sync.Mutex    // one load at a time; held while a shard answers, by goroutines that may wait
	covers uint64        // the questions that the last load answers
}
