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

func TestKill(t *testing.T) {
	r := serve(t, pgcluster.Test(t, pgcluster.Config{Shards: 1}))
	ops := r.connect("ops", "pgdrover")
	asleep, inside, idle, other := r.connect("app", "app"), r.connect("app", "app"), r.connect("app", "app"), r.connect("app", "app")
	r.do(idle, "select 1")
	sleeps := start(asleep, "select pg_sleep(100)")
	r.do(inside, "begin")
	r.do(inside, "select pg_advisory_xact_lock(1)")
	await(t, "both have a backend", func() bool { return r.cell(ops, "SHOW NODES", "cl_active") == "2" })

	node := r.cluster.Shards[0].Primary
	sleeping := func() string {
		rows, err := node.Query(t.Context(), "select count(*) from pg_stat_activity where query like '%pg_sleep(100)%' and state = 'active' and pid <> pg_backend_pid()")
		if err != nil {
			t.Fatal(err)
		}
		return rows[0][0]
	}
	await(t, "the statement runs", func() bool { return sleeping() == "1" })
	r.do(ops, fmt.Sprint("KILL CLIENT ", asleep.PgConn().PID()))
	if err := <-sleeps; err == nil {
		t.Fatal("a client that was killed got its answer")
	}
	await(t, "its statement is cancelled", func() bool { return sleeping() == "0" })
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

// TestKillLeavesNothingRunning kills clients at the moment at which their statements begin: a node that has not begun one yet ignores
// the cancel request, and would run it to its end for nobody.
func TestKillLeavesNothingRunning(t *testing.T) {
	r := serve(t, pgcluster.Test(t, pgcluster.Config{Shards: 1}))
	ops := r.connect("ops", "pgdrover")
	for i := range 20 {
		c := r.connectBy([]string{"simple_protocol", "exec"}[i%2], "app", "app")
		over := start(c, "select pg_sleep(100)")
		time.Sleep(time.Duration(i%5) * 200 * time.Microsecond)
		r.do(ops, fmt.Sprint("KILL CLIENT ", c.PgConn().PID()))
		if err := <-over; err == nil {
			t.Fatal("a client that was killed got its answer")
		}
	}
	await(t, "nothing runs", func() bool {
		rows, err := r.cluster.Shards[0].Primary.Query(t.Context(), "select count(*) from pg_stat_activity where query like '%pg_sleep(100)%' and state = 'active' and pid <> pg_backend_pid()")
		return err == nil && rows[0][0] == "0"
	})
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
