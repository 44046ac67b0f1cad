package admin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/shardmap"
)

// start runs a statement beside the test, and gives its error when it is over.
func start(c *pgx.Conn, sql string) <-chan error {
	over := make(chan error, 1)
	go func() {
		_, err := c.Exec(context.Background(), sql)
		over <- err
	}()
	return over
}

func wantCode(t *testing.T, err error, code string) *pgconn.PgError {
	t.Helper()
	var e *pgconn.PgError
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("got %v, want SQLSTATE %s", err, code)
	}
	return e
}

// still fails if something is over.
func still(t *testing.T, what string, over <-chan error) {
	t.Helper()
	select {
	case err := <-over:
		t.Fatalf("%s is over: %v", what, err)
	case <-time.After(30 * time.Millisecond):
	}
}

// within waits for the end of something that has to succeed.
func within(t *testing.T, what string, over <-chan error) {
	t.Helper()
	select {
	case err := <-over:
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("%s does not end", what)
	}
}

// do runs a statement that has to succeed.
func (r *running) do(c *pgx.Conn, sql string) {
	r.t.Helper()
	if _, err := c.Exec(r.t.Context(), sql); err != nil {
		r.t.Fatalf("%s: %v", sql, err)
	}
}

// cell is a value of the first row of a table.
func (r *running) cell(c *pgx.Conn, sql, column string) string {
	r.t.Helper()
	table := r.show(c, sql)
	if len(table.Rows) == 0 {
		return ""
	}
	return table.Rows[0][columnOf(r.t, table, column)]
}

// on is a statement of a tenant of a shard.
func (r *running) on(shard int, sql string) string {
	for k := int64(1); ; k++ {
		if r.shards.Locate(shardmap.BigintKey(k)) == shard {
			return fmt.Sprintf("/* pgdrover: tenant=%d */ %s", k, sql)
		}
	}
}

func TestPauseAndResume(t *testing.T) {
	r := serve(t, pgcluster.Test(t, pgcluster.Config{Shards: 2}))
	ops, second := r.connect("ops", "pgdrover"), r.connect("ops", "pgdrover")
	inside, listens := r.connect("app", "app"), r.connect("app", "app")
	r.do(listens, r.on(0, "listen x"))
	r.do(inside, "begin")
	r.do(inside, r.on(0, "select pg_advisory_xact_lock(1)"))
	paused := start(ops, "PAUSE app")
	await(t, "the database is paused", func() bool { return r.cell(second, "SHOW DATABASES", "paused") == "1" })
	waiting := map[string]<-chan error{}
	for _, mode := range []string{"simple_protocol", "exec", "cache_statement"} {
		waiting["by "+mode] = start(r.connectBy(mode, "app", "app"), "select 1")
	}
	waiting["a session that holds a backend"] = start(listens, r.on(0, "select 1"))
	await(t, "all of them wait", func() bool { return r.cell(second, "SHOW POOLS", "cl_waiting") == "4" })
	r.do(inside, r.on(0, "select 2")) // an open transaction goes on, on other shards too
	r.do(inside, r.on(1, "select 3"))
	still(t, "PAUSE", paused)
	r.do(inside, "commit")
	within(t, "PAUSE", paused)
	await(t, "only what LISTEN keeps is left", func() bool { return text(t, r.show(ops, "SHOW SERVERS"), "state", "close_needed") == "active|1\n" })
	if again := start(second, "PAUSE"); <-again != nil {
		t.Error("a paused database cannot be paused")
	}
	for what, over := range waiting {
		still(t, what, over)
	}
	r.do(second, "RESUME")
	for what, over := range waiting {
		within(t, what, over)
	}
	_, err := ops.Exec(t.Context(), "RESUME")
	wantCode(t, err, "55000")
	_, err = ops.Exec(t.Context(), "RESUME app")
	wantCode(t, err, "55000")
}

func TestPauseIsTakenBack(t *testing.T) {
	r := serve(t, pgcluster.Test(t, pgcluster.Config{Shards: 1}))
	second, inside, other := r.connect("ops", "pgdrover"), r.connect("app", "app"), r.connect("app", "app")
	r.do(inside, "begin")
	r.do(inside, "select 1")
	for what, end := range map[string]func(ops *pgx.Conn){
		"a cancel request": func(ops *pgx.Conn) { _ = ops.PgConn().CancelRequest(context.Background()) },
		"a disconnect":     func(ops *pgx.Conn) { _ = ops.PgConn().Conn().Close() },
		"RESUME":           func(*pgx.Conn) { r.do(second, "RESUME app") },
		"KILL CLIENT": func(*pgx.Conn) {
			table := r.show(second, "SHOW CLIENTS")
			for _, row := range table.Rows {
				if row[columnOf(t, table, "user")] == "ops" && row[columnOf(t, table, "id")] != fmt.Sprint(second.PgConn().PID()) {
					r.do(second, "KILL CLIENT "+row[columnOf(t, table, "id")])
				}
			}
		},
	} {
		ops := r.connect("ops", "pgdrover")
		paused := start(ops, "PAUSE")
		await(t, "the database is paused", func() bool { return r.cell(second, "SHOW DATABASES", "paused") == "1" })
		waits := start(other, "select 1")
		await(t, "a client waits", func() bool { return r.cell(second, "SHOW POOLS", "cl_waiting") == "1" })
		end(ops)
		if err := <-paused; err == nil {
			t.Fatalf("%s: PAUSE is done", what)
		} else if what == "a cancel request" {
			wantCode(t, err, "57014")
		}
		within(t, "a client that waited until "+what, waits)
		if r.cell(second, "SHOW DATABASES", "paused") != "0" {
			t.Errorf("%s leaves the database paused", what)
		}
		_ = ops.Close(context.Background())
	}
}

func TestWaitForResumeIsBounded(t *testing.T) {
	r := serve(t, pgcluster.Test(t, pgcluster.Config{Shards: 1}), func(cfg *pool.Config) { cfg.Wait = 300 * time.Millisecond })
	ops, app := r.connect("ops", "pgdrover"), r.connect("app", "app")
	r.do(ops, "PAUSE")
	_, err := app.Exec(t.Context(), "select 1")
	if e := wantCode(t, err, "57P03"); !strings.Contains(e.Message, "paused") || e.Hint == "" {
		t.Errorf("%s: %s", e.Message, e.Hint)
	}
	r.server.Databases()["app"].Cluster().Adjust(pool.Config{Wait: time.Minute})
	over := start(app, "select 1")
	await(t, "it waits again", func() bool { return r.cell(ops, "SHOW POOLS", "cl_waiting") == "1" })
	if err := app.PgConn().CancelRequest(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantCode(t, <-over, "57014")
	r.do(ops, "RESUME")
	r.do(app, "select 1")
}

// TestPauseUnderLoad pauses again and again while clients work: no statement fails, and none runs while the database is paused.
func TestPauseUnderLoad(t *testing.T) {
	r := serve(t, pgcluster.Test(t, pgcluster.Config{Shards: 2}), func(cfg *pool.Config) { cfg.Size, cfg.Wait = 3, time.Minute })
	ops := r.connect("ops", "pgdrover")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var clients []<-chan error
	for i := range 6 {
		c := r.connectBy([]string{"simple_protocol", "exec"}[i%2], "app", "app")
		over := make(chan error, 1)
		clients = append(clients, over)
		go func() {
			for ctx.Err() == nil {
				for _, sql := range []string{"begin", r.on(i%2, "select pg_sleep(0.001)"), r.on((i+1)%2, "select 1"), "commit", r.on(i%2, "select 2"), "select 3"} {
					if _, err := c.Exec(context.Background(), sql); err != nil {
						over <- fmt.Errorf("%s: %w", sql, err)
						return
					}
				}
			}
			over <- nil
		}()
	}
	for range 30 {
		r.do(ops, "PAUSE app")
		await(t, "no backend is left in a pause", func() bool {
			left := 0
			for _, n := range r.server.Databases()["app"].Cluster().Stats() {
				left += n.Busy + n.Idle + n.Waiting
			}
			return left == 0
		})
		r.do(ops, "RESUME app")
	}
	stop()
	for _, over := range clients {
		within(t, "a client", over)
	}
	if got := r.cell(ops, "SHOW STATS app", "total_xact_count"); got == "0" || r.cell(ops, "SHOW STATS app", "total_received") == "0" {
		t.Errorf("%s transactions were counted", got)
	}
}

func TestKill(t *testing.T) {
	r := serve(t, pgcluster.Test(t, pgcluster.Config{Shards: 1}))
	ops := r.connect("ops", "pgdrover")
	asleep, inside, idle, other := r.connect("app", "app"), r.connect("app", "app"), r.connect("app", "app"), r.connect("app", "app")
	r.do(idle, "select 1")
	sleeps := start(asleep, "select pg_sleep(100)")
	r.do(inside, "begin")
	r.do(inside, "select pg_advisory_xact_lock(1)")
	await(t, "both have a backend", func() bool { return r.cell(ops, "SHOW NODES", "cl_active") == "2" })

	r.do(ops, fmt.Sprint("KILL CLIENT ", asleep.PgConn().PID()))
	if err := <-sleeps; err == nil {
		t.Fatal("a client that was killed got its answer")
	}
	node := r.cluster.Shards[0].Primary
	await(t, "its statement is cancelled", func() bool {
		rows, err := node.Query(t.Context(), "select count(*) from pg_stat_activity where query like '%pg_sleep(100)%' and state = 'active' and pid <> pg_backend_pid()")
		return err == nil && rows[0][0] == "0"
	})
	_, err := ops.Exec(t.Context(), "KILL CLIENT 12345678")
	wantCode(t, err, "42704")
	_, err = ops.Exec(t.Context(), "KILL CLIENT me")
	wantCode(t, err, "22P02")

	r.do(ops, "KILL app")
	for _, c := range []*pgx.Conn{inside, idle, other} {
		_, err := c.Exec(t.Context(), "select 1")
		if e := (*pgconn.PgError)(nil); err == nil || errors.As(err, &e) && e.Code != "57P01" {
			t.Errorf("after KILL: %v", err)
		}
	}
	if got := r.show(ops, "SHOW SERVERS"); len(got.Rows) != 0 {
		t.Errorf("backends are left: %v", got.Rows)
	}
	await(t, "the lock is free", func() bool {
		rows, err := node.Query(t.Context(), "select count(*) from pg_locks where locktype = 'advisory'")
		return err == nil && rows[0][0] == "0"
	})
	fresh := start(r.connect("app", "app"), "select 1")
	await(t, "a new client waits", func() bool { return r.cell(ops, "SHOW POOLS", "cl_waiting") == "1" })
	r.do(ops, "RESUME app")
	within(t, "a new client", fresh)
}

// TestKillTellsWhy: a client that waits for nothing hears why its session ends.
func TestKillTellsWhy(t *testing.T) {
	r := serve(t, pgcluster.Test(t, pgcluster.Config{Shards: 1}))
	ops, app := r.connect("ops", "pgdrover"), r.connect("app", "app")
	r.do(ops, fmt.Sprint("KILL_CLIENT ", app.PgConn().PID()))
	_, err := app.PgConn().ReceiveMessage(t.Context())
	if e := (*pgconn.PgError)(nil); !errors.As(err, &e) || e.Code != "57P01" || e.Severity != "FATAL" {
		t.Errorf("got %v", err)
	}
}

func TestDisableReconnectShutdown(t *testing.T) {
	r := serve(t, pgcluster.Test(t, pgcluster.Config{Shards: 1}))
	ops, app := r.connect("ops", "pgdrover"), r.connect("app", "app")
	r.do(ops, "DISABLE app")
	_, err := pgx.Connect(t.Context(), fmt.Sprintf("postgres://app:secret@%s/app?sslmode=disable", r.addr))
	wantCode(t, err, "55000")
	r.do(app, "select 1")
	if r.cell(ops, "SHOW DATABASES", "disabled") != "1" {
		t.Error("SHOW DATABASES does not say so")
	}
	r.do(ops, "ENABLE app")
	other := r.connect("app", "app")

	r.do(other, "begin")
	r.do(other, "select 1")
	r.do(app, "select 1")
	before := map[string]bool{}
	for _, row := range r.show(ops, "SHOW SERVERS").Rows {
		before[row[columnOf(t, r.show(ops, "SHOW SERVERS"), "id")]] = true
	}
	r.do(ops, "RECONNECT app")
	await(t, "the one in use is left", func() bool { return text(t, r.show(ops, "SHOW SERVERS"), "state", "close_needed") == "active|1\n" })
	closed := start(ops, "WAIT_CLOSE app")
	still(t, "WAIT_CLOSE", closed)
	r.do(other, "commit")
	within(t, "WAIT_CLOSE", closed)
	r.do(app, "select 1")
	table := r.show(ops, "SHOW SERVERS")
	for _, row := range table.Rows {
		if before[row[columnOf(t, table, "id")]] || row[columnOf(t, table, "close_needed")] != "0" {
			t.Errorf("an old backend is left: %v", row)
		}
	}
	for sql, now := range map[string]bool{"SHUTDOWN": true, "SHUTDOWN WAIT_FOR_SERVERS": false} {
		r.do(ops, sql)
		if got := <-r.stopped; got != now {
			t.Errorf("%s: at once is %v", sql, got)
		}
	}
}

func TestDrainNode(t *testing.T) {
	r := serve(t, pgcluster.Test(t, pgcluster.Config{Shards: 1, Replicas: 1}))
	ops, app, reads := r.connect("ops", "pgdrover"), r.connect("app", "app"), r.connect("app", "app")
	replica, primary := r.cluster.Shards[0].Replicas[0].Addr(), r.cluster.Shards[0].Primary.Addr()
	recovers := func(c *pgx.Conn) bool {
		var in bool
		if err := c.QueryRow(t.Context(), "select pg_is_in_recovery()").Scan(&in); err != nil {
			t.Fatal(err)
		}
		return in
	}
	await(t, "reads go to the replica", func() bool { return recovers(app) })
	over := start(reads, "select pg_sleep(2)")
	await(t, "a read runs there", func() bool { return r.cell(ops, "SHOW NODES '"+replica+"'", "sv_active") == "1" })
	drained := start(ops, "DRAIN NODE "+replica)
	second := r.connect("ops", "pgdrover")
	await(t, "it is drained", func() bool { return r.cell(second, "SHOW NODES '"+replica+"'", "drained") == "yes" })
	if recovers(app) {
		t.Error("a read went to a node that is drained")
	}
	within(t, "the read that was under way", over)
	within(t, "DRAIN", drained)
	if got := r.show(ops, "SHOW SERVERS"); strings.Contains(text(t, got, "node"), replica) {
		t.Errorf("backends are left: %v", got.Rows)
	}
	r.do(ops, "UNDRAIN NODE "+replica)
	if !recovers(app) {
		t.Error("no read goes to the node")
	}
	_, err := ops.Exec(t.Context(), "DRAIN NODE "+primary)
	wantCode(t, err, "55000")
	_, err = ops.Exec(t.Context(), "DRAIN NODE nowhere:1")
	if e := wantCode(t, err, "42704"); !strings.Contains(e.Hint, replica) {
		t.Errorf("the hint is %q", e.Hint)
	}

	over = start(reads, "select pg_sleep(2)")
	await(t, "a read runs there again", func() bool { return r.cell(ops, "SHOW NODES '"+replica+"'", "sv_active") == "1" })
	drained = start(ops, "DRAIN NODE "+replica)
	await(t, "it is drained again", func() bool { return r.cell(second, "SHOW NODES '"+replica+"'", "drained") == "yes" })
	if err := ops.PgConn().CancelRequest(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantCode(t, <-drained, "57014")
	if r.cell(second, "SHOW NODES '"+replica+"'", "drained") != "no" {
		t.Error("a DRAIN that was cancelled has drained the node")
	}
	within(t, "the read", over)
}

// TestUsageIsCounted: what clients have done is in SHOW STATS, also of those that have left.
func TestUsageIsCounted(t *testing.T) {
	r := serve(t, pgcluster.Test(t, pgcluster.Config{Shards: 1}))
	ops, app := r.connect("ops", "pgdrover"), r.connectBy("cache_statement", "app", "app")
	count := func(column string) string { return r.cell(ops, "SHOW STATS app", column) }
	for range 5 {
		r.do(app, "select 1")
	}
	r.do(app, "begin")
	if _, err := app.Exec(t.Context(), "select $1::int", 2); err != nil {
		t.Fatal(err)
	}
	r.do(app, "select pg_sleep(0.05)")
	r.do(app, "commit")
	await(t, "six transactions are counted", func() bool { return count("total_xact_count") == "6" })
	for _, leave := range []bool{false, true} {
		if leave {
			_ = app.Close(context.Background())
			await(t, "the client is gone", func() bool { return r.cell(ops, "SHOW DATABASES", "current_client_connections") == "0" })
		}
		if got := count("total_xact_count"); got != "6" {
			t.Errorf("%s transactions", got)
		}
		if got := count("total_bind_count"); got == "0" || count("total_client_parse_count") == "0" || count("total_server_parse_count") == "0" {
			t.Errorf("%s binds, %s and %s parses", got, count("total_client_parse_count"), count("total_server_parse_count"))
		}
		if got := count("total_xact_time"); len(got) < 5 { // 50 ms
			t.Errorf("%s µs in transactions", got)
		}
		if got := count("total_received"); len(got) < 3 || len(count("total_sent")) < 3 {
			t.Errorf("%s bytes from the client, %s to it", got, count("total_sent"))
		}
	}
	if got := count("total_query_count"); got == "0" || count("total_server_assignment_count") == "0" {
		t.Errorf("%s statements", got)
	}
}
