package proxy

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// busy is how many backends are in use on a shard's primary.
func (r *rig) busy(shard int) int {
	for _, s := range r.db.Cluster().Stats() {
		if s.Shard == r.cluster.Shards[shard].Name && s.Role.String() == "primary" {
			return s.Busy
		}
	}
	r.t.Fatal("no such shard")
	return 0
}

func testWriters(t *testing.T, r *rig) {
	a, b := r.tenants(0, 1)[0], r.tenants(1, 1)[0]
	for _, mode := range []string{"", simpleMode} {
		conn := r.connect(mode)
		r.exec(conn, "begin")
		r.value(conn, "select count(*) from orders where tenant_id = $1", a)
		r.exec(conn, "savepoint s")
		r.exec(conn, "insert into orders values ($1, 1)", b)
		if e := r.refuses(conn, "0A000", "insert into orders values ($1, 1)", a); !strings.Contains(e.Detail, "s2") || e.Hint == "" {
			t.Fatalf("%+v", e)
		}
		r.refuses(conn, "25P02", "select 1")
		r.refuses(conn, "25P02", "savepoint x")
		r.refuses(conn, "3B001", "rollback to nowhere")
		r.exec(conn, "rollback to s")
		r.exec(conn, "insert into orders values ($1, 2)", b)
		if got := r.value(conn, "select count(*) from orders where tenant_id = $1", a); got != "0" {
			t.Fatal(got)
		}
		if tag := r.exec(conn, "commit"); tag != "COMMIT" {
			t.Fatal(tag)
		}
		if got := r.value(conn, "select string_agg(id::text, ' ') from orders where tenant_id = $1", b); got != "2" {
			t.Fatal(got)
		}
		r.exec(conn, "begin")
		r.exec(conn, "insert into orders values ($1, 3)", b)
		r.refuses(conn, "0A000", "insert into orders values ($1, 3)", a)
		if tag := r.exec(conn, "commit"); tag != "ROLLBACK" {
			t.Fatal(tag)
		}
		r.exec(conn, "delete from orders where tenant_id = $1", b)
	}
}

func testStrict(t *testing.T, r *rig) {
	a, b := r.tenants(0, 1)[0], r.tenants(1, 1)[0]
	for _, begin := range []string{"begin isolation level repeatable read", "begin; set transaction isolation level serializable"} {
		conn := r.connect(simpleMode)
		for _, sql := range strings.Split(begin, ";") {
			r.exec(conn, sql)
		}
		level := strings.Join(strings.Fields(begin)[len(strings.Fields(begin))-1:], " ")
		if got := r.value(conn, "show transaction_isolation"); !strings.HasSuffix(got, level) {
			t.Fatal(got)
		}
		r.value(conn, "select count(*) from orders where tenant_id = $1", a)
		if got := r.value(conn, "show transaction_isolation"); !strings.HasSuffix(got, level) {
			t.Fatal(got)
		}
		r.refuses(conn, "0A000", "select count(*) from orders where tenant_id = $1", b)
		r.refuses(conn, "25P02", "select 1")
		r.exec(conn, "rollback")
		r.exec(conn, "begin isolation level repeatable read")
		r.refuses(conn, "0A000", "insert into countries values ('xx', 'x')")
		r.exec(conn, "rollback")
	}
}

// testBackendsOfTransaction counts the backends of a tenant's transaction.
func testBackendsOfTransaction(t *testing.T, r *rig) {
	b := r.tenants(1, 1)[0]
	for _, mode := range []string{"", simpleMode} {
		conn := r.connect(mode)
		for _, sql := range []string{"begin", "set local statement_timeout = '9s'", "savepoint s", "show statement_timeout",
			"select set_config('app.who', 'me', true)"} {
			r.exec(conn, sql)
			await(t, sql+": no backend is in use", func() bool { return r.busy(0)+r.busy(1) == 0 })
		}
		for range 3 {
			r.exec(conn, "insert into orders values ($1, (select count(*) from orders where tenant_id = $1))", b)
			if got := r.value(conn, "select current_setting('app.who') || current_setting('statement_timeout')"); got != "me9s" {
				t.Fatal(got)
			}
			if r.busy(0) != 0 || r.busy(1) != 1 {
				t.Fatalf("%d and %d backends", r.busy(0), r.busy(1))
			}
		}
		r.exec(conn, "rollback")
		await(t, "no backend is in use", func() bool { return r.busy(0)+r.busy(1) == 0 }) // the client hears first
		if got := r.value(conn, "select current_setting('statement_timeout')"); got != "0" {
			t.Fatal(got)
		}
	}
}

func testEarly(t *testing.T, r *rig) { earlyBy(t, r, simpleMode) }

func testEarlyExtended(t *testing.T, r *rig) { earlyBy(t, r, "") }

// earlyBy looks at what comes before the first routed statement of a transaction.
func earlyBy(t *testing.T, r *rig, mode string) {
	a, b := r.tenants(0, 1)[0], r.tenants(1, 1)[0]
	conn := r.connect(mode)
	r.exec(conn, "begin")
	r.exec(conn, "set statement_timeout = '11s'")
	r.exec(conn, "set local lock_timeout = '7s'")
	r.exec(conn, "savepoint one")
	r.exec(conn, "set local lock_timeout = '8s'")
	if got := r.value(conn, "show lock_timeout"); got != "8s" {
		t.Fatal(got)
	}
	r.exec(conn, "rollback to one")
	if got := r.value(conn, "show lock_timeout"); got != "7s" {
		t.Fatal(got)
	}
	r.refuses(conn, "22023", "set statement_timeout = 'nonsense'")
	r.refuses(conn, "25P02", "show lock_timeout")
	r.exec(conn, "rollback to one")
	for _, k := range []int64{a, b} {
		if got := r.value(conn, "select current_setting('lock_timeout') || current_setting('statement_timeout') || count(*) from orders where tenant_id = $1", k); got != "7s11s0" {
			t.Fatal(got)
		}
	}
	r.exec(conn, "set local lock_timeout = '6s'") // both take part now
	for _, k := range []int64{a, b} {
		if got := r.value(conn, "select current_setting('lock_timeout') || count(*) from orders where tenant_id = $1", k); got != "6s0" {
			t.Fatal(got)
		}
	}
	r.exec(conn, "commit")
	if got := r.value(conn, "show lock_timeout"); got != "0" {
		t.Fatal(got)
	}
	if got := r.value(conn, "show statement_timeout"); got != "11s" {
		t.Fatal(got)
	}
	r.exec(conn, "begin")
	r.exec(conn, "reset statement_timeout")
	r.exec(conn, "rollback")
	if got := r.value(conn, "show statement_timeout"); got != "11s" {
		t.Fatal(got)
	}
	other := r.connect(mode) // nothing has leaked to the backends' next user
	for range 4 {
		for _, k := range []int64{a, b} {
			if got := r.value(other, "select current_setting('lock_timeout') || current_setting('statement_timeout') || count(*) from orders where tenant_id = $1", k); got != "000" {
				t.Fatal(got)
			}
		}
	}
}

// testLateJoiner has a shard join a transaction after savepoints and settings came and went.
func testLateJoiner(t *testing.T, r *rig) {
	a, b := r.tenants(0, 1)[0], r.tenants(1, 1)[0]
	conn := r.connect()
	settings := "select current_setting('application_name') || current_setting('lock_timeout') || count(*) from orders where tenant_id = $1"
	r.exec(conn, "set application_name = 'first'")
	r.exec(conn, "begin")
	r.value(conn, settings, a)
	r.exec(conn, "savepoint one")
	r.exec(conn, "set application_name = 'second'")
	r.exec(conn, "set local lock_timeout = '3s'")
	r.exec(conn, "savepoint two")
	if got := r.value(conn, settings, b); got != "second3s0" {
		t.Fatal(got)
	}
	r.exec(conn, "release two")
	r.exec(conn, "rollback to one")
	for _, k := range []int64{a, b} {
		if got := r.value(conn, settings, k); got != "first00" {
			t.Fatalf("tenant %d: %s", k, got)
		}
	}
	r.exec(conn, "commit")
	other := r.connect()
	for _, k := range []int64{a, b} {
		if got := r.value(other, settings, k); strings.Contains(got, "first") || strings.Contains(got, "second") {
			t.Fatalf("tenant %d: %s", k, got)
		}
	}
}

// testSevered loses a backend inside a transaction: no savepoint can bring back what was done there.
func testSevered(t *testing.T, r *rig) {
	b := r.tenants(1, 1)[0]
	for _, mode := range []string{"", simpleMode} {
		conn := r.connect(mode)
		r.exec(conn, "begin")
		r.exec(conn, "insert into orders values ($1, 1)", b)
		pid := r.value(conn, "select pg_backend_pid() from orders where tenant_id = $1", b)
		r.exec(conn, "savepoint s")
		r.on(r.cluster.Shards[1].Primary, "select pg_terminate_backend("+pid+", 5000)")
		if _, err := conn.Exec(t.Context(), "insert into orders values ($1, 2)", b); err == nil {
			t.Fatal("the loss went unnoticed")
		}
		r.refuses(conn, "25P02", "rollback to s")
		r.refuses(conn, "25P02", "insert into orders values ($1, 3)", b)
		if tag := r.exec(conn, "commit"); tag != "ROLLBACK" {
			t.Fatal(tag)
		}
		if got := r.value(conn, "select count(*) from orders where tenant_id = $1", b); got != "0" {
			t.Fatalf("%s rows", got)
		}
	}
}

// testAside prepares and describes statements before it says whose they are.
func testAside(t *testing.T, r *rig) {
	tenants := []int64{r.tenants(0, 1)[0], r.tenants(1, 1)[0]}
	for i, k := range tenants {
		conn := r.connect("default_query_exec_mode=describe_exec")
		for _, begun := range []bool{false, true} {
			if begun {
				r.exec(conn, "begin")
			}
			r.exec(conn, "insert into orders values ($1, (select count(*) from orders where tenant_id = $1))", k)
			if begun {
				r.exec(conn, "rollback")
			}
		}
		if got := r.on(r.cluster.Shards[i].Primary, "select count(*) from orders where tenant_id = "+strconv.FormatInt(k, 10)); got != "1" {
			t.Fatalf("%s rows", got)
		}
	}
	for i, k := range tenants { // Parse, Describe and Flush; then Bind, Execute and Sync
		conn := r.connect()
		for _, begun := range []bool{false, true} {
			if begun {
				r.exec(conn, "begin")
			}
			flushed(t, conn, "insert into orders values ($1::bigint, 77)", strconv.FormatInt(k, 10))
			if begun {
				r.exec(conn, "rollback")
			}
			if got := r.on(r.cluster.Shards[i].Primary, "delete from orders where id = 77 returning 1"); (got == "1") == begun {
				t.Fatalf("begun %v: %q", begun, got)
			}
		}
	}
}

// flushed runs a statement by the extended protocol with a Flush after its description.
func flushed(t *testing.T, conn *pgx.Conn, sql, param string) {
	t.Helper()
	f := conn.PgConn().Frontend()
	f.SendParse(parseOf(sql))
	f.SendDescribe(describeStatementOf(""))
	f.Send(flushMessage)
	if err := f.Flush(); err != nil {
		t.Fatal(err)
	}
	expect(t, f, "ParseComplete", "ParameterDescription", "NoData")
	f.SendBind(bindOf(param))
	f.SendExecute(executeAll)
	f.SendSync(syncMessage)
	if err := f.Flush(); err != nil {
		t.Fatal(err)
	}
	expect(t, f, "BindComplete", "CommandComplete", "ReadyForQuery")
}

// testSameLocks has many write the same rows of a reference table, in statements and in transactions: nobody waits in a circle.
func testSameLocks(t *testing.T, r *rig) {
	setup := r.connect()
	r.exec(setup, "insert into countries values ('de', 'Germany'), ('fr', 'France')")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var group sync.WaitGroup
	for g := range 6 {
		conn := r.connect([]string{simpleMode, "default_query_exec_mode=exec"}[g%2])
		group.Go(func() {
			for i := range 25 {
				err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
					for _, code := range []string{"de", "fr"} {
						if _, err := tx.Exec(ctx, "update countries set name = $2 where code = $1", code, strconv.Itoa(g*1000+i)); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					t.Errorf("client %d: %v", g, err)
					return
				}
				if _, err := conn.Exec(ctx, "update countries set name = name || '.' where code = 'fr'"); err != nil {
					t.Errorf("client %d: %v", g, err)
					return
				}
			}
		})
	}
	group.Wait()
	names := "select string_agg(name, ' ' order by code) from countries"
	r.everywhere(r.on(r.cluster.Shards[0].Primary, names), names)
}
