package proxy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgdrover/pgdrover/cache"
	"github.com/pgdrover/pgdrover/pool"
)

const (
	recoveryPause  = 10 * time.Second       // between two looks of the recovery at the shards
	doubtPause     = time.Second            // the same while something is in doubt
	recoveryMoment = 200 * time.Millisecond // until it looks when it is asked to
	recoveryTime   = 10 * time.Second       // bounds one question to a shard
	recoveryWaits  = time.Minute            // so long a first writer may be at work before it is decided that it fails
	decisionsKept  = 5 * time.Minute        // so long a decision stays when nobody seems to need it any more
)

// recovery ends what transactions on several shards have left prepared, after a crash of a proxy, a shard or both. It owns the goroutine
// that does. Several proxies may do so at the same time, for transactions of all of them.
type recovery struct {
	name    string      // of this process in gids
	asked   atomic.Bool // to look at the shards soon
	running sync.WaitGroup

	commits, rollbacks  atomic.Int64 // joint transactions that ended so
	finished, discarded atomic.Int64 // parts that the recovery committed, and rolled back
	mu                  sync.Mutex   // guards what follows
	stop                context.CancelFunc
	closed              bool
	inHand              map[string]bool // ids of the transactions that sessions of this process commit
	doubts              []InDoubt
}

// InDoubt is the part of a transaction that is prepared on a shard and could not be ended yet.
type InDoubt struct {
	Shard, GID, FirstShard string
	Age                    time.Duration
	Why                    string
}

// TwoPhaseStats are the counts of one database since the start, and what was in doubt when the recovery looked last.
type TwoPhaseStats struct {
	Commits, Rollbacks  int64 // transactions on several shards
	Finished, Discarded int64 // parts that were committed, and rolled back, by the recovery
	InDoubt             []InDoubt
}

func (r *recovery) init() {
	r.name, r.inHand = randomHex(4), map[string]bool{}
}

// TwoPhase says what has become of transactions on several shards.
func (d *Database) TwoPhase() TwoPhaseStats {
	r := &d.recovery
	r.mu.Lock()
	defer r.mu.Unlock()
	return TwoPhaseStats{r.commits.Load(), r.rollbacks.Load(), r.finished.Load(), r.discarded.Load(), slices.Clone(r.doubts)}
}

// start runs the recovery from now on, if it does not run yet.
func (r *recovery) start(d *Database) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stop != nil || r.closed {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	r.running.Go(func() { d.recoverAll(ctx) })
}

// close ends the recovery and waits for it.
func (r *recovery) close() {
	r.mu.Lock()
	r.closed = true
	if r.stop != nil {
		r.stop()
	}
	r.mu.Unlock()
	r.running.Wait()
}

// soon has the recovery look within a moment.
func (r *recovery) soon() { r.asked.Store(true) }

// take notes that a session commits a transaction; leave, that it is done with it.
func (r *recovery) take(j *joint) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inHand[j.id] = true
}

func (r *recovery) leave(j *joint) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.inHand, j.id)
}

func (r *recovery) has(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.inHand[id]
}

// recoverAll looks at the shards at once, then from time to time and when it is asked to, until ctx ends.
func (d *Database) recoverAll(ctx context.Context) {
	r := &d.recovery
	tick := time.NewTicker(recoveryMoment)
	defer tick.Stop()
	var last time.Time
	for {
		if !r.asked.Swap(false) && time.Since(last) < r.pace() {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			continue
		}
		if err := d.recoverOnce(ctx); err != nil && ctx.Err() == nil {
			d.options().Log.Warn("prepared transactions could not be looked for everywhere", "database", d.Name(), "error", err)
		}
		last = time.Now()
	}
}

// pace is the time between two looks: short while there are doubts, which keep rows locked.
func (r *recovery) pace() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.doubts) > 0 {
		return doubtPause
	}
	return recoveryPause
}

// recoverOnce ends all parts that can be ended, and forgets the decisions that nobody needs any more.
func (d *Database) recoverOnce(ctx context.Context) error {
	var errs []error
	old := map[string][]string{} // by shard
	shards := d.Map().Shards()
	for _, sh := range shards {
		ids, err := d.oldDecisions(ctx, sh.Name)
		errs = append(errs, err)
		old[sh.Name] = ids
	}
	prepared := map[string]bool{}
	var doubts []InDoubt
	for _, sh := range shards {
		parts, err := d.preparedOn(ctx, sh.Name)
		errs = append(errs, err)
		for _, p := range parts {
			prepared[p.id] = true
			if doubt := d.endPart(ctx, sh.Name, p); doubt != "" {
				doubts = append(doubts, InDoubt{Shard: sh.Name, GID: p.gid, FirstShard: p.first, Age: p.age, Why: doubt})
			}
		}
	}
	d.recovery.mu.Lock()
	d.recovery.doubts = doubts
	d.recovery.mu.Unlock()
	if err := errors.Join(errs...); err != nil {
		return err // what is prepared there may need its decision
	}
	for shard, ids := range old {
		ids = slices.DeleteFunc(ids, func(id string) bool { return prepared[id] })
		errs = append(errs, d.forgetDecisions(ctx, shard, ids))
	}
	return errors.Join(errs...)
}

// ask is a question of the recovery to a shard.
func (d *Database) ask(ctx context.Context, shard, sql string) (*pool.Rows, error) {
	ctx, cancel := context.WithTimeout(ctx, recoveryTime)
	defer cancel()
	return d.cluster.Exec(ctx, shard, pool.Primary, sql)
}

// oldDecisions are the ids of decisions on a shard that no part needs which is prepared from now on. A decision to commit was made once
// all parts were prepared. One to roll back keeps a first writer from committing that was there when it was made, for as long as that
// may be at work.
func (d *Database) oldDecisions(ctx context.Context, shard string) ([]string, error) {
	if err := d.keepDecisions(ctx, shard); err != nil {
		return nil, err
	}
	rows, err := d.ask(ctx, shard, fmt.Sprintf("SELECT id FROM pgdrover.decision WHERE at < pg_catalog.now() - interval '%d seconds' "+
		"AND made < pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot()) LIMIT 10000", int(decisionsKept.Seconds())))
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(rows.Rows))
	for i, row := range rows.Rows {
		ids[i] = string(row[0])
	}
	return ids, nil
}

func (d *Database) forgetDecisions(ctx context.Context, shard string, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	for i, id := range ids {
		ids[i] = quoteLiteral(id)
	}
	_, err := d.ask(ctx, shard, "DELETE FROM pgdrover.decision WHERE id IN ("+strings.Join(ids, ",")+")")
	return err
}

// preparedPart is a part that lies prepared on a shard.
type preparedPart struct {
	jointPart
	gid string
	age time.Duration
}

// preparedOn lists what proxies have prepared on a shard: those of this database, and of others that have the same nodes.
func (d *Database) preparedOn(ctx context.Context, shard string) ([]preparedPart, error) {
	rows, err := d.ask(ctx, shard, "SELECT gid, pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - prepared)::bigint "+
		"FROM pg_catalog.pg_prepared_xacts WHERE database = pg_catalog.current_database() AND pg_catalog.starts_with(gid, '"+gidPrefix+"')")
	if err != nil {
		return nil, err
	}
	var parts []preparedPart
	for _, row := range rows.Rows {
		p, ok := readGID(string(row[0]))
		if !ok {
			continue
		}
		age, err := time.ParseDuration(string(row[1]) + "s")
		if err != nil {
			return nil, err
		}
		parts = append(parts, preparedPart{p, string(row[0]), age})
	}
	return parts, nil
}

// endPart ends a part that nobody has in hand, as its first writer ended. It says what is in the way, if it could not.
func (d *Database) endPart(ctx context.Context, shard string, p preparedPart) string {
	if d.recovery.has(p.id) || p.database != tag(d.Name(), 64) {
		return ""
	}
	first := d.shardOfTag(p.first)
	if first == "" {
		return "there is no shard \"" + p.first + "\", which knows how it ended"
	}
	j := p.joint
	j.first = first
	bounded, cancel := context.WithTimeout(ctx, recoveryTime)
	defer cancel()
	as, err := d.decide(bounded, &j, recoveryWaits-p.age)
	if err == nil && as == undecided {
		return "its first writer is at work on shard " + first
	}
	if err != nil {
		return err.Error()
	}
	ours, err := d.finish(bounded, shard, p.gid, as)
	if err != nil {
		return err.Error()
	}
	if d.cache != nil && as == committed {
		d.cache.Invalidate(ctx, &cache.Deps{}) // what it makes visible may have been read before
	}
	if !ours {
		return ""
	}
	d.recovery.count(as)
	d.options().Log.Info("ended a transaction that was left prepared", "database", d.Name(), "shard", shard, "gid", p.gid, "outcome", as.String())
	return ""
}

func (r *recovery) count(as decision) {
	if as == committed {
		r.finished.Add(1)
	} else {
		r.discarded.Add(1)
	}
}

// shardOfTag is the shard that a gid names, empty if the map has none of that name.
func (d *Database) shardOfTag(name string) string {
	for _, sh := range d.Map().Shards() {
		if tag(sh.Name, 32) == name {
			return sh.Name
		}
	}
	return ""
}
