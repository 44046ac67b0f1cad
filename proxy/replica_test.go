package proxy

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func replicaRig(t *testing.T, o rigOptions) *rig {
	o.replicas = true
	if o.schema == nil {
		o.schema, o.tables = append(slices.Clone(demoSchema), sneaky), demoTables
	}
	r := startRig(t, sharedCluster(t), o)
	if err := r.cluster.WaitReplicas(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// sneaky says that it is STABLE and writes.
const sneaky = `create function writes(k bigint) returns bigint language sql as 'insert into users values (k, 1) returning tenant_id';
	create function sneaky(k bigint) returns bigint language plpgsql stable as $$ begin return writes(k); end $$`

// whereAmI is a read of a tenant's that says whether a replica answers; pg_is_in_recovery() would make it a write.
const whereAmI = "select current_setting('in_hot_standby') || left(count(*)::text, 0) from orders where tenant_id = $1"

func TestReplicas(t *testing.T) {
	r := replicaRig(t, rigOptions{sticky: 400 * time.Millisecond, wait: 5 * time.Second})
	a := r.tenants(0, 1)[0]
	for _, mode := range []string{"default_query_exec_mode=exec", "", simpleMode} {
		conn := r.connect(mode)
		where := func() string { t.Helper(); return r.value(conn, whereAmI, a) }
		if got := where(); got != "on" {
			t.Fatalf("%s: a read is not on a replica", mode)
		}
		r.exec(conn, "insert into orders values ($1, 1)", a)
		wrote := time.Now()
		for time.Since(wrote) < 200*time.Millisecond {
			if got := where(); got != "off" && time.Since(wrote) < 300*time.Millisecond {
				t.Fatalf("%s: a read after a write is on a replica", mode)
			}
		}
		r.eventually("reads go to replicas again", func() bool { return where() == "on" })
		r.exec(conn, "begin")
		if got := where(); got != "off" {
			t.Fatalf("%s: a transaction reads a replica", mode)
		}
		r.exec(conn, "commit")
		r.exec(conn, "begin read only")
		if got := where(); got != "on" {
			t.Fatalf("%s: a read-only transaction is not on a replica", mode)
		}
		r.refuses(conn, "25006", "insert into orders values ($1, 2)", a)
		r.exec(conn, "rollback")
		r.exec(conn, "delete from orders where tenant_id = $1", a)
	}
}

// TestWritesStayOnThePrimary has statements that begin as reads do, and write or lock: none is tried on a replica.
//
// Row 38: CTEs that write, FOR UPDATE and its kind, functions that write.
func TestWritesStayOnThePrimary(t *testing.T) {
	r := replicaRig(t, rigOptions{sticky: time.Millisecond})
	k := r.tenants(0, 1)[0]
	setup := r.connect()
	r.exec(setup, "insert into orders values ($1, 1)", k)
	r.exec(setup, "create sequence numbers")
	const where = "select current_setting('in_hot_standby')"
	for _, mode := range []string{simpleMode, "default_query_exec_mode=exec", ""} {
		conn := r.connect(mode)
		for _, sql := range []string{
			"with w as (insert into users values ($1, 1) on conflict (tenant_id, id) do update set name = 'x' returning 1) " + where + " from w",
			"with w as (update orders set note = 'x' where tenant_id = $1 returning 1), r as (select * from w) " + where + " from r",
			where + " from (with d as (select 1 from orders where tenant_id = $1 for no key update) select * from d) o",
			where + " from orders where tenant_id = $1 for update", where + " from orders where tenant_id = $1 for key share",
			where + " || left(nextval('numbers')::text, 0) from orders where tenant_id = $1",
			where + " || left(pg_advisory_xact_lock(1)::text, 0) from orders where tenant_id = $1",
			where + " from orders where tenant_id = $1 and writes(tenant_id + 1000000) > 0",
		} {
			r.eventually("a read is on a replica", func() bool { return r.value(conn, whereAmI, k) == "on" })
			if got := r.value(conn, sql, k); got != "off" {
				t.Errorf("%s: in_hot_standby is %s: %s", mode, got, sql)
			}
			r.on(r.cluster.Shards[0].Primary, fmt.Sprintf("delete from users where tenant_id = %d", k+1000000))
		}
	}
	if n := r.server.Metrics().Retries.Load(); n > 0 {
		t.Errorf("%d were tried on a replica first", n)
	}
}

// TestReplicaCannot has a statement that looks like a read turn out to write.
func TestReplicaCannot(t *testing.T) {
	r := replicaRig(t, rigOptions{sticky: time.Millisecond})
	a := r.tenants(0, 1)[0]
	for i, mode := range []string{simpleMode, "default_query_exec_mode=exec", ""} {
		conn := r.connect(mode)
		sql := "select sneaky($1) from (select count(*) from orders where tenant_id = $1) o"
		if got := r.value(conn, sql, a); got != fmt.Sprint(a) {
			t.Fatalf("%s: %s", mode, got)
		}
		if got := r.on(r.cluster.Shards[0].Primary, "select count(*) from users"); got != "1" {
			t.Fatalf("%s: %s rows", mode, got)
		}
		r.on(r.cluster.Shards[0].Primary, "truncate users")
		if got := r.server.Metrics().Retries.Load(); got != int64(i+1) {
			t.Fatalf("%d retries", got)
		}
	}
}

// TestReplicaBehind reads what was defined a moment ago, from sessions that a replica would serve.
func TestReplicaBehind(t *testing.T) {
	r := replicaRig(t, rigOptions{sticky: time.Millisecond})
	k := r.tenants(0, 1)[0]
	conn := r.connect()
	r.exec(conn, "insert into orders values ($1, 1)", k)
	for i, mode := range []string{simpleMode, "default_query_exec_mode=exec", ""} {
		other := r.connect(mode)
		replica := r.cluster.Shards[0].Replicas[0]
		r.value(other, whereAmI, k)
		if err := replica.PauseReplay(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.exec(conn, fmt.Sprintf("create table fresh%d (tenant_id bigint, note text)", i))
		r.exec(conn, fmt.Sprintf("alter table orders add column extra%d int default 7", i))
		if got := r.value(other, fmt.Sprintf("select count(*) from fresh%d where tenant_id = $1", i), k); got != "0" {
			t.Errorf("%s: %s", mode, got)
		}
		if got := r.value(other, fmt.Sprintf("select extra%d from orders where tenant_id = $1", i), k); got != "7" {
			t.Errorf("%s: %s", mode, got)
		}
		r.refuses(other, "42703", "select nosuch from orders where tenant_id = $1", k)
		if got := r.value(other, fmt.Sprintf("select extra%d from orders where tenant_id = $1", i), k); got != "7" {
			t.Errorf("%s: %s", mode, got)
		}
		if err := replica.ResumeReplay(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestReplicaDies kills a replica under load.
func TestReplicaDies(t *testing.T) {
	r := replicaRig(t, rigOptions{sticky: time.Millisecond, wait: 5 * time.Second, size: 10})
	replica := r.cluster.Shards[0].Replicas[0]
	a := r.tenants(0, 1)[0]
	const clients = 6
	var failed, done atomic.Int64
	var group sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	for i := range clients {
		conn := r.connect([]string{"", simpleMode, "default_query_exec_mode=exec"}[i%3])
		group.Go(func() {
			for ctx.Err() == nil {
				var v string
				if err := conn.QueryRow(t.Context(), whereAmI, a).Scan(&v); err != nil {
					t.Logf("client %d: %v", i, err)
					failed.Add(1)
				}
				if conn.IsClosed() {
					t.Errorf("client %d was disconnected", i)
					return
				}
				done.Add(1)
			}
		})
	}
	more := func(n int64) {
		from := done.Load()
		r.eventually("statements go on", func() bool { return done.Load() > from+n })
	}
	more(200)
	if err := replica.Kill(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	more(500)
	stop()
	group.Wait()
	if n := failed.Load(); n > clients {
		t.Errorf("%d errors of %d clients", n, clients)
	}
	conn := r.connect()
	if got := r.value(conn, whereAmI, a); got != "off" {
		t.Error("who answered, with the replica down?")
	}
	if err := replica.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.eventually("the replica is used again", func() bool { return r.value(conn, whereAmI, a) == "on" })
}

// queryAll runs a query for each of some tenants until stop ends, and counts.
func queryAll(ctx context.Context, t *testing.T, conn *pgx.Conn, count *atomic.Int64, each func(*pgx.Conn, int) error) {
	for i := 0; ctx.Err() == nil; i++ {
		if err := each(conn, i); err != nil {
			t.Errorf("under load: %v", err)
			return
		}
		count.Add(1)
	}
}

// TestReplicaBehindSets has a replica be behind that is asked for what changes a setting, too, by either protocol.
func TestReplicaBehindSets(t *testing.T) {
	r := replicaRig(t, rigOptions{sticky: time.Millisecond})
	k := r.tenants(0, 1)[0]
	replica := r.cluster.Shards[0].Replicas[0]
	for i, mode := range []string{simpleMode, "default_query_exec_mode=exec", ""} {
		conn := r.connect(mode)
		if got := r.value(conn, whereAmI, k); got != "on" {
			t.Fatalf("%s: a read is not on a replica", mode)
		}
		check(t, replica.PauseReplay(t.Context()))
		r.exec(r.connect(), fmt.Sprintf("create function later%d(k bigint) returns text language sql immutable as $$ select 'x' $$", i))
		before := r.server.Metrics().Retries.Load()
		sql := fmt.Sprintf("select set_config('search_path', 'public', false), later%d($1)", i)
		var path, later string
		if err := conn.QueryRow(t.Context(), sql, k).Scan(&path, &later); err != nil || path != "public" || later != "x" {
			t.Errorf("%s: %q, %q, %v", mode, path, later, err)
		}
		if n := r.server.Metrics().Retries.Load() - before; n != 1 {
			t.Errorf("%s: %d retries", mode, n)
		}
		check(t, replica.ResumeReplay(t.Context()))
	}
}
