package proxy

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgdrover/pgdrover/cache"
	"github.com/pgdrover/pgdrover/internal/pgcluster"
)

// TestCacheShared reopens the cache over one Redis.
func TestCacheShared(t *testing.T) {
	redis := pgcluster.TestRedis(t)
	r := cachedRig(t, redis.URL())
	k := r.tenants(0, 1)[0]
	conn := r.connect(simpleMode)
	r.eventually("L2 is on", func() bool { return r.db.Cache().Stats().L2 == cache.L2On })
	r.exec(conn, "insert into users values ($1, 1, 'a')", k)
	r.value(conn, userName, k)
	r.eventually("the entry is in Redis", func() bool { return r.db.Cache().Stats().L2Stores == 1 })
	r.behind(k, "update users set name = 'behind'")

	again := rejoin(r, redis.URL())
	second := again.connect(simpleMode)
	again.eventually("L2 is on", func() bool { return again.db.Cache().Stats().L2 == cache.L2On })
	if got := again.value(second, userName, k); got != "a" || again.db.Cache().Stats().L2Hits != 1 {
		t.Fatalf("%q, %+v", got, again.db.Cache().Stats())
	}
	again.exec(second, "update users set name = 'b' where tenant_id = $1", k)
	r.eventually("the first proxy notices", func() bool { return r.value(conn, userName, k) == "b" })

	// Silent Redis: reads go on at once, a write waits shortly.
	r.value(conn, userName, k)
	if err := redis.Pause(); err != nil {
		t.Fatal(err)
	}
	defer redis.Resume()
	worst := time.Duration(0)
	for i := range 40 {
		began := time.Now()
		r.value(conn, "select count(*) from users where tenant_id = $1 and id = $2", k, i)
		if i > 2 {
			worst = max(worst, time.Since(began))
		}
	}
	if worst > 200*time.Millisecond {
		t.Errorf("a read took %s with Redis stopped", worst)
	}
	began := time.Now()
	r.exec(conn, "update users set name = 'c' where tenant_id = $1", k)
	if took := time.Since(began); took > 400*time.Millisecond {
		t.Errorf("a write took %s with Redis stopped", took)
	}
	for range 2 {
		if got := r.value(conn, userName, k); got != "c" {
			t.Errorf("%q with Redis stopped", got)
		}
	}
}

// rejoin is another proxy over the cluster and the rows of r.
func rejoin(r *rig, redis string) *rig {
	return startRig(r.t, r.cluster, rigOptions{keep: true, tables: "tables:\n  countries: reference\n", cache: &cache.Config{Namespace: r.cluster.Database,
		Redis: redis, Tables: map[string]cache.Table{"public.users": {TTL: time.Minute}, "public.pets": {TTL: time.Minute},
			"public.countries": {TTL: time.Minute}}}})
}

// TestCacheNeverOld has many read and write a few rows: no read may be older than a write that was acknowledged before it began.
func TestCacheNeverOld(t *testing.T) {
	redis := pgcluster.TestRedis(t)
	for name, url := range map[string]string{"alone": "", "with Redis": redis.URL()} {
		t.Run(name, func(t *testing.T) { neverOld(t, cachedRig(t, url)) })
	}
}

func neverOld(t *testing.T, r *rig) {
	tenants := append(r.tenants(0, 2), r.tenants(1, 2)...)
	setup := r.connect()
	acknowledged := make([]atomic.Int64, len(tenants))
	for _, k := range tenants {
		r.exec(setup, "insert into users values ($1, 1, '0')", k)
	}
	ctx, stop := context.WithTimeout(t.Context(), 2500*time.Millisecond)
	defer stop()
	var group sync.WaitGroup
	var reads atomic.Int64
	modes := []string{simpleMode, "", "default_query_exec_mode=exec"}
	for i, k := range tenants { // one writer each: versions go up
		conn := r.connect(modes[i%3])
		group.Go(func() {
			for v := int64(1); ctx.Err() == nil; v++ {
				if err := writeVersion(conn, k, v); err != nil {
					t.Errorf("write: %v", err)
					return
				}
				acknowledged[i].Store(v)
				pause(ctx, time.Duration(rand.IntN(8))*time.Millisecond)
			}
		})
	}
	for g := range 8 {
		conn := r.connect(modes[g%3])
		group.Go(func() {
			for ctx.Err() == nil {
				i := rand.IntN(len(tenants))
				floor := acknowledged[i].Load()
				var v int64
				if err := conn.QueryRow(context.Background(), "select name::bigint from users where tenant_id = $1 and id = 1", tenants[i]).Scan(&v); err != nil {
					t.Errorf("read: %v", err)
					return
				}
				if v < floor {
					t.Errorf("tenant %d: read %d after %d was acknowledged", tenants[i], v, floor)
					return
				}
				reads.Add(1)
			}
		})
	}
	group.Wait()
	s := r.db.Cache().Stats()
	if s.L1Hits == 0 || s.Invalidations == 0 {
		t.Errorf("nothing was tried: %+v", s)
	}
	t.Logf("%d reads, %d hits on L1, %d on L2", reads.Load(), s.L1Hits, s.L2Hits)
}

// writeVersion writes a version in one of the ways that there are to write; some roll back first.
func writeVersion(conn *pgx.Conn, tenant, v int64) error {
	ctx := context.Background()
	update := func(q interface {
		QueryRow(context.Context, string, ...any) pgx.Row
	}, v int64) error {
		var n int64
		return q.QueryRow(ctx, "update users set name = $2::bigint::text where tenant_id = $1 returning id", tenant, v).Scan(&n)
	}
	switch v % 4 {
	case 0:
		return update(conn, v)
	case 1:
		tx, err := conn.Begin(ctx)
		if err != nil {
			return err
		}
		if err := update(tx, -1); err != nil {
			return err
		}
		if err := tx.Rollback(ctx); err != nil {
			return err
		}
	case 2:
		if _, err := conn.Exec(ctx, "update users set name = (1/0)::text where tenant_id = $1", tenant); err == nil {
			return fmt.Errorf("a division by zero went well")
		}
	}
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return update(tx, v) })
}

// TestCacheIsNotFilledByAReplicaBehind writes while a replica replays nothing: what is read then, and stored, has the write.
//
// Row 45: replay is paused, a row is written, read, and read again when replay goes on.
func TestCacheIsNotFilledByAReplicaBehind(t *testing.T) {
	r := cachedRig(t, "")
	k := r.tenants(0, 1)[0]
	writer, reader := r.connect(), r.connect(simpleMode)
	r.exec(writer, "insert into users values ($1, 1, 'a')", k)
	check(t, r.cluster.WaitReplicas(t.Context()))
	r.value(reader, userName, k)
	replica := r.cluster.Shards[0].Replicas[0]
	check(t, replica.PauseReplay(t.Context()))
	defer func() { _ = replica.ResumeReplay(context.Background()) }()
	r.exec(writer, "update users set name = 'b' where tenant_id = $1", k)
	if got := r.on(replica, "select name from users"); got != "a" {
		t.Fatalf("the replica has %q", got)
	}
	pause(t.Context(), 20*time.Millisecond) // the writer reads the primary no longer than that
	for range 3 {
		for _, conn := range []*pgx.Conn{reader, writer, r.connect()} {
			if got := r.value(conn, userName, k); got != "b" {
				t.Errorf("read %q", got)
			}
		}
	}
	check(t, replica.ResumeReplay(t.Context()))
	if got := r.value(reader, userName, k); got != "b" {
		t.Errorf("read %q after all", got)
	}
}

// TestUnknownOutcomeMakesStale loses the backend in the middle of a COMMIT: nobody knows what became of it, so what was stored before is
// not served any more.
//
// Row 46: a backend is killed between COMMIT and its answer.
func TestUnknownOutcomeMakesStale(t *testing.T) {
	c := sharedCluster(t)
	r := startRig(t, c, rigOptions{wait: 5 * time.Second, schema: append([]string{
		"create function slowly() returns trigger language plpgsql as $$ begin perform pg_sleep(60); return null; end $$"}, append(demoSchema,
		"create constraint trigger slowly after update on users deferrable initially deferred for each row when (new.name = 'slow') execute function slowly()")...),
		cache: &cache.Config{Namespace: c.Database, Tables: map[string]cache.Table{"public.users": {TTL: time.Minute}}}})
	k := r.tenants(0, 1)[0]
	node := r.cluster.Shards[0].Primary
	for _, explicit := range []bool{true, false} {
		reader, writer := r.connect(simpleMode), r.connect("default_query_exec_mode=exec")
		r.exec(reader, "insert into users values ($1, 1, 'a') on conflict (tenant_id, id) do update set name = 'a'", k)
		if !r.cached(func() string { return r.value(reader, userName, k) }, k) {
			t.Fatal("nothing is cached")
		}
		end := "update users set name = 'slow' where tenant_id = $1"
		arguments := []any{k}
		if explicit {
			r.exec(writer, "begin")
			r.exec(writer, end, k)
			end, arguments = "commit", nil
		}
		result := make(chan error, 1)
		go func() { _, err := writer.Exec(context.Background(), end, arguments...); result <- err }()
		r.eventually("it commits", func() bool {
			return r.on(node, "select count(*) from pg_stat_activity where wait_event = 'PgSleep'") == "1"
		})
		r.terminate(0, "wait_event = 'PgSleep'")
		if err := <-result; err == nil {
			t.Fatal("a killed COMMIT went well")
		}
		if got := r.value(reader, userName, k); got != "a." {
			t.Errorf("explicit %v: read %q, which was stored before", explicit, got)
		}
		if n := r.db.Cache().Stats().OpenWrites; n != 0 {
			t.Errorf("%d writes are open", n)
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
