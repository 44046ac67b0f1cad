package main

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
)

// TestShutdownByConsole runs the program: its console shows settings and peers, and ends it, with a transaction open or after that.
func TestShutdownByConsole(t *testing.T) {
	c := pgcluster.Test(t, pgcluster.Config{Shards: 1})
	node := c.Shards[0].Primary
	configFolder(t)
	writeFile(t, "shardmap.yaml", fmt.Sprintf("database: app\ntenant: {column: tenant_id, type: bigint}\nshards: [{name: s1, primary: {host: %s, port: %d}}]\n",
		node.Host, node.Port))
	for _, sql := range []string{"SHUTDOWN", "SHUTDOWN WAIT_FOR_SERVERS"} {
		writeFile(t, "pgdrover.yaml", fmt.Sprintf(`listen: 127.0.0.1:0
databases: {app: {shardmap: shardmap.yaml, backend: {user: %s, password: %q}}}
users: [{name: ops, password: x, admin: true}]
peer_id: 2
peers: [{id: 1, address: "10.0.0.1:6432"}, {id: 2, address: "10.0.0.2:6432"}]
log: {level: error}
`, c.User, c.Password))
		ready, done := make(chan proxyAddrs, 1), make(chan error, 1)
		go func() { done <- runProxy(t.Context(), []string{"pgdrover.yaml"}, ready) }()
		var proxy proxyAddrs
		select {
		case proxy = <-ready:
		case err := <-done:
			t.Fatal(err)
		}
		connect := func(database string) *pgx.Conn {
			conn, err := pgx.Connect(t.Context(), fmt.Sprintf("postgres://ops:x@%s/%s?sslmode=disable", proxy.SQL, database))
			if err != nil {
				t.Fatal(err)
			}
			return conn
		}
		ops, app := connect("pgdrover"), connect("app")
		for what, want := range map[string][4]string{
			"limits.drain":                {"limits.drain", "30s", "30s", "yes"},
			"listen":                      {"listen", "127.0.0.1:0", "127.0.0.1:6432", "no"},
			"databases.app.pool.size":     {"databases.app.pool.size", "20", "20", "yes"},
			"databases.app.backend.user":  {"databases.app.backend.user", c.User, "", "no"},
			"peers[0].address":            {"peers[0].address", "10.0.0.1:6432", "", "yes"},
			"databases.app.cache.memory":  {"databases.app.cache.memory", "64MB", "64MB", "no"},
			"databases.app.reads.sticky":  {"databases.app.reads.sticky", "5s", "5s", "yes"},
			"databases.app.backend.tls":   {"databases.app.backend.tls", "prefer", "prefer", "no"},
			"databases.app.pool.lifetime": {"databases.app.pool.lifetime", "1h0m0s", "1h0m0s", "yes"},
		} {
			var got [4]string
			if err := ops.QueryRow(t.Context(), "SHOW CONFIG '"+what+"'").Scan(&got[0], &got[1], &got[2], &got[3]); err != nil || got != want {
				t.Errorf("%s: %q, %v", what, got, err)
			}
		}
		rows, err := ops.Query(t.Context(), "SHOW PEERS")
		if err != nil {
			t.Fatal(err)
		}
		peers, err := pgx.CollectRows(rows, pgx.RowToMap)
		if err != nil || len(peers) != 2 || peers[0]["self"] != "no" || peers[1]["self"] != "yes" || peers[0]["host"] != "10.0.0.1" {
			t.Errorf("%v, %v", peers, err)
		}
		if pid := app.PgConn().PID(); pid>>20 != 1<<10|2 {
			t.Errorf("the process id is %x", pid)
		}
		tx, err := app.Begin(t.Context())
		if err == nil {
			_, err = tx.Exec(t.Context(), "select 1")
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ops.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
		if sql != "SHUTDOWN" {
			select {
			case err := <-done:
				t.Fatalf("a transaction was not waited for: %v", err)
			case <-time.After(50 * time.Millisecond):
			}
			if _, err := tx.Exec(t.Context(), "select 1"); err != nil {
				t.Error(err)
			}
			if err := tx.Commit(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if err := <-done; err != nil {
			t.Errorf("%s: %v", sql, err)
		}
		err = errors.Join(ops.Close(context.Background()), app.Close(context.Background()))
		t.Log(sql, err)
	}
}
