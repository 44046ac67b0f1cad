package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/shardmap"
)

// filling gives the reference tables of shards that are new the rows that they have on the others (design 0021). It goes twice: ahead, while
// everybody may write, and then with all writers of those tables held back, when little or nothing is left to do. It belongs to one goroutine.
type filling struct {
	cluster *pool.Cluster
	m       *shardmap.Map
	source  string   // the shard that rows are copied from
	targets []string // the shards that are new
	log     *slog.Logger

	patience time.Duration // for each lock; 0: it has no end of its own

	copies map[[2]string]bool // shard and table: its rows were the source's a moment ago
	lines  map[string]*pool.Line
	tables map[string]map[string]referenceTable // by shard and table
	found  map[string]map[string]digest         // by shard and table
}

// How long a filling of a reload waits for others: for another one at work on the same shard, and for replicas, while nobody waits for it.
const fillPatience = 10 * time.Minute

// newFilling is nil when there is nothing to fill.
func newFilling(cluster *pool.Cluster, m *shardmap.Map, targets []string, log *slog.Logger) *filling {
	source := sourceOf(m, targets)
	if len(targets) == 0 || source == "" || !hasReferences(m) {
		return nil
	}
	return &filling{cluster: cluster, m: m, source: source, targets: targets, log: log, copies: map[[2]string]bool{}}
}

// newcomers are the shards that are new in a map, and of those that were idle the ones that get their first tenants or tables by it, or
// another primary.
func newcomers(before, after *shardmap.Map) []string {
	var list []string
	for i, sh := range after.Shards() {
		was, known := before.ShardByName(sh.Name)
		if !known || before.Idle(was) && (!after.Idle(i) || before.Shard(was).Primary != sh.Primary) {
			list = append(list, sh.Name)
		}
	}
	return list
}

// FillReferences gives shards the rows that the reference tables of a map have on its other shards, and verifies that all are the same.
// Nothing is written to a table whose rows are neither those nor an earlier copy of them: that is an error, as are rows that differ among the
// other shards, as a *RefusedError each. Any other error says why that could not be done. What it has copied to a shard is committed there as a
// whole or not at all.
//
// Writers of the tables are held back while all shards are compared, for wait at most. It waits no longer for those that hold locks on the new
// shards, nor for their replicas. It blocks.
func FillReferences(ctx context.Context, cluster *pool.Cluster, m *shardmap.Map, shards []string, wait time.Duration, log *slog.Logger) error {
	f := newFilling(cluster, m, shards, log)
	if f == nil {
		return nil
	}
	if err := f.ahead(ctx, wait); err != nil {
		return err
	}
	release, err := f.settle(ctx, wait)
	if err == nil {
		release()
	}
	return err
}

// ahead copies what the source has at one moment, while others write. It waits for locks and for replicas, for patience each.
func (f *filling) ahead(ctx context.Context, patience time.Duration) error {
	defer f.close()
	if err := f.open(ctx, append([]string{f.source}, f.targets...), patience); err != nil {
		return err
	}
	for _, shard := range f.targets {
		if err := f.begin(ctx, f.source, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"); err != nil {
			return err
		}
		if err := f.lock(ctx, shard); err != nil {
			return err
		}
		if err := f.digests(ctx, f.source, shard); err != nil {
			return err
		}
		if _, err := f.complete(ctx, shard); err != nil {
			return err
		}
		if err := f.replayed(ctx, shard, patience); err != nil {
			return err
		}
		if _, err := f.lines[f.source].Exec(ctx, "COMMIT"); err != nil {
			return err
		}
	}
	return nil
}

// settle verifies that the tables are the same on all shards, and copies what has changed since, while nobody can write them. After that they
// cannot until release is called. It gives up after wait.
func (f *filling) settle(ctx context.Context, wait time.Duration) (release func(), err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, wait, fmt.Errorf("the reference tables could not be compared and completed within %s while nobody writes them: "+
		"the shard map in force stays; try again, or raise limits.reload_wait", wait))
	defer cancel()
	defer func() {
		if err != nil {
			f.close()
		}
		if cause := context.Cause(ctx); err != nil && cause != nil {
			err = errors.Join(cause, err)
		}
	}()
	var all []string
	for _, sh := range f.m.Shards() {
		all = append(all, sh.Name)
	}
	if err := f.open(ctx, all, 0); err != nil { // ctx bounds the waits for locks
		return nil, err
	}
	for _, shard := range all { // in the order in which statements that write them come to the shards
		if err := f.lock(ctx, shard); err != nil {
			return nil, err
		}
	}
	if err := f.digests(ctx, all...); err != nil {
		return nil, err
	}
	if err := f.agree(); err != nil {
		return nil, err
	}
	for _, shard := range f.targets {
		written, err := f.complete(ctx, shard)
		if err != nil {
			return nil, err
		}
		if !written {
			continue
		}
		if err := f.replayed(ctx, shard, wait); err != nil {
			return nil, err
		}
	}
	return f.close, nil
}

// open logs in to shards, and sees which tables they have. Later waits for a lock end after wait, or never if it is 0.
func (f *filling) open(ctx context.Context, shards []string, wait time.Duration) error {
	f.lines, f.tables, f.found = map[string]*pool.Line{}, map[string]map[string]referenceTable{}, map[string]map[string]digest{}
	f.patience = wait
	for _, name := range shards {
		i, _ := f.m.ShardByName(name)
		line, err := f.cluster.OpenLine(ctx, name, pool.Primary, f.m.Shard(i).Primary)
		if err != nil {
			return err
		}
		f.lines[name] = line
		settings := fmt.Sprintf("%s; SET lock_timeout = %d", referenceSettings, wait.Milliseconds())
		if _, err := line.Exec(ctx, settings); err != nil {
			return err
		}
		if f.tables[name], err = referenceTables(ctx, line, f.m); err != nil {
			return err
		}
	}
	return f.alike(shards)
}

// close ends the lines, and with them their transactions and locks.
func (f *filling) close() {
	for _, line := range f.lines {
		line.Close()
	}
	f.lines = nil
}

// alike refuses tables that are missing on a shard, or have other columns there.
func (f *filling) alike(shards []string) error {
	for _, name := range f.names() {
		t := f.tables[f.source][name]
		for _, shard := range shards {
			there, ok := f.tables[shard][name]
			if !ok {
				return refusedShard(shard, "reference table %s is missing there: make the tables first, as on shard %s "+
					"(pg_dump --schema-only), and try again", name, f.source)
			}
			if there.shape != t.shape {
				return refusedShard(shard, "reference table %s has the columns (%s) there, and (%s) on shard %s: make them the same first",
					name, there.shape, t.shape, f.source)
			}
		}
	}
	return nil
}

// names are the reference tables, in one order.
func (f *filling) names() []string {
	var list []string
	for name := range f.tables[f.source] {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

func (f *filling) begin(ctx context.Context, shard, sql string) error {
	_, err := f.lines[shard].Exec(ctx, sql)
	return err
}

// lock begins a transaction on a shard and keeps others from writing the tables there.
func (f *filling) lock(ctx context.Context, shard string) error {
	sql := "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
	for _, name := range f.names() {
		sql += "; LOCK TABLE " + f.tables[shard][name].quoted() + " IN SHARE ROW EXCLUSIVE MODE"
	}
	if err := f.begin(ctx, shard, sql); err != nil {
		return fmt.Errorf("shard %s: writers of the reference tables could not be kept out%s: end the transaction that has written them there, "+
			"which may be a prepared one, and try again: %w", shard, f.within(), err)
	}
	return nil
}

// within says how long locks are waited for.
func (f *filling) within() string {
	if f.patience == 0 {
		return ""
	}
	return " within " + f.patience.String()
}

// digests looks at the rows on several shards at once.
func (f *filling) digests(ctx context.Context, shards ...string) error {
	all, errs := make([]map[string]digest, len(shards)), make([]error, len(shards))
	var group sync.WaitGroup
	for i, shard := range shards {
		group.Go(func() { all[i], errs[i] = f.digestsOn(ctx, shard) })
	}
	group.Wait()
	for i, shard := range shards {
		f.found[shard] = all[i]
	}
	return errors.Join(errs...)
}

func (f *filling) digestsOn(ctx context.Context, shard string) (map[string]digest, error) {
	found := map[string]digest{}
	for name := range f.tables[f.source] {
		d, err := digestOf(ctx, f.lines[shard], f.tables[shard][name])
		if err != nil {
			return nil, err
		}
		found[name] = d
	}
	return found, nil
}

// agree refuses to go on when the shards that are not new differ: nobody knows then which rows are right.
func (f *filling) agree() error {
	for _, sh := range f.m.Shards() {
		if slices.Contains(f.targets, sh.Name) {
			continue
		}
		for _, name := range f.names() {
			first, d := f.found[f.source][name], f.found[sh.Name][name]
			if d != first {
				return refusedShard(f.targets[0], "reference table %s differs on the shards that were there: shard %s has %s%s; "+
					"make it the same on them first", name, f.source, first, versus(sh.Name, first, d))
			}
		}
	}
	return nil
}

// replayed waits until the replicas of a shard that answer show what its primary has.
func (f *filling) replayed(ctx context.Context, shard string, wait time.Duration) error {
	i, _ := f.m.ShardByName(shard)
	if len(f.m.Shard(i).Replicas) == 0 {
		return nil
	}
	answer, err := f.lines[shard].Exec(ctx, "SELECT pg_catalog.pg_current_wal_lsn()")
	if err != nil {
		return err
	}
	ask := "SELECT pg_catalog.pg_last_wal_replay_lsn() >= '" + string(answer.Rows[0][0]) + "' OR NOT pg_catalog.pg_is_in_recovery()"
	until := time.Now().Add(wait)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for _, replica := range f.m.Shard(i).Replicas {
		for {
			answer, err := f.cluster.ExecOn(ctx, shard, pool.Replica, replica, ask)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				f.log.Warn("a replica of a new shard does not answer: it may not have the rows of the reference tables yet", "shard", shard, "error", err)
				break
			}
			if string(answer.Rows[0][0]) == "t" {
				break
			}
			if time.Now().After(until) {
				return fmt.Errorf("shard %s: replica %s has not replayed the rows of the reference tables within %s: try again when it has", shard, replica.Addr(), wait)
			}
			<-tick.C
		}
	}
	return nil
}

// refusedShard refuses a map because of one of its shards.
func refusedShard(shard, format string, args ...any) error {
	return refused(shardmap.Change{Kind: shardmap.ShardAdded, Shard: shard, Text: "shard " + shard}, format, args...)
}
