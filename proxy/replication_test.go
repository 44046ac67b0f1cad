package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgdrover/pgdrover/cache"
	"github.com/pgdrover/pgdrover/internal/pgcluster"
	"github.com/pgdrover/pgdrover/internal/pgtest"
	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/pool"
)

// replicationRig is a rig in session mode whose role on the nodes may replicate.
func replicationRig(t *testing.T, o rigOptions) *rig {
	t.Helper()
	c := sharedCluster(t)
	o.mode = ModeSession
	r := startRig(t, c, o)
	for _, sh := range c.Shards {
		r.asSuperuser(sh.Primary, "alter role "+c.User+" replication")
	}
	t.Cleanup(func() {
		for _, sh := range c.Shards {
			r.asSuperuser(sh.Primary, "alter role "+c.User+" noreplication")
		}
	})
	return r
}

// asSuperuser runs a statement on a node.
func (r *rig) asSuperuser(n *pgcluster.Node, sql string) {
	r.t.Helper()
	conn, err := pgx.Connect(context.Background(), n.SuperuserURL())
	if err == nil {
		_, err = conn.Exec(context.Background(), sql)
		_ = conn.Close(context.Background())
	}
	if err != nil {
		r.t.Fatalf("%s: %v", sql, err)
	}
}

// dropSlots drops the replication slots of a node when the test is over, once nobody uses them.
func (r *rig) dropSlots(n *pgcluster.Node) {
	r.t.Cleanup(func() {
		r.asSuperuser(n, `do $$ begin
			perform pg_terminate_backend(active_pid, 10000) from pg_replication_slots where slot_type = 'logical' and active;
			perform pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_type = 'logical';
			end $$`)
	})
}

// walsender is a client that asks for logical replication.
func (r *rig) walsender(params ...string) (*pgtest.Client, error) {
	o := pgtest.Options{User: rigUser, Password: rigPassword, Database: r.cluster.Database, Params: map[string]string{"replication": "database"}}
	for i := 0; i+1 < len(params); i += 2 {
		o.Params[params[i]] = params[i+1]
	}
	if r.server.Users()["direct"] != nil {
		o.User = "direct"
	}
	c, err := pgtest.Dial(r.addr, o)
	if err == nil {
		r.t.Cleanup(func() { _ = c.Abort() })
	}
	return c, err
}

func (r *rig) mustReplicate(params ...string) *pgtest.Client {
	r.t.Helper()
	c, err := r.walsender(params...)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

// says runs a command of a walsender, which has to answer with a part of this.
func (r *rig) says(c *pgtest.Client, command, part string) {
	r.t.Helper()
	lines, err := c.Query(command)
	if said := strings.Join(lines, "\n"); err != nil || !strings.Contains(said, part) {
		r.t.Fatalf("%s: %v\n%s", command, err, said)
	}
}

// TestRecvlogical has pg_recvlogical make a slot, stream it, and drop it, through the proxy.
func TestRecvlogical(t *testing.T) {
	bin, err := pgcluster.FindBinaries(t.Context())
	if err != nil {
		t.Skip(err)
	}
	r := replicationRig(t, rigOptions{})
	node := r.cluster.Shards[1].Primary
	r.dropSlots(node)
	host, port, _ := net.SplitHostPort(r.addr)
	dsn := fmt.Sprintf("host=%s port=%s user=%s dbname=%s password='%s' sslmode=disable application_name=receiver options='-c pgdrover.shard=%s'", host, port,
		rigUser, r.cluster.Database, rigPassword, r.cluster.Shards[1].Name)
	tool := filepath.Join(bin.Dir, "pg_recvlogical")
	receive := func(args ...string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), tool, append([]string{"-d", dsn, "--slot", "seen"}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("pg_recvlogical %v: %v\n%s", args, err, out)
		}
	}
	receive("--create-slot", "--plugin", "test_decoding")
	conn := r.connect()
	k := r.tenants(1, 1)[0]
	r.exec(conn, "insert into orders (tenant_id, id, note) values ($1, 1, 'first')", k)
	file := filepath.Join(t.TempDir(), "changes")
	cmd := exec.CommandContext(t.Context(), tool, "-d", dsn, "--slot", "seen", "--start", "--status-interval", "1", "--file", file)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	has := func(what string) func() bool {
		return func() bool {
			b, _ := os.ReadFile(file)
			return strings.Contains(string(b), what)
		}
	}
	r.eventually("the first change", has("'first'"))
	r.exec(conn, "insert into orders (tenant_id, id, note) values ($1, 2, 'second')", k)
	r.eventually("the second change", has("'second'"))
	if got := r.on(node, "select application_name from pg_stat_replication where application_name = 'receiver'"); got != "receiver" {
		t.Errorf("the walsender calls itself %q", got)
	}
	if holds := r.replicating(); len(holds) != 1 {
		t.Errorf("%d sessions replicate", len(holds))
	}
	_ = cmd.Process.Signal(os.Interrupt)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, &complaints)
	}
	r.eventually("the backend is gone", func() bool { return len(r.replicating()) == 0 })
	receive("--drop-slot")
}

// replicating are the clients that replicate.
func (r *rig) replicating() []Client {
	var list []Client
	for _, c := range r.server.Clients() {
		if len(c.Hold) == 1 && c.Hold[0] == "replication" {
			list = append(list, c)
		}
	}
	return list
}

// TestReplicationCommands speaks to a walsender, in SQL too, cancels one of its commands, and is told its last words.
func TestReplicationCommands(t *testing.T) {
	r := replicationRig(t, rigOptions{size: 2})
	node := r.cluster.Shards[0].Primary
	r.dropSlots(node)
	a := r.tenants(0, 1)[0]
	c := r.mustReplicate("options", "-c pgdrover.tenant="+itoa(a)+" -c work_mem=7MB", "application_name", "commander")
	if c.Params["application_name"] != "commander" {
		t.Errorf("it is called %q", c.Params["application_name"])
	}
	r.says(c, "IDENTIFY_SYSTEM", "'"+r.cluster.Database+"'")
	r.says(c, "show work_mem", "'7MB'")
	r.says(c, "CREATE_REPLICATION_SLOT nosuch LOGICAL nosuch", "ErrorResponse")
	r.says(c, "select 'it is SQL'", "'it is SQL'")
	conn := r.direct(node.URL())
	defer conn.Close(context.Background())
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "insert into orders (tenant_id, id) values ($1, 77)", a); err != nil {
		t.Fatal(err)
	}
	if err := c.SendBytes(pgwire.AppendQuery(nil, "CREATE_REPLICATION_SLOT waits LOGICAL test_decoding")); err != nil {
		t.Fatal(err)
	}
	r.eventually("the slot waits for the transaction", func() bool {
		return r.on(node, "select count(*) from pg_stat_activity where application_name = 'commander' and wait_event_type = 'Lock'") == "1"
	})
	if got := r.clientWith(c.PID); got.State != ClientActive || len(got.Backends) != 1 {
		t.Errorf("%+v", got)
	}
	if err := c.Cancel(); err != nil {
		t.Fatal(err)
	}
	lines, err := c.ReadUntilReady()
	if err != nil || !strings.Contains(strings.Join(lines, "\n"), "57014") {
		t.Fatal(lines, err)
	}
	_ = tx.Rollback(t.Context())
	r.asSuperuser(node, "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'commander'")
	frame, err := c.Read()
	if err != nil || string(pgwire.ErrorField(frame, pgwire.FieldCode)) != "57P01" {
		t.Fatal(frame, err)
	}
	if err := c.AwaitClose(); err != nil {
		t.Fatal(err)
	}
}

// TestReplicationRefused has each reason to refuse a replication connection.
func TestReplicationRefused(t *testing.T) {
	r := replicationRig(t, rigOptions{})
	one := r.cluster.Shards[0].Name
	check := func(r *rig, code, part string, params ...string) {
		t.Helper()
		_, err := r.walsender(params...)
		var e *pgwire.Error
		if !errors.As(err, &e) || e.Severity != pgwire.SeverityFatal || e.Code != code || !strings.Contains(e.Message+" "+e.Hint, part) {
			t.Errorf("%v: %v", params, err)
		}
	}
	check(r, "0A000", "pgdrover.shard")
	check(r, "22023", "nosuch", "options", "-c pgdrover.shard=nosuch")
	check(r, "22023", "nosuch", "options", "-c pgdrover.tenant=nosuch")
	check(r, "0A000", "connect to the node itself", "replication", "true")
	check(r, "0A000", "connect to the node itself", "replication", "on")
	check(r, "22023", "invalid value for parameter", "replication", "databases")
	check(r, "42704", "nosuch", "options", "-c pgdrover.shard="+one+" -c nosuch=1")
	c := r.mustReplicate("replication", "off")
	r.says(c, "select 1", "'1'")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := pgx.Connect(t.Context(), r.url("options=-c%20pgdrover.shard%3D"+one)); err == nil || !strings.Contains(err.Error(), "0A000") {
		t.Errorf("pgdrover.shard without replication: %v", err)
	}
	r.asSuperuser(r.cluster.Shards[0].Primary, "alter role "+r.cluster.User+" noreplication")
	check(r, "42501", "REPLICATION", "options", "-c pgdrover.shard="+one)
	other := startRig(t, r.cluster, rigOptions{keep: true})
	check(other, "0A000", "session mode", "options", "-c pgdrover.shard="+one)
	r.eventually("no backend is held", func() bool {
		return !slices.ContainsFunc(r.db.Cluster().Backends(), func(b pool.BackendStats) bool { return b.State == "held" })
	})
}

// TestReplicationStreams moves more than all buffers hold to a client that does not read for a while, and ends with the drain.
func TestReplicationStreams(t *testing.T) {
	r := replicationRig(t, rigOptions{})
	node := r.cluster.Shards[0].Primary
	r.dropSlots(node)
	a := r.tenants(0, 1)[0]
	c := r.mustReplicate("options", "-c pgdrover.shard="+r.cluster.Shards[0].Name)
	r.says(c, "CREATE_REPLICATION_SLOT streams LOGICAL test_decoding", "'streams'")
	conn := r.connect()
	r.exec(conn, "insert into orders (tenant_id, id, note) select $1, i, repeat('x', 1000) from generate_series(1000, 31000) i", a)
	if err := c.SendBytes(pgwire.AppendQuery(nil, "START_REPLICATION SLOT streams LOGICAL 0/0")); err != nil {
		t.Fatal(err)
	}
	r.eventually("the walsender waits for the client", func() bool {
		return r.on(node, "select count(*) from pg_stat_activity where backend_type = 'walsender' and wait_event = 'WalSenderWriteData'") == "1"
	})
	changes := 0
	for changes <= 30000 {
		frame, err := c.Read()
		if err != nil {
			t.Fatalf("after %d changes: %v", changes, err)
		}
		if frame[0] == pgwire.MsgCopyData && bytes.Contains(frame, []byte("INSERT")) {
			changes++
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_ = conn.Close(ctx)
	if err := r.server.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	for {
		frame, err := c.Read()
		if err != nil {
			t.Fatalf("closed without a word: %v", err)
		}
		if frame[0] == pgwire.MsgErrorResponse {
			if code := string(pgwire.ErrorField(frame, pgwire.FieldCode)); code != "57P01" {
				t.Fatal(code)
			}
			break
		}
	}
}

// TestCacheAndSessionMode has writes of sessions in session mode, and on replication connections, make stale what others get from the
// cache, which those sessions do not.
func TestCacheAndSessionMode(t *testing.T) {
	c := sharedCluster(t)
	r := replicationRig(t, rigOptions{schema: cachedSchema, tables: "tables:\n  countries: reference\n",
		cache: &cache.Config{Namespace: c.Database, Tables: map[string]cache.Table{"public.users": {TTL: time.Minute}}},
		config: func(cfg *Config) {
			direct := *cfg.Users[rigUser]
			direct.Name, direct.Mode = "direct", ModeSession
			cfg.Users["direct"], cfg.Users[rigUser].Mode = &direct, ModeTransaction
		}})
	k := r.tenants(0, 1)[0]
	conn := r.connect()
	held, err := pgx.Connect(t.Context(), strings.Replace(r.url(), rigUser+":", "direct:", 1))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close(context.Background())
	r.exec(held, "insert into users values ($1, 1, 'a')", k)
	if !r.cached(func() string { return r.value(conn, userName, k) }, k) {
		t.Error("no hit")
	}
	if got := r.value(held, userName, k); got != "a." {
		t.Errorf("the session in session mode got %q", got)
	}
	r.exec(held, "update users set name = 'b' where tenant_id = $1", k)
	if got := r.value(conn, userName, k); got != "b" {
		t.Errorf("%q after a write in session mode", got)
	}
	sender := r.mustReplicate("options", "-c pgdrover.shard="+c.Shards[0].Name)
	r.says(sender, "update users set name = 'c' where tenant_id = "+itoa(k), "UPDATE 1")
	if got := r.value(conn, userName, k); got != "c" {
		t.Errorf("%q after a write on a replication connection", got)
	}
}
