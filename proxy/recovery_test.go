package proxy

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// recoverNow has the recovery look at the shards.
func (r *rig) recoverNow() {
	r.t.Helper()
	if err := r.db.recoverOnce(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

// asApp runs statements on a shard's primary as backend.user does, in one session.
func (r *rig) asApp(shard int, statements ...string) *pgx.Conn {
	r.t.Helper()
	conn := r.direct(r.cluster.Shards[shard].Primary.URL())
	for _, sql := range statements {
		r.exec(conn, sql)
	}
	return conn
}

// leave prepares a part on shard s2, as a proxy that has died then left it.
func (r *rig) leave(j *joint) string {
	r.t.Helper()
	gid := j.gid("s2", r.db.Name())
	r.asApp(1, "begin", "insert into orders values ("+itoa(r.tenants(1, 1)[0])+", 1)", "prepare transaction '"+gid+"'").Close(r.t.Context())
	return gid
}

// begun names a transaction whose first writer has an open transaction on shard s1.
func (r *rig) begun() (*joint, *pgx.Conn) {
	r.t.Helper()
	j := newJoint("dead", "s1")
	first := r.asApp(0, "begin", "insert into orders values ("+itoa(r.tenants(0, 1)[0])+", 1)")
	j.xid = r.value(first, "select pg_current_xact_id()::text")
	return j, first
}

func (r *rig) prepared() string {
	r.t.Helper()
	return r.on(r.cluster.Shards[1].Primary, "select count(*) from pg_prepared_xacts")
}

func TestRecovery(t *testing.T) {
	for name, run := range map[string]func(*testing.T, *rig){
		"decided": testRecoverDecided, "undecided": testRecoverUndecided, "at work": testRecoverAtWork, "while it commits": testRecoverCommitting,
		"others' transactions": testRecoverOthers, "decisions are forgotten": testForgetDecisions, "a change of the map": testChangePrepared,
	} {
		t.Run(name, func(t *testing.T) { run(t, jointRig(t)) })
	}
}

func testRecoverDecided(t *testing.T, r *rig) {
	j, first := r.begun()
	r.leave(j)
	r.exec(first, "select pgdrover.decide('"+j.secret+"')")
	r.exec(first, "commit")
	r.recoverNow()
	r.everywhere("1", "select count(*) from orders")
	r.leftNothing()
	if got := r.db.TwoPhase(); got.Finished != 1 || got.Discarded != 0 || len(got.InDoubt) != 0 {
		t.Fatalf("%+v", got)
	}
	r.recoverNow()
	if got := r.db.TwoPhase(); got.Finished != 1 || got.Discarded != 0 {
		t.Fatalf("%+v", got)
	}
}

func testRecoverUndecided(t *testing.T, r *rig) {
	j, first := r.begun()
	r.leave(j)
	parts, err := r.db.preparedOn(t.Context(), "s2")
	if err != nil {
		t.Fatal(err)
	}
	r.exec(first, "rollback")
	for range 2 { // two see the part, one ends it
		for _, p := range parts {
			if why := r.db.endPart(t.Context(), "s2", p); why != "" {
				t.Error(why)
			}
		}
	}
	r.recoverNow()
	r.everywhere("0", "select count(*) from orders")
	r.leftNothing()
	if got := r.decisions(0); got != "rollback" {
		t.Fatal(got)
	}
	if got := r.db.TwoPhase(); got.Finished != 0 || got.Discarded != 1 {
		t.Fatalf("%+v", got)
	}
	// A first writer that comes too late fails.
	r.exec(first, "begin")
	r.refuses(first, "23505", "select pgdrover.decide('"+j.secret+"')")
}

func testRecoverAtWork(t *testing.T, r *rig) {
	j, first := r.begun()
	gid := r.leave(j)
	r.recoverNow()
	if got := r.prepared(); got != "1" {
		t.Fatal("a transaction that is at work was ended")
	}
	doubts := r.db.TwoPhase().InDoubt
	if len(doubts) != 1 || doubts[0].GID != gid || doubts[0].Shard != "s2" || !strings.Contains(doubts[0].Why, "at work on shard s1") {
		t.Fatalf("%+v", doubts)
	}
	// Nobody waits for ever for a first writer that does not go on: it fails then.
	if as, err := r.db.decide(t.Context(), j, 0); err != nil || as != rolledBack {
		t.Fatal(as, err)
	}
	r.refuses(first, "23505", "select pgdrover.decide('"+j.secret+"')")
	r.exec(first, "rollback")
	r.recoverNow()
	r.leftNothing()
	r.everywhere("0", "select count(*) from orders")
}

// testRecoverCommitting has somebody ask while the first writer has decided and is not committed yet: the answer waits for it.
func testRecoverCommitting(t *testing.T, r *rig) {
	for _, end := range []string{"commit", "rollback"} {
		j, first := r.begun()
		r.leave(j)
		r.exec(first, "select pgdrover.decide('"+j.secret+"')")
		answer := make(chan decision, 1)
		go func() {
			as, err := r.db.decide(t.Context(), j, 0)
			if err != nil {
				t.Error(err)
			}
			answer <- as
		}()
		r.eventually("the question waits", func() bool {
			return r.on(r.cluster.Shards[0].Primary, "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like 'INSERT INTO pgdrover.decision%'") == "1"
		})
		r.exec(first, end)
		if as := <-answer; as != map[string]decision{"commit": committed, "rollback": rolledBack}[end] {
			t.Fatalf("%s: %s", end, as)
		}
		r.recoverNow()
		r.leftNothing()
		want := map[string]string{"commit": "1", "rollback": "0"}[end]
		r.everywhere(want, "select count(*) from orders")
		for _, sh := range r.cluster.Shards {
			r.on(sh.Primary, "delete from orders")
		}
	}
}

// testRecoverOthers has transactions prepared that are none of this database's proxies'.
func testRecoverOthers(t *testing.T, r *rig) {
	j := newJoint("dead", "s1")
	j.xid = "3"
	elsewhere := newJoint("dead", "s9")
	elsewhere.xid = "3"
	gids := []string{"mine", "pgdrover", "pgdrover:", "pgdrover:a:b:c:d:e:" + r.db.Name(), j.gid("s2", "other"), elsewhere.gid("s2", r.db.Name()),
		strings.ToUpper(j.gid("s2", r.db.Name()))}
	for _, gid := range gids {
		r.asApp(1, "begin", "create temp table if not exists nothing (id int)", "rollback", "begin", "select pg_current_xact_id()", "prepare transaction '"+gid+"'").Close(t.Context())
	}
	r.recoverNow()
	if got := r.prepared(); got != itoa(int64(len(gids))) {
		t.Fatalf("%s of %d are left", got, len(gids))
	}
	if doubts := r.db.TwoPhase().InDoubt; len(doubts) != 1 || !strings.Contains(doubts[0].Why, `there is no shard "s9"`) {
		t.Fatalf("%+v", doubts)
	}
	conn := r.asApp(1)
	for _, gid := range gids {
		r.exec(conn, "rollback prepared '"+gid+"'")
	}
	conn.Close(t.Context())
}

// testForgetDecisions has decisions that are old: those stay that a part needs that is still prepared, or a first writer that may be at
// work.
func testForgetDecisions(t *testing.T, r *rig) {
	needed, first := r.begun()
	r.exec(first, "select pgdrover.decide('"+needed.secret+"')")
	r.exec(first, "commit")
	r.db.recovery.take(needed) // it is in hand, so it stays prepared
	gid := r.leave(needed)
	running := r.asApp(0, "begin", "select pg_current_xact_id()")
	r.on(r.cluster.Shards[0].Primary, "insert into pgdrover.decision (id, committed, at) values ('young', true, now()), ('late', false, now() - interval '1 day')")
	r.on(r.cluster.Shards[0].Primary, "update pgdrover.decision set at = now() - interval '1 day' where id <> 'young'")
	ids := func(want string) {
		t.Helper()
		r.recoverNow()
		if got := r.on(r.cluster.Shards[0].Primary, "select string_agg(case id when '"+needed.id+"' then 'needed' else id end, ' ' order by at desc, committed) from pgdrover.decision"); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	}
	ids("young late needed")
	r.exec(running, "rollback")
	ids("young needed")
	r.asApp(1, "commit prepared '"+gid+"'").Close(t.Context())
	ids("young")
}

// testChangePrepared has a tenant pinned to another shard while rows of it are prepared, which nobody sees.
func testChangePrepared(t *testing.T, r *rig) {
	j, first := r.begun()
	gid := r.leave(j)
	pinned := r.file + "pins: {\"" + itoa(r.tenants(1, 1)[0]) + "\": s1}\n"
	if err := r.change(pinned); err == nil || !strings.Contains(err.Error(), gid) || !strings.Contains(err.Error(), "prepared on shard s2") {
		t.Fatal(err)
	}
	r.exec(first, "rollback")
	r.recoverNow()
	r.mustChange(pinned)
}

// TestFirstWriterLost has the connection lost on which a transaction is being committed: the client hears what became of it.
func TestFirstWriterLost(t *testing.T) {
	r := startRig(t, apart(t), rigOptions{twoPhase: true, wait: 10 * time.Second})
	a, b := r.tenants(0, 1)[0], r.tenants(1, 1)[0]
	s1 := r.cluster.Shards[0].Primary
	commit := func(id int, waits string, fails func(where string)) error {
		conn := r.connect()
		r.exec(conn, "begin")
		r.exec(conn, "insert into orders values ($1, $2)", a, id)
		r.exec(conn, "insert into orders values ($1, $2)", b, id)
		done := make(chan error, 1)
		go func() {
			_, err := conn.Exec(t.Context(), "commit")
			done <- err
		}()
		where := "wait_event = '" + waits + "' and query = 'COMMIT'"
		r.eventually("it commits", func() bool { return r.on(s1, "select count(*) from pg_stat_activity where "+where) == "1" })
		fails(where)
		err := <-done
		if got := r.value(conn, "select count(*) from orders where tenant_id = $1 and id = 99", b); got != "0" {
			t.Fatal("the session did not go on")
		}
		return err
	}
	for _, sql := range []string{
		strings.ReplaceAll(strings.ReplaceAll(orderRefiring[0], "raise exception 'too late' using errcode = 'P0123'", "perform pg_sleep(60)"), "refire", "linger"),
		strings.ReplaceAll(orderRefiring[1], "refire", "linger")} {
		r.on(s1, sql)
	}
	terminated := func(where string) { r.terminate(0, where) }
	if err := commit(1, "PgSleep", terminated); !isCode(err, "57P01") {
		t.Fatal(err)
	}
	r.everywhere("0", "select count(*) from orders")
	r.leftNothing()

	r.on(s1, "drop function linger cascade")
	r.on(s1, "alter system set synchronous_standby_names = 'nobody'") // a commit waits for it, and stays when the wait is ended
	r.on(s1, "select pg_reload_conf()")
	if err := commit(1, "SyncRep", terminated); err != nil {
		t.Fatal(err)
	}
	r.everywhere("1", "select count(*) from orders")
	r.leftNothing()

	err := commit(2, "SyncRep", func(string) {
		if err := s1.Kill(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	})
	var told *pgconn.PgError
	if !errors.As(err, &told) || told.Code != "08007" || !strings.Contains(told.Detail, "Prepared on shard s2: pgdrover:") || !strings.Contains(told.Hint, "shard s1 answers") {
		t.Fatal(err)
	}
	if err := s1.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.eventually("the recovery has committed it", func() bool { return r.prepared() == "0" })
	r.everywhere("2", "select count(*) from orders")
}

// testPassTwoPhase has transactions of clients' own users: what they leave prepared, a superuser can end.
func testPassTwoPhase(t *testing.T, p *passRig) {
	opt := *p.db.options()
	opt.TwoPhase = true
	p.db.Adjust(opt)
	if err := p.db.PrepareTwoPhase(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, b := p.tenants(0, 1)[0], p.tenants(1, 1)[0]
	una := p.mustAs("una", "secret")
	for _, sql := range []string{"insert into orders values ($1, 77)", "delete from orders where tenant_id = $1 and id = 77"} {
		p.exec(una, "begin")
		p.exec(una, sql, a)
		p.exec(una, sql, b)
		p.exec(una, "commit")
		p.leftNothing()
	}
	j := newJoint("dead", "s1")
	j.xid = "3"
	at := p.cluster.Shards[1].Primary
	conn := p.direct(strings.Replace(at.URL(), p.cluster.User+":"+p.cluster.Password, "una:secret", 1))
	p.exec(conn, "begin")
	p.exec(conn, "insert into orders values ($1, 78)", b)
	p.exec(conn, "prepare transaction '"+j.gid("s2", p.db.Name())+"'")
	conn.Close(t.Context())
	p.recoverNow()
	if doubts := p.db.TwoPhase().InDoubt; len(doubts) != 1 || !strings.Contains(doubts[0].Why, "permission denied") {
		t.Fatalf("%+v", doubts)
	}
	p.on(at, "alter role "+p.cluster.User+" superuser")
	p.recoverNow()
	p.leftNothing()
	p.on(at, "alter role "+p.cluster.User+" nosuperuser")
}
