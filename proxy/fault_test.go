package proxy

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
)

// faultRig is a rig that a test shuts down by itself.
func faultRig(t *testing.T, o rigOptions) *rig {
	return startRig(t, sharedCluster(t), o)
}

// terminate ends a backend from outside.
func (r *rig) terminate(shard int, where string) {
	r.t.Helper()
	if got := r.on(r.cluster.Shards[shard].Primary, "select count(pg_terminate_backend(pid, 5000)) from pg_stat_activity where "+where); got == "0" {
		r.t.Fatal("no such backend")
	}
}

// TestBackendKilled kills backends while statements run on them, and between statements.
func TestBackendKilled(t *testing.T) {
	r := faultRig(t, rigOptions{wait: 5 * time.Second})
	k := r.tenants(0, 1)[0]
	for _, mode := range []string{simpleMode, "default_query_exec_mode=exec", ""} {
		conn := r.connect(mode)
		result := make(chan error, 1)
		sleep := func() {
			go func() {
				_, err := conn.Exec(context.Background(), "update orders set note = pg_sleep(20)::text where (select count(*) from pg_sleep(20)) > 0 and tenant_id = $1", k)
				result <- err
			}()
			r.eventually("it runs", func() bool {
				return r.on(r.cluster.Shards[0].Primary, "select count(*) from pg_stat_activity where wait_event = 'PgSleep'") == "1"
			})
		}
		sleep()
		r.terminate(0, "wait_event = 'PgSleep'")
		if err := <-result; !isCode(err, "57P01") {
			t.Fatalf("%s: %v", mode, err)
		}
		if got := r.value(conn, "select count(*) from orders where tenant_id = $1", k); got != "0" {
			t.Fatal("the session did not go on")
		}
		r.exec(conn, "begin")
		r.exec(conn, "insert into orders values ($1, 1)", k)
		sleep()
		r.terminate(0, "wait_event = 'PgSleep'")
		if err := <-result; !isCode(err, "57P01") {
			t.Fatalf("%s: %v", mode, err)
		}
		r.refuses(conn, "25P02", "select 1")
		if tag := r.exec(conn, "commit"); tag != "ROLLBACK" {
			t.Fatal(tag)
		}
		r.exec(conn, "begin") // idle in the transaction
		r.exec(conn, "insert into orders values ($1, 1)", k)
		r.terminate(0, "state = 'idle in transaction'")
		if _, err := conn.Exec(t.Context(), "commit"); err == nil {
			if got := r.value(conn, "select count(*) from orders where tenant_id = $1", k); got != "0" {
				t.Fatal("a lost transaction was committed")
			}
		}
		if got := r.value(conn, "select count(*) from orders where tenant_id = $1", k); got != "0" {
			t.Fatal(got)
		}
		r.terminate(0, "datname = current_database() and pid <> pg_backend_pid() and usename = '"+r.cluster.User+"'") // idle ones
		for range 5 {
			r.exec(conn, "update orders set note = '' where tenant_id = $1", k)
		}
		r.exec(conn, "create temp table mine (id int)") // held: the session ends with it
		r.terminate(0, "query like 'create temp table mine%'")
		_, err := conn.Exec(t.Context(), "select * from mine")
		if err == nil || !conn.IsClosed() {
			t.Fatalf("%s: the session went on without its temporary table: %v", mode, err)
		}
	}
}

func TestNodeRestarts(t *testing.T) {
	r := faultRig(t, rigOptions{wait: 10 * time.Second})
	k := r.tenants(1, 1)[0]
	conn := r.connect()
	r.exec(conn, "insert into orders values ($1, 1)", k)
	if err := r.cluster.Shards[1].Primary.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.exec(conn, "insert into orders values ($1, 2)", k)
	if got := r.value(conn, "select count(*) from orders where tenant_id = $1", k); got != "2" {
		t.Fatal(got)
	}
}

func TestPoolExhausted(t *testing.T) {
	r := faultRig(t, rigOptions{wait: 150 * time.Millisecond, size: 1})
	k := r.tenants(0, 1)[0]
	holder := r.connect()
	conns := []*pgx.Conn{r.connect(simpleMode), r.connect("default_query_exec_mode=exec")}
	r.exec(holder, "begin")
	r.exec(holder, "insert into orders values ($1, 1)", k)
	for _, conn := range conns {
		if e := r.refuses(conn, "53300", "insert into orders values ($1, 2)", k); e.Hint == "" {
			t.Fatal("no hint")
		}
		if got := r.value(conn, "select count(*) from orders where tenant_id = $1", r.tenants(1, 1)[0]); got != "0" {
			t.Fatal("the session did not go on")
		}
		r.exec(conn, "begin")
		r.refuses(conn, "53300", "insert into orders values ($1, 2)", k)
		r.refuses(conn, "25P02", "select 1")
		r.exec(conn, "rollback")
		r.refuses(conn, "53300", "create table fresh (id int)")
	}
	r.exec(holder, "rollback")
	for _, conn := range conns {
		r.exec(conn, "delete from orders where tenant_id = $1", k)
	}
}

// TestClientLeaves has clients vanish at bad moments: nothing of theirs stays open, and their backends serve others clean.
func TestClientLeaves(t *testing.T) {
	r := faultRig(t, rigOptions{wait: 5 * time.Second, size: 2})
	k := r.tenants(0, 1)[0]
	for _, leave := range []string{"insert into orders values ($1, 1)", "insert into orders select $1, 1 from pg_sleep(30)"} {
		conn := r.connect("default_query_exec_mode=exec")
		r.exec(conn, "set application_name = 'left'")
		r.exec(conn, "begin")
		r.exec(conn, "set local lock_timeout = '9s'")
		r.exec(conn, "insert into orders values ($1, 7)", k)
		running := make(chan struct{})
		go func() {
			defer close(running)
			_, _ = conn.Exec(context.Background(), leave, k)
		}()
		if strings.Contains(leave, "pg_sleep") {
			r.eventually("it runs", func() bool {
				return r.on(r.cluster.Shards[0].Primary, "select count(*) from pg_stat_activity where wait_event = 'PgSleep'") == "1"
			})
		} else {
			<-running
		}
		if tcp, ok := conn.PgConn().Conn().(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = conn.PgConn().Conn().Close()
		<-running
		r.eventually("no transaction is left open", func() bool {
			return r.on(r.cluster.Shards[0].Primary, "select count(*) from pg_stat_activity where xact_start is not null and backend_type = 'client backend' and pid <> pg_backend_pid()") == "0"
		})
		for range 3 {
			if got := r.value(r.connect(), "select current_setting('lock_timeout') || count(*) from orders where tenant_id = $1", k); got != "00" {
				t.Fatal(got)
			}
		}
	}
}

// TestShutdown drains: idle sessions are told, open transactions end, nobody new comes in, and nothing is left running.
func TestShutdown(t *testing.T) {
	if !pgcluster.Composed() { // what runs with the shared cluster runs before, and after
		sharedCluster(t)
	}
	before := runtime.NumGoroutine()
	t.Run("drain", testShutdownDrains)
	t.Run("cut", testShutdownCuts)
	ended := func() bool { return runtime.NumGoroutine() <= before }
	deadline := time.Now().Add(10 * time.Second)
	for !ended() && time.Now().Before(deadline) {
		runtime.Gosched()
	}
	if !ended() {
		stacks := make([]byte, 1<<20)
		t.Errorf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
	}
}

func testShutdownDrains(t *testing.T) {
	r := faultRig(t, rigOptions{})
	k := r.tenants(0, 1)[0]
	idle, open, held := r.connect(), r.connect(), r.connect()
	r.exec(held, "listen nothing")
	r.exec(open, "begin")
	r.exec(open, "insert into orders values ($1, 1)", k)
	half, err := net.Dial("tcp", r.addr) // has not logged in
	if err != nil {
		t.Fatal(err)
	}
	defer half.Close()
	r.eventually("it is there", func() bool { r.server.mu.Lock(); defer r.server.mu.Unlock(); return r.server.sessions.count == 4 })
	ended := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		ended <- r.server.Shutdown(ctx)
	}()
	for _, conn := range []*pgx.Conn{idle, held} {
		m, err := conn.PgConn().Frontend().Receive()
		if told, ok := m.(*pgproto3.ErrorResponse); !ok || told.Code != "57P01" || told.Severity != "FATAL" {
			t.Fatalf("an idle client was told %+v, %v", m, err)
		}
	}
	if c, err := pgx.Connect(t.Context(), r.url()); err == nil {
		c.Close(context.Background())
		t.Fatal("a new client was let in")
	}
	r.exec(open, "insert into orders values ($1, 2)", k)
	select {
	case err := <-ended:
		t.Fatalf("it did not wait for the open transaction: %v", err)
	default:
	}
	if tag := r.exec(open, "commit"); tag != "COMMIT" {
		t.Fatal(tag)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if got := r.on(r.cluster.Shards[0].Primary, "select count(*) from orders"); got != "2" {
		t.Fatal(got)
	}
}

func testShutdownCuts(t *testing.T) {
	r := faultRig(t, rigOptions{size: 2, wait: time.Minute})
	k, b := r.tenants(0, 1)[0], r.tenants(1, 1)[0]
	var group sync.WaitGroup
	open, two := r.connect(), r.connect()
	r.exec(open, "begin")
	r.exec(open, "insert into orders values ($1, 1)", k)
	r.exec(two, "begin")
	r.value(two, "select count(*) from orders where tenant_id = $1", b)
	r.exec(two, "insert into countries values ('de', 'x')")
	for _, sql := range []string{"select pg_sleep(60) from (select count(*) from orders where tenant_id = $1) o",
		"insert into countries select 'de', 'x' from (select $1::bigint) x"} {
		conn := r.connect("default_query_exec_mode=exec")
		group.Go(func() {
			if _, err := conn.Exec(context.Background(), sql, b); err == nil {
				t.Errorf("%s: went well", sql)
			}
		})
		r.running(conn.PgConn().PID(), map[bool]ClientState{true: ClientActive, false: ClientWaiting}[strings.Contains(sql, "sleep")])
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := r.server.Shutdown(ctx); err == nil {
		t.Fatal("nothing had to be cut")
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Fatalf("it took %s", took)
	}
	group.Wait()
	r.eventually("nothing is left open", func() bool {
		for _, sh := range r.cluster.Shards {
			if r.on(sh.Primary, "select count(*) from orders") != "0" || r.on(sh.Primary, "select count(*) from countries") != "0" {
				t.Fatal("what was cut was committed")
			}
			if r.on(sh.Primary, "select count(*) from pg_stat_activity where xact_start is not null and wait_event is distinct from 'PgSleep' and backend_type = 'client backend' and pid <> pg_backend_pid()") != "0" {
				return false
			}
		}
		return true
	})
	for _, sh := range r.cluster.Shards {
		r.on(sh.Primary, "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'PgSleep'")
	}
}

// testShardDown stops a shard: what concerns all shards fails whole, the other one serves, and it comes back.
func testShardDown(t *testing.T, r *rig) {
	a, b := r.tenants(0, 1)[0], r.tenants(1, 1)[0]
	conn := r.connect()
	down := r.cluster.Shards[1].Primary
	if err := down.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{"create table fresh (id int)", "create index concurrently by_note on orders (note)", "insert into countries values ('de', 'x')"} {
		_, err := conn.Exec(t.Context(), sql)
		var e *pgconn.PgError
		if !errors.As(err, &e) || !strings.Contains(e.Message+e.Detail, "s2") {
			t.Fatalf("%s: %v", sql, err)
		}
		if got := r.on(r.cluster.Shards[0].Primary, "select count(*) from pg_class where relname in ('fresh', 'by_note')"); got != "0" {
			t.Fatalf("%s: half done", sql)
		}
	}
	r.exec(conn, "insert into orders values ($1, 1)", a)
	if _, err := conn.Exec(t.Context(), "insert into orders values ($1, 1)", b); err == nil {
		t.Fatal("a shard that is down took a row")
	}
	if err := down.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.eventually("shard s2 serves again", func() bool {
		_, err := conn.Exec(t.Context(), "create table fresh (id int)")
		return err == nil
	})
	r.hasTable("fresh", "1")
}
