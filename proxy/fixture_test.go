package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgdrover/pgdrover/cache"
	"github.com/pgdrover/pgdrover/internal/pgcluster"
	"github.com/pgdrover/pgdrover/internal/pgtest"
	"github.com/pgdrover/pgdrover/internal/task"
	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/shardmap"
)

// rig is a running proxy over a real cluster.
type rig struct {
	t       testing.TB
	cluster *pgcluster.Cluster
	server  *Server
	db      *Database
	addr    string
	loops   *task.Loops // nil: sessions are goroutines
	file    string      // the shard map in force, as text
}

// rigOptions vary a rig.
type rigOptions struct {
	replicas bool // reads go to replicas
	mode     Mode
	addHost  bool // to the application_name
	size     int
	large    bool // messages of tens of megabytes are to be copied
	cache    *cache.Config
	tables   string // of the shard map
	tenant   string // of the shard map; empty: a column of bigint
	schema   []string
	wait     time.Duration
	connect  time.Duration // for a connection to a node
	sticky   time.Duration
	keep     bool          // what is in the cluster stays
	config   func(*Config) // changes what the server runs with; nil: nothing
	limits   Limits        // of the database
	twoPhase bool
	parse    bool          // unnamed statements are not reused
	reuseFor time.Duration // how long they are, on one backend
	pass     bool          // backends are logged in as the client's own user
}

func (o *rigOptions) loops(t testing.TB) *task.Loops {
	if o.large {
		return pgtest.LoopsForLarge(t)
	}
	return pgtest.Loops(t)
}

const rigUser, rigPassword = "alice", "wonder land"

var demoSchema = []string{
	`create table orders (tenant_id bigint not null, id bigint not null, note text, amount numeric, primary key (tenant_id, id))`,
	`create table users (tenant_id bigint not null, id bigint not null, name text, primary key (tenant_id, id))`,
	`create table countries (code text primary key, name text)`,
}

const demoTables = "tables:\n  countries: reference\n"

// emptyDatabase leaves no schema of the test before.
const emptyDatabase = `do $$ declare s name; begin
	for s in select nspname from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema' loop execute format('drop schema %I cascade', s); end loop;
	create schema public;
end $$`

// startRig runs a proxy in front of a cluster until the test ends.
func startRig(t testing.TB, c *pgcluster.Cluster, o rigOptions) *rig {
	t.Helper()
	r := &rig{t: t, cluster: c}
	if o.schema == nil && !o.keep {
		o.schema, o.tables = demoSchema, demoTables
	}
	ctx := t.Context()
	for _, sh := range c.Shards {
		if o.keep {
			break
		}
		conn := r.direct(sh.Primary.URL())
		for _, sql := range append([]string{emptyDatabase}, o.schema...) {
			if _, err := conn.Exec(ctx, sql); err != nil {
				t.Fatal(err)
			}
		}
		conn.Close(ctx)
	}
	r.file = mapText(c, o.tables)
	if o.tenant != "" {
		r.file = strings.Replace(r.file, "{column: tenant_id, type: bigint}", o.tenant, 1)
	}
	m := r.parse(r.file, nil)
	log := testLogger(t)
	loops := o.loops(t)
	r.loops = loops
	cl := pool.New(pool.Config{Loops: loops, Database: c.Database, User: c.User, Password: c.Password, Size: o.size, Wait: o.wait, ConnectTimeout: o.connect, Log: log})
	cl.Apply(m)
	catalog, err := LoadCatalog(ctx, cl, m)
	if err != nil {
		t.Fatal(err)
	}
	opt := Options{Name: c.Database, Mode: o.mode, NameAddHost: o.addHost, Replicas: o.replicas, Sticky: o.sticky, Drain: 2 * time.Second, Limits: o.limits, PassThrough: o.pass,
		TwoPhase: o.twoPhase, Reuse: !o.parse, ReuseFor: o.reuseFor, AnySize: true, Log: log}
	var results *cache.Cache
	if o.cache != nil {
		if results, err = cache.Open(ctx, *o.cache); err != nil {
			t.Fatal(err)
		}
		opt.Cached = func(schema, name string) bool { _, ok := o.cache.Tables[schema+"."+name]; return ok }
	}
	r.db = OpenDatabase(opt, cl, results, m, catalog)
	if o.twoPhase {
		if err := r.db.PrepareTwoPhase(ctx); err != nil {
			t.Fatal(err)
		}
	}
	verifier, err := NewVerifier(rigPassword)
	if err != nil {
		t.Fatal(err)
	}
	users := map[string]*User{rigUser: {Name: rigUser, Verifier: verifier}}
	cfg := Config{Loops: loops, Users: users, Databases: map[string]*Database{c.Database: r.db}, Log: log}
	if o.config != nil {
		o.config(&cfg)
	}
	r.server, err = NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.addr = ln.Addr().String()
	done := make(chan error, 1)
	go func() { done <- r.server.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := r.server.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-done; !errors.Is(err, ErrServerClosed) {
			t.Errorf("serve: %v", err)
		}
		r.db.Close(ctx)
	})
	return r
}

func mapText(c *pgcluster.Cluster, tables string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "database: %s\ntenant: {column: tenant_id, type: bigint}\nshards:\n", c.Database)
	for _, s := range c.Shards {
		fmt.Fprintf(&b, "  - name: %s\n    primary: {host: %s, port: %d}\n", s.Name, s.Primary.Host, s.Primary.Port)
		for i, n := range s.Replicas {
			if i == 0 {
				b.WriteString("    replicas:\n")
			}
			fmt.Fprintf(&b, "      - {host: %s, port: %d}\n", n.Host, n.Port)
		}
	}
	return b.String() + tables
}

// parse makes a map of text with a lock, or with the plan.
func (r *rig) parse(text string, lock *shardmap.Lock) *shardmap.Map {
	r.t.Helper()
	f, err := shardmap.Parse("shardmap.yaml", []byte(text))
	if err != nil {
		r.t.Fatal(err)
	}
	if lock == nil {
		if lock, err = shardmap.Plan(f); err != nil {
			r.t.Fatal(err)
		}
	}
	m, err := shardmap.New(f, lock)
	if err != nil {
		r.t.Fatal(err)
	}
	return m
}

// url is the DSN of the proxy, with more parameters.
func (r *rig) url(params ...string) string {
	return fmt.Sprintf("postgres://%s:%s@%s/%s?sslmode=disable&%s", rigUser, strings.ReplaceAll(rigPassword, " ", "%20"), r.addr,
		r.cluster.Database, strings.Join(params, "&"))
}

// connect is a client of the proxy.
func (r *rig) connect(params ...string) *pgx.Conn {
	r.t.Helper()
	c, err := pgx.Connect(r.t.Context(), r.url(params...))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

// direct is a client of a node.
func (r *rig) direct(url string) *pgx.Conn {
	r.t.Helper()
	c, err := pgx.Connect(r.t.Context(), url)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

// exec runs a statement that has to succeed.
func (r *rig) exec(c *pgx.Conn, sql string, args ...any) string {
	r.t.Helper()
	tag, err := c.Exec(r.t.Context(), sql, args...)
	if err != nil {
		r.t.Fatalf("%s: %v", sql, err)
	}
	return tag.String()
}

// value is the one value of a query that has to succeed, as text.
func (r *rig) value(c *pgx.Conn, sql string, args ...any) string {
	r.t.Helper()
	var v any
	if err := c.QueryRow(r.t.Context(), sql, args...).Scan(&v); err != nil {
		r.t.Fatalf("%s: %v", sql, err)
	}
	return fmt.Sprint(v)
}

// refuses runs a statement that has to fail with a code.
func (r *rig) refuses(c *pgx.Conn, code, sql string, args ...any) *pgconn.PgError {
	r.t.Helper()
	_, err := c.Exec(r.t.Context(), sql, args...)
	var e *pgconn.PgError
	if !errors.As(err, &e) || e.Code != code {
		r.t.Fatalf("%s: got %v, want SQLSTATE %s", sql, err, code)
	}
	return e
}

// on is the one value of a query on a node.
func (r *rig) on(n *pgcluster.Node, sql string) string {
	r.t.Helper()
	rows, err := n.Query(r.t.Context(), sql)
	if err != nil {
		r.t.Fatalf("%s: %v", sql, err)
	}
	if len(rows) == 0 {
		return ""
	}
	return rows[0][0]
}

// shardOf is the index of a tenant's shard.
func (r *rig) shardOf(tenant int64) int { return r.db.Map().Locate(shardmap.BigintKey(tenant)) }

// tenants are n tenants of one shard.
func (r *rig) tenants(shard, n int) []int64 {
	var list []int64
	for k := int64(1); len(list) < n; k++ {
		if r.shardOf(k) == shard {
			list = append(list, k)
		}
	}
	return list
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
