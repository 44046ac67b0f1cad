package proxy

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
	"github.com/pgdrover/pgdrover/internal/pgtest"
	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/pool"
)

// TestSessionModeOnSeveralShards has a session keep one backend of each shard that it touches, always the primary's.
func TestSessionModeOnSeveralShards(t *testing.T) {
	r := startRig(t, sharedCluster(t), rigOptions{mode: ModeSession, replicas: true, size: 3})
	a, b := r.tenants(0, 1)[0], r.tenants(1, 1)[0]
	for _, mode := range []string{simpleMode, "default_query_exec_mode=exec", ""} {
		conn := r.connect(mode)
		if c := r.clientOf(conn); len(c.Backends) != 0 {
			t.Errorf("%s: it has %v before its first statement", mode, c.Backends)
		}
		where := "select pg_backend_pid() || ' ' || pg_is_in_recovery() || ' ' || current_setting('timezone') from (select count(*) from orders where tenant_id = $1) x"
		r.exec(conn, "set timezone to 'Asia/Tokyo'")
		first, second := r.value(conn, where, a), r.value(conn, where, b)
		if first == second || !strings.HasSuffix(first, " false Asia/Tokyo") || !strings.HasSuffix(second, " false Asia/Tokyo") {
			t.Errorf("%s: %s, %s", mode, first, second)
		}
		r.exec(conn, "insert into orders (tenant_id, id) values ($1, 1)", a)
		r.exec(conn, "begin")
		r.exec(conn, "insert into orders (tenant_id, id) values ($1, 1)", b)
		r.exec(conn, "rollback")
		r.exec(conn, "delete from orders where tenant_id = $1", a)
		r.exec(conn, "insert into countries values ('x', 'x')")
		r.exec(conn, "delete from countries")
		if again := r.value(conn, where, a); again != first {
			t.Errorf("%s: %s became %s", mode, first, again)
		}
		if again := r.value(conn, where, b); again != second {
			t.Errorf("%s: %s became %s", mode, second, again)
		}
		if c := r.clientOf(conn); len(c.Backends) != 2 || !slices.Equal(c.Hold, []string{"session"}) {
			t.Errorf("%s: %+v", mode, c)
		}
		r.exec(conn, "create temp table mine (x int)")
		if err := conn.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	r.eventually("all backends are given back", r.allIdle)
	for _, n := range r.db.Cluster().Stats() {
		delete(n.Counts.Destroyed, "others had temporary tables there")
		if len(n.Counts.Destroyed) != 0 {
			t.Errorf("backends were destroyed: %v", n.Counts.Destroyed)
		}
	}
}

// allIdle reports whether no session has a backend.
func (r *rig) allIdle() bool {
	return !slices.ContainsFunc(r.db.Cluster().Backends(), func(b pool.BackendStats) bool { return b.State != "idle" })
}

// TestModeOfUser has a user's mode count for more than the database's.
func TestModeOfUser(t *testing.T) {
	for database, user := range map[Mode]Mode{ModeSession: ModeTransaction, ModeTransaction: ModeSession, ModeUnset: ModeSession, ModeStatement: ModeUnset} {
		r := startRig(t, sharedCluster(t), rigOptions{mode: database, config: func(c *Config) { c.Users[rigUser].Mode = user }})
		conn := r.connect()
		r.value(conn, "select 1")
		if held := len(r.clientOf(conn).Hold) == 1; held != (user == ModeSession) {
			t.Errorf("database %q, user %q: a backend is held: %v", database, user, held)
		}
		_, err := conn.Exec(t.Context(), "begin")
		if refused := err != nil; refused != (user == ModeUnset) {
			t.Errorf("database %q, user %q: %v", database, user, err)
		}
	}
}

// TestSessionModeSender has a client of session mode notify: whoever hears it, in whichever mode, is told the process id that the
// client was told.
func TestSessionModeSender(t *testing.T) {
	r := startRig(t, sharedPrimaries(t, 1), rigOptions{mode: ModeSession, size: 5, wait: 20 * time.Second})
	listener, sender, gone := r.connect(simpleMode), r.connect(simpleMode), r.connect(simpleMode)
	r.db.Adjust(withMode(r.db.options(), ModeTransaction))
	other := r.connect(simpleMode)
	for _, conn := range []*pgx.Conn{listener, other} {
		r.exec(conn, "listen news")
	}
	r.exec(gone, "notify news, 'gone'")
	r.hears(listener, "gone")
	r.hears(other, "gone")
	if err := gone.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.exec(sender, "notify news, 'one'")
	for _, conn := range []*pgx.Conn{listener, other} {
		if n := r.hears(conn, "one"); n.PID != sender.PgConn().PID() {
			t.Errorf("it is from %d, and not from %d", n.PID, sender.PgConn().PID())
		}
	}
	await(t, "who has left is forgotten", func() bool {
		r.db.senders.mu.Lock()
		defer r.db.senders.mu.Unlock()
		return len(r.db.senders.told) == 2
	})
}

func withMode(opt *Options, mode Mode) Options {
	changed := *opt
	changed.Mode = mode
	return changed
}

// TestSessionModePool has clients wait for those before them to leave.
func TestSessionModePool(t *testing.T) {
	r := startRig(t, sharedCluster(t), rigOptions{mode: ModeSession, size: 1, wait: 200 * time.Millisecond})
	k := r.tenants(0, 1)[0]
	idle, first, second := r.connect(), r.connect(), r.connect()
	r.exec(first, "insert into orders (tenant_id, id) values ($1, 1)", k)
	if e := r.refuses(second, "53300", "select count(*) from orders where tenant_id = $1", k); e.Hint == "" {
		t.Error("no hint")
	}
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := r.value(second, "select count(*) from orders where tenant_id = $1", k); got != "1" {
		t.Error(got)
	}
	if err := second.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := r.value(idle, "select count(*) from orders where tenant_id = $1", k); got != "1" {
		t.Error(got)
	}
}

// TestSessionModeShardAdded goes on with what a session has prepared when its map gets a second shard.
func TestSessionModeShardAdded(t *testing.T) {
	c := sharedCluster(t)
	startRig(t, c, rigOptions{}) // makes the tables on both
	one := &pgcluster.Cluster{User: c.User, Password: c.Password, Database: c.Database, Shards: c.Shards[:1]}
	r := startRig(t, one, rigOptions{mode: ModeSession, keep: true, tables: demoTables})
	conn, simple := r.connect(), r.connect(simpleMode)
	r.exec(conn, "insert into orders (tenant_id, id) values ($1, 1)", int64(7))
	r.exec(conn, "insert into countries values ($1, $2)", "a", "A")
	r.exec(conn, "select 1")
	r.exec(simple, "prepare own as select 5")
	pid := r.value(conn, "select pg_backend_pid()")
	r.mustChange(mapText(c, demoTables))
	r.exec(conn, "insert into countries values ($1, $2)", "b", "B")
	if got := r.on(c.Shards[1].Primary, "select count(*) from countries where code = 'b'"); got != "1" {
		t.Errorf("%s rows on the shard that was added", got)
	}
	for range 2 {
		r.exec(conn, "insert into orders (tenant_id, id) values ($1, 2) on conflict do nothing", int64(7))
		r.exec(conn, "insert into orders (tenant_id, id) values ($1, 1) on conflict do nothing", int64(7))
		if got := r.value(conn, "select count(*) from orders where tenant_id = $1", int64(7)); got != "2" {
			t.Error(got)
		}
		r.exec(conn, "select 1")
		if got := r.value(simple, "execute own"); got != "5" {
			t.Error(got)
		}
	}
	if got := r.value(conn, "select pg_backend_pid()"); got != pid {
		t.Errorf("backend %s became %s", pid, got)
	}
	r.exec(conn, "create table late (tenant_id bigint primary key)")
	r.exec(conn, "drop table late")
}

// TestSessionModeServerCrash ends a session with the server process that it had, while it runs a statement and while it does not, and
// lets clients begin again.
func TestSessionModeServerCrash(t *testing.T) {
	c := pgcluster.Test(t, pgcluster.Config{})
	r := startRig(t, c, rigOptions{mode: ModeSession, wait: 20 * time.Second})
	for _, busy := range []bool{true, false} {
		conn := pgtest.Connect(t, r.addr, pgtest.Options{User: rigUser, Password: rigPassword, Database: c.Database, Timeout: 30 * time.Second})
		lines, err := conn.Query("begin; select 'pid=' || pg_backend_pid()")
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(strings.Join(lines, " "), "pid=")
		digits, _, _ := strings.Cut(rest, "'")
		pid, err := strconv.Atoi(digits)
		if err != nil {
			t.Fatal(lines, err)
		}
		if busy {
			if err := conn.SendBytes(pgwire.AppendQuery(nil, "select pg_sleep(60)")); err != nil {
				t.Fatal(err)
			}
			r.eventually("it sleeps", func() bool {
				return r.on(c.Shards[0].Primary, "select count(*) from pg_stat_activity where wait_event = 'PgSleep'") == "1"
			})
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		last := ""
		for {
			frame, err := conn.Read()
			if err != nil {
				break
			}
			if frame[0] == pgwire.MsgErrorResponse {
				last = string(pgwire.ErrorField(frame, pgwire.FieldSeverity)) + " " + string(pgwire.ErrorField(frame, pgwire.FieldCode))
			}
		}
		if last != "FATAL 08006" {
			t.Errorf("busy %v: the last words were %q", busy, last)
		}
		r.eventually("clients begin again", func() bool { // one may get a backend yet that the server is about to end, too
			conn, err := pgx.Connect(t.Context(), r.url(simpleMode))
			if err != nil {
				return false
			}
			defer conn.Close(t.Context())
			_, err = conn.Exec(t.Context(), "select 1")
			return err == nil
		})
	}
}

// TestSessionModeOwnStatements has PgDrover answer what is its own in a session that is otherwise the backend's, and a transaction end
// as it should after a mistake in such a statement.
func TestSessionModeOwnStatements(t *testing.T) {
	c := sharedCluster(t)
	startRig(t, c, rigOptions{})
	one := &pgcluster.Cluster{User: c.User, Password: c.Password, Database: c.Database, Shards: c.Shards[:1]}
	r := startRig(t, one, rigOptions{mode: ModeSession, keep: true, tables: demoTables})
	for _, mode := range []string{simpleMode, "default_query_exec_mode=exec", ""} {
		conn := r.connect(mode)
		r.exec(conn, "set pgdrover.tenant to 7")
		if got := r.value(conn, "show pgdrover.tenant"); got != "7" {
			t.Errorf("%s: %s", mode, got)
		}
		if got := r.value(conn, "explain (route) select * from orders where tenant_id = 7"); got != "shard: s1" {
			t.Errorf("%s: %s", mode, got)
		}
		r.exec(conn, "begin")
		r.exec(conn, "delete from orders where tenant_id = 7")
		r.refuses(conn, "22023", "set pgdrover.tenant to 'seven'")
		r.refuses(conn, "25P02", "select 1")
		if tag := r.exec(conn, "commit"); tag != "ROLLBACK" {
			t.Errorf("%s: %s", mode, tag)
		}
		r.exec(conn, "begin")
		r.exec(conn, "savepoint a")
		r.refuses(conn, "42704", "set pgdrover.nosuch to 1")
		r.exec(conn, "rollback to a")
		if got := r.value(conn, "select 1"); got != "1" {
			t.Errorf("%s: %s", mode, got)
		}
		r.exec(conn, "commit")
		r.exec(conn, "deallocate all")
		if got := r.value(conn, "select count(*) from pg_prepared_statements where name like 'pgdrover%'"); got != "0" {
			t.Errorf("%s: %s statements of PgDrover's own are left", mode, got)
		}
	}
}

// TestSessionModeProcess has a client of session mode on one shard be told the process id of its backend, where there is one for it at
// its login: who terminates that process ends the client, as with a server. Others are told an id of the proxy's.
func TestSessionModeProcess(t *testing.T) {
	c := sharedPrimaries(t, 1)
	r := startRig(t, c, rigOptions{mode: ModeSession, size: 2, wait: 5 * time.Second})
	first, second := r.connect(simpleMode), r.connect()
	third := r.connect() // there is no room for it: it does not wait
	for _, conn := range []*pgx.Conn{first, second} {
		if got := r.value(conn, "select pg_backend_pid()"); got != itoa(int64(conn.PgConn().PID())) {
			t.Errorf("it was told %d, and its backend is %s", conn.PgConn().PID(), got)
		}
	}
	if pid := third.PgConn().PID(); peerOf(pid) != 0 || pid&sessionPID == 0 {
		t.Errorf("one without a backend was told %d", pid)
	}
	over := make(chan error, 1)
	go func() { _, err := second.Exec(context.Background(), "select pg_sleep(20)"); over <- err }()
	r.asleep(second.PgConn().PID())
	r.cancelRequest(second.PgConn().PID(), second.PgConn().SecretKey())
	if err := <-over; !isCode(err, "57014") {
		t.Fatal(err)
	}
	r.exec(first, "select pg_terminate_backend($1)", second.PgConn().PID())
	if _, err := second.Exec(t.Context(), "select 1"); err == nil {
		t.Error("it outlives its backend")
	}
	if got := r.value(third, "select 3"); got != "3" {
		t.Error(got)
	}
}
