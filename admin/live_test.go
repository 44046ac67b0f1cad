package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
	"github.com/pgdrover/pgdrover/internal/pgtest"
	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/proxy"
	"github.com/pgdrover/pgdrover/shardmap"
)

// running is a proxy over real nodes, with its console and its HTTP side.
type running struct {
	t       *testing.T
	cluster *pgcluster.Cluster
	server  *proxy.Server
	shards  *shardmap.Map
	http    http.Handler
	addr    string
	stopped chan bool // what SHUTDOWN has asked for
}

// serve runs a proxy in front of a cluster until the test ends. change alters how it logs in to the nodes.
func serve(t *testing.T, c *pgcluster.Cluster, change ...func(*pool.Config)) *running {
	t.Helper()
	var text strings.Builder
	fmt.Fprintf(&text, "database: app\ntenant: {column: tenant_id, type: bigint}\npartitions: 64\nshards:\n")
	for _, s := range c.Shards {
		fmt.Fprintf(&text, "  - {name: %s, primary: {host: %s, port: %d}, replicas: [", s.Name, s.Primary.Host, s.Primary.Port)
		for _, n := range s.Replicas {
			fmt.Fprintf(&text, "{host: %s, port: %d},", n.Host, n.Port)
		}
		text.WriteString("]}\n")
	}
	r := &running{t: t, cluster: c, shards: parseMap(t, text.String()), stopped: make(chan bool, 1)}
	loops := pgtest.Loops(t)
	cfg := pool.Config{Loops: loops, Database: c.Database, User: c.User, Password: c.Password, Log: discard,
		ProbeEvery: 50 * time.Millisecond, ConnectTimeout: 2 * time.Second}
	for _, f := range change {
		f(&cfg)
	}
	backends := pool.New(cfg)
	backends.Apply(r.shards)
	catalog, err := proxy.LoadCatalog(t.Context(), backends, r.shards)
	if err != nil {
		t.Fatal(err)
	}
	db := proxy.OpenDatabase(proxy.Options{Name: "app", Replicas: true, Sticky: time.Millisecond, Log: discard}, backends, nil, r.shards, catalog)
	verifier, err := proxy.NewVerifier("secret")
	if err != nil {
		t.Fatal(err)
	}
	users := map[string]*proxy.User{"ops": {Name: "ops", Verifier: verifier, Admin: true}, "app": {Name: "app", Verifier: verifier}}
	o := Options{Server: func() *proxy.Server { return r.server }, Version: "1.2.3", Log: discard,
		Users:    func() map[string]*proxy.User { return users },
		Shutdown: func(now bool) { r.stopped <- now },
		Reload:   func(context.Context) error { return errors.New("shardmap.yaml:5:9: no such shard") }}
	r.server, err = proxy.NewServer(proxy.Config{Loops: loops, Users: users, Databases: map[string]*proxy.Database{"app": db}, Console: NewConsole(o), Log: discard})
	if err != nil {
		t.Fatal(err)
	}
	r.http = NewHandler(o)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.addr = ln.Addr().String()
	ended := make(chan error, 1)
	go func() { ended <- r.server.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := r.server.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, proxy.ErrServerClosed) {
			t.Error(err)
		}
		db.Close(ctx)
	})
	return r
}

func (r *running) connect(user, database string) *pgx.Conn {
	r.t.Helper()
	return r.connectBy("simple_protocol", user, database)
}

// connectBy connects a client that sends its statements in one of pgx's modes.
func (r *running) connectBy(mode, user, database string) *pgx.Conn {
	r.t.Helper()
	url := fmt.Sprintf("postgres://%s:secret@%s/%s?sslmode=disable&default_query_exec_mode=%s", user, r.addr, database, mode)
	c, err := pgx.Connect(r.t.Context(), url)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// show runs a statement on the console, over the wire.
func (r *running) show(c *pgx.Conn, sql string) proxy.Table {
	r.t.Helper()
	results, err := c.PgConn().Exec(r.t.Context(), sql).ReadAll()
	if err != nil || len(results) != 1 {
		r.t.Fatalf("%s: %d results, %v", sql, len(results), err)
	}
	table := proxy.Table{Tag: results[0].CommandTag.String()}
	for _, f := range results[0].FieldDescriptions {
		table.Columns = append(table.Columns, proxy.Column{Name: f.Name})
	}
	for _, values := range results[0].Rows {
		row := make([]string, len(values))
		for i, v := range values {
			row[i] = string(v)
		}
		table.Rows = append(table.Rows, row)
	}
	return table
}

func (r *running) ready() (code int, body readiness) {
	r.t.Helper()
	w := ask(r.t, r.http, "/readyz")
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		r.t.Fatal(err)
	}
	return w.Code, body
}

func TestOverARealProxy(t *testing.T) {
	r := serve(t, pgcluster.Test(t, pgcluster.Config{Shards: 2}))
	await(t, "all primaries serve", func() bool { code, _ := r.ready(); return code == http.StatusOK })
	app := r.connect("app", "app")
	tx, err := app.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "/* pgdrover: tenant=42 */ select pg_advisory_xact_lock(1)"); err != nil {
		t.Fatal(err)
	}
	home := r.shards.Shard(r.shards.Locate(shardmap.BigintKey(42)))
	ops := r.connect("ops", "pgdrover")

	t.Run("clients", func(t *testing.T) {
		got := text(t, r.show(ops, "SHOW CLIENTS;"), "user", "database", "backends", "state")
		if !strings.HasPrefix(got, "app|app|"+home.Name+" primary "+home.Primary.Addr()+"|active\nops|pgdrover||") {
			t.Errorf("got\n%s", got)
		}
	})
	t.Run("pools", func(t *testing.T) {
		table := r.show(ops, "show nodes")
		for _, row := range table.Rows {
			want := "0"
			if row[columnOf(t, table, "shard")] == home.Name {
				want = "1"
			}
			if row[columnOf(t, table, "cl_active")] != want || row[columnOf(t, table, "sv_active")] != want || row[columnOf(t, table, "up")] != "yes" {
				t.Errorf("the row is %v", row)
			}
		}
		if table.Tag != "SHOW" || len(table.Rows) != 2 {
			t.Errorf("%s with %d rows", table.Tag, len(table.Rows))
		}
	})
	t.Run("backends", func(t *testing.T) {
		if got := text(t, r.show(ops, "show backends"), "shard", "state", "user"); !strings.Contains(got, home.Name+"|active|"+r.cluster.User) {
			t.Errorf("got %s", got)
		}
	})
	t.Run("tenant", func(t *testing.T) {
		rows, err := r.cluster.Shards[0].Primary.Query(t.Context(), "select hashint8extended(42, 0), hashint8extended(42, 0) & 63")
		if err != nil {
			t.Fatal(err)
		}
		got := text(t, r.show(ops, "show tenant '42' in app"), "database", "tenant", "hash", "partition", "shard", "pinned", "node")
		wantText(t, got, strings.Join([]string{"app", "42", rows[0][0], rows[0][1], home.Name, "no", home.Primary.Addr()}, "|"))
	})
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Run("stats and metrics", func(t *testing.T) {
		table := r.show(ops, "show traffic")
		for _, row := range table.Rows {
			if row[columnOf(t, table, "shard")] == home.Name && row[columnOf(t, table, "statements")] == "0" {
				t.Errorf("nothing was counted: %v", row)
			}
		}
		series := fmt.Sprintf(`pgdrover_statement_seconds_count{database="app",role="primary",shard=%q} `, home.Name)
		if body := ask(t, r.http, "/metrics").Body.String(); !strings.Contains(body, series) || strings.Contains(body, series+"0\n") {
			t.Errorf("no %s in the metrics", series)
		}
	})
	t.Run("errors", func(t *testing.T) {
		for sql, code := range map[string]string{"select 2": "42601", "reload": "F0000", "show tenant 'x'": "22P02"} {
			_, err := ops.Exec(t.Context(), sql)
			var e *pgconn.PgError
			if !errors.As(err, &e) || e.Code != code || e.Hint == "" {
				t.Errorf("%s: %v", sql, err)
			}
		}
	})
	t.Run("page", func(t *testing.T) {
		if body := ask(t, r.http, "/").Body.String(); !strings.Contains(body, home.Primary.Addr()) || !strings.Contains(body, "● ready") {
			t.Errorf("the page is\n%s", body)
		}
	})
	t.Run("readiness", func(t *testing.T) {
		node := r.cluster.Shards[1].Primary
		if err := node.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		await(t, "the dead primary is noticed", func() bool { code, _ := r.ready(); return code == http.StatusServiceUnavailable })
		_, body := r.ready()
		if len(body.Problems) != 1 || body.Problems[0].Node != node.Addr() || body.Problems[0].Why == "" || body.Problems[0].Since == nil {
			t.Errorf("it says %+v", body)
		}
		if err := node.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		await(t, "the primary is back", func() bool { code, _ := r.ready(); return code == http.StatusOK })
	})
}
