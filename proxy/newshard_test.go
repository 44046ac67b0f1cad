package proxy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/shardmap"
)

// third is a connection to the database of thirdShard, past the proxy.
func (r *rig) third() *pgx.Conn {
	r.t.Helper()
	cfg, err := pgx.ParseConfig(r.cluster.Shards[0].Primary.URL())
	if err != nil {
		r.t.Fatal(err)
	}
	cfg.Database = "third"
	conn, err := pgx.ConnectConfig(r.t.Context(), cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// countriesSQL is all that is in the table.
const countriesSQL = "select count(*) || ' ' || coalesce(md5(string_agg(c::text, '|' order by code)), '') from countries c"

// sameCountries checks that all three shards have the same countries, and returns them as countriesSQL does.
func (r *rig) sameCountries(third *pgx.Conn) string {
	r.t.Helper()
	want := r.value(third, countriesSQL)
	r.everywhere(want, countriesSQL)
	return want
}

// TestNewShardUnderLoad adds a shard while clients write a reference table: all shards have all that was acknowledged.
func TestNewShardUnderLoad(t *testing.T) {
	r := startRig(t, sharedCluster(t), rigOptions{wait: 10 * time.Second})
	conn := r.connect()
	r.exec(conn, "insert into countries select 'c' || n, 'as it was' from generate_series(1, 2000) n")
	third := r.thirdShard()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var group sync.WaitGroup
	var written, read atomic.Int64
	acknowledged := make([][]string, 3)
	for g := range acknowledged {
		conn := r.connect([]string{"", simpleMode, "default_query_exec_mode=exec"}[g])
		group.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				code := fmt.Sprintf("%d-%d", g, i)
				if err := writeCountry(conn, code, i%2 == 0); err == nil {
					acknowledged[g] = append(acknowledged[g], code)
					written.Add(1)
				} else if !isCode(err, "40001") { // a transaction that the change came between
					t.Errorf("under load: %v", err)
					return
				}
			}
		})
	}
	tenant := r.tenants(1, 1)[0]
	other := r.connect()
	group.Go(func() {
		queryAll(ctx, t, other, &read, func(conn *pgx.Conn, i int) error {
			_, err := conn.Exec(context.Background(), "insert into orders values ($1, $2)", tenant, i)
			return err
		})
	})
	more := func() {
		wrote, did := written.Load(), read.Load()
		r.eventually("the load goes on", func() bool { return t.Failed() || written.Load() > wrote+20 && read.Load() > did+20 })
	}
	more()
	r.mustChange(third)
	more()
	stop()
	group.Wait()
	at := r.third()
	r.sameCountries(at)
	for _, codes := range acknowledged {
		if n := r.value(at, "select count(*)::text from countries where code = any($1)", codes); n != fmt.Sprint(len(codes)) {
			t.Errorf("%s of %d countries that were acknowledged are there", n, len(codes))
		}
	}
	if n := r.value(at, "select count(*)::text from countries where name = 'as it was'"); n == "2000" {
		t.Error("no update has arrived")
	}
}

// writeCountry inserts a country and updates another, in one statement or two of a transaction.
func writeCountry(conn *pgx.Conn, code string, together bool) error {
	ctx := context.Background()
	if !together {
		_, err := conn.Exec(ctx, "insert into countries values ($1, 'new')", code)
		return err
	}
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "insert into countries values ($1, 'new')", code); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "update countries set name = $1 where code = 'c17'", code)
		return err
	})
}

// TestNewShardSecond adds a shard to the first one, in transaction and in session mode, while clients write a reference table.
func TestNewShardSecond(t *testing.T) {
	c := pgcluster.Test(t, pgcluster.Config{})
	for name, mode := range map[string]Mode{"transaction": ModeTransaction, "session": ModeSession} {
		t.Run(name, func(t *testing.T) {
			r := startRig(t, c, rigOptions{mode: mode, wait: 10 * time.Second})
			third := r.thirdShard()
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			var group sync.WaitGroup
			var written atomic.Int64
			for g := range 3 {
				conn := r.connect([]string{"", simpleMode, "default_query_exec_mode=exec"}[g])
				group.Go(func() {
					queryAll(ctx, t, conn, &written, func(conn *pgx.Conn, i int) error {
						err := writeCountry(conn, fmt.Sprintf("%d-%d", g, i), i%2 == 0)
						if isCode(err, "40001") || mode == ModeSession && isCode(err, "0A000") { // a batch that its only backend had begun
							return nil
						}
						return err
					})
				})
			}
			more := func() {
				wrote := written.Load()
				r.eventually("the load goes on", func() bool { return t.Failed() || written.Load() > wrote+20 })
			}
			more()
			r.mustChange(third)
			more()
			stop()
			group.Wait()
			if got := r.sameCountries(r.third()); strings.HasPrefix(got, "0 ") {
				t.Error(got)
			}
		})
	}
}

// TestNewShardInAFleet has a proxy that does not know the new shard yet write on: when it takes up the map, all is the same again.
func TestNewShardInAFleet(t *testing.T) {
	r := startRig(t, sharedCluster(t), rigOptions{wait: 10 * time.Second})
	late := startRig(t, r.cluster, rigOptions{keep: true, tables: demoTables, wait: 10 * time.Second})
	early, behind := r.connect(), late.connect()
	r.exec(early, "insert into countries values ('de', 'Germany'), ('fr', 'France')")
	third := r.thirdShard()
	r.mustChange(third)
	at := r.third()
	r.sameCountries(at)

	late.exec(behind, "insert into countries values ('it', 'Italy')")
	late.exec(behind, "delete from countries where code = 'fr'")
	r.exec(early, "insert into countries values ('es', 'Spain')")
	if n := r.value(at, "select count(*)::text from countries"); n != "3" {
		t.Fatalf("%s countries on the new shard: it hears of those of one proxy only", n)
	}
	late.mustChange(third)
	if got := r.sameCountries(at); !strings.HasPrefix(got, "3 ") {
		t.Fatal(got)
	}
	late.exec(behind, "insert into countries values ('at', 'Austria')")
	r.sameCountries(at)
}

// TestNewShardRefused has what stands against a new shard: the map in force stays, and so does what is on the shard.
func TestNewShardRefused(t *testing.T) {
	r := startRig(t, sharedCluster(t), rigOptions{})
	conn := r.connect()
	r.exec(conn, "insert into countries values ('de', 'Germany'), ('fr', 'France')")
	third := r.thirdShard()
	at := r.third()

	r.exec(at, "insert into countries values ('de', 'Germany'), ('fr', 'Frankreich')")
	r.refusesChange(third, "empty the table on shard s0 and try again")
	if got := r.value(at, "select name from countries where code = 'fr'"); got != "Frankreich" {
		t.Fatal(got)
	}
	r.exec(at, "drop table countries")
	r.refusesChange(third, "public.countries is missing there")
	r.exec(at, "create table countries (code text primary key, name varchar(10))")
	r.refusesChange(third, "character varying(10)")
	r.exec(at, "drop table countries")
	r.exec(at, "create table countries (name text, code text primary key)") // another order of columns is no difference

	r.exec(at, `create function shout() returns trigger language plpgsql as $$ begin new.name := upper(new.name); return new; end $$`)
	r.exec(at, "create trigger shout before insert on countries for each row execute function shout()")
	r.refusesChange(third, "does a trigger or a rule there change them")
	if got := r.value(at, "select count(*)::text from countries"); got != "0" {
		t.Fatal(got)
	}
	r.exec(at, "drop trigger shout on countries")

	r.on(r.cluster.Shards[1].Primary, "insert into countries values ('xx', 'by hand')")
	r.refusesChange(third, "differs on the shards that were there")
	r.on(r.cluster.Shards[1].Primary, "delete from countries where code = 'xx'")

	r.mustChange(third)
	r.everywhere("2", "select count(*) from countries")
	if got := r.value(at, "select string_agg(code || name, ' ' order by code) from countries"); got != "deGermany frFrance" {
		t.Fatal(got)
	}
}

// TestNewShardHasRows takes up a shard that has the same rows already.
func TestNewShardHasRows(t *testing.T) {
	r := startRig(t, sharedCluster(t), rigOptions{})
	r.exec(r.connect(), "insert into countries values ('de', 'Germany'), ('fr', null)")
	third := r.thirdShard()
	at := r.third()
	r.exec(at, "insert into countries values ('fr', null), ('de', 'Germany')")
	before := r.value(at, "select max(xmin::text) from countries")
	r.mustChange(third)
	if after := r.value(at, "select max(xmin::text) from countries"); after != before {
		t.Fatal("the rows were written again")
	}
}

// TestNewShardWaits is refused while a transaction that has written a reference table stays open.
func TestNewShardWaits(t *testing.T) {
	r := startRig(t, sharedCluster(t), rigOptions{})
	conn := r.connect()
	third := r.thirdShard()
	r.exec(conn, "begin")
	r.exec(conn, "insert into countries values ('de', 'Germany')")
	if err := r.change(third); err == nil || !strings.Contains(err.Error(), "still open") {
		t.Fatal(err)
	}
	r.exec(conn, "commit")
	r.mustChange(third)
	r.sameCountries(r.third())
}

// wideTables have all that makes copying rows hard: foreign keys, in a circle too, columns that PostgreSQL fills, partitions, sequences.
var wideTables = []string{
	`create type mood as enum ('sad', 'glad')`,
	`create table regions (id int generated always as identity primary key, parent int references regions, "Name" text not null, boss int)`,
	`create table people (id serial primary key, region int not null references regions, born date, length float8, feels mood[],
		twice int generated always as (2 * id) stored, notes bytea)`,
	`alter table regions add foreign key (boss) references people deferrable`,
	`create table parted (k int primary key, v text) partition by range (k)`,
	`create table parted_low partition of parted for values from (minvalue) to (10)`,
	`create table parted_high partition of parted for values from (10) to (maxvalue)`,
	`create schema other`,
	`create table other.things (who int primary key references people on delete cascade)`,
}

const wideReferences = "tables: {regions: reference, people: reference, parted: reference, other.things: reference}\n"

// TestNewShardWide copies tables that are hard to copy, and twice.
func TestNewShardWide(t *testing.T) {
	schema := append([]string{"drop schema if exists other cascade", "drop type if exists mood"}, wideTables...)
	r := startRig(t, sharedCluster(t), rigOptions{schema: schema, tables: wideReferences})
	t.Cleanup(func() {
		for _, sh := range r.cluster.Shards {
			_, _ = sh.Primary.Query(context.Background(), "drop schema other cascade")
		}
	})
	for _, sql := range []string{
		`insert into regions (parent, "Name") values (null, 'all' || chr(10) || '\N'), (1, 'part')`,
		`insert into people (region, born, length, feels, notes) values (2, '1970-01-02', 0.1, '{glad,sad}', '\x00ff5c'), (1, null, 'nan', null, null)`,
		`update regions set boss = 2 where id = 1`,
		`insert into parted select n, 'v' || n from generate_series(1, 20) n`,
		`insert into other.things values (1), (2)`,
	} {
		for _, sh := range r.cluster.Shards {
			r.on(sh.Primary, sql)
		}
	}
	third := r.thirdShard()
	at := r.third()
	for _, sql := range wideTables {
		r.exec(at, sql)
	}
	r.mustChange(third)
	all := `select md5((select string_agg(x::text, '|' order by id) from regions x) || (select string_agg(x::text, '|' order by id) from people x)
		|| (select string_agg(x::text, '|' order by k) from parted x) || (select string_agg(x::text, '|' order by who) from other.things x))`
	r.everywhere(r.value(at, all), all)
	for _, seq := range []string{"regions_id_seq", "people_id_seq"} {
		if got := r.value(at, "select nextval('"+seq+"')::text"); got != "3" {
			t.Errorf("%s goes on with %s", seq, got)
		}
	}
	r.exec(at, "delete from parted where k = 3") // as if another proxy had not told this shard of a row
	r.mustChange(strings.Replace(third, third[strings.Index(third, "  - name: s0"):strings.Index(third, "  - name: s1")], "", 1))
	r.mustChange(third)
	r.everywhere(r.value(at, all), all)
}

// TestNewShardCircle refuses foreign keys that leave no order to copy in.
func TestNewShardCircle(t *testing.T) {
	schema := []string{"create table a (id int primary key, b int)", "create table b (id int primary key references a)", "alter table a add foreign key (b) references b",
		"insert into a values (1)"}
	r := startRig(t, sharedCluster(t), rigOptions{schema: schema, tables: "tables: {a: reference, b: reference}\n"})
	third := r.thirdShard()
	at := r.third()
	for _, sql := range schema[:3] {
		r.exec(at, sql)
	}
	r.exec(r.connect(), "insert into b values (1)")
	r.refusesChange(third, "public.a, public.b go in a circle: make one of them DEFERRABLE")
}

// slowly has rows that are copied to the third shard wait for as long as somebody holds a lock.
const slowly = `create function slowly() returns trigger language plpgsql as $$ begin
	if new.code = 'c900' then perform pg_advisory_xact_lock(4711); end if; return new; end $$;
	create trigger slowly before insert on countries for each row execute function slowly()`

// TestNewShardInterrupted has the copy fail when it is half done, in each way: nothing is left on the shard, and the next try succeeds.
func TestNewShardInterrupted(t *testing.T) {
	r := startRig(t, sharedCluster(t), rigOptions{})
	r.exec(r.connect(), "insert into countries select 'c' || n, repeat('x', 1000) from generate_series(1, 1000) n")
	third := r.thirdShard()
	at, holder := r.third(), r.third()
	if _, err := at.Exec(t.Context(), slowly, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	copying := "from pg_stat_activity where datname = 'third' and application_name = 'pgdrover' and wait_event = 'advisory'"
	for way, interrupt := range map[string]func(stop context.CancelFunc){
		"the server ends the backend": func(context.CancelFunc) { r.exec(at, "select pg_terminate_backend(pid) "+copying) },
		"the operator stops it":       func(stop context.CancelFunc) { stop() },
	} {
		t.Run(way, func(t *testing.T) {
			r.exec(holder, "select pg_advisory_lock(4711)")
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			before, done := r.db.Map(), make(chan error, 1)
			go func() { done <- r.db.Change(ctx, r.parse(third, before.Lock()), r.server) }()
			r.eventually("the copy is under way", func() bool { return r.value(at, "select count(*)::text "+copying) == "1" })
			interrupt(stop)
			if err := <-done; err == nil || r.db.Map() != before {
				t.Fatalf("the map has changed (%v)", err)
			}
			r.exec(holder, "select pg_advisory_unlock(4711)")
			r.eventually("the server has noticed", func() bool { return r.value(at, "select count(*)::text "+copying) == "0" })
			if n := r.value(at, "select count(*)::text from countries"); n != "0" {
				t.Fatalf("%s rows were left", n)
			}
		})
	}
	r.exec(at, "drop trigger slowly on countries")
	r.mustChange(third)
	r.sameCountries(at)
}

// TestNewShardDown is refused while the shard cannot be reached, and a map without reference tables has nothing to ask it.
func TestNewShardDown(t *testing.T) {
	r := startRig(t, sharedCluster(t), rigOptions{})
	down := strings.Replace(r.file, "shards:\n", "shards:\n  - name: s0\n    primary: {host: 127.0.0.1, port: 1}\n", 1)
	before := r.db.Map()
	var unreached *pool.Error
	if err := r.change(down); !errors.As(err, &unreached) || r.db.Map() != before {
		t.Fatal(err)
	}
	r.mustChange(strings.Replace(r.file, demoTables, "", 1))
	if err := r.change(strings.Replace(down, demoTables, "", 1)); err != nil {
		t.Fatal(err)
	}
}

// TestNewcomers says which shards are filled.
func TestNewcomers(t *testing.T) {
	r := startRig(t, sharedCluster(t), rigOptions{})
	parse := func(text string) *shardmap.Map { return r.parse(text, r.db.Map().Lock()) }
	more := strings.Replace(r.file, "shards:\n", "shards:\n  - name: s0\n    primary: {host: 127.0.0.1, port: 1}\n", 1)
	pinned := more + "pins: {\"1\": s0}\n"
	home := strings.Replace(more, demoTables, demoTables+"  logs: {on: s0}\n", 1)
	for _, c := range []struct {
		name, before, after string
		want                []string
	}{
		{"nothing", r.file, r.file, nil}, {"a shard", r.file, more, []string{"s0"}}, {"the same again", more, more, nil}, {"a shard that goes", more, r.file, nil},
		{"another primary", more, strings.Replace(more, "port: 1}", "port: 2}", 1), []string{"s0"}}, {"another primary of one that serves", pinned, strings.Replace(pinned, "port: 1}", "port: 2}", 1), nil},
		{"its first pin", more, pinned, []string{"s0"}}, {"the same pin", pinned, pinned, nil}, {"its first table", more, home, []string{"s0"}}, {"more than it had", home, pinned, nil},
	} {
		if got := newcomers(parse(c.before), parse(c.after)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
