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

	"github.com/pgdrover/pgdrover/shardmap"
)

// change puts an edited map in force.
func (r *rig) change(file string) error {
	r.t.Helper()
	return r.db.Change(r.t.Context(), r.parse(file, r.db.Map().Lock()), r.server)
}

func (r *rig) mustChange(file string) {
	r.t.Helper()
	if err := r.change(file); err != nil {
		r.t.Fatal(err)
	}
	r.file = file
}

func (r *rig) refusesChange(file, word string) {
	r.t.Helper()
	before := r.db.Map()
	err := r.change(file)
	var refused *RefusedError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), word) {
		r.t.Fatalf("got %v, want a refusal that says %q", err, word)
	}
	if r.db.Map() != before {
		r.t.Fatal("the map in force has changed")
	}
}

// TestChangeUnderLoad edits the map in every way that is allowed while clients read and write.
func TestChangeUnderLoad(t *testing.T) {
	schema := append(slices.Clone(demoSchema), "create table fresh (code text primary key)")
	r := replicaRig(t, rigOptions{sticky: time.Millisecond, wait: 5 * time.Second, size: 10, schema: schema, tables: demoTables})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var done atomic.Int64
	var group sync.WaitGroup
	for g := range 6 {
		conn := r.connect([]string{"", simpleMode, "default_query_exec_mode=exec"}[g%3])
		group.Go(func() {
			queryAll(ctx, t, conn, &done, func(conn *pgx.Conn, i int) error {
				k := int64(100 + (i*7+g)%40)
				err := pgx.BeginFunc(context.Background(), conn, func(tx pgx.Tx) error {
					if _, err := tx.Exec(context.Background(), "insert into orders values ($1, $2)", k, g*1_000_000+i); err != nil {
						return err
					}
					var n int
					return tx.QueryRow(context.Background(), "select count(*) from orders, countries where tenant_id = $1", k).Scan(&n)
				})
				if err != nil {
					return err
				}
				var v string
				return conn.QueryRow(context.Background(), whereAmI, k).Scan(&v)
			})
		})
	}
	other := r.connect()
	whole := r.file
	less := strings.Replace(whole, replicaLines(r, 0), "", 1)
	if less == whole {
		t.Fatal("no replica to remove")
	}
	third := r.thirdShard()
	pin := fmt.Sprintf("pins: {\"%d\": s2}\n", r.tenants(0, 200)[199])
	for _, file := range []string{less, whole, strings.Replace(whole, "- name: s1", "- name: s1\n    weight: 2", 1), whole + pin,
		whole + "  fresh: reference\n", whole, third, whole} {
		from := done.Load()
		r.eventually("the load goes on", func() bool { return t.Failed() || done.Load() > from+60 })
		r.mustChange(file)
		r.exec(other, "create table later (tenant_id bigint)") // the catalog is read again
		r.exec(other, "insert into later values (7)")
		r.exec(other, "drop table later")
	}
	from := done.Load()
	r.eventually("the load goes on", func() bool { return t.Failed() || done.Load() > from+60 })
	stop()
	group.Wait()
	for i, sh := range r.cluster.Shards {
		rows, err := sh.Primary.Query(t.Context(), "select distinct tenant_id from orders")
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			var k int64
			fmt.Sscan(row[0], &k)
			if r.shardOf(k) != i {
				t.Errorf("tenant %d has rows on %s", k, sh.Name)
			}
		}
	}
}

// thirdShard is the map with one shard more, before the others, in a database of its own.
func (r *rig) thirdShard() string {
	r.t.Helper()
	at := r.cluster.Shards[0].Primary
	r.on(at, "create database third owner "+r.cluster.User)
	r.t.Cleanup(func() { _, _ = at.Query(context.Background(), "drop database third with (force)") })
	if strings.Contains(r.file, "countries: reference") {
		r.exec(r.third(), "create table countries (code text primary key, name text)")
	}
	return strings.Replace(r.file, "shards:\n", fmt.Sprintf("shards:\n  - name: s0\n    primary: {host: %s, port: %d, dbname: third}\n", at.Host, at.Port), 1)
}

// TestChangeAssigns gives a new shard its partitions: while they are empty, and not before.
func TestChangeAssigns(t *testing.T) {
	r := replicaRig(t, rigOptions{})
	conn, holding := r.connect(), r.connect()
	third := r.thirdShard()
	r.mustChange(third)
	for _, sql := range demoSchema {
		r.exec(conn, strings.Replace(sql, "create table", "create table if not exists", 1))
	}
	file, err := shardmap.Parse("shardmap.yaml", []byte(third))
	if err != nil {
		t.Fatal(err)
	}
	lock, moves, err := shardmap.Assign(file, r.db.Map().Lock())
	if err != nil || len(moves) == 0 {
		t.Fatal(moves, err)
	}
	next, err := shardmap.New(file, lock)
	if err != nil {
		t.Fatal(err)
	}
	k := int64(1)
	for next.Shard(next.Locate(shardmap.BigintKey(k))).Name != "s0" {
		k++
	}
	r.exec(conn, "insert into orders values ($1, 1)", k)
	var refused *RefusedError
	if err := r.db.Change(t.Context(), next, r.server); !errors.As(err, &refused) || !strings.Contains(err.Error(), "public.orders") {
		t.Fatal(err)
	}
	r.exec(conn, "delete from orders where tenant_id = $1", k)
	if err := r.db.Change(t.Context(), next, r.server); err != nil {
		t.Fatal(err)
	}
	r.exec(conn, "insert into orders values ($1, 1)", k)
	for i, sh := range r.cluster.Shards {
		if got := r.on(sh.Primary, "select count(*) from orders"); got != "0" {
			t.Fatalf("%s rows on shard %d", got, i+1)
		}
	}
	if got := r.value(conn, "select current_database() || count(*) from orders where tenant_id = $1", k); got != "third1" {
		t.Fatal(got)
	}
	r.exec(conn, "delete from orders where tenant_id = $1", k)
	r.exec(holding, "set pgdrover.tenant = "+itoa(k))
	r.exec(holding, "create temp table mine (id int)")
	if got := r.value(holding, "select current_database()"); got != "third" {
		t.Fatal(got)
	}
	before := r.parse(r.file, nil)
	r.file = strings.Replace(r.file, third[strings.Index(third, "  - name: s0"):strings.Index(third, "  - name: s1")], "", 1)
	if err := r.db.Change(t.Context(), r.parse(r.file, nil), r.server); err != nil {
		t.Fatal(err)
	}
	if before.ShardCount() != 3 || r.db.Map().ShardCount() != 2 {
		t.Fatal("the third shard is not gone")
	}
	if _, err := holding.Exec(t.Context(), "select * from mine"); !isCode(err, "57P01") || !holding.IsClosed() {
		t.Fatalf("a session that holds a backend of the shard that is gone: %v", err)
	}
	r.exec(conn, "insert into orders values ($1, 1)", k)
}

// replicaLines are the lines of the map that name a shard's replica.
func replicaLines(r *rig, shard int) string {
	n := r.cluster.Shards[shard].Replicas[0]
	return fmt.Sprintf("    replicas:\n      - {host: %s, port: %d}\n", n.Host, n.Port)
}

func TestChangeRefused(t *testing.T) {
	r := replicaRig(t, rigOptions{})
	a, free := r.tenants(0, 2)[0], r.tenants(0, 2)[1]
	conn := r.connect()
	r.exec(conn, "insert into users values ($1, 1)", a)
	r.refusesChange(r.file+fmt.Sprintf("pins: {\"%d\": s2}\n", a), "public.users on shard s1")
	r.exec(conn, "insert into users values ($1, 2)", a)

	r.mustChange(r.file + fmt.Sprintf("pins: {\"%d\": s2}\n", free))
	r.exec(conn, "insert into users values ($1, 1)", free)
	if got := r.on(r.cluster.Shards[1].Primary, "select count(*) from users where tenant_id = "+itoa(free)); got != "1" {
		t.Fatal("the pin is not in force")
	}
	r.refusesChange(strings.Split(r.file, "pins:")[0], "public.users on shard s2")

	r.refusesChange(strings.Replace(r.file, "tables:\n", "tables:\n  users: reference\n", 1), "differs")
	r.exec(conn, "insert into countries values ('de', 'Germany')")
	r.refusesChange(strings.Replace(r.file, "countries: reference", "countries: {on: s1}", 1), "public.countries has rows on shard s2")
	r.exec(conn, "delete from countries")
	r.mustChange(strings.Replace(r.file, "countries: reference", "countries: {on: s1}", 1))
	r.exec(conn, "insert into countries values ('de', 'Germany')")
	if got := r.on(r.cluster.Shards[1].Primary, "select count(*) from countries"); got != "0" {
		t.Fatal("the table's kind is not in force")
	}
}

// TestChangeWaits has a transaction that a change concerns be open: the change waits, holds new ones, and gives up.
func TestChangeWaits(t *testing.T) {
	r := replicaRig(t, rigOptions{})
	k := r.tenants(0, 1)[0]
	other := r.tenants(0, 2)[1]
	pinned := r.file + fmt.Sprintf("pins: {\"%d\": s2}\n", k)
	open, late, free := r.connect(), r.connect(), r.connect()
	r.exec(open, "begin")
	r.value(open, "select count(*) from users where tenant_id = $1", k)

	changed := make(chan error, 1)
	go func() { changed <- r.db.Change(context.Background(), r.parse(pinned, r.db.Map().Lock()), r.server) }()
	r.eventually("the gate is closed", func() bool { return r.db.gate.closed.Load() != nil })
	answered := make(chan error, 1)
	go func() {
		_, err := late.Exec(context.Background(), "insert into orders values ($1, 1)", k)
		answered <- err
	}()
	r.exec(free, "insert into users values ($1, 1)", other)
	r.value(open, "select count(*) from users where tenant_id = $1", k) // it goes on
	select {
	case err := <-answered:
		t.Fatalf("a new transaction of the tenant was not held: %v", err)
	case err := <-changed:
		t.Fatalf("the change did not wait: %v", err)
	default:
	}
	err := <-changed
	if err == nil || !strings.Contains(err.Error(), "still open") {
		t.Fatal(err)
	}
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	r.exec(open, "commit")
	r.exec(open, "delete from orders where tenant_id = $1", k)
	if got := r.on(r.cluster.Shards[1].Primary, "select count(*) from orders"); got != "0" {
		t.Fatal("the old map is not in force")
	}

	// A transaction that ends in time lets the change go on, and who was held goes where the new map says.
	r.exec(open, "begin")
	r.value(open, "select count(*) from users where tenant_id = $1", k)
	go func() { changed <- r.db.Change(context.Background(), r.parse(pinned, r.db.Map().Lock()), r.server) }()
	r.eventually("the gate is closed", func() bool { return r.db.gate.closed.Load() != nil })
	go func() {
		_, err := late.Exec(context.Background(), "insert into orders values ($1, 1)", k)
		answered <- err
	}()
	r.eventually("it is held", func() bool { return len(r.db.gateWaiters()) == 1 })
	r.exec(open, "commit")
	if err := <-changed; err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	if got := r.on(r.cluster.Shards[1].Primary, "select count(*) from orders where tenant_id = "+itoa(k)); got != "1" {
		t.Fatal("the new map is not in force")
	}
}

func (d *Database) gateWaiters() []*session {
	d.gate.waiters.mu.Lock()
	defer d.gate.waiters.mu.Unlock()
	var all []*session
	for s := range d.gate.waiters.all {
		all = append(all, s)
	}
	return all
}

// TestChangeDuringTransaction ends transactions on the map they began with, and has sessions that hold a backend follow.
func TestChangeDuringTransaction(t *testing.T) {
	r := replicaRig(t, rigOptions{})
	k, b := r.tenants(0, 1)[0], r.tenants(1, 1)[0]
	conn, holding := r.connect(), r.connect()
	r.exec(holding, "create temp table mine (id int)")
	r.exec(conn, "begin")
	r.exec(conn, "insert into orders values ($1, 1)", k)
	r.exec(holding, "insert into mine values (0)")
	// The same shards in another order, and one replica less.
	lines := strings.SplitAfter(r.file, "\n")
	head := strings.Join(lines[:3], "")
	one, two := strings.Join(lines[3:7], ""), strings.Join(lines[7:11], "")
	r.mustChange(head + two + strings.Replace(one, replicaLines(r, 0), "", 1) + demoTables)
	r.exec(conn, "insert into orders values ($1, 2)", k)
	if got := r.value(conn, "select count(*) from orders where tenant_id = $1", b); got != "0" {
		t.Fatal(got)
	}
	r.exec(conn, "commit")
	r.exec(holding, "insert into mine values (1)")
	for _, k := range []int64{k, b} {
		r.exec(holding, "insert into orders values ($1, 3)", k)
		r.exec(conn, "insert into orders values ($1, 4)", k)
	}
	for i, want := range []string{"4", "2"} {
		if got := r.on(r.cluster.Shards[i].Primary, "select count(*) from orders"); got != want {
			t.Fatalf("shard %d: %s rows, want %s", i, got, want)
		}
	}
	if got := r.value(holding, "select count(*) from mine"); got != "2" {
		t.Fatal(got)
	}
}
