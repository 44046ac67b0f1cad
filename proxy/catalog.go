package proxy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/router"
	"github.com/pgdrover/pgdrover/shardmap"
)

// LoadCatalog reads the catalog from the first shard that answers. One that was added and owns nothing may have no tables yet: it is
// asked last.
func LoadCatalog(ctx context.Context, c *pool.Cluster, m *shardmap.Map) (*router.Catalog, error) {
	var last error
	shards := m.Shards()
	slices.SortStableFunc(shards, func(a, b shardmap.Shard) int { return min(b.Owned, 1) - min(a.Owned, 1) })
	sql := router.CatalogSQL(m)
	for i, sh := range shards {
		rows, err := c.Exec(ctx, sh.Name, pool.Primary, sql)
		for range catalogTries - 1 {
			if !dropped(err) {
				break
			}
			rows, err = c.Exec(ctx, sh.Name, pool.Primary, sql)
		}
		if err != nil {
			last = fmt.Errorf("shard %s: %w", sh.Name, err)
			continue
		}
		catalog, err := router.ParseCatalog(rows.Rows[0][0])
		if err == nil && m.BySchema() && unsettledBy(ctx, c, slices.Delete(shards, i, i+1)) {
			catalog.Unsettle()
		}
		return catalog, err
	}
	return nil, fmt.Errorf("no shard gave its catalog: %w", last)
}

// unsettledBy reports whether one of the shards has a function that may change what a session keeps, in a tenant's schema say, or does
// not answer.
func unsettledBy(ctx context.Context, c *pool.Cluster, shards []shardmap.Shard) bool {
	return slices.ContainsFunc(shards, func(sh shardmap.Shard) bool {
		rows, err := c.Exec(ctx, sh.Name, pool.Primary, router.UnsettlingSQL)
		return err != nil || string(rows.Rows[0][0]) == "t"
	})
}

// catalogTries is how often one shard is asked for its catalog while others drop what it is about to tell of.
const catalogTries = 20

// dropped reports the error of PostgreSQL's functions that write out a definition, when what they are asked for has just been dropped
// (an internal one, "could not open relation with OID", or "cache lookup failed").
func dropped(err error) bool {
	var answer *pgwire.Error
	return errors.As(err, &answer) && answer.Code == "XX000"
}

// catalogLoads keeps the catalog that statements are routed by up with the shards', and many who ask for it from loading it many
// times. It owns the goroutine that keeps up.
type catalogLoads struct {
	asked     atomic.Uint64 // changes and questions so far
	covers    atomic.Uint64 // those of them that the last load answers
	redefined atomic.Int64  // when it last changed, in Unix nanoseconds
	reviewed  atomic.Int64  // when it was last loaded, or began to be, in Unix nanoseconds
	load      sync.Mutex    // one load at a time; held while a shard answers, by goroutines that may wait

	group sync.WaitGroup

	mu     sync.Mutex         // guards what follows
	stop   context.CancelFunc // ends the goroutine; nil: it does not run
	review context.CancelFunc // ends the last review; nil: there was none
	closed bool
}

// close ends the goroutine and waits for it.
func (c *catalogLoads) close() {
	c.mu.Lock()
	c.closed = true
	if c.stop != nil {
		c.stop()
	}
	if c.review != nil {
		c.review()
	}
	c.mu.Unlock()
	c.group.Wait()
}

// changed notes that DDL was committed: until a load that begins from now on has ended, the catalog is behind.
func (c *catalogLoads) changed() { c.asked.Add(1) }

// behind reports whether there was DDL of which the catalog may not tell yet.
func (c *catalogLoads) behind() bool { return c.covers.Load() < c.asked.Load() }

// redefinedLately reports whether the catalog changed so recently that a replica may not have heard of it.
func (c *catalogLoads) redefinedLately() bool {
	return time.Now().UnixNano()-c.redefined.Load() < int64(replayTime)
}

// reshaped notes that DDL was committed: prepared statements may have other results, and a replica may not have heard of it.
func (d *Database) reshaped() {
	d.names.renew()
	d.catalog.redefined.Store(time.Now().UnixNano())
}

// replayTime is how long a replica may take to replay DDL before a read of what it defines fails.
const replayTime = 10 * time.Second

// refreshCatalog loads the catalog again and, if it changed, routes by it from the next transaction on. Whoever asks while it is
// being loaded waits for a load that begins after the question.
func (d *Database) refreshCatalog(ctx context.Context) error {
	loads := &d.catalog
	return d.loadCatalog(ctx, loads.asked.Add(1))
}

// loadCatalog is refreshCatalog for a change or a question that was noted before, by its number.
func (d *Database) loadCatalog(ctx context.Context, asked uint64) error {
	loads := &d.catalog
	loads.load.Lock()
	defer loads.load.Unlock()
	if loads.covers.Load() >= asked {
		return nil
	}
	return d.readCatalog(ctx)
}

// readCatalog is loadCatalog for who has the turn to load.
func (d *Database) readCatalog(ctx context.Context) error {
	loads := &d.catalog
	loads.reviewed.Store(time.Now().UnixNano())
	covers := loads.asked.Load()
	old := d.place.Load()
	c, err := LoadCatalog(ctx, d.cluster, old.shards)
	if err != nil {
		return err
	}
	for c.Version() != old.router.Catalog().Version() {
		next := &placement{shards: old.shards, router: d.newRouter(old.shards, c), nodes: old.nodes}
		if d.place.CompareAndSwap(old, next) {
			loads.redefined.Store(time.Now().UnixNano())
			break
		}
		old = d.place.Load()
	}
	loads.covers.Store(covers)
	return nil
}

// reviewCatalog has the catalog loaded again, while nobody waits for it, if it is older than reviewTime.
func (d *Database) reviewCatalog(now int64) {
	loads := &d.catalog
	last := loads.reviewed.Load()
	if now-last < int64(reviewTime) || !loads.reviewed.CompareAndSwap(last, now) {
		return
	}
	loads.mu.Lock()
	defer loads.mu.Unlock()
	if loads.closed {
		return
	}
	if loads.review != nil {
		loads.review() // over, by its time
	}
	ctx, stop := context.WithTimeout(context.Background(), catalogTime)
	loads.review = stop
	loads.group.Go(func() {
		loads.load.Lock()
		defer loads.load.Unlock()
		if err := d.readCatalog(ctx); err != nil && ctx.Err() == nil {
			d.options().Log.Warn("the catalog could not be read again", "database", d.Name(), "error", err)
		}
	})
}

// keepUp has the catalog loaded again while nobody waits for it, as often as it takes until it is not behind.
func (d *Database) keepUp() {
	loads := &d.catalog
	loads.mu.Lock()
	defer loads.mu.Unlock()
	if loads.stop != nil || loads.closed {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	loads.stop = stop
	loads.group.Go(func() { d.catchUp(ctx) })
}

// catchUp does the work of keepUp. DDL comes in bursts, and to read the catalog takes longer than most of it and keeps VACUUM from its
// work meanwhile: so it waits for the end of the burst.
func (d *Database) catchUp(ctx context.Context) {
	loads := &d.catalog
	for loads.burstEnds(ctx) {
		bounded, cancel := context.WithTimeout(ctx, catalogTime)
		err := d.loadCatalog(bounded, loads.asked.Load())
		cancel()
		if err != nil && ctx.Err() == nil {
			d.options().Log.Warn("the catalog could not be read again", "database", d.Name(), "error", err)
		}
		if loads.upToDate() {
			return
		}
	}
}

// burstEnds waits until nothing has been asked for some time, or for long. It reports whether the catalog is to be loaded.
func (c *catalogLoads) burstEnds(ctx context.Context) bool {
	began, tick := time.Now(), time.NewTicker(burstPause)
	defer tick.Stop()
	for last := c.asked.Load(); ; last = c.asked.Load() {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
		if c.asked.Load() == last || time.Since(began) > burstLength {
			return true
		}
	}
}

// upToDate ends the goroutine's work if there is none left.
func (c *catalogLoads) upToDate() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.behind() && !c.closed {
		return false
	}
	c.stop()
	c.stop = nil
	return true
}

// A burst of DDL is over when there was none for so long, and is interrupted by a load when it lasts so long.
const (
	burstPause  = 250 * time.Millisecond
	burstLength = 5 * time.Second
)
