package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
)

const simpleMode = "default_query_exec_mode=simple_protocol"

// severalTables are demoTables and a table that lives on one shard.
const severalTables = "tables:\n  countries: reference\n  migrations: {on: s1}\n"

func severalRig(t *testing.T, c *pgcluster.Cluster, wait time.Duration) *rig {
	schema := append([]string{"create table migrations (id int primary key, note text)"}, demoSchema...)
	return startRig(t, c, rigOptions{schema: schema, tables: severalTables, wait: wait})
}

// everywhere checks that a query has one answer on every shard.
func (r *rig) everywhere(want, sql string) {
	r.t.Helper()
	for _, sh := range r.cluster.Shards {
		if got := r.on(sh.Primary, sql); got != want {
			r.t.Fatalf("%s on %s: %q, want %q", sql, sh.Name, got, want)
		}
	}
}

func (r *rig) hasTable(name, want string) {
	r.t.Helper()
	r.everywhere(want, "select count(*) from pg_class where relkind in ('r', 'i') and relname = '"+name+"'")
}

func TestSeveralShards(t *testing.T) {
	c := apart(t)
	for name, run := range map[string]func(*testing.T, *rig){
		"definitions": testDefinitions, "definitions fail": testDefinitionsFail, "definitions in a transaction": testDefinitionsInside,
		"tables are known at once": testKnownAtOnce, "one shard after the other": testOneByOne, "reference tables": testReference,
		"unsharded tables": testUnsharded, "half committed": testHalfCommitted, "constraints at commit": testDeferredConstraint,
		"writers": testWriters, "strict": testStrict, "early": testEarly, "early by the extended protocol": testEarlyExtended,
		"backends": testBackendsOfTransaction, "late joiner": testLateJoiner, "severed": testSevered, "aside": testAside, "same locks": testSameLocks, "batches": testBatches,
	} {
		t.Run(name, func(t *testing.T) { run(t, severalRig(t, c, 10*time.Second)) })
	}
	t.Run("a shard is down", func(t *testing.T) { testShardDown(t, severalRig(t, c, time.Second)) })
}

func testDefinitions(t *testing.T, r *rig) {
	a, b := r.tenants(0, 1)[0], r.tenants(1, 1)[0]
	for _, mode := range []string{"", simpleMode, "default_query_exec_mode=exec", "default_query_exec_mode=cache_describe"} {
		conn := r.connect(mode)
		if tag := r.exec(conn, "create table items (tenant_id bigint, id int, primary key (tenant_id, id))"); tag != "CREATE TABLE" {
			t.Fatalf("%s: %s", mode, tag)
		}
		r.exec(conn, "alter table items add column note text default 'none'")
		r.exec(conn, "create index items_note on items (note)")
		r.hasTable("items", "1")
		r.hasTable("items_note", "1")
		for _, k := range []int64{a, b} {
			r.exec(conn, "insert into items values ($1, 1)", k)
			if got := r.value(r.connect(mode), "select note from items where tenant_id = $1", k); got != "none" {
				t.Fatal(got)
			}
			if got := r.on(r.cluster.Shards[r.shardOf(k)].Primary, "select count(*) from items where tenant_id = "+itoa(k)); got != "1" {
				t.Fatalf("%s rows", got)
			}
		}
		r.exec(conn, "truncate items")
		r.everywhere("0", "select count(*) from items")
		r.exec(conn, "drop table items")
		r.hasTable("items", "0")
	}
	config, err := pgx.ParseConfig(r.url(simpleMode))
	if err != nil {
		t.Fatal(err)
	}
	var notices []string
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { notices = append(notices, n.Message) }
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	r.exec(conn, "drop table if exists nowhere")
	if len(notices) != 1 || !strings.Contains(notices[0], "nowhere") {
		t.Fatalf("%q", notices)
	}
	r.exec(conn, "create table one (id int); create table two (id int); create index two_id on two (id)")
	r.hasTable("one", "1")
	r.hasTable("two_id", "1")
	r.exec(conn, "drop table one, two")
}

func testDefinitionsFail(t *testing.T, r *rig) {
	r.on(r.cluster.Shards[1].Primary, "create table taken (id int)")
	for _, mode := range []string{"", simpleMode} {
		conn := r.connect(mode)
		e := r.refuses(conn, "42P07", "create table taken (id int)")
		if !strings.Contains(e.Detail, "s2") {
			t.Fatalf("the shard is not named: %+v", e)
		}
		if got := r.on(r.cluster.Shards[0].Primary, "select to_regclass('taken')"); got != "" {
			t.Fatal("half done")
		}
		if got := r.value(conn, "select 1"); got != "1" {
			t.Fatal("the session did not go on")
		}
		r.exec(conn, "begin")
		r.exec(conn, "create table before (id int)")
		r.refuses(conn, "42P07", "create table taken (id int)")
		r.refuses(conn, "25P02", "create table after (id int)")
		r.refuses(conn, "25P02", "select 1")
		if tag := r.exec(conn, "commit"); tag != "ROLLBACK" {
			t.Fatal(tag)
		}
		r.hasTable("before", "0")

		r.exec(conn, "begin")
		r.exec(conn, "create table before (id int)")
		r.exec(conn, "savepoint a")
		r.refuses(conn, "42P07", "create table taken (id int)")
		r.exec(conn, "rollback to savepoint a")
		r.exec(conn, "create table after (id int)")
		if tag := r.exec(conn, "commit"); tag != "COMMIT" {
			t.Fatal(tag)
		}
		r.hasTable("before", "1")
		r.hasTable("after", "1")
		r.exec(conn, "drop table before, after")
	}
	conn := r.connect(simpleMode)
	r.refuses(conn, "42P07", "create table first (id int); create table taken (id int)")
	r.hasTable("first", "0")
	r.on(r.cluster.Shards[1].Primary, "drop table taken")
}

func testDefinitionsInside(t *testing.T, r *rig) {
	a, b := r.tenants(0, 1)[0], r.tenants(1, 1)[0]
	for _, mode := range []string{"", simpleMode} {
		conn := r.connect(mode)
		r.exec(conn, "begin")
		r.exec(conn, "create table fresh (note text, tenant_id bigint)")
		r.exec(conn, "insert into fresh values ('made', $1)", b)
		r.exec(conn, "insert into countries values ('xx', 'made')")
		if got := r.value(conn, "select note from fresh where tenant_id = $1", b); got != "made" {
			t.Fatal(got)
		}
		if e := r.refuses(conn, "0A000", "insert into fresh values ('made', $1)", a); e.Hint == "" {
			t.Fatal("no hint")
		}
		r.exec(conn, "rollback")
		r.hasTable("fresh", "0")
		r.everywhere("0", "select count(*) from countries")

		r.exec(conn, "begin")
		r.exec(conn, "drop table orders")
		r.exec(conn, "create table orders (id bigint, tenant_id bigint)") // the columns have changed places
		r.exec(conn, "insert into orders values ($1, $2)", a, b)
		r.exec(conn, "commit")
		if got := r.on(r.cluster.Shards[1].Primary, "select count(*) from orders"); got != "1" {
			t.Fatalf("%s rows", got)
		}
		r.exec(r.connect(mode), "insert into orders values ($1, $2)", b, a)
		if got := r.on(r.cluster.Shards[0].Primary, "select count(*) from orders"); got != "1" {
			t.Fatalf("%s rows", got)
		}
		r.exec(conn, "drop table orders")
		r.exec(conn, "create table orders (tenant_id bigint, id bigint, note text)")

		r.exec(conn, "begin") // a tenant's rows and a definition
		r.exec(conn, "insert into orders values ($1, 5, 'old')", a)
		r.exec(conn, "alter table orders add column extra int default 7")
		r.exec(conn, "update orders set note = 'new' where tenant_id = $1", a)
		r.exec(conn, "commit")
		if got := r.value(conn, "select note || extra from orders where tenant_id = $1", a); got != "new7" {
			t.Fatal(got)
		}
		r.exec(conn, "alter table orders drop column extra")
		r.exec(conn, "truncate orders")

		r.exec(conn, "begin")
		r.exec(conn, "savepoint a")
		r.exec(conn, "create table gone (tenant_id bigint)")
		r.exec(conn, "insert into gone values ($1)", a)
		r.exec(conn, "rollback to a")
		r.refuses(conn, "42P01", "insert into gone values ($1)", a)
		r.exec(conn, "rollback")
	}
}

// testKnownAtOnce has other sessions, idle or in a transaction, use what one has just made.
func testKnownAtOnce(t *testing.T, r *rig) {
	a, b := r.tenants(0, 1)[0], r.tenants(1, 1)[0]
	conn, other, inside := r.connect(), r.connect(), r.connect()
	r.exec(inside, "begin")
	r.exec(inside, "insert into orders values ($1, 1)", b)
	if _, err := other.Prepare(t.Context(), "kept", "select note from orders where tenant_id = $1"); err != nil {
		t.Fatal(err)
	}
	r.exec(conn, "create table fresh (tenant_id bigint, note text)")
	for _, k := range []int64{a, b} {
		r.exec(other, "insert into fresh values ($1, 'x')", k)
	}
	r.exec(inside, "insert into fresh values ($1, 'y')", b)
	r.exec(inside, "commit")
	if got := r.on(r.cluster.Shards[1].Primary, "select count(*) from fresh"); got != "2" {
		t.Fatalf("%s rows", got)
	}
	r.exec(conn, "drop table fresh")
	r.exec(conn, "create table fresh (note text, tenant_id bigint)")
	r.exec(other, "insert into fresh values ('z', $1)", b)
	if got := r.on(r.cluster.Shards[1].Primary, "select note from fresh"); got != "z" {
		t.Fatalf("%q", got)
	}
	r.exec(other, "insert into orders values ($1, 9, 'kept')", b)
	r.exec(conn, "alter table orders add column later int")
	var note string
	if err := other.QueryRow(t.Context(), "select note from orders where tenant_id = $1 and id = 9", b).Scan(&note); err != nil || note != "kept" {
		t.Fatal(note, err)
	}
}

func testOneByOne(t *testing.T, r *rig) {
	for _, mode := range []string{"", simpleMode} {
		conn := r.connect(mode)
		r.exec(conn, "create index concurrently by_note on orders (note)")
		r.hasTable("by_note", "1")
		r.exec(conn, "drop index concurrently by_note")
		r.hasTable("by_note", "0")
		r.exec(conn, "vacuum orders")
		r.exec(conn, "begin")
		r.refuses(conn, "25001", "create index concurrently by_note on orders (note)")
		r.exec(conn, "rollback")
		r.on(r.cluster.Shards[1].Primary, "create index by_note on orders (id)")
		e := r.refuses(conn, "42P07", "create index concurrently by_note on orders (note)")
		if !strings.Contains(e.Detail, "s2") || !strings.Contains(e.Hint, "done on s1") {
			t.Fatalf("%+v", e)
		}
		if got := r.value(conn, "select 1"); got != "1" {
			t.Fatal("the session did not go on")
		}
		r.exec(conn, "drop index by_note")
	}
}

func testReference(t *testing.T, r *rig) {
	a := r.tenants(1, 1)[0]
	for _, mode := range []string{"", simpleMode} {
		conn := r.connect(mode)
		rows, err := conn.Query(t.Context(), "insert into countries values ('de', 'Germany'), ('fr', 'France') returning code")
		if err != nil {
			t.Fatal(err)
		}
		codes, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil || strings.Join(codes, " ") != "de fr" {
			t.Fatal(codes, err)
		}
		r.everywhere("2", "select count(*) from countries")
		if tag := r.exec(conn, "update countries set name = upper(name) where code = $1", "de"); tag != "UPDATE 1" {
			t.Fatal(tag)
		}
		r.everywhere("GERMANY", "select name from countries where code = 'de'")
		r.refuses(conn, "23505", "insert into countries values ('it', 'Italy'), ('fr', 'again')")
		r.everywhere("0", "select count(*) from countries where code = 'it'")

		r.exec(conn, "begin")
		r.exec(conn, "insert into orders values ($1, 1)", a)
		r.exec(conn, "insert into countries values ('it', 'Italy')")
		r.exec(conn, "update orders set note = (select name from countries where code = 'it') where tenant_id = $1", a)
		if got := r.value(conn, "select note from orders where tenant_id = $1", a); got != "Italy" {
			t.Fatal(got)
		}
		r.exec(conn, "rollback")
		r.everywhere("0", "select count(*) from countries where code = 'it'")
		r.exec(conn, "begin")
		r.exec(conn, "insert into countries values ('it', 'Italy')")
		r.exec(conn, "savepoint s")
		r.exec(conn, "delete from countries where code = 'it'")
		r.exec(conn, "rollback to s")
		r.exec(conn, "commit")
		r.everywhere("Italy", "select name from countries where code = 'it'")

		for _, sql := range []string{
			"insert into countries select note, note from orders where tenant_id = 1",
			"insert into countries values ('now', clock_timestamp()::text)",
		} {
			if e := r.refuses(conn, "0A000", sql); e.Hint == "" {
				t.Fatalf("%s: no hint", sql)
			}
		}
		r.exec(conn, "delete from countries")
		r.everywhere("0", "select count(*) from countries")
	}
}

func testUnsharded(t *testing.T, r *rig) {
	conn := r.connect()
	r.exec(conn, "insert into migrations values (1, 'x')")
	if got := r.value(conn, "select note from migrations"); got != "x" {
		t.Fatal(got)
	}
	for i, want := range []string{"1", "0"} {
		if got := r.on(r.cluster.Shards[i].Primary, "select count(*) from migrations"); got != want {
			t.Fatalf("shard %d: %s rows", i, got)
		}
	}
	b := r.tenants(1, 1)[0]
	r.exec(conn, "begin")
	r.exec(conn, "insert into migrations values (2, 'y')")
	if got := r.value(conn, "select count(*) from orders where tenant_id = $1", b); got != "0" {
		t.Fatal(got)
	}
	r.refuses(conn, "0A000", "insert into orders values ($1, 1)", b)
	r.exec(conn, "rollback")
}

// refiring is a constraint trigger that passes when constraints are checked early, and fails at COMMIT.
var refiring = []string{
	`create function refire() returns trigger language plpgsql as $$
	begin
		if current_setting('test.fired', true) = 'yes' then raise exception 'too late' using errcode = 'P0123'; end if;
		perform set_config('test.fired', 'yes', true);
		set constraints all deferred;
		update countries set name = name where code = new.code;
		return null;
	end $$`,
	`create constraint trigger late after insert or update on countries deferrable initially deferred for each row execute function refire()`,
}

// testHalfCommitted has the second shard fail at COMMIT, in a way that no check before it finds.
func testHalfCommitted(t *testing.T, r *rig) {
	for _, sql := range refiring {
		r.on(r.cluster.Shards[1].Primary, sql)
	}
	for _, mode := range []string{"", simpleMode} {
		conn := r.connect(mode)
		e := r.refuses(conn, "40003", "insert into countries values ('de', 'Germany')")
		if !strings.Contains(e.Detail, "Committed on s1") || !strings.Contains(e.Detail, "s2: too late") || e.Hint == "" {
			t.Fatalf("%+v", e)
		}
		r.exec(conn, "begin")
		r.exec(conn, "insert into countries values ('fr', 'France')")
		r.refuses(conn, "40003", "commit")
		if got := r.value(conn, "select 1"); got != "1" {
			t.Fatal("the session did not go on")
		}
		r.on(r.cluster.Shards[0].Primary, "delete from countries")
	}
	r.on(r.cluster.Shards[1].Primary, "drop function refire cascade")
}

// testDeferredConstraint has a check that waits for COMMIT fail on the second shard: nothing is committed on the first.
func testDeferredConstraint(t *testing.T, r *rig) {
	r.on(r.cluster.Shards[1].Primary, "alter table countries add constraint once unique (name) deferrable initially deferred")
	conn := r.connect()
	r.exec(conn, "insert into countries values ('de', 'Germany')")
	e := r.refuses(conn, "23505", "insert into countries values ('gdr', 'Germany')")
	if !strings.Contains(e.Detail, "s2") {
		t.Fatalf("%+v", e)
	}
	r.exec(conn, "begin")
	r.exec(conn, "insert into countries values ('gdr', 'Germany')")
	r.refuses(conn, "23505", "commit")
	r.everywhere("1", "select count(*) from countries")
	r.exec(conn, "delete from countries")
}
