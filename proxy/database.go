package proxy

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgdrover/pgdrover/cache"
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
	TwoPhase    bool                           // transactions may write on several shards: they are committed on all or none
	Scatter     bool                           // reads that name no tenant are answered from all shards, unless a session says otherwise

	// DryRun is the map that statements are routed by on paper; nil: none.
	DryRun *shardmap.Map

	// ScatterMemory bounds what is kept of the shards' rows for one such answer, in bytes (default 64 MiB).
	ScatterMemory int
	Reuse         bool          // unnamed statements that have one plan are prepared once on a backend for all who send them
	ReuseFor      time.Duration // for so long, until it is prepared anew (default 5s)
	AnySize       bool          // also those of tables with few rows: for tests
	PassThrough   bool          // backends are logged in as the client's own user, with its SCRAM keys; it stays as the database was opened with
	Log           *slog.Logger
}

// Database is one database of the applications: its placement in force, its backends, and its cache.
type Database struct {
	opt     atomic.Pointer[Options]
	cluster *pool.Cluster
	cache   *cache.Cache // nil: off
	place   atomic.Pointer[placement]
	gate    gate
	orders  orders
	catalog catalogLoads

	names    statementNames
	logins   loginParams
	recovery recovery

	dry dryRun

	listeners listeners
	senders   senders

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
func (p *placement) agrees(o *placement, r *router.Route) bool {
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
	d.recovery.init()
	d.place.Store(&placement{shards: m, router: d.newRouter(m, c), nodes: cluster.Apply(m)})
	d.dry.use(opt.DryRun, d)
	if opt.TwoPhase {
		d.recovery.start(d)
	}
	d.catalog.reviewed.Store(time.Now().UnixNano())
	return d
}

func (o Options) withDefaults() Options {
	if o.Drain == 0 {
		o.Drain = 10 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.ReuseFor == 0 {
		o.ReuseFor = reuseTime
	}
	if o.ScatterMemory == 0 {
		o.ScatterMemory = 64 << 20
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
	d.dry.use(opt.DryRun, d)
	if opt.TwoPhase {
		d.recovery.start(d)
		d.recovery.soon() // a shard that is new has no table of decisions yet
	}
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
	return router.New(m, c, router.Options{Templates: d.options().Templates, Cached: d.options().Cached, Holding: d.options().Holding, AnySize: d.options().AnySize})
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
	d.catalog.close()
	d.recovery.close()
	d.cluster.Close(ctx)
	if d.cache != nil {
		d.cache.Close()
	}
}
