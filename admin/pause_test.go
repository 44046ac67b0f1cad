package admin

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
	"github.com/pgdrover/pgdrover/pool"
)

func TestPauseAndResume(t *testing.T) {
	r := serve(t, pgcluster.Test(t, pgcluster.Config{Shards: 2}))
	ops, second := r.connect("ops", "pgdrover"), r.connect("ops", "pgdrover")
	inside, holds := r.connect("app", "app"), r.connect("app", "app")
	r.do(holds, r.on(0, "select pg_advisory_lock(7)"))
	r.do(inside, "begin")
	r.do(inside, r.on(0, "select pg_advisory_xact_lock(1)"))
	paused := start(ops, "PAUSE app")
	await(t, "the database is paused", func() bool { return r.cell(second, "SHOW DATABASES", "paused") == "1" })
	waiting := map[string]<-chan error{}
	for _, mode := range []string{"simple_protocol", "exec", "cache_statement"} {
		waiting["by "+mode] = start(r.connectBy(mode, "app", "app"), "select 1")
	}
	waiting["a session that holds a backend"] = start(holds, r.on(0, "select 1"))
	await(t, "all of them wait", func() bool { return r.cell(second, "SHOW POOLS", "cl_waiting") == "4" })
	r.do(inside, r.on(0, "select 2")) // an open transaction goes on, on other shards too
	r.do(inside, r.on(1, "select 3"))
	still(t, "PAUSE", paused)
	r.do(inside, "commit")
	within(t, "PAUSE", paused)
	await(t, "only what a session holds is left", func() bool { return text(t, r.show(ops, "SHOW SERVERS"), "state", "close_needed") == "active|1\n" })
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
	// Three of the clients begin on each shard and go on to the other: with three backends all could wait for each other.
	r := serve(t, pgcluster.Test(t, pgcluster.Config{Shards: 2}), func(cfg *pool.Config) { cfg.Size, cfg.Wait = 4, time.Minute })
	ops := r.connect("ops", "pgdrover")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var clients []<-chan error
	for i := range 6 {
		c := r.connectBy([]string{"simple_protocol", "exec"}[i%2], "app", "app")
		over := make(chan error, 1)
		clients = append(clients, over)
		go func() {
			defer c.Close(context.Background()) // a transaction that was left open would keep PAUSE waiting
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
