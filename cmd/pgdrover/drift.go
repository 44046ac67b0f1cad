package main

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/shardmap"
)

// driftPause is between two comparisons of the shards' schemas, each of which takes a shard as long as reading its catalog.
const driftPause = 5 * time.Minute

// driftAgain is how long after that a difference is looked for again: shards are asked one after the other, and DDL may run meanwhile.
const driftAgain = 10 * time.Second

// drift is by how many objects each shard's schema differs from the first's, by database and shard. Any goroutine may use it.
type drift struct {
	mu    sync.Mutex // guards what follows
	found map[string]map[string]int
}

// differences is what is known.
func (d *drift) differences() map[string]map[string]int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.found)
}

// note takes in what was found in a database, and reports whether that is more than was known.
func (d *drift) note(database string, found map[string]int) (more bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	before := d.found[database]
	for shard, n := range found {
		more = more || n > before[shard]
	}
	if d.found == nil {
		d.found = map[string]map[string]int{}
	}
	d.found[database] = found
	return more
}

// watchDrift compares the shards' schemas now and from time to time, until ctx ends.
func (s *service) watchDrift(ctx context.Context) {
	tick := time.NewTicker(driftPause)
	defer tick.Stop()
	for {
		s.compareShards(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// compareShards compares the shards of each database that has several.
func (s *service) compareShards(ctx context.Context) {
	type pair struct {
		db *Database
		m  *shardmap.Map
	}
	s.mu.Lock()
	all := map[string]pair{}
	for name, served := range s.databases {
		all[name] = pair{s.config.Databases[name], served.Map()}
	}
	s.mu.Unlock()
	for name, p := range all {
		if p.db == nil || p.m.ShardCount() == 1 {
			continue
		}
		found, err := lastingDifferences(ctx, driftAgain, func() (map[string]int, error) { return differencesOf(ctx, name, p.db, p.m) })
		if err != nil && ctx.Err() == nil {
			s.log.Warn("the schemas of the shards could not be compared", "database", name, "error", err)
		}
		if s.drift.note(name, found) {
			s.log.Warn("the schemas of the shards differ: run pgdrover check --schema", "database", name, "differences", found)
		}
	}
}

// lastingDifferences are those that are there twice, with a pause between.
func lastingDifferences(ctx context.Context, pause time.Duration, look func() (map[string]int, error)) (map[string]int, error) {
	found, err := look()
	some := false
	for _, n := range found {
		some = some || n > 0
	}
	if !some {
		return found, err
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	again, err := look()
	for shard, n := range again {
		again[shard] = min(n, found[shard])
	}
	return again, err
}

// differencesOf counts the objects that are not on a shard as they are on the first one, for the shards that answer.
func differencesOf(ctx context.Context, name string, db *Database, m *shardmap.Map) (map[string]int, error) {
	nodes, err := newAsker(name, db)
	if err != nil {
		return nil, err
	}
	defer nodes.close(ctx)
	found := map[string]int{}
	var first schema
	var firstName string
	var failed error
	for _, sh := range m.Shards() {
		rows, err := nodes.ask(ctx, sh.Name, pool.Primary, sh.Primary, schemaSQL(m))
		if err != nil {
			failed = err
			continue
		}
		has, err := schemaOf(m, rows)
		if err != nil {
			return nil, err
		}
		if first == nil {
			first, firstName = has, sh.Name
		}
		found[sh.Name] = len(compareSchemas(firstName, sh.Name, first, has))
	}
	return found, failed
}
