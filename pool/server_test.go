package pool

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
	"github.com/pgdrover/pgdrover/shardmap"
)

// real is a shard with a replica of real servers, shared by the tests that leave it as they found it.
func real(t testing.TB) (*pgcluster.Cluster, Config, shardmap.Shard) {
	t.Helper()
	return realWith(t, pgcluster.Config{Replicas: 1})
}

func realWith(t testing.TB, c pgcluster.Config) (*pgcluster.Cluster, Config, shardmap.Shard) {
	t.Helper()
	servers := pgcluster.Test(t, c)
	cfg := quick()
	cfg.User, cfg.Password, cfg.Database, cfg.TLS = servers.User, servers.Password, servers.Database, TLSPrefer
	s := shardmap.Shard{Name: "s1", Weight: 1, Primary: realNode(servers.Shards[0].Primary)}
	for _, r := range servers.Shards[0].Replicas {
		s.Replicas = append(s.Replicas, realNode(r))
	}
	return servers, cfg, s
}

func realNode(n *pgcluster.Node) shardmap.Node {
	return shardmap.Node{Host: n.Host, Port: n.Port, Weight: 1}
}

func TestRealServers(t *testing.T) {
	servers, cfg, shard := real(t)
	t.Run("login", func(t *testing.T) { testLogin(t, cfg, shard) })
	t.Run("wrong password", func(t *testing.T) { testWrongPassword(t, cfg, shard) })
	t.Run("control queries", func(t *testing.T) { testExec(t, cfg, shard) })
	t.Run("connections of control queries", func(t *testing.T) { testExecKeeps(t, cfg, shard) })
	t.Run("exchange", func(t *testing.T) { testExchange(t, cfg, shard) })
	t.Run("rows from one line to another", func(t *testing.T) { testLine(t, cfg, shard) })
	t.Run("cancel never hits the next holder", func(t *testing.T) { testCancelRace(t, cfg, shard) })
	t.Run("killed backends", func(t *testing.T) { testKilled(t, cfg, shard, servers.Shards[0].Primary) })
	t.Run("restart costs a wait and no error", func(t *testing.T) { testRestart(t, cfg, shard, servers.Shards[0].Primary) })
	t.Run("replica is killed", func(t *testing.T) { testReplicaKilled(t, cfg, shard, servers.Shards[0].Replicas[0]) })
}

func testLogin(t *testing.T, cfg Config, shard shardmap.Shard) {
	noLeaks(t)
	// What the environment says of connections is not for backends.
	t.Setenv("PGOPTIONS", "-c work_mem=123kB")
	t.Setenv("PGTARGETSESSIONATTRS", "standby")
	t.Setenv("PGSSLMODE", "verify-full")
	cfg.Params = map[string]string{"search_path": "app", "statement_timeout": "12s"}
	c := open(t, cfg)
	top := c.Apply(mapOf(t, shard))
	awaitProbed(t, c)
	b := mustAcquire(t, top, Primary)
	reported := map[string]string{}
	for _, p := range b.Params {
		reported[p.Name] = p.Value
	}
	if reported["server_version"] == "" || reported["application_name"] != "" {
		t.Errorf("reported: %v", reported)
	}
	for sql, want := range map[string]string{
		"select pg_backend_pid()":                      fmt.Sprint(b.PID),
		"show statement_timeout":                       "12s",
		"show search_path":                             "app",
		"select current_user":                          cfg.User,
		"select pg_is_in_recovery()":                   "f",
		"select current_setting('work_mem') = '123kB'": "f",
	} {
		if got, code, err := query(b, sql); got != want || code != "" || err != nil {
			t.Errorf("%s: got %q, %q, %v, want %q", sql, got, code, err, want)
		}
	}
	b.Release()
	b = mustAcquire(t, top, Replica)
	if got, _, err := query(b, "select pg_is_in_recovery()"); got != "t" || err != nil || b.Role() != Replica {
		t.Errorf("on the replica: %q, %v", got, err)
	}
	b.Release()
	for _, s := range c.Stats() {
		if s.Mismatch() || s.LSN == "" || !s.Up || s.Why != "" {
			t.Errorf("%+v", s)
		}
	}
}

func testWrongPassword(t *testing.T, cfg Config, shard shardmap.Shard) {
	cfg.Password = "wrong"
	top := open(t, cfg).Apply(mapOf(t, shard))
	_, err := newSeeker().acquire(top, Primary)
	wantCode(t, err, "28P01", cfg.User+"@", "`backend:`")
	cfg.Password = ""
	cfg.Database = "nowhere"
	_, err = newSeeker().acquire(open(t, cfg).Apply(mapOf(t, shard)), Primary)
	if err == nil {
		t.Fatal("no password and no database will do")
	}
}

func testExec(t *testing.T, cfg Config, shard shardmap.Shard) {
	noLeaks(t)
	c := open(t, cfg)
	c.Apply(mapOf(t, shard))
	rows, err := c.Exec(t.Context(), "s1", Primary, "select 1 as a, null as b, '' as c; select n as x, repeat('y', 100000) as y from generate_series(1, 3) n; set work_mem = '1MB'")
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(rows.Columns) != "[x y]" || len(rows.Rows) != 3 || string(rows.Rows[2][0]) != "3" || len(rows.Rows[2][1]) != 100000 || rows.Tag != "SET" {
		t.Fatalf("columns %v, %d rows, tag %q", rows.Columns, len(rows.Rows), rows.Tag)
	}
	rows, err = c.Exec(t.Context(), "s1", Primary, "show application_name")
	if err != nil || string(rows.Rows[0][0]) != "pgdrover" {
		t.Fatalf("called %v, %v", rows, err)
	}
	rows, err = c.Exec(t.Context(), "s1", Replica, "select pg_is_in_recovery(), null, ''")
	if err != nil || string(rows.Rows[0][0]) != "t" || rows.Rows[0][1] != nil || rows.Rows[0][2] == nil {
		t.Fatalf("got %v, %v", rows, err)
	}
	_, err = c.Exec(t.Context(), "s1", Primary, "select 1/0")
	if code, _ := sqlState(err); code != "22012" {
		t.Fatalf("got %v", err)
	}
	if _, err = c.Exec(t.Context(), "s1", Primary, "copy (select 1) to stdout"); err == nil {
		t.Fatal("COPY went through")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err = c.Exec(ctx, "s1", Primary, "select pg_sleep(100)"); err == nil || ctx.Err() == nil {
		t.Fatalf("got %v", err)
	}
	await(t, "the query that nobody waits for has ended", func() bool {
		rows, err := c.Exec(t.Context(), "s1", Primary, "select count(*) from pg_stat_activity where query = 'select pg_sleep(100)' and state = 'active'")
		return err == nil && string(rows.Rows[0][0]) == "0"
	})
}

// testExecKeeps has control queries that follow one another share a connection, on which each finds a clean session; it is given up when it
// breaks, is idle for a while, or its cluster ends.
func testExecKeeps(t *testing.T, cfg Config, shard shardmap.Shard) {
	noLeaks(t)
	c := open(t, cfg)
	c.Apply(mapOf(t, shard))
	value := func(role Role, sql string) string {
		t.Helper()
		rows, err := c.Exec(t.Context(), "s1", role, sql)
		if err != nil {
			t.Fatal(err)
		}
		return string(rows.Rows[0][0])
	}
	for _, role := range []Role{Primary, Replica} {
		first := value(role, "select pg_backend_pid()")
		for _, dirty := range []string{"select 1/0", "prepare p as select 1", "set work_mem = '1MB'", "select pg_advisory_lock(1)", "declare c cursor with hold for select 1",
			"set session characteristics as transaction read only", "set application_name to 'x'"} {
			if _, err := c.Exec(t.Context(), "s1", role, dirty); (err != nil) != (dirty == "select 1/0") {
				t.Fatal(dirty, err)
			}
		}
		left := value(role, "select (select count(*) from pg_prepared_statements) + (select count(*) from pg_cursors) + (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid())")
		if set := value(role, "select current_setting('work_mem') || current_setting('default_transaction_read_only') || current_setting('application_name')"); left != "0" || set != "4MBoffpgdrover" {
			t.Errorf("%s: %s things are left, and set is %s", role, left, set)
		}
		if again := value(role, "select pg_backend_pid()"); again != first {
			t.Errorf("%s: backends %s and %s", role, first, again)
		}
	}
	first := value(Primary, "select pg_backend_pid()")
	_, _ = c.Exec(t.Context(), "s1", Primary, "select pg_terminate_backend(pg_backend_pid())")
	second := value(Primary, "select pg_backend_pid()")
	other := open(t, cfg)
	end := func(pid string) {
		rows, err := other.ExecOn(t.Context(), "s1", Primary, shard.Primary, "select pg_terminate_backend("+pid+", 20000)")
		if err != nil || string(rows.Rows[0][0]) != "t" {
			t.Fatal(rows, err)
		}
	}
	end(second)
	third := value(Primary, "select pg_backend_pid()") // a new one, since the old one turns out to be broken
	if second == first || third == second {
		t.Errorf("backends %s, %s and %s", first, second, third)
	}
	await(t, "the connection that nobody uses is closed", func() bool {
		rows, err := other.ExecOn(t.Context(), "s1", Primary, shard.Primary, "select count(*) from pg_stat_activity where pid = "+third)
		return err == nil && string(rows.Rows[0][0]) == "0"
	})
}

// testCancelRace cancels a query at a random moment, passes the backend on at once, and has the next holder run a query that
// must not be hit.
func testCancelRace(t *testing.T, cfg Config, shard shardmap.Shard) {
	noLeaks(t)
	cfg.Size = 1
	c := open(t, cfg)
	top := c.Apply(mapOf(t, shard))
	first, second := newSeeker(), newSeeker()
	hit := 0
	for i := range 200 {
		b, err := first.acquire(top, Primary)
		if err != nil {
			t.Fatal(err)
		}
		next, err := top.Acquire(&second.Request, 0, Primary)
		if next != nil || err != nil {
			t.Fatalf("got %v, %v", next, err)
		}
		var canceller sync.WaitGroup
		cancelled := b
		pause := time.Duration(i%20) * 250 * time.Microsecond
		canceller.Go(func() {
			time.Sleep(pause)
			_ = cancelled.Cancel(context.Background(), &first.Request) // too late now and then
		})
		_, code, err := query(b, "select pg_sleep(0.002)")
		if err != nil || code != "" && code != "57014" {
			t.Fatalf("the first holder got %q, %v", code, err)
		}
		if code != "" {
			hit++
		}
		b.Release()
		if b, err = second.wait(); err != nil {
			t.Fatal(err)
		}
		if _, code, err := query(b, "select pg_sleep(0.002)"); code != "" || err != nil {
			t.Fatalf("round %d: the next holder got %q, %v", i, code, err)
		}
		b.Release()
		canceller.Wait()
	}
	if hit == 0 || hit == 200 {
		t.Fatalf("%d of 200 cancels were in time: the race was not run", hit)
	}
	if s := c.Stats()[0]; s.Counts.Dials != 1 && s.Counts.Destroyed[reasonCancel] == 0 {
		t.Fatalf("%+v", s)
	}
}

func testKilled(t *testing.T, cfg Config, shard shardmap.Shard, primary *pgcluster.Node) {
	c := open(t, cfg)
	top := c.Apply(mapOf(t, shard))
	a, b := mustAcquire(t, top, Primary), mustAcquire(t, top, Primary)
	a.Release()
	if _, err := primary.Query(t.Context(), fmt.Sprintf("select pg_terminate_backend(%d), pg_terminate_backend(%d)", a.PID, b.PID)); err != nil {
		t.Fatal(err)
	}
	_, code, err := query(b, "select pg_sleep(10)")
	if err == nil || code != "57P01" && code != "" {
		t.Fatalf("got %q, %v", code, err)
	}
	b.Destroy("broken")
	await(t, "the end of the idle one has arrived", func() bool { return !a.Conn.Quiet() })
	fresh := mustAcquire(t, top, Primary)
	if got, _, err := query(fresh, "select 1"); got != "1" || err != nil {
		t.Fatalf("got %q, %v", got, err)
	}
	fresh.Release()
	if s := top.Primary(0).Stats(); s.Counts.Destroyed["broken"] != 1 || s.Counts.Destroyed[reasonDied] != 1 {
		t.Fatalf("%+v", s)
	}
}

// testRestart has sessions run transactions through a restart: what was in flight fails, every Acquire succeeds.
func testRestart(t *testing.T, cfg Config, shard shardmap.Shard, primary *pgcluster.Node) {
	noLeaks(t)
	c := open(t, cfg)
	top := c.Apply(mapOf(t, shard))
	var served atomic.Int64
	stop := make(chan struct{})
	var sessions sync.WaitGroup
	for range 8 {
		sessions.Go(func() {
			s := newSeeker()
			for {
				select {
				case <-stop:
					return
				default:
				}
				b, err := s.acquire(top, Primary)
				if err != nil {
					t.Errorf("acquire: %v", err)
					return
				}
				if _, code, err := query(b, "select 1"); err != nil || code != "" {
					b.Destroy("broken")
					continue
				}
				served.Add(1)
				b.Release()
			}
		})
	}
	await(t, "queries run", func() bool { return served.Load() > 100 })
	if err := primary.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := served.Load()
	await(t, "queries run again", func() bool { return served.Load() > before+100 })
	close(stop)
	sessions.Wait()
	if !top.Primary(0).Up() {
		t.Error("the node counts as down")
	}
}

func testReplicaKilled(t *testing.T, cfg Config, shard shardmap.Shard, replica *pgcluster.Node) {
	noLeaks(t)
	cfg.Size = 1
	c := open(t, cfg)
	top := c.Apply(mapOf(t, shard))
	awaitProbed(t, c)
	b := mustAcquire(t, top, Replica)
	if b.Role() != Replica {
		t.Fatalf("a read went to %s", b.Node())
	}
	waits := queued(t, top, Replica)
	start := time.Now()
	if err := replica.Kill(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	moved, err := waits.wait()
	if err != nil || moved.Role() != Primary {
		t.Fatalf("got %v, %v", moved, err)
	}
	t.Logf("the waiter was served elsewhere after %s", time.Since(start))
	moved.Release()
	if _, _, err := query(b, "select 1"); err == nil {
		t.Fatal("the killed backend answers")
	}
	b.Destroy("broken")
	if err := replica.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, "the replica is up", top.Replicas(0)[0].Up)
	b = mustAcquire(t, top, Replica)
	if b.Role() != Replica {
		t.Fatalf("a read went to %s", b.Node())
	}
	b.Release()
}
