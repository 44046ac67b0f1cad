package proxy

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// schemasRig is a rig where each tenant has a schema. It has two tenants on each shard, with a table of a row and one that is empty.
func schemasRig(t *testing.T, size int) (*rig, [2][]int64) {
	c := sharedCluster(t)
	clean := func() {
		for _, sh := range c.Shards {
			sql := `do $$ declare s text; begin for s in select nspname from pg_namespace where nspname like 't\_%' loop
				execute format('drop schema %I cascade', s); end loop; end $$`
			if _, err := sh.Primary.Query(context.Background(), sql); err != nil {
				t.Error(err)
			}
		}
	}
	clean()
	t.Cleanup(clean)
	r := startRig(t, c, rigOptions{
		tenant: `{schema: "t_{tenant}", type: bigint}`, size: size, wait: 10 * time.Second,
		tables: "tables:\n  countries: reference\n  settings: {on: s1}\n  migrations: sharded\n  public.migrations: reference\n",
		schema: []string{
			"create table countries (code text primary key, name text)", "create table settings (name text)", "create table migrations (id int)",
			"create table stray (id int)", "insert into countries values ('de', 'Germany')",
		},
	})
	var of [2][]int64
	conn := r.connect()
	for shard := range of {
		of[shard] = r.tenants(shard, 2)
		for _, k := range of[shard] {
			r.exec(conn, fmt.Sprintf("create schema t_%d", k))
			r.exec(conn, fmt.Sprintf("set search_path to t_%d, public", k))
			r.exec(conn, "create table orders (id bigserial primary key, tenant bigint, country text references public.countries)")
			r.exec(conn, "create table migrations (id int)")
			r.exec(conn, "insert into orders (tenant, country) values ($1, 'de')", k)
		}
	}
	return r, of
}

// path makes a tenant's schema the first of the search path.
func (r *rig) path(conn *pgx.Conn, k int64) {
	r.t.Helper()
	r.exec(conn, fmt.Sprintf("set search_path to t_%d, public", k))
}

func TestSchemas(t *testing.T) {
	for name, run := range map[string]func(*testing.T, *rig, [2][]int64){
		"where they are": testSchemaPlaces, "prepared": testSchemaPrepared, "settings": testSchemaSettings, "batches": testSchemaBatches,
		"transactions": testSchemaTransactions, "definitions": testSchemaDefinitions, "shared": testSchemaShared, "changes": testSchemaChanges,
		"many": testSchemaMany,
	} {
		t.Run(name, func(t *testing.T) {
			r, of := schemasRig(t, 2)
			run(t, r, of)
		})
	}
}

const tenantOf = "select string_agg(tenant::text, ',') from orders"

func testSchemaPlaces(t *testing.T, r *rig, of [2][]int64) {
	conn := r.connect()
	for shard, tenants := range of {
		for _, k := range tenants {
			where := fmt.Sprintf("select count(*) from pg_namespace where nspname = 't_%d'", k)
			for i, sh := range r.cluster.Shards {
				if got, want := r.on(sh.Primary, where), map[bool]string{true: "1", false: "0"}[i == shard]; got != want {
					t.Errorf("t_%d: %s on %s", k, got, sh.Name)
				}
			}
			r.path(conn, k)
			if got := r.value(conn, tenantOf); got != itoa(k) {
				t.Errorf("by the path of %d: %s", k, got)
			}
			if got := r.value(conn, fmt.Sprintf("select tenant from t_%d.orders", k)); got != itoa(k) {
				t.Errorf("t_%d.orders: %s", k, got)
			}
			rows, _ := conn.Query(t.Context(), "explain (route) select * from orders")
			lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if text := strings.Join(lines, "\n"); err != nil || !strings.Contains(text, r.cluster.Shards[shard].Name) ||
				!strings.Contains(text, "orders of tenant "+itoa(k)+" by the search path") {
				t.Errorf("%s, %v", text, err)
			}
		}
	}
	r.refuses(conn, "0A000", fmt.Sprintf("select * from t_%d.orders, t_%d.orders", of[0][0], of[1][0]))
	if got := r.value(conn, fmt.Sprintf("select a.tenant + b.tenant from t_%d.orders a, t_%d.orders b", of[0][0], of[0][1])); got != itoa(of[0][0]+of[0][1]) {
		t.Error(got)
	}
	r.refuses(conn, "42P01", fmt.Sprintf("select * from t_0%d.orders", of[0][0]))
	r.exec(conn, "reset search_path")
	for _, tenants := range of {
		name := fmt.Sprintf("t_%d", tenants[0])
		if got := r.value(conn, "select count(*) from pg_namespace where nspname = $1", name); got != "1" {
			t.Errorf("%s schemas are called %s", got, name)
		}
		if got := r.value(conn, fmt.Sprintf("select nextval('%s.orders_id_seq')", name)); got != "2" {
			t.Error(got)
		}
	}
	r.refuses(conn, "42P01", "select * from orders")
	r.refuses(conn, "42P01", "insert into orders (tenant) values (1)")
}

// testSchemaPrepared has statements that were prepared under one tenant's path executed under another's, which PostgreSQL plans anew.
func testSchemaPrepared(t *testing.T, r *rig, of [2][]int64) {
	order := []int64{of[0][0], of[1][0], of[0][1], of[0][0], of[1][1], of[1][0]}
	for _, mode := range []string{"", simpleMode, "default_query_exec_mode=exec", "default_query_exec_mode=cache_describe"} {
		conn := r.connect(mode)
		for _, k := range order {
			r.path(conn, k)
			if got := r.value(conn, "select tenant from orders where id = $1", 1); got != itoa(k) {
				t.Errorf("%s: under the path of %d: %s", mode, k, got)
			}
			r.exec(conn, "update orders set country = 'de' where id = $1 and tenant = $2", 1, k)
		}
	}
	conn := r.connect()
	r.path(conn, of[0][0])
	r.exec(conn, "prepare p as select tenant from orders where id = $1")
	if _, err := conn.Prepare(t.Context(), "named", tenantOf); err != nil {
		t.Fatal(err)
	}
	for _, k := range order {
		r.path(conn, k)
		var got int64
		rows, err := conn.Query(t.Context(), "execute p(1)", pgx.QueryExecModeSimpleProtocol)
		if err == nil {
			got, err = pgx.CollectOneRow(rows, pgx.RowTo[int64])
		}
		if err != nil || got != k {
			t.Errorf("execute under the path of %d: %d, %v", k, got, err)
		}
		if got := r.value(conn, "named"); got != itoa(k) {
			t.Errorf("under the path of %d: %s", k, got)
		}
	}
	r.exec(conn, "reset search_path")
	r.refuses(conn, "42P01", "named")
}

func testSchemaSettings(t *testing.T, r *rig, of [2][]int64) {
	a, b := of[0][0], of[1][0]
	conn := r.connect(fmt.Sprintf("search_path=t_%d,public", a))
	sees := func(want int64) {
		t.Helper()
		if got := r.value(conn, tenantOf); got != itoa(want) {
			t.Fatalf("tenant %s, want %d", got, want)
		}
	}
	sees(a)
	r.value(conn, "select set_config('search_path', $1, false)", fmt.Sprintf("t_%d", b))
	sees(b)
	r.exec(conn, "reset search_path")
	sees(a)
	r.path(conn, b)
	r.exec(conn, "discard all")
	conn.DeallocateAll(t.Context())
	sees(a)
	r.exec(conn, fmt.Sprintf("set schema 't_%d'", b))
	sees(b)
	r.exec(conn, "begin")
	r.path(conn, a)
	r.exec(conn, "rollback")
	sees(b)
	r.exec(conn, "begin")
	r.exec(conn, fmt.Sprintf("set local search_path to t_%d", a))
	sees(a)
	r.exec(conn, "savepoint s")
	r.path(conn, b)
	sees(b)
	r.exec(conn, "rollback to s")
	sees(a)
	r.exec(conn, "commit")
	sees(b)
	r.exec(conn, "set pgdrover.tenant to "+itoa(b))
	sees(b)
	r.exec(conn, "set pgdrover.tenant to "+itoa(a))
	r.refuses(conn, "0A000", tenantOf)
}

// testSchemaBatches has the search path changed between messages that the client sends at once.
func testSchemaBatches(t *testing.T, r *rig, of [2][]int64) {
	for _, mode := range []string{"", "default_query_exec_mode=exec"} {
		conn := r.connect(mode)
		r.path(conn, of[0][0])
		for _, pair := range [][2]int64{{of[0][0], of[0][1]}, {of[0][1], of[0][0]}} {
			b := &pgx.Batch{}
			var got [2]int64
			for i, k := range pair {
				b.Queue(fmt.Sprintf("set search_path to t_%d", k))
				b.Queue("select tenant from orders where id = $1", 1).QueryRow(func(row pgx.Row) error { return row.Scan(&got[i]) })
			}
			if err := conn.SendBatch(t.Context(), b).Close(); err != nil || got != pair {
				t.Errorf("%s: %v, want %v: %v", mode, got, pair, err)
			}
		}
	}
	conn := r.connect(simpleMode)
	r.path(conn, of[0][0])
	r.refuses(conn, "0A000", fmt.Sprintf("set search_path to t_%d; select * from orders", of[1][0]))
	if got := r.value(conn, "show search_path"); !strings.Contains(got, itoa(of[0][0])) {
		t.Error(got)
	}
}

func testSchemaTransactions(t *testing.T, r *rig, of [2][]int64) {
	conn := r.connect()
	r.exec(conn, "begin")
	r.path(conn, of[0][0])
	r.exec(conn, "insert into orders (tenant) values (-1)")
	r.path(conn, of[0][1])
	r.exec(conn, "insert into orders (tenant) values (-1)")
	r.path(conn, of[1][0])
	if got := r.value(conn, tenantOf); got != itoa(of[1][0]) {
		t.Error(got)
	}
	r.refuses(conn, "0A000", "insert into orders (tenant) values (-1)")
	r.exec(conn, "rollback")
	for _, k := range []int64{of[0][0], of[0][1], of[1][0]} {
		if got := r.value(conn, fmt.Sprintf("select count(*) from t_%d.orders", k)); got != "1" {
			t.Errorf("tenant %d: %s rows", k, got)
		}
	}
}

func testSchemaDefinitions(t *testing.T, r *rig, of [2][]int64) {
	a, b := of[0][0], of[1][0]
	conn := r.connect()
	r.exec(conn, "begin")
	r.path(conn, b)
	r.exec(conn, "create table made (id int)")
	r.exec(conn, "create index made_id on made (id)")
	r.exec(conn, "insert into made values (1)")
	r.exec(conn, "alter table made add note text default 'x'")
	if got := r.value(conn, "select note from made"); got != "x" {
		t.Error(got)
	}
	r.exec(conn, "commit")
	r.exec(conn, "create index concurrently made_note on made (note)")
	count := "select count(*) from pg_class where relname in ('made', 'made_id', 'made_note')"
	if s1, s2 := r.on(r.cluster.Shards[0].Primary, count), r.on(r.cluster.Shards[1].Primary, count); s1 != "0" || s2 != "3" {
		t.Errorf("%s on s1, %s on s2", s1, s2)
	}
	r.exec(conn, "create function bump() returns trigger language plpgsql as $$ begin new.id = new.id + 1; perform set_config('x.y', '1', false); return new; end $$")
	r.exec(conn, "create trigger bump before insert on made for each row execute function bump()")
	if got := r.value(conn, "insert into made values (1) returning id"); got != "2" {
		t.Error(got)
	}
	if !r.db.place.Load().router.Catalog().Unsettling {
		t.Error("nobody knows of a function in a tenant's schema that changes settings")
	}
	other := r.connect()
	r.path(other, b)
	if _, err := other.Prepare(t.Context(), "columns", "select * from made"); err != nil {
		t.Fatal(err)
	}
	r.exec(other, "columns")
	r.exec(conn, "alter table made add more int")
	r.refuses(other, "0A000", "columns") // as PostgreSQL: its result has other columns
	missing := r.tenants(1, 3)[2]
	r.path(conn, missing)
	simple := r.connect(simpleMode)
	r.path(simple, missing)
	for _, sql := range []string{"create table lost (id int)", "create table lost as select 1", "create view lost as select 1"} {
		r.refuses(conn, "3F000", sql)
		r.refuses(simple, "3F000", sql)
	}
	r.exec(simple, fmt.Sprintf("create schema t_%d; create table first (id int); drop schema t_%d cascade", missing, missing))
	r.exec(conn, "begin")
	r.refuses(conn, "3F000", "create table lost (id int)")
	r.exec(conn, "rollback")
	r.exec(conn, "begin")
	r.exec(conn, fmt.Sprintf("create schema t_%d", missing))
	r.exec(conn, "create table found (id int)")
	r.exec(conn, "commit")
	r.everywhere("0", "select count(*) from pg_class where relname = 'lost' or relname = 'found' and relnamespace = 'public'::regnamespace")
	r.path(conn, b)
	for _, sql := range []string{
		fmt.Sprintf("drop schema t_%d, t_%d cascade", a, b), fmt.Sprintf("drop table t_%d.made, countries", b), "drop table countries",
		fmt.Sprintf("alter schema t_%d rename to t_%d", a, b), "create extension hstore",
	} {
		r.refuses(conn, "0A000", sql)
	}
	r.exec(conn, "create table public.everywhere (id int)")
	r.hasTable("everywhere", "1")
	r.exec(conn, "drop table public.everywhere")
	r.exec(conn, fmt.Sprintf("drop schema t_%d cascade", b))
	r.refuses(conn, "42P01", fmt.Sprintf("select * from t_%d.orders", b))
	if got := r.value(conn, fmt.Sprintf("select tenant from t_%d.orders", a)); got != itoa(a) {
		t.Error(got)
	}
}

func testSchemaShared(t *testing.T, r *rig, of [2][]int64) {
	conn := r.connect()
	for shard, tenants := range of {
		k := tenants[0]
		r.path(conn, k)
		if got := r.value(conn, "select name from orders join countries on code = country"); got != "Germany" {
			t.Error(got)
		}
		r.exec(conn, "insert into migrations values (1)")
		r.refuses(conn, "0A000", "insert into countries values ('xx', '')")
		r.exec(conn, fmt.Sprintf("insert into public.countries values ('%d', 'made')", k))
		r.everywhere("1", fmt.Sprintf("select count(*) from countries where code = '%d'", k))
		r.refuses(conn, "0A000", "select * from stray")
		if shard == 0 {
			r.exec(conn, "insert into settings values ('a')")
		} else {
			r.refuses(conn, "0A000", "select * from settings")
		}
		if got := r.value(conn, "select count(*) from migrations"); got != "1" {
			t.Errorf("migrations of tenant %d: %s", k, got)
		}
		if got := r.value(conn, "select to_regclass('orders')::text"); got != "orders" {
			t.Error(got)
		}
		if got := r.value(conn, "select nextval('orders_id_seq')"); got != "2" {
			t.Error(got)
		}
		if n, err := conn.CopyFrom(t.Context(), pgx.Identifier{"orders"}, []string{"tenant"}, pgx.CopyFromRows([][]any{{k}, {k}})); n != 2 || err != nil {
			t.Error(n, err)
		}
		if got := r.value(conn, "select count(*) from orders"); got != "3" {
			t.Error(got)
		}
	}
	r.everywhere("0", "select count(*) from migrations")
	r.exec(conn, "reset search_path")
	r.exec(conn, "insert into migrations values (2)")
	r.everywhere("1", "select count(*) from migrations")
}

// testSchemaChanges parts no tenant from its schema.
func testSchemaChanges(t *testing.T, r *rig, of [2][]int64) {
	k := of[0][0]
	pinned := r.file + fmt.Sprintf("pins: {\"%d\": s2}\n", k)
	r.refusesChange(pinned, fmt.Sprintf("tenant %d has the schema t_%d on shard s1", k, k))
	conn := r.connect()
	r.exec(conn, fmt.Sprintf("drop schema t_%d cascade", k))
	r.mustChange(pinned)
	r.exec(conn, fmt.Sprintf("create schema t_%d create table orders (tenant bigint)", k))
	if got := r.on(r.cluster.Shards[1].Primary, fmt.Sprintf("select count(*) from t_%d.orders", k)); got != "0" {
		t.Error(got)
	}
}

// testSchemaMany has clients of all tenants take turns on few backends.
func testSchemaMany(t *testing.T, r *rig, of [2][]int64) {
	var group sync.WaitGroup
	all := append(append([]int64(nil), of[0]...), of[1]...)
	for c := range 8 {
		conn := r.connect()
		group.Go(func() {
			for i := range 40 {
				if err := visit(t.Context(), conn, all[(c*7+i)%len(all)]); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	conn := r.connect()
	for _, k := range all {
		r.path(conn, k)
		if got := r.value(conn, "select count(*) from orders where tenant <> $1", k); got != "0" {
			t.Errorf("tenant %d has %s rows of others", k, got)
		}
	}
}

// visit reads and writes as a tenant.
func visit(ctx context.Context, conn *pgx.Conn, k int64) error {
	if _, err := conn.Exec(ctx, fmt.Sprintf("set search_path to t_%d, public", k)); err != nil {
		return err
	}
	var got int64
	if err := conn.QueryRow(ctx, "select tenant from orders where id = $1", 1).Scan(&got); err != nil || got != k {
		return fmt.Errorf("under the path of %d: %d, %v", k, got, err)
	}
	_, err := conn.Exec(ctx, "insert into orders (tenant) values ($1)", k)
	return err
}
