package proxy

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgdrover/pgdrover/cache"
)

func cachedRig(t *testing.T, redis string) *rig {
	c := sharedCluster(t)
	return startRig(t, c, rigOptions{replicas: true, sticky: time.Millisecond, wait: 5 * time.Second, size: 16, schema: cachedSchema,
		tables: "tables:\n  countries: reference\n", cache: &cache.Config{Namespace: c.Database, Redis: redis,
			Tables: map[string]cache.Table{"public.users": {TTL: time.Minute}, "public.pets": {TTL: time.Minute}, "public.countries": {TTL: time.Minute}}}})
}

var cachedSchema = append([]string{
	`create table pets (tenant_id bigint not null, id bigint not null, owner bigint not null, name text, primary key (tenant_id, id))`,
	`create table noted (tenant_id bigint not null, id bigint, primary key (tenant_id, id))`,
	`create function note() returns trigger language plpgsql as $$ begin
		update pets set name = 'noted' where tenant_id = new.tenant_id; return null; end $$`,
	`create trigger note after insert on noted for each row execute function note()`,
	`create procedure half(k bigint) language plpgsql as $$ begin
		update pets set name = 'half' where tenant_id = k; commit; raise exception 'after the commit'; end $$`,
}, demoSchema...)

const userName = "select name from users where tenant_id = $1 and id = 1"

// behind changes rows behind the proxy's back: whoever still sees the old ones was answered from the cache.
func (r *rig) behind(tenant int64, sql string) {
	r.t.Helper()
	r.on(r.cluster.Shards[r.shardOf(tenant)].Primary, sql)
	if err := r.cluster.WaitReplicas(r.t.Context()); err != nil { // what is not cached may be read there
		r.t.Fatal(err)
	}
}

// cached has a read answered, changes its row behind the proxy, and reports whether the next answer is the old one.
func (r *rig) cached(read func() string, tenant int64) bool {
	r.t.Helper()
	before := read()
	r.behind(tenant, fmt.Sprintf("update users set name = name || '.' where tenant_id = %d", tenant))
	after := read()
	if after != before && after != before+"." {
		r.t.Fatalf("%q became %q", before, after)
	}
	return after == before
}

func TestCache(t *testing.T) {
	for name, run := range map[string]func(*testing.T, *rig){
		"hits": testCacheHits, "keys": testCacheKeys, "never": testCacheNever, "writes": testCacheWrites,
		"transactions": testCacheTransactions, "everything": testCacheEverything, "protocol": testCacheProtocol,
	} {
		t.Run(name, func(t *testing.T) { run(t, cachedRig(t, "")) })
	}
}

func testCacheHits(t *testing.T, r *rig) {
	for i, mode := range []string{simpleMode, "default_query_exec_mode=exec", "default_query_exec_mode=cache_describe", ""} {
		for shard := range 2 {
			k := r.tenants(shard, 8)[i]
			conn, other := r.connect(mode), r.connect(mode)
			r.exec(conn, "insert into users values ($1, 1, 'a')", k)
			if !r.cached(func() string { return r.value(conn, userName, k) }, k) {
				t.Errorf("%s: no hit", mode)
			}
			if got := r.value(other, userName, k); got != "a" {
				t.Errorf("%s: no hit for another session: %s", mode, got)
			}
			r.exec(other, "update users set name = 'b' where tenant_id = $1", k)
			if got := r.value(conn, userName, k); got != "b" {
				t.Errorf("%s: %q after an update", mode, got)
			}
		}
	}
	if s := r.db.Cache().Stats(); s.L1Hits < 16 {
		t.Errorf("%+v", s)
	}
}

func testCacheKeys(t *testing.T, r *rig) {
	k := r.tenants(0, 1)[0]
	conn := r.connect(simpleMode)
	r.exec(conn, "insert into users values ($1, 1, 'a')", k)
	if r.cached(func() string { return r.value(conn, userName, k) }, k); r.value(conn, userName, k) != "a" {
		t.Fatal("no hit")
	}
	for _, set := range []string{"set timezone = 'Asia/Tokyo'", "set search_path = public, pg_catalog", "set bytea_output = 'escape'",
		"set datestyle = 'German'", "set intervalstyle = 'iso_8601'", "set extra_float_digits = 0"} {
		other := r.connect(simpleMode)
		r.exec(other, set)
		if got := r.value(other, userName, k); got != "a." {
			t.Errorf("%s: %q", set, got)
		}
	}
	other := r.connect(simpleMode, "timezone=Asia/Tokyo", "application_name=other")
	if got := r.value(other, userName, k); got != "a." {
		t.Errorf("%q", got)
	}
	same := r.connect(simpleMode, "application_name=other")
	r.exec(same, "set statement_timeout = '10s'")
	if got := r.value(same, userName, k); got != "a" {
		t.Errorf("%q: a setting that changes nothing is in the key", got)
	}
	role := r.connect(simpleMode)
	r.exec(role, "set role "+r.cluster.User)
	if got := r.value(role, userName, k); got != "a." {
		t.Errorf("another role is answered %q", got)
	}
	if got := r.value(r.connect("default_query_exec_mode=exec"), userName, k); got != "a." {
		t.Errorf("another protocol is answered %q", got)
	}
	// One text in both formats, and other parameters.
	typed := r.connect()
	var n int64
	read := func(format int16) string {
		rows := typed.PgConn().ExecParams(t.Context(), "select id from users where tenant_id = $1 and id = 1", [][]byte{[]byte(itoa(k))},
			nil, nil, []int16{format}).Read()
		if rows.Err != nil || len(rows.Rows) != 1 {
			t.Fatal(rows.Err)
		}
		return fmt.Sprintf("%x", rows.Rows[0][0])
	}
	for range 3 {
		if text, binary := read(0), read(1); text != "31" || binary != "0000000000000001" {
			t.Fatalf("%s and %s", text, binary)
		}
	}
	for _, id := range []int64{1, 2, 1, 2} {
		if err := conn.QueryRow(t.Context(), "select count(*) from users where tenant_id = $1 and id = $2", k, id).Scan(&n); err != nil || n != 2-id {
			t.Fatalf("id %d: %d %v", id, n, err)
		}
	}
}

func testCacheNever(t *testing.T, r *rig) {
	k := r.tenants(0, 1)[0]
	for _, mode := range []string{simpleMode, ""} {
		conn := r.connect(mode)
		r.exec(conn, "delete from users where tenant_id = $1", k)
		r.exec(conn, "insert into users values ($1, 1, 'a')", k)
		for _, sql := range []string{
			"select name from users where tenant_id = $1 for update", "/* pgdrover: nocache */ " + userName,
			"select name || left(random()::text, 0) from users where tenant_id = $1",
			"select name || left(now()::text, 0) from users where tenant_id = $1",
			"select name || left(current_date::text, 0) from users where tenant_id = $1",
			"select u.name from users u, orders o where u.tenant_id = $1 and o.tenant_id = $1 union select name from users where tenant_id = $1",
			"select u.name from users u left join pg_class on relname = u.name where tenant_id = $1",
		} {
			if r.cached(func() string { return r.value(conn, sql, k) }, k) {
				t.Errorf("%s: cached: %s", mode, sql)
			}
		}
		for range 2 {
			r.refuses(conn, "22012", "select 1 / (length(name) - length(name)) from users where tenant_id = $1", k)
		}
		own := r.connect(mode)
		r.exec(own, "create temp table mine (name text)")
		if r.cached(func() string { return r.value(own, userName, k) }, k) {
			t.Errorf("%s: cached in a session with temporary tables", mode)
		}
	}
	conn := r.connect(simpleMode) // the hint: an entry of a second and a half
	sql := "/* pgdrover: cache=1500ms */ " + userName
	was := r.value(conn, sql, k)
	r.on(r.cluster.Shards[0].Primary, "update users set name = 'behind'")
	if got := r.value(conn, sql, k); got != was {
		t.Error("no hit")
	}
	r.eventually("the hint's time is over", func() bool { return r.value(conn, sql, k) == "behind" })
}

func testCacheWrites(t *testing.T, r *rig) {
	k, b := r.tenants(0, 1)[0], r.tenants(1, 1)[0]
	n := 0
	for _, mode := range []string{simpleMode, ""} {
		conn, other := r.connect(mode), r.connect(mode)
		for _, tenant := range []int64{k, b} {
			r.exec(conn, "insert into pets values ($1, $2, 1, 'rex')", tenant, n)
			r.exec(conn, "insert into users values ($1, $2, 'a')", tenant, n)
		}
		pet := "select string_agg(distinct name, ' ') from pets where tenant_id = $1"
		for _, write := range []string{
			"update pets set name = 'a%d' where tenant_id = $1",
			"with w as (update pets set name = 'b%d' where tenant_id = $1 returning 1) select count(*) from w",
			"insert into pets values ($1, 0, 1, 'c%d') on conflict (tenant_id, id) do update set name = excluded.name",
			"insert into noted values ($1, %d)",
			"delete from pets where tenant_id = $1 and id <> %[1]d and id >= 0 and name <> '%[1]d'",
		} {
			n++
			r.value(conn, pet, k)
			r.value(conn, pet, b)
			kept := r.value(conn, "select count(name) from users where tenant_id = $1", b)
			r.behind(b, "insert into users values ("+itoa(b)+", "+fmt.Sprint(-n)+", 'behind')")
			sql := write
			if n > 0 {
				sql = fmt.Sprintf(write, n)
			}
			r.exec(other, sql, k)
			want := r.on(r.cluster.Shards[0].Primary, "select coalesce(string_agg(distinct name, ' '), '<nil>') from pets where tenant_id = "+itoa(k))
			if got := r.value(conn, pet, k); got != want {
				t.Errorf("%s: %s: %q, want %q", mode, sql, got, want)
			}
			if got := r.value(conn, "select count(name) from users where tenant_id = $1", b); got != kept {
				t.Errorf("%s: %s: another tenant's entry is gone", mode, sql)
			}
		}
	}
	conn := r.connect(simpleMode)
	r.exec(conn, "insert into pets values ($1, 900, 1, 'rex')", k)
	r.value(conn, "select name from pets where tenant_id = $1 and id = 900", k)
	r.refuses(conn, "P0001", "/* pgdrover: tenant="+itoa(k)+" */ call half("+itoa(k)+")")
	if got := r.value(conn, "select name from pets where tenant_id = $1 and id = 900", k); got != "half" {
		t.Errorf("%q after a procedure that failed half-way", got)
	}
	// A tenant that was merely SET says where to go: such a write reaches all who live there.
	near := r.tenants(0, 2)[1]
	r.exec(conn, "insert into pets values ($1, 1, 1, 'rex')", near)
	r.value(conn, "select name from pets where tenant_id = $1", near)
	r.exec(conn, "set pgdrover.tenant = "+itoa(k))
	r.exec(conn, "update pets set name = 'all'")
	if got := r.value(r.connect(simpleMode), "select name from pets where tenant_id = $1", near); got != "all" {
		t.Errorf("%q after a write that reached several tenants", got)
	}
}

func testCacheTransactions(t *testing.T, r *rig) {
	k := r.tenants(0, 1)[0]
	for _, mode := range []string{simpleMode, ""} {
		conn, other := r.connect(mode), r.connect(mode)
		r.exec(conn, "delete from users where tenant_id = $1", k)
		r.exec(conn, "insert into users values ($1, 1, 'a')", k)
		read := func(conn *pgx.Conn) string { t.Helper(); return r.value(conn, userName, k) }
		for _, c := range []*pgx.Conn{conn, other} {
			if got := read(c); got != "a" {
				t.Fatal(got)
			}
		}
		r.exec(conn, "begin")
		r.exec(conn, "update users set name = 'b' where tenant_id = $1", k)
		if got := read(conn); got != "b" {
			t.Errorf("%s: a transaction reads %q after its own write", mode, got)
		}
		if got := read(other); got != "a" {
			t.Errorf("%s: %q before the commit", mode, got)
		}
		r.exec(conn, "commit")
		if got := read(other); got != "b" {
			t.Errorf("%s: %q after the commit", mode, got)
		}
		r.exec(conn, "begin")
		r.exec(conn, "update users set name = 'c' where tenant_id = $1", k)
		r.exec(conn, "rollback")
		for _, c := range []*pgx.Conn{conn, other} {
			if got := read(c); got != "b" {
				t.Errorf("%s: %q after a rollback", mode, got)
			}
		}
		r.exec(conn, "begin")
		r.exec(conn, "update users set name = 'd' where tenant_id = $1", k)
		r.exec(conn, "savepoint s")
		r.refuses(conn, "42601", "nonsense")
		r.exec(conn, "rollback to s")
		r.exec(conn, "commit")
		if got := read(other); got != "d" {
			t.Errorf("%s: %q after a commit that followed an error", mode, got)
		}
		if err := conn.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		gone := r.connect(mode)
		r.exec(gone, "begin")
		r.exec(gone, "update users set name = 'e' where tenant_id = $1", k)
		gone.Close(context.Background())
		r.eventually("the transaction of a client that left is rolled back", func() bool { return read(other) == "d" && r.db.Cache().Stats().OpenWrites == 0 })
	}
}

// testCacheEverything has DDL, TRUNCATE and writes of reference tables make entries of every tenant stale.
func testCacheEverything(t *testing.T, r *rig) {
	k := r.tenants(1, 1)[0]
	conn, other := r.connect(), r.connect()
	r.exec(conn, "insert into users values ($1, 1, 'de')", k)
	r.exec(conn, "insert into countries values ('de', 'Germany')")
	joined := "select c.name from users u join countries c on c.code = u.name where u.tenant_id = $1"
	if got := r.value(other, joined, k); got != "Germany" {
		t.Fatal(got)
	}
	r.exec(conn, "update countries set name = 'Deutschland'")
	if got := r.value(other, joined, k); got != "Deutschland" {
		t.Errorf("%q after a write of the reference table", got)
	}
	star := "select * from users where tenant_id = $1"
	columns := func() int {
		rows, err := other.Query(t.Context(), star, pgx.QueryExecModeExec, k)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
		}
		return len(rows.FieldDescriptions())
	}
	if columns() != 3 || columns() != 3 {
		t.Fatal("columns")
	}
	r.exec(conn, "alter table users add column extra int")
	if got := columns(); got != 4 {
		t.Errorf("%d columns after ALTER TABLE", got)
	}
	r.exec(conn, "set pgdrover.tenant = "+itoa(r.tenants(0, 1)[0])) // DDL is everyone's all the same
	r.exec(conn, "alter table users drop column extra")
	if got := columns(); got != 3 {
		t.Errorf("%d columns after ALTER TABLE", got)
	}
	r.exec(conn, "reset pgdrover.tenant")
	r.exec(conn, "truncate users")
	if got := r.value(other, "select count(*) from users where tenant_id = $1", k); got != "0" {
		t.Errorf("%s rows after TRUNCATE", got)
	}
}

// testCacheProtocol looks at what a driver gets for a hit, in batches of several shapes.
func testCacheProtocol(t *testing.T, r *rig) {
	k := r.tenants(0, 1)[0]
	conn := r.connect()
	r.exec(conn, "insert into users values ($1, 1, 'a')", k)
	sql := "select name from users where tenant_id = " + itoa(k)
	f := conn.PgConn().Frontend()
	for range 3 {
		f.SendParse(parseOf(sql))
		f.SendDescribe(describeStatementOf(""))
		f.SendBind(bindOf())
		f.SendExecute(executeAll)
		f.SendSync(syncMessage)
		if err := f.Flush(); err != nil {
			t.Fatal(err)
		}
		expect(t, f, "ParseComplete", "ParameterDescription", "RowDescription", "BindComplete", "DataRow", "CommandComplete", "ReadyForQuery")
	}
	for range 3 {
		f.SendParse(parseOf(sql))
		f.SendBind(bindOf())
		f.SendDescribe(describePortal)
		f.SendExecute(executeAll)
		f.SendSync(syncMessage)
		if err := f.Flush(); err != nil {
			t.Fatal(err)
		}
		expect(t, f, "ParseComplete", "BindComplete", "RowDescription", "DataRow", "CommandComplete", "ReadyForQuery")
	}
	for range 3 {
		f.SendParse(parseOf(sql))
		f.SendBind(bindOf())
		f.SendExecute(executeAll)
		f.SendSync(syncMessage)
		if err := f.Flush(); err != nil {
			t.Fatal(err)
		}
		expect(t, f, "ParseComplete", "BindComplete", "DataRow", "CommandComplete", "ReadyForQuery")
	}
	if got := r.db.Cache().Stats().L1Hits; got < 4 {
		t.Errorf("%d hits", got)
	}
}
