package proxy

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgdrover/pgdrover/internal/pgtest"
)

// limitRig is a rig whose user and database have limits.
func limitRig(t *testing.T, user, database Limits, o rigOptions) (*rig, *Config) {
	var cfg Config
	o.limits = database
	o.config = func(c *Config) {
		c.Users[rigUser].Limits = user
		c.Console = emptyConsole{}
		c.Users["bob"] = &User{Name: "bob", Verifier: c.Users[rigUser].Verifier}
		c.Users["ops"] = &User{Name: "ops", Verifier: c.Users[rigUser].Verifier, Admin: true}
		cfg = *c
	}
	return startRig(t, apart(t), o), &cfg
}

// login tries to log in, and returns the SQLSTATE and the words of a refusal.
func (r *rig) login(user, database string, params map[string]string) (*pgtest.Client, string) {
	c, err := pgtest.Dial(r.addr, pgtest.Options{User: user, Password: rigPassword, Database: database, Params: params, Timeout: time.Minute})
	if err != nil {
		return nil, err.Error()
	}
	return c, ""
}

func TestClientLimits(t *testing.T) {
	const role, database, all = `too many connections for role "alice"`, `too many connections for database "app"`, "sorry, too many clients already"
	r, cfg := limitRig(t, Limits{Clients: 3}, Limits{Clients: 5}, rigOptions{})
	name := r.cluster.Database
	fill := func(user string, room int, words string) []*pgtest.Client {
		t.Helper()
		var mu sync.Mutex
		var in []*pgtest.Client
		var group sync.WaitGroup
		for range 12 {
			group.Go(func() {
				c, refused := r.login(user, name, nil)
				mu.Lock()
				defer mu.Unlock()
				if c != nil {
					in = append(in, c)
				} else if !strings.Contains(refused, words) || !strings.Contains(refused, "53300") {
					t.Errorf("%s was refused with %s", user, refused)
				}
			})
		}
		group.Wait()
		if len(in) != room {
			t.Fatalf("%d clients of %s came in, want %d", len(in), user, room)
		}
		return in
	}
	empty := func() {
		t.Helper()
		r.eventually("all have left", func() bool {
			c := &r.server.census
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.all.Load() == 0 && c.lately == (lately{}) && len(c.users) == 0 && len(c.databases) == 0
		})
	}
	words := strings.ReplaceAll(database, "app", name)
	for _, leave := range []func(*pgtest.Client) error{(*pgtest.Client).Close, (*pgtest.Client).Abort} {
		alices := fill(rigUser, 3, role)
		bobs := fill("bob", 2, words)
		for _, c := range append(alices, bobs...) {
			_ = leave(c)
		}
		empty()
	}
	for _, params := range []map[string]string{{"options": "-c no_such=1"}, {"options": "nonsense"}, {"DateStyle": "x"}, {"pgdrover.tenant": "x"}} {
		if c, refused := r.login(rigUser, name, params); c != nil {
			t.Errorf("%v: came in: %s", params, refused)
		}
		empty()
	}
	next := *cfg
	next.Clients = 4
	users := map[string]*User{"bob": cfg.Users["bob"], "ops": cfg.Users["ops"]}
	alice := *cfg.Users[rigUser]
	alice.Limits.Clients = 0
	users[rigUser], next.Users = &alice, users
	r.server.Reconfigure(next)
	clients := fill(rigUser, 4, all)
	for range 3 {
		console, refused := r.login("ops", "pgdrover", nil)
		if console == nil {
			t.Fatalf("the console: %s", refused)
		}
		defer func() { _ = console.Close() }()
	}
	if c, refused := r.login("bob", name, nil); c != nil || !strings.Contains(refused, all) {
		t.Errorf("bob: %s", refused)
	}
	got := r.server.Metrics().Limits()
	for limit, least := range map[string]int64{limitUser: 18, limitDatabase: 20, limitClients: 9} {
		if n := got[LimitKey{name, limit}]; n != least {
			t.Errorf("%s was counted %d times, want %d", limit, n, least)
		}
	}
	for _, c := range clients {
		_ = c.Close()
	}
	empty()
}

// stopsLate runs a statement that has to be stopped by its timeout.
func (r *rig) stopsLate(c *pgx.Conn, sql string, args ...any) {
	r.t.Helper()
	if e := r.refuses(c, "57014", sql, args...); e.Message != "canceling statement due to statement timeout" || e.Hint == "" {
		r.t.Fatalf("%s: %+v", sql, e)
	}
}

func TestStatementTimeout(t *testing.T) {
	r, cfg := limitRig(t, Limits{Statement: time.Minute}, Limits{Statement: time.Second}, rigOptions{size: 1, wait: time.Minute})
	k, other := r.tenants(0, 1)[0], r.tenants(1, 1)[0]
	sleep := "select pg_sleep(30) from (select count(*) from orders where tenant_id = $1) o"
	for _, mode := range []string{simpleMode, ""} {
		conn := r.connect(mode)
		r.stopsLate(conn, sleep, k)
		r.value(conn, "select count(*) from orders where tenant_id = $1", k)
		r.exec(conn, "begin")
		r.exec(conn, "insert into orders values ($1, 1)", k)
		r.exec(conn, "savepoint a")
		r.stopsLate(conn, sleep, k)
		r.refuses(conn, "25P02", "select 1")
		r.exec(conn, "rollback to a")
		if got := r.value(conn, "select count(*) from orders where tenant_id = $1", k); got != "1" {
			t.Fatal(got)
		}
		r.exec(conn, "rollback")
		r.exec(conn, "set statement_timeout = '1h'") // the client's own does not lift the operator's
		r.stopsLate(conn, sleep, k)
		if got := r.value(conn, "show statement_timeout"); got != "1h" {
			t.Fatal(got)
		}
		r.exec(conn, "set statement_timeout = '20ms'") // a shorter one is the server's to keep
		if e := r.refuses(conn, "57014", sleep, k); e.Hint != "" {
			t.Fatalf("%+v", e)
		}
		r.exec(conn, "reset statement_timeout")
		r.stopsLate(conn, "insert into countries select pg_sleep(30)::text, 'everywhere'")
		r.everywhere("0", "select count(*) from countries")
		conn.Close(context.Background())
	}
	conn := r.connect(simpleMode)
	r.ownTimes(conn)
	r.queuesLong(conn, k, other)
	if got := r.server.Metrics().Limits()[LimitKey{r.cluster.Database, limitStatement}]; got < 8 {
		t.Errorf("counted %d times", got)
	}
	opt := *r.db.options()
	opt.Limits.Statement = 0
	r.db.Adjust(opt)
	r.server.Reconfigure(*cfg)
	r.exec(conn, "select pg_sleep(1.5)") // a reload is in force for sessions that are there
}

// ownTimes checks that each statement of a text, and of a batch, has its own time.
func (r *rig) ownTimes(conn *pgx.Conn) {
	r.t.Helper()
	nap := "select pg_sleep(0.4)"
	r.exec(conn, strings.Repeat(nap+"; ", 4))
	if rows, err := conn.PgConn().Exec(r.t.Context(), "select 1; select pg_sleep(30); select 2").ReadAll(); !isCode(err, "57014") || len(rows) == 0 {
		r.t.Fatalf("%v, %v", rows, err)
	}
	for _, last := range []string{nap, "select pg_sleep(30)"} {
		batch := &pgconn.Batch{}
		for range 4 {
			batch.ExecParams(nap, nil, nil, nil, nil)
		}
		batch.ExecParams(last, nil, nil, nil, nil)
		results, err := conn.PgConn().ExecBatch(r.t.Context(), batch).ReadAll()
		if wrong := last == nap && err != nil || last != nap && !isCode(err, "57014"); wrong || len(results) < 4 {
			r.t.Fatalf("%d results, %v", len(results), err)
		}
	}
}

// queuesLong has a client wait for a backend for longer than a statement may run: that is no part of its time.
func (r *rig) queuesLong(conn *pgx.Conn, k, other int64) {
	r.t.Helper()
	holder := r.connect(simpleMode)
	r.exec(holder, "begin")
	r.exec(holder, "insert into orders values ($1, 2)", k)
	done := make(chan error, 1)
	go func() {
		_, err := conn.Exec(context.Background(), "insert into orders values ($1, 3)", k)
		done <- err
	}()
	r.running(conn.PgConn().PID(), ClientWaiting)
	for began := time.Now(); time.Since(began) < 1500*time.Millisecond; {
		r.value(holder, "select 1 from (select count(*) from orders where tenant_id = $1) o", other)
	}
	r.exec(holder, "rollback")
	if err := <-done; err != nil {
		r.t.Fatal(err)
	}
}

// TestTimeoutsSpareOthers has one client's statements time out again and again while others use the same backends.
func TestTimeoutsSpareOthers(t *testing.T) {
	r, _ := limitRig(t, Limits{Statement: time.Second}, Limits{}, rigOptions{size: 2, wait: time.Minute})
	k := r.tenants(0, 1)[0]
	late := r.connect(simpleMode)
	var group sync.WaitGroup
	stop := make(chan struct{})
	for range 6 {
		c, err := pgx.Connect(t.Context(), strings.Replace(r.url(simpleMode), rigUser, "bob", 1))
		if err != nil {
			t.Fatal(err)
		}
		group.Go(func() {
			defer c.Close(context.Background())
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := c.Exec(context.Background(), "select pg_sleep(0.002) from (select count(*) from orders where tenant_id = $1) o", k); err != nil {
					t.Errorf("another client's statement: %v", err)
					return
				}
			}
		})
	}
	for i := range 8 {
		// The longer ones are stopped; those that end about when they are due are stopped or not.
		_, err := late.Exec(t.Context(), fmt.Sprintf("select pg_sleep(%g) from (select count(*) from orders where tenant_id = %d) o", 0.9+float64(i%4)*0.1, k))
		if err != nil && !isCode(err, "57014") {
			t.Errorf("the slow client: %v", err)
		}
		r.exec(late, "select pg_sleep(0.001)")
	}
	close(stop)
	group.Wait()
}

func TestIdleTransactionTimeout(t *testing.T) {
	r, _ := limitRig(t, Limits{IdleTransaction: time.Second}, Limits{IdleTransaction: time.Hour}, rigOptions{size: 1, wait: time.Minute})
	k := r.tenants(0, 1)[0]
	ended := func(c *pgx.Conn) {
		t.Helper()
		_ = c.PgConn().Conn().SetReadDeadline(time.Now().Add(time.Minute))
		m, err := c.PgConn().Frontend().Receive()
		e, told := m.(*pgproto3.ErrorResponse)
		if !told || e.Code != "25P03" || e.Severity != "FATAL" || e.Message != "terminating connection due to idle-in-transaction timeout" {
			t.Fatalf("an idle transaction ended with %+v, %v", m, err)
		}
	}
	for _, open := range [][]string{
		{"begin"}, {"begin", "insert into orders values (" + itoa(k) + ", 1)"}, {"begin", "select no_such()"},
		{"begin", "insert into orders values (" + itoa(k) + ", 1)", "select 1/0"},
	} {
		conn := r.connect(simpleMode)
		for _, sql := range open {
			_, _ = conn.Exec(t.Context(), sql)
		}
		ended(conn)
		next := r.connect() // the one backend is free, and clean
		if got := r.value(next, "select count(*) from orders where tenant_id = $1", k); got != "0" {
			t.Fatalf("%q: %s rows are left", open, got)
		}
		next.Close(t.Context())
	}
	busy := r.connect()
	r.exec(busy, "begin")
	r.exec(busy, "select pg_sleep(2.5) from orders where tenant_id = $1 having true", k) // it is not idle meanwhile
	for range 4 {
		r.exec(busy, "select pg_sleep(0.4)")
	}
	r.exec(busy, "commit")
	time.Sleep(1500 * time.Millisecond) // outside a transaction a client may be idle
	r.exec(busy, "select 1")
	if got := r.server.Metrics().Limits()[LimitKey{r.cluster.Database, limitIdleTransaction}]; got != 4 {
		t.Errorf("counted %d times", got)
	}
	gone := r.connect(simpleMode) // a client that does not read what it is told does not keep its transaction
	r.exec(gone, "begin")
	r.exec(gone, "insert into orders values ($1, 1)", k)
	if got := r.value(r.connect(), "select count(*) from orders where tenant_id = $1", k); got != "0" {
		t.Fatal(got)
	}
}

func TestQueryWaitOfUser(t *testing.T) {
	r, _ := limitRig(t, Limits{QueryWait: 500 * time.Millisecond}, Limits{}, rigOptions{size: 1, wait: time.Minute})
	k := r.tenants(0, 1)[0]
	holder, hasty := r.connect(), r.connect()
	r.exec(holder, "begin")
	r.exec(holder, "insert into orders values ($1, 1)", k)
	for range 2 {
		began := time.Now()
		e := r.refuses(hasty, "53300", "select count(*) from orders where tenant_id = $1", k)
		if time.Since(began) > 30*time.Second || !strings.Contains(e.Hint, "query_wait_timeout") || !strings.Contains(e.Message, "500ms") {
			t.Fatalf("after %s: %+v", time.Since(began), e)
		}
	}
	patient, err := pgx.Connect(t.Context(), strings.Replace(r.url(), rigUser, "bob", 1))
	if err != nil {
		t.Fatal(err)
	}
	defer patient.Close(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := patient.Exec(context.Background(), "insert into orders values ($1, 2)", k)
		done <- err
	}()
	r.running(patient.PgConn().PID(), ClientWaiting)
	r.refuses(hasty, "53300", "select count(*) from orders where tenant_id = $1", k)
	r.exec(holder, "commit")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := r.value(hasty, "select count(*) from orders where tenant_id = $1", k); got != "2" {
		t.Fatal(got)
	}
}

// TestWaitForResumeOfUser: who waits for RESUME waits as for a backend.
func TestWaitForResumeOfUser(t *testing.T) {
	r, _ := limitRig(t, Limits{QueryWait: 200 * time.Millisecond}, Limits{}, rigOptions{wait: time.Minute})
	hasty := r.connect()
	if err := r.db.Pause(t.Context(), r.server); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	r.refuses(hasty, "57P03", "select 1")
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("after %s", took)
	}
	if err := r.db.Resume(); err != nil {
		t.Error(err)
	}
	r.eventually("it is served", func() bool { // its first backend may take longer than it waits
		var got int
		return hasty.QueryRow(t.Context(), "select 1").Scan(&got) == nil && got == 1
	})
}

// TestCensus counts sessions of users and databases that take turns, as they come and go.
func TestCensus(t *testing.T) {
	var c census
	type present struct{ user, database *presence }
	var all []present
	for i := range 40 {
		user, database := []string{"a", "b", "b"}[i%3], []string{"x", "x", "y"}[i%3]
		u, d, reached := c.enter(user, database, 0, 0, 0)
		if u.name != user || d.name != database || reached != "" {
			t.Fatalf("%s of %s was counted with %s of %s (%q)", user, database, u.name, d.name, reached)
		}
		if all = append(all, present{u, d}); i%4 == 3 { // the last of a name goes now and then
			for range 3 {
				c.leave(all[0].user, all[0].database)
				all = all[1:]
			}
		}
	}
	counts := map[string]int{}
	for _, p := range all {
		counts[p.user.name]++
		counts[p.database.name]++
	}
	for name, want := range counts {
		if p := cmp.Or(c.users[name], c.databases[name]); p == nil || p.count != want {
			t.Errorf("%s has %v, want %d", name, p, want)
		}
	}
	if _, _, reached := c.enter("a", "x", 0, counts["a"], 0); reached != limitUser {
		t.Errorf("a session above the user's limit reached %q", reached)
	}
	for _, p := range all {
		c.leave(p.user, p.database)
	}
	if c.all.Load() != 0 || len(c.users) != 0 || len(c.databases) != 0 || c.lately != (lately{}) {
		t.Errorf("when all have left there are %v and %v", c.users, c.databases)
	}
}
