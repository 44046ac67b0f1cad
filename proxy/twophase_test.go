package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func jointRig(t *testing.T) *rig {
	r := startRig(t, sharedCluster(t), rigOptions{twoPhase: true, wait: 10 * time.Second})
	for _, sh := range r.cluster.Shards {
		r.on(sh.Primary, "truncate pgdrover.decision")
	}
	return r
}

// leftNothing checks that no part of a transaction of PgDrover's is prepared on any shard.
func (r *rig) leftNothing() {
	r.t.Helper()
	r.everywhere("0", "select count(*) from pg_prepared_xacts where gid like 'pgdrover:%'")
}

// decisions is how many there are on a shard, and of which kind.
func (r *rig) decisions(shard int) string {
	r.t.Helper()
	return r.on(r.cluster.Shards[shard].Primary, "select coalesce(string_agg(case when committed then 'commit' else 'rollback' end, ' '), 'none') from pgdrover.decision")
}

func TestTwoPhaseCommit(t *testing.T) {
	for name, run := range map[string]func(*testing.T, *rig){
		"writers": testJointWriters, "one writer": testJointOneWriter, "a writer that cannot commit": testJointFails, "savepoints": testJointSavepoints,
		"definitions": testJointDefinitions, "what cannot be prepared": testJointUnprepared, "roles and settings": testJointRole,
		"a batch": testJointBatch, "cancelled": testJointCancelled, "without a table of decisions": testJointWithoutTable, "off again": testJointOff,
	} {
		t.Run(name, func(t *testing.T) { run(t, jointRig(t)) })
	}
}

func testJointWriters(t *testing.T, r *rig) {
	a, b := r.tenants(0, 1)[0], r.tenants(1, 1)[0]
	for _, mode := range []string{"", simpleMode} {
		conn := r.connect(mode)
		for _, end := range []string{"commit", "rollback"} {
			r.exec(conn, "begin")
			r.exec(conn, "insert into orders values ($1, 1, 'b')", b)
			r.exec(conn, "insert into orders values ($1, 1, 'a')", a)
			r.exec(conn, "insert into countries values ('de', 'Germany')")
			if tag := r.exec(conn, end); tag != strings.ToUpper(end) {
				t.Fatal(tag)
			}
			want := map[string]string{"commit": "1", "rollback": "0"}[end]
			r.everywhere(want, "select count(*) from orders")
			r.everywhere(want, "select count(*) from countries")
			r.leftNothing()
			r.exec(conn, "begin")
			r.exec(conn, "delete from orders where tenant_id = $1", a)
			r.exec(conn, "delete from orders where tenant_id = $1", b)
			r.exec(conn, "delete from countries")
			r.exec(conn, "commit and chain")
			r.exec(conn, "commit")
			r.everywhere("0", "select count(*) from orders")
		}
	}
	if got := r.db.TwoPhase(); got.Commits != 6 || got.Rollbacks != 0 || got.Finished+got.Discarded != 0 {
		t.Fatalf("%+v", got)
	}
}

// testJointOneWriter has transactions that need no second phase.
func testJointOneWriter(t *testing.T, r *rig) {
	a, b := r.tenants(0, 1)[0], r.tenants(1, 1)[0]
	conn := r.connect()
	r.exec(conn, "begin")
	r.value(conn, "select count(*) from orders where tenant_id = $1", a)
	r.exec(conn, "insert into orders values ($1, 1)", b)
	r.exec(conn, "commit")
	for shard := range r.cluster.Shards {
		if got := r.decisions(shard); got != "none" {
			t.Fatal(got)
		}
	}
	if got := r.value(conn, "select count(*) from orders where tenant_id = $1", b); got != "1" {
		t.Fatal(got)
	}
}

// testJointFails has one of two writers refuse at each step: nothing is committed on the other, whichever it is.
func testJointFails(t *testing.T, r *rig) {
	a, b := r.tenants(0, 1)[0], r.tenants(1, 1)[0]
	deferred := "alter table orders add constraint once unique (note) deferrable initially deferred"
	for _, late := range [][]string{{deferred}, orderRefiring} {
		for shard := range r.cluster.Shards {
			for _, sql := range late {
				r.on(r.cluster.Shards[shard].Primary, sql)
			}
			for _, order := range [][]int64{{a, b}, {b, a}} {
				conn := r.connect()
				r.exec(conn, "begin")
				for _, k := range order {
					r.exec(conn, "insert into orders values ($1, 1, 'same')", k)
					r.exec(conn, "insert into orders values ($1, 2, 'same')", k)
				}
				_, err := conn.Exec(t.Context(), "commit")
				if err == nil || !isCode(err, "23505") && !isCode(err, "P0123") {
					t.Fatalf("shard %d: %v", shard, err)
				}
				if got := r.value(conn, "select 1"); got != "1" {
					t.Fatal("the session did not go on")
				}
				r.everywhere("0", "select count(*) from orders")
				r.leftNothing()
			}
			r.on(r.cluster.Shards[shard].Primary, "alter table orders drop constraint if exists once")
			r.on(r.cluster.Shards[shard].Primary, "drop function if exists refire cascade")
		}
	}
}

// orderRefiring is refiring for the table orders.
var orderRefiring = []string{
	strings.ReplaceAll(refiring[0], "update countries set name = name where code = new.code", "update orders set note = note where tenant_id = new.tenant_id and id = new.id"),
	strings.ReplaceAll(refiring[1], "on countries", "on orders"),
}

func testJointSavepoints(t *testing.T, r *rig) {
	a, b := r.tenants(0, 1)[0], r.tenants(1, 1)[0]
	for _, mode := range []string{"", simpleMode} {
		conn := r.connect(mode)
		r.exec(conn, "begin")
		r.exec(conn, "insert into orders values ($1, 1)", a)
		r.exec(conn, "savepoint s")
		r.exec(conn, "insert into orders values ($1, 2)", a)
		r.exec(conn, "insert into orders values ($1, 2)", b) // joins late, and has the savepoint
		r.exec(conn, "savepoint t")
		r.refuses(conn, "23505", "insert into orders values ($1, 2)", b)
		r.exec(conn, "rollback to t")
		r.exec(conn, "insert into orders values ($1, 3)", b)
		r.exec(conn, "rollback to s")
		r.exec(conn, "insert into orders values ($1, 4)", b)
		r.exec(conn, "release s")
		r.exec(conn, "commit")
		for shard, want := range []string{"1", "4"} {
			if got := r.on(r.cluster.Shards[shard].Primary, "select string_agg(id::text, ' ' order by id) from orders"); got != want {
				t.Fatalf("shard %d: %s", shard, got)
			}
		}
		r.leftNothing()
		for _, k := range []int64{a, b} {
			r.exec(conn, "delete from orders where tenant_id = $1", k)
		}
	}
	conn := r.connect()
	r.exec(conn, "begin isolation level repeatable read")
	r.exec(conn, "insert into orders values ($1, 1)", a)
	r.refuses(conn, "0A000", "insert into orders values ($1, 1)", b)
	r.exec(conn, "rollback")
}

// testJointDefinitions has one statement that every shard carries out.
func testJointDefinitions(t *testing.T, r *rig) {
	for _, mode := range []string{"", simpleMode} {
		conn := r.connect(mode)
		r.exec(conn, "create table fresh (id int)")
		r.hasTable("fresh", "1")
		r.exec(conn, "insert into countries values ('de', 'Germany')")
		r.everywhere("1", "select count(*) from countries")
		r.leftNothing()
		for _, sql := range refiring {
			r.on(r.cluster.Shards[1].Primary, sql)
		}
		if e := r.refuses(conn, "P0123", "insert into countries values ('fr', 'France')"); !strings.Contains(e.Detail, "s2") {
			t.Fatalf("%+v", e)
		}
		r.everywhere("1", "select count(*) from countries")
		r.leftNothing()
		r.on(r.cluster.Shards[1].Primary, "drop function refire cascade")
		r.exec(conn, "delete from countries; drop table fresh")
	}
}

// testJointUnprepared has transactions with what PostgreSQL cannot prepare: on one shard that does not matter, since its writer commits.
func testJointUnprepared(t *testing.T, r *rig) {
	a, b := r.tenants(0, 1)[0], r.tenants(1, 1)[0]
	conn := r.connect()
	r.exec(conn, "begin")
	r.exec(conn, "insert into orders values ($1, 1)", a)
	r.exec(conn, "insert into orders values ($1, 1)", b)
	r.exec(conn, "/* pgdrover: tenant="+itoa(b)+" */ create temp table mine (id int)")
	r.exec(conn, "commit")
	r.everywhere("1", "select count(*) from orders")
	r.exec(conn, "drop table mine")
	r.exec(conn, "begin")
	r.exec(conn, "delete from orders where tenant_id = $1", a)
	r.exec(conn, "delete from orders where tenant_id = $1", b)
	for _, k := range []int64{a, b} {
		r.exec(conn, "/* pgdrover: tenant="+itoa(k)+" */ notify news")
	}
	if e := r.refuses(conn, "0A000", "commit"); !strings.Contains(e.Message, "PREPARE") || !strings.Contains(e.Detail, "shard s") {
		t.Fatalf("%+v", e)
	}
	r.everywhere("1", "select count(*) from orders")
	r.leftNothing()
}

// testJointRole has what a session has set in force also after a commit, and what it has prepared belong to the role that can end it.
func testJointRole(t *testing.T, r *rig) {
	a, b := r.tenants(0, 1)[0], r.tenants(1, 1)[0]
	for _, sh := range r.cluster.Shards {
		admin := r.direct(sh.Primary.SuperuserURL())
		for _, sql := range []string{"drop role if exists joint_writer", "create role joint_writer", "grant joint_writer to " + r.cluster.User,
			"grant usage on schema public to joint_writer", "grant all on orders to joint_writer"} {
			if _, err := admin.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
		}
		admin.Close(t.Context())
	}
	conn := r.connect()
	r.exec(conn, "set role joint_writer")
	r.exec(conn, "set synchronous_commit = off")
	for _, end := range []string{"commit", "rollback", "refused"} {
		if end == "refused" { // before the transaction: a server looks at such changes when it begins one
			r.on(r.cluster.Shards[0].Primary, "revoke usage on schema pgdrover from public")
		}
		r.exec(conn, "begin")
		r.exec(conn, "set work_mem = '3MB'")
		r.exec(conn, "insert into orders values ($1, 1, $2)", a, end)
		r.exec(conn, "insert into orders values ($1, 1, $2)", b, end)
		if end == "refused" {
			r.refuses(conn, "42501", "commit")
			r.on(r.cluster.Shards[0].Primary, "grant usage on schema pgdrover to public")
		} else {
			r.exec(conn, end)
		}
		for _, k := range []int64{a, b} {
			want := "joint_writer off " + map[string]string{"commit": "3MB", "rollback": "4MB", "refused": "4MB"}[end]
			got := r.value(conn, "select current_user || ' ' || current_setting('synchronous_commit') || ' ' || current_setting('work_mem') from (select count(*) from orders where tenant_id = $1) o", k)
			if got != want {
				t.Fatalf("%s: %s, want %s", end, got, want)
			}
			r.exec(conn, "delete from orders where tenant_id = $1", k)
		}
		r.exec(conn, "reset work_mem")
		r.leftNothing()
	}
}

// testJointBatch has a batch of the extended protocol that is one transaction on all shards.
func testJointBatch(t *testing.T, r *rig) {
	conn := r.connect()
	var b pgx.Batch
	b.Queue("insert into countries values ($1, 'Germany')", "de")
	b.Queue("insert into countries values ($1, 'France')", "fr")
	if err := conn.SendBatch(t.Context(), &b).Close(); err != nil {
		t.Fatal(err)
	}
	r.everywhere("2", "select count(*) from countries")
	b = pgx.Batch{}
	b.Queue("insert into countries values ($1, 'Italy')", "it")
	b.Queue("insert into countries values ($1, 'again')", "fr")
	if err := conn.SendBatch(t.Context(), &b).Close(); !isCode(err, "23505") {
		t.Fatal(err)
	}
	r.everywhere("2", "select count(*) from countries")
	r.leftNothing()
	if got := r.db.TwoPhase(); got.Commits != 1 {
		t.Fatalf("%+v", got)
	}
}

// testJointCancelled has a client cancel its COMMIT while a shard prepares.
func testJointCancelled(t *testing.T, r *rig) {
	a, b := r.tenants(0, 1)[0], r.tenants(1, 1)[0]
	slow := strings.NewReplacer("raise exception 'too late' using errcode = 'P0123'", "perform pg_sleep(60)")
	for _, sql := range orderRefiring {
		r.on(r.cluster.Shards[1].Primary, slow.Replace(sql))
	}
	conn := r.connect()
	r.exec(conn, "begin")
	r.exec(conn, "insert into orders values ($1, 1)", a)
	r.exec(conn, "insert into orders values ($1, 1)", b)
	done := make(chan error, 1)
	go func() {
		_, err := conn.Exec(t.Context(), "commit")
		done <- err
	}()
	r.eventually("it is being prepared", func() bool {
		return r.on(r.cluster.Shards[1].Primary, "select count(*) from pg_stat_activity where wait_event = 'PgSleep'") == "1"
	})
	if err := conn.PgConn().CancelRequest(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !isCode(err, "57014") {
		t.Fatal(err)
	}
	if got := r.value(conn, "select 1"); got != "1" {
		t.Fatal("the session did not go on")
	}
	r.everywhere("0", "select count(*) from orders")
	r.leftNothing()
}

func testJointWithoutTable(t *testing.T, r *rig) {
	a, b := r.tenants(0, 1)[0], r.tenants(1, 1)[0]
	r.on(r.cluster.Shards[0].Primary, "alter function pgdrover.decide(text) rename to undecided")
	conn := r.connect()
	r.exec(conn, "begin")
	r.exec(conn, "insert into orders values ($1, 1)", a)
	r.exec(conn, "insert into orders values ($1, 1)", b)
	if e := r.refuses(conn, "42883", "commit"); !strings.Contains(e.Hint, "pgdrover install two-phase") {
		t.Fatalf("%+v", e)
	}
	r.on(r.cluster.Shards[0].Primary, "drop function pgdrover.undecided(text)")
	if err := r.db.PrepareTwoPhase(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.everywhere("0", "select count(*) from orders")
	r.leftNothing()
}

// testJointOff has the setting changed while a transaction is open that has written on several shards: it ends as it began.
func testJointOff(t *testing.T, r *rig) {
	a, b := r.tenants(0, 1)[0], r.tenants(1, 1)[0]
	conn := r.connect()
	r.exec(conn, "begin")
	r.exec(conn, "insert into orders values ($1, 1)", a)
	r.exec(conn, "insert into orders values ($1, 1)", b)
	opt := *r.db.options()
	opt.TwoPhase = false
	r.db.Adjust(opt)
	r.exec(conn, "insert into orders values ($1, 2)", a)
	r.exec(conn, "commit")
	if got := r.db.TwoPhase(); got.Commits != 1 {
		t.Fatalf("%+v", got)
	}
	r.exec(conn, "begin")
	r.exec(conn, "insert into orders values ($1, 3)", a)
	if e := r.refuses(conn, "0A000", "insert into orders values ($1, 3)", b); !strings.Contains(e.Hint, "two_phase_commit: on") {
		t.Fatalf("%+v", e)
	}
}

// TestTwoPhaseModes has sessions that keep their backends, and sessions without transactions of their own.
func TestTwoPhaseModes(t *testing.T) {
	for _, mode := range []Mode{ModeSession, ModeStatement} {
		r := startRig(t, sharedCluster(t), rigOptions{twoPhase: true, mode: mode, wait: 10 * time.Second})
		a, b := r.tenants(0, 1)[0], r.tenants(1, 1)[0]
		conn := r.connect()
		r.exec(conn, "insert into countries values ('de', 'Germany')")
		r.everywhere("1", "select count(*) from countries")
		for n := range 2 {
			if mode == ModeStatement {
				break
			}
			r.exec(conn, "begin")
			r.exec(conn, "set local work_mem = '3MB'")
			r.exec(conn, "insert into orders values ($1, $2)", a, n)
			r.exec(conn, "insert into orders values ($1, $2)", b, n)
			r.exec(conn, "commit")
			if got := r.value(conn, "select current_setting('work_mem') || count(*) from orders where tenant_id = $1", b); got != "4MB"+itoa(int64(n+1)) {
				t.Fatal(got)
			}
		}
		r.leftNothing()
	}
}
