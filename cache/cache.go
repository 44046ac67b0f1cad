package cache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync/atomic"
	"time"
)

// ErrConfig is in every error that Open and SetTables return for a setting that
// cannot be used.
var ErrConfig = errors.New("cache: bad setting")

// Defaults of Config.
const (
	DefaultMemory       = 64 << 20
	DefaultMaxEntry     = 64 << 10
	DefaultL1Age        = time.Second
	DefaultReadTimeout  = 20 * time.Millisecond
	DefaultWriteTimeout = 50 * time.Millisecond
	DefaultOpTimeout    = 500 * time.Millisecond
	DefaultLease        = 2 * time.Second
	DefaultQueue        = 8192
	DefaultQueueBytes   = 32 << 20
)

// Table is how results from one table are cached.
type Table struct {
	TTL time.Duration // the longest a result lives; it bounds what changes behind the proxy's back
}

// Config says what to cache and where. Zero values mean the defaults above.
type Config struct {
	Namespace string           // the database; caches of different databases may share a Redis
	Tables    map[string]Table // nothing else is cached; may be empty
	Memory    int64            // bytes of L1
	MaxEntry  int              // bytes of the largest result stored
	Redis     string           // URL of one Redis server; "" for L1 only

	L1Age        time.Duration // with Redis: the longest an entry is served from L1, since other proxies may write
	ReadTimeout  time.Duration // how long a reader waits for Redis
	WriteTimeout time.Duration // how long a writer waits for Redis, each time
	OpTimeout    time.Duration // how long connecting, beats and write-behind batches may take
	Lease        time.Duration // how long other proxies trust Redis's memory without hearing from this one
	Queue        int           // entries waiting to be written to Redis; more are dropped
	QueueBytes   int64         // and their bytes

	Now func() time.Time // the clock of entries; nil for the real one
	Log *slog.Logger     // nil for silence
}

// Cache is the results of one database in this process, and its part of what is
// shared through Redis. All methods are safe for concurrent use.
type Cache struct {
	cfg    Config
	start  time.Time
	l1     *memory
	gens   *generations
	tables atomic.Pointer[tables]
	remote *remote // nil without Redis
	counts counters
}

// tables is the configured set, replaced whole.
type tables struct {
	listed map[string]Table
	maxTTL time.Duration
}

// Open makes a cache and begins to connect to Redis in the background; a Redis
// that does not answer is not an error. Close ends it; the end of ctx does not.
func Open(ctx context.Context, cfg Config) (*Cache, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Cache{cfg: cfg, start: cfg.Now(), gens: newGenerations(cfg.Memory)}
	if c.l1, err = newMemory(cfg.Memory, cfg.MaxEntry); err != nil {
		return nil, err
	}
	if err := c.SetTables(cfg.Tables); err != nil {
		return nil, err
	}
	if cfg.Redis == "" {
		return c, nil
	}
	if c.remote, err = openRemote(ctx, c); err != nil {
		return nil, err
	}
	return c, nil
}

// Close writes what is queued for Redis, takes this proxy off the list of members,
// and waits for the cache's goroutines; if Redis is silent, for a few times
// OpTimeout at most. The cache may be used afterwards, as if Redis were dead; call it
// after the last write so that nothing is left unannounced.
func (c *Cache) Close() {
	if c.remote != nil {
		c.remote.close()
	}
}

// SetTables replaces the tables whose results are cached. What is stored stays
// until its time is over; a table that is no longer listed is not looked up,
// since the proxy asks TTL first. A write that is under way is announced for the
// tables listed when it ends, so listing a table while it is being written is safe.
func (c *Cache) SetTables(listed map[string]Table) error {
	t := &tables{listed: maps.Clone(listed)}
	for name, table := range listed {
		if table.TTL <= 0 {
			return fmt.Errorf("%w: table %q has ttl %v; give it a positive one, such as 60s, or leave the table out", ErrConfig, name, table.TTL)
		}
		t.maxTTL = max(t.maxTTL, table.TTL)
	}
	c.tables.Store(t)
	return nil
}

// TTL is how long a result that depends on d may live: the least of its tables'.
// It is false if any of them is not listed, or there are none.
func (c *Cache) TTL(d *Deps) (time.Duration, bool) {
	listed := c.tables.Load().listed
	ttl := time.Duration(0)
	for _, name := range d.tables {
		table, ok := listed[name]
		if !ok {
			return 0, false
		}
		if ttl == 0 || table.TTL < ttl {
			ttl = table.TTL
		}
	}
	return ttl, ttl > 0
}

// lists says whether a write to table ("" for any) can touch cached results.
func (t *tables) lists(table string) bool {
	if table == "" {
		return len(t.listed) > 0
	}
	_, ok := t.listed[table]
	return ok
}

// clock is nanoseconds since Open.
func (c *Cache) clock() int64 { return int64(c.cfg.Now().Sub(c.start)) }

func (cfg Config) withDefaults() (Config, error) {
	if cfg.Memory < 0 || cfg.MaxEntry < 0 || cfg.Queue < 0 || cfg.QueueBytes < 0 {
		return cfg, fmt.Errorf("%w: sizes must not be negative", ErrConfig)
	}
	orDefault(&cfg.Memory, DefaultMemory)
	orDefault(&cfg.MaxEntry, DefaultMaxEntry)
	orDefault(&cfg.L1Age, DefaultL1Age)
	orDefault(&cfg.ReadTimeout, DefaultReadTimeout)
	orDefault(&cfg.WriteTimeout, DefaultWriteTimeout)
	orDefault(&cfg.OpTimeout, DefaultOpTimeout)
	orDefault(&cfg.Lease, DefaultLease)
	orDefault(&cfg.Queue, DefaultQueue)
	orDefault(&cfg.QueueBytes, DefaultQueueBytes)
	for _, d := range []time.Duration{cfg.L1Age, cfg.ReadTimeout, cfg.WriteTimeout, cfg.OpTimeout, cfg.Lease} {
		if d < 0 {
			return cfg, fmt.Errorf("%w: durations must not be negative", ErrConfig)
		}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return cfg, nil
}

func orDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}
