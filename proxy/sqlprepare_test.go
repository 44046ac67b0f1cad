package proxy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/internal/pgtest"
)

// TestSQLPrepareSeveral has PREPARE and EXECUTE with several shards: the arguments say where an EXECUTE goes.
func TestSQLPrepareSeveral(t *testing.T) {
	c := apart(t)
	for name, run := range map[string]func(*testing.T, *rig){
		"by argument": testExecuteByArgument, "in a transaction": testPrepareInside, "reference tables": testExecuteReference,
		"by the protocol": testBindOfSQL, "strings": testPrepareStrings,
	} {
		t.Run(name, func(t *testing.T) { run(t, severalRig(t, c, 10*time.Second)) })
	}
}

// notes has a row for a tenant of each shard.
func (r *rig) notes() (a, b int64) {
	r.t.Helper()
	a, b = r.tenants(0, 1)[0], r.tenants(1, 1)[0]
	c := r.connect()
	r.exec(c, "insert into orders (tenant_id, id, note) values ($1, 1, 'first')", a)
	r.exec(c, "insert into orders (tenant_id, id, note) values ($1, 1, 'second')", b)
	return a, b
}

func testExecuteByArgument(t *testing.T, r *rig) {
	a, b := r.notes()
	c := r.connect(simpleMode)
	r.exec(c, "prepare x (bigint, int) as select note from orders where tenant_id = $1 and id = $2")
	for range 2 {
		for k, want := range map[int64]string{a: "first", b: "second"} {
			if got := r.value(c, fmt.Sprintf("execute x(%d, 1)", k)); got != want {
				t.Fatalf("%q, want %q", got, want)
			}
			if got := r.value(c, fmt.Sprintf("explain (route) execute x(%d, 1)", k)); got != "shard: "+r.cluster.Shards[r.shardOf(k)].Name {
				t.Fatal(got)
			}
		}
	}
	if e := r.refuses(c, "0A000", "execute x(1 + 1, 1)"); e.Hint == "" || !strings.Contains(e.Message, "argument 1") {
		t.Fatalf("%+v", e)
	}
	if e := r.refuses(c, "42601", fmt.Sprintf("execute x(%d)", a)); !strings.Contains(e.Message, `"x"`) || e.Detail != "Expected 2 parameters but got 1." {
		t.Fatalf("%+v", e)
	}
	if e := r.refuses(c, "42601", "execute x"); !strings.Contains(e.Message, `"x"`) {
		t.Fatalf("%+v", e)
	}
	r.refuses(c, "26000", "execute y(1)")
	r.refuses(c, "42P05", "prepare x as select 1")
	if e := r.refuses(c, "42703", "prepare y as select nosuch from orders where tenant_id = $1"); e.Position != 21 {
		t.Fatalf("%+v", e)
	}
	r.exec(c, "prepare w (bigint, text) as update orders set note = $2 where tenant_id = $1")
	for _, k := range []int64{a, b} {
		r.exec(c, fmt.Sprintf("execute w(%d, 'of ' || %d)", k, k))
		if got := r.on(r.cluster.Shards[r.shardOf(k)].Primary, "select note from orders where tenant_id = "+itoa(k)); got != "of "+itoa(k) {
			t.Fatal(got)
		}
	}
	r.exec(c, "prepare u as select count(*) from orders")
	r.refuses(c, "0A000", "execute u")
	r.exec(c, "set pgdrover.tenant = '"+itoa(a)+"'")
	if got := r.value(c, "execute u"); got != "1" {
		t.Fatal(got)
	}
	r.refuses(c, "0A000", fmt.Sprintf("execute x(%d, 1)", b))
	r.unheld()
	r.exec(c, "deallocate all")
	r.refuses(c, "26000", fmt.Sprintf("execute x(%d, 1)", a))
}

// unheld checks that no client keeps a backend.
func (r *rig) unheld() {
	r.t.Helper()
	for _, c := range r.server.Clients() {
		if len(c.Hold) > 0 || len(c.Backends) > 0 && c.State == ClientIdle {
			r.t.Fatalf("%+v", c)
		}
	}
}

func testPrepareInside(t *testing.T, r *rig) {
	a, b := r.notes()
	for _, mode := range []string{simpleMode, "default_query_exec_mode=exec"} {
		c := r.connect(mode)
		r.exec(c, "begin isolation level repeatable read")
		r.exec(c, "prepare x (bigint) as select note from orders where tenant_id = $1")
		if r.busy(0)+r.busy(1) != 0 {
			t.Fatal("a PREPARE has joined a shard to the transaction")
		}
		if got := r.value(c, fmt.Sprintf("execute x(%d)", b)); got != "second" {
			t.Fatal(got)
		}
		r.exec(c, "prepare y as select 1")
		r.exec(c, "commit")
		r.exec(c, "begin")
		for k, want := range map[int64]string{a: "first", b: "second"} {
			if got := r.value(c, fmt.Sprintf("execute x(%d)", k)); got != want {
				t.Fatal(got)
			}
		}
		r.exec(c, "rollback")
		for _, bad := range []string{"prepare z as select nosuch", "prepare x as select 1", "execute x(a + 1)"} {
			r.exec(c, "begin")
			if _, err := c.Exec(t.Context(), bad); err == nil {
				t.Fatal(bad)
			}
			r.refuses(c, "25P02", fmt.Sprintf("execute x(%d)", a))
			if tag := r.exec(c, "commit"); tag != "ROLLBACK" {
				t.Fatal(tag)
			}
		}
		r.exec(c, "execute y")
	}
}

func testExecuteReference(t *testing.T, r *rig) {
	for i, mode := range []string{simpleMode, "default_query_exec_mode=exec"} {
		c := r.connect(mode)
		r.exec(c, "prepare x (text) as insert into countries values ($1, upper($1))")
		r.everywhere(fmt.Sprint(2*i), "select count(*) from countries")
		r.exec(c, fmt.Sprintf("execute x('a%d')", i))
		r.exec(c, "begin")
		r.exec(c, fmt.Sprintf("execute x('b%d')", i))
		r.exec(c, "commit")
		r.everywhere(fmt.Sprint(2*i+2), "select count(*) from countries")
		if e := r.refuses(c, "23505", fmt.Sprintf("execute x('a%d')", i)); !strings.Contains(e.Detail, "s1") {
			t.Fatalf("%+v", e)
		}
		if e := r.refuses(c, "42601", "execute x"); !strings.Contains(e.Message, `"x"`) {
			t.Fatalf("%+v", e)
		}
		r.exec(c, "explain execute x('c')")
		r.everywhere(fmt.Sprint(2*i+2), "select count(*) from countries")
	}
}

func testBindOfSQL(t *testing.T, r *rig) {
	a, b := r.notes()
	c := pgtest.Connect(t, r.addr, pgtest.Options{User: rigUser, Password: rigPassword, Database: r.cluster.Database})
	if lines, err := c.Query("prepare x (bigint) as select note from orders where tenant_id = $1"); err != nil {
		t.Fatal(lines, err)
	}
	for k, want := range map[int64]string{a: "first", b: "second"} {
		got := r.bindOnce(c, "x", itoa(k))
		if !strings.Contains(got, "'"+want+"'") {
			t.Fatal(got)
		}
	}
	if got := r.bindOnce(c, "x", "nonsense"); !strings.Contains(got, "22P02") {
		t.Fatal(got)
	}
}

// bindOnce binds and executes a statement with one parameter, and returns what came back.
func (r *rig) bindOnce(c *pgtest.Client, name, value string) string {
	r.t.Helper()
	for _, line := range []string{"Bind - " + name + " " + value, "Execute -", "Sync"} {
		st, err := parseScript("a: " + line)
		if err != nil {
			r.t.Fatal(err)
		}
		frame, _, err := st[0].message()
		if err != nil {
			r.t.Fatal(err)
		}
		if err := c.SendBytes(frame); err != nil {
			r.t.Fatal(err)
		}
	}
	lines, err := c.ReadUntilReady()
	if err != nil {
		r.t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

func testPrepareStrings(t *testing.T, r *rig) {
	a, b := r.notes()
	c := r.connect(simpleMode)
	if tag := r.exec(c, fmt.Sprintf("prepare x (bigint) as select note from orders where tenant_id = $1; execute x(%d)", b)); tag != "SELECT 1" {
		t.Fatal(tag)
	}
	r.refuses(c, "0A000", fmt.Sprintf("execute x(%d); execute x(%d)", a, b))
	r.exec(c, fmt.Sprintf("execute x(%d); execute x(%d); deallocate x", a, a))
	r.refuses(c, "26000", fmt.Sprintf("execute x(%d)", a))
	r.unheld()
}

// TestPreparedUnseen has a DO block prepare a statement, which no text shows: its backend is kept until there is none left.
func TestPreparedUnseen(t *testing.T) {
	r := startRig(t, sharedCluster(t), rigOptions{size: 2})
	c := r.connect(simpleMode, "options=-c%20pgdrover.tenant%3D1")
	r.exec(c, "do $$ begin execute 'prepare x as select 1'; end $$")
	if got := r.value(c, "execute x"); got != "1" {
		t.Fatal(got)
	}
	held := func() bool { return strings.Join(r.server.Clients()[0].Hold, " ") == "prepare" }
	r.eventually("its backend is kept", held)
	r.exec(c, "deallocate all")
	r.eventually("its backend is not kept any more", func() bool { return !held() })
	r.unheld()
	r.refuses(c, "26000", "execute x")
}

// TestExecuteMakesStale has writes by EXECUTE, whose results the cache must not serve from before.
func TestExecuteMakesStale(t *testing.T) {
	r := cachedRig(t, "")
	k, other := r.tenants(0, 2)[0], r.tenants(0, 2)[1]
	reader, writer := r.connect(simpleMode), r.connect(simpleMode)
	for _, tenant := range []int64{k, other} {
		r.exec(reader, "insert into users values ($1, 1, 'a')", tenant)
	}
	r.exec(writer, "prepare w (bigint, text) as update users set name = $2 where tenant_id = $1")
	for i, write := range []string{"execute w(%d, 'b%d')", "explain analyze execute w(%d, 'b%d')", "select 1; execute w(%d, 'b%d')",
		"deallocate w; prepare w (bigint, text) as update users set name = $2 where tenant_id = $1; execute w(%d, 'b%d')"} {
		if !r.cached(func() string { return r.value(reader, userName, k) }, k) {
			t.Fatal("nothing is cached")
		}
		r.value(reader, userName, other)
		r.exec(writer, fmt.Sprintf(write, k, i))
		if got, want := r.value(reader, userName, k), fmt.Sprintf("b%d", i); got != want {
			t.Errorf("after %s: %q, want %q", write, got, want)
		}
		if strings.HasPrefix(write, "execute") && !r.cached(func() string { return r.value(reader, userName, other) }, other) {
			t.Error("another tenant's result is gone")
		}
	}
}

// TestRepairs counts what the client does not see: a statement that a backend has lost is told it again.
func TestRepairs(t *testing.T) {
	r := startRig(t, sharedCluster(t), rigOptions{size: 2, schema: append([]string{
		"create function forget() returns void language plpgsql as 'begin execute ''deallocate all''; end'"}, demoSchema...), tables: demoTables})
	k := r.tenants(0, 1)[0]
	tenant := "options=-c%20pgdrover.tenant%3D" + itoa(k)
	one, other, simple := r.connect(tenant), r.connect(simpleMode, tenant), r.connect(simpleMode, tenant)
	r.exec(simple, "prepare x (bigint) as select $1 + 1")
	for i := int64(0); i < 3 || i < 100 && r.server.Metrics().Repaired.Load() == 0; i++ { // it may be the other backend that forgets
		r.value(one, "select count(*) from orders where tenant_id = $1", k)
		if got := r.value(simple, fmt.Sprintf("execute x(%d)", i)); got != fmt.Sprint(i+1) {
			t.Fatal(got)
		}
		r.exec(other, "select forget()")
	}
	if n := r.server.Metrics().Repaired.Load(); n == 0 {
		t.Error("nothing was repaired")
	}
	r.unheld()
}
