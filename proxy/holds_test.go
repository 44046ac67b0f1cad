package proxy

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
)

// heldBy is why a client's session keeps backends, once it is idle, and how many it keeps.
func (r *rig) heldBy(conn *pgx.Conn) (why string, backends int) {
	r.t.Helper()
	r.eventually("the session is at rest", func() bool {
		for _, c := range r.server.Clients() {
			if c.PID == conn.PgConn().PID() {
				why, backends = strings.Join(c.Hold, ", "), len(c.Backends)
				return c.State == ClientIdle || c.State == ClientTransaction
			}
		}
		return false
	})
	return why, backends
}

// hint names a tenant of a shard, for a statement that has to.
func (r *rig) hint(shard int) string {
	return "/* pgdrover: tenant=" + itoa(r.tenants(shard, 1)[0]) + " */ "
}

// holdStep is what a client does, and why its backend is held when it is done.
type holdStep struct{ sql, why string }

// TestHoldsEnd has each hold begin and end by all that begins and ends it: a backend is free as soon as nothing of the session's is left
// there.
//
// Row 22: what ends each hold, and when.
func TestHoldsEnd(t *testing.T) {
	t.Run("one shard", func(t *testing.T) { testHoldsEnd(t, sharedPrimaries(t, 1)) })
	t.Run("several shards", func(t *testing.T) { testHoldsEnd(t, sharedCluster(t)) })
}

func testHoldsEnd(t *testing.T, c *pgcluster.Cluster) {
	r := startRig(t, c, rigOptions{size: 4, wait: 20 * time.Second})
	const temp, lock, cursor = "temp table", "advisory lock", "cursor"
	for name, steps := range map[string][]holdStep{
		"DROP":            {{"create temp table a (x int)", temp}, {"create temp table b (x int)", temp}, {"drop table a", temp}, {"drop table b", ""}},
		"DROP of another": {{"create temp table a (x int)", temp}, {"drop table if exists nosuch", temp}, {"drop table a", ""}},
		"DISCARD":         {{"create temp table a (x int)", temp}, {"discard plans", temp}, {"discard temp", ""}},
		"DISCARD ALL":     {{"create temp table a (x int); select pg_advisory_lock(1)", temp + ", " + lock}, {"discard all", ""}},
		"views and types": {{"create temp view v as select 1", temp}, {"create domain pg_temp.d as int", temp}, {"drop view v", temp}, {"drop domain pg_temp.d", ""}},
		"a function":      {{"create function pg_temp.f() returns int language sql as 'select 1'", temp}, {"drop function pg_temp.f()", ""}},
		"at commit":       {{"create temp table a (x int) on commit drop", ""}, {"begin", ""}, {"create temp table a on commit drop as select 1", temp}, {"commit", ""}},
		"at rollback":     {{"begin", ""}, {"create temp table a (x int)", temp}, {"rollback", ""}},
		"at an error":     {{"begin", ""}, {"create temp table a (x int)", temp}, {"!select 1/0", temp}, {"commit", ""}},
		"in a failed string": {{"!create temp table a (x int); select 1/0", ""}, {"!select pg_advisory_lock(9); select 1/0", lock},
			{"select pg_advisory_unlock(9)", ""}},
		"to a savepoint":         {{"begin", ""}, {"select 1", ""}, {"savepoint s", ""}, {"create temp table a (x int)", temp}, {"rollback to s", temp}, {"commit", ""}},
		"a DROP that is undone":  {{"create temp table a (x int)", temp}, {"begin", temp}, {"drop table a", temp}, {"rollback", temp}, {"drop table a", ""}},
		"SELECT INTO":            {{"select 1 as x into temp a", temp}, {"drop table a", ""}},
		"a cursor":               {{"declare c cursor with hold for select 1", cursor}, {"fetch c", cursor}, {"close c", ""}},
		"cursors":                {{"declare c cursor with hold for select 1", cursor}, {"declare d cursor with hold for select 1", cursor}, {"close c", cursor}, {"close all", ""}},
		"a cursor, rolled back":  {{"begin", ""}, {"declare c cursor with hold for select 1", cursor}, {"rollback", ""}},
		"a cursor, committed":    {{"begin", ""}, {"declare c cursor with hold for select 1", cursor}, {"commit", cursor}, {"close c", ""}},
		"a lock":                 {{"select pg_advisory_lock(1)", lock}, {"select pg_advisory_unlock(1)", ""}},
		"a lock taken twice":     {{"select pg_advisory_lock(1), pg_advisory_lock(1)", lock}, {"select pg_advisory_unlock(1)", lock}, {"select pg_advisory_unlock(1)", ""}},
		"two locks":              {{"select pg_advisory_lock(1), pg_advisory_lock_shared(2)", lock}, {"select pg_advisory_unlock(1)", lock}, {"select pg_advisory_unlock_all()", ""}},
		"a lock, rolled back":    {{"begin", ""}, {"select pg_advisory_lock(1)", lock}, {"rollback", lock}, {"select pg_advisory_unlock(1)", ""}},
		"a lock that is not had": {{"select pg_try_advisory_lock(77)", ""}, {"select pg_try_advisory_lock(1)", lock}, {"select pg_advisory_unlock(1)", ""}},
		"all of them": {{"create temp table a (x int); select pg_advisory_lock(1); declare c cursor with hold for select 1", temp + ", " + lock + ", " + cursor},
			{"select pg_advisory_unlock(1)", temp + ", " + cursor}, {"close c", temp}, {"drop table a", ""}},
		"by code": {{"create temp table a (x int)", temp}, {r.hint(0) + "do $$ begin drop table a; end $$", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			r.t = t
			other := r.connect()
			r.exec(other, "select pg_advisory_lock(77)")
			defer r.exec(other, "discard all")
			for _, mode := range []string{simpleMode, "default_query_exec_mode=exec"} {
				conn := r.connect(mode)
				for _, st := range steps {
					sql, fails := strings.CutPrefix(st.sql, "!")
					if mode != simpleMode && strings.Contains(sql, ";") && !strings.Contains(sql, "$$") {
						for one := range strings.SplitSeq(sql, ";") {
							_, _ = conn.Exec(t.Context(), one)
						}
						if fails { // outside of a transaction what came before stays
							return
						}
					} else if _, err := conn.Exec(t.Context(), sql); (err != nil) != fails {
						t.Fatalf("%s: %s: %v", mode, sql, err)
					}
					why, backends := r.heldBy(conn)
					if why != st.why {
						t.Fatalf("%s: after %s it is held for %q, want %q", mode, sql, why, st.why)
					}
					if inTransaction := conn.PgConn().TxStatus() != 'I'; !inTransaction && (why == "") != (backends == 0) {
						t.Fatalf("%s: after %s it is held for %q, and has %d backends", mode, sql, why, backends)
					}
				}
				check(t, conn.Close(t.Context()))
			}
		})
	}
}

// TestHeldBackendIsCleanedForTheNext ends sessions that hold the only backend, in several ways: the next client gets the same one, and finds
// nothing there.
//
// Row 22: what a session leaves on the backend that it held.
func TestHeldBackendIsCleanedForTheNext(t *testing.T) {
	r := startRig(t, sharedPrimaries(t, 1), rigOptions{size: 1, wait: 20 * time.Second})
	for name, leave := range map[string]func(*pgx.Conn){
		"Terminate":      func(c *pgx.Conn) { check(t, c.Close(t.Context())) },
		"without a word": func(c *pgx.Conn) { check(t, c.PgConn().Conn().Close()) },
		"in a transaction": func(c *pgx.Conn) {
			r.exec(c, "begin")
			r.exec(c, "drop table mine")
			check(t, c.PgConn().Conn().Close())
		},
		"in a failed one": func(c *pgx.Conn) {
			r.exec(c, "begin")
			r.refuses(c, "42P01", "select * from nosuch")
			check(t, c.Close(t.Context()))
		},
		"under a lesser me": func(c *pgx.Conn) {
			r.exec(c, "set default_transaction_read_only to on")
			check(t, c.Close(t.Context()))
		},
	} {
		t.Run(name, func(t *testing.T) {
			conn := r.connect(simpleMode)
			r.exec(conn, "create temp table mine (x int); create temp sequence numbers; select pg_advisory_lock(1); listen news; prepare p as select 1; "+
				"declare c cursor with hold for select 1; set work_mem to '9MB'; select set_config('timezone', 'Asia/' || 'Tokyo', false), nextval('numbers')")
			pid := r.value(conn, "select pg_backend_pid()")
			leave(conn)
			next := r.connect(simpleMode)
			found := r.value(next, `select concat_ws(' ', to_regclass('mine'), to_regclass('numbers'), (select count(*) from pg_locks where locktype = 'advisory'),
				(select count(*) from pg_listening_channels()), (select count(*) from pg_prepared_statements where from_sql), (select count(*) from pg_cursors where is_holdable),
				current_setting('work_mem'), current_setting('timezone'), current_setting('default_transaction_read_only'))`)
			if found != "0 0 0 0 4MB UTC off" {
				t.Errorf("the next client finds %s", found)
			}
			if got := r.value(next, "select pg_backend_pid()"); got != pid {
				t.Errorf("process %s is followed by %s: it was not worth cleaning", pid, got)
			}
			r.refuses(next, "55000", "select lastval()")
			check(t, next.Close(t.Context()))
		})
	}
}

// TestHoldFunctions calls functions that are declared to keep something in the session: it is there as long as the session is, or until
// DISCARD ALL, and nobody else meets it.
//
// Row 22: what a function does inside, where no proxy sees it.
func TestHoldFunctions(t *testing.T) {
	r := startRig(t, sharedPrimaries(t, 1), rigOptions{size: 2, wait: 20 * time.Second, schema: []string{
		"create schema tools",
		`create function tools.remember(what text) returns text language plpgsql stable as $$ begin perform set_config('tools.memory', what, false);
			perform pg_advisory_lock(4711); return what; end $$`,
		"create function tools.fail() returns int language plpgsql as $$ begin perform set_config('tools.memory', 'failed', false); return 1/0; end $$",
		"create procedure tools.note(what text) language plpgsql as $$ begin perform set_config('tools.memory', what, false); end $$",
	}})
	listed := []string{"tools.remember", "tools.fail", "tools.note"}
	opt := *r.db.options()
	opt.Holding = func(schema, name string) bool { return slices.Contains(listed, schema+"."+name) }
	r.db.Adjust(opt)
	const recall = "select coalesce(current_setting('tools.memory', true), '') || (select count(*) from pg_locks where locktype = 'advisory')"
	for _, mode := range []string{simpleMode, "default_query_exec_mode=exec"} {
		for _, call := range []string{"select tools.remember('x')", "set search_path = tools; select remember('x')", "select * from tools.remember('x')",
			"with w as (select tools.remember('x') as m) select m from w", "begin read only; select tools.remember('x'); commit", "call tools.note('x')"} {
			conn, other := r.connect(mode), r.connect(simpleMode)
			for one := range strings.SplitSeq(call, "; ") {
				r.exec(conn, one)
			}
			if why, n := r.heldBy(conn); why != "function" || n != 1 {
				t.Errorf("%s: after %s it is held for %q", mode, call, why)
			}
			pid := r.value(conn, "select pg_backend_pid()")
			if got := r.value(conn, recall); !strings.HasPrefix(got, "x") {
				t.Errorf("%s: after %s: %q", mode, call, got)
			}
			if got := r.value(other, "select coalesce(current_setting('tools.memory', true), '')"); got != "" {
				t.Errorf("%s: another client has %q", mode, got)
			}
			r.exec(conn, "select tools.remember('y')")
			r.exec(conn, "discard all")
			if why, _ := r.heldBy(conn); why != "" {
				t.Errorf("%s: after DISCARD ALL it is held for %q", mode, why)
			}
			r.exec(conn, "select tools.remember('z')")
			pid = r.value(conn, "select pg_backend_pid()")
			check(t, conn.Close(t.Context()))
			r.eventually("the backend is closed", func() bool {
				return r.on(r.cluster.Shards[0].Primary, "select count(*) from pg_stat_activity where pid = "+pid) == "0"
			})
			r.refuses(other, "22012", "select tools.fail()")
			for range 3 {
				if got := r.value(r.connect(simpleMode), recall); got != "0" {
					t.Errorf("%s: the next client finds %q", mode, got)
				}
			}
			check(t, other.Close(t.Context()))
		}
	}
}
