package proxy

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgdrover/pgdrover/router"
)

// TestStatementModeKeepsNothing has a session refused what lasts longer than a statement, by either protocol, and go on.
func TestStatementModeKeepsNothing(t *testing.T) {
	r := startRig(t, sharedCluster(t), rigOptions{mode: ModeStatement})
	refused := []string{"begin", "start transaction read only", "create temp table tmp (x int)", "select 1 into temp tmp",
		"select pg_advisory_lock(1)", "do $$ begin execute 'prepare s as select 1'; end $$",
		"declare c cursor with hold for select 1", "select set_config(code, name, false) from countries"}
	for _, mode := range []string{"simple_protocol", "exec", "cache_statement"} {
		conn := r.connect("default_query_exec_mode=" + mode)
		for _, sql := range refused {
			if e := r.refuses(conn, "0A000", sql); e.Hint == "" || !strings.Contains(e.Message, "statement mode") {
				t.Errorf("%s: %v, hint %q", sql, e, e.Hint)
			}
			if got := r.value(conn, "select 1"); got != "1" {
				t.Fatal("the session did not go on")
			}
		}
		r.eventually("no backend is held", func() bool { return len(r.clientOf(conn).Backends) == 0 })
	}
	conn := r.connect("default_query_exec_mode=simple_protocol")
	for _, sql := range []string{"begin; select 1; commit", "begin; declare c cursor with hold for select 1; commit", "select 1; create temp table tmp (x int)"} {
		r.refuses(conn, "0A000", sql)
	}
	for _, sql := range []string{"select 1; select 2", "set timezone to 'Asia/Tokyo'", "commit", "discard all", "listen news",
		"select pg_advisory_xact_lock(1)", "notify news", "unlisten *",
		"prepare s as select 1", "execute s", "deallocate s"} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
}

// TestStatementModeServes runs what does not outlast a statement: writes, batches, pipelines and COPY.
func TestStatementModeServes(t *testing.T) {
	r := startRig(t, sharedCluster(t), rigOptions{mode: ModeStatement, size: 2})
	conn := r.connect()
	k := r.tenants(0, 1)[0]
	b := &pgx.Batch{}
	for i := range 5 {
		b.Queue("insert into orders (tenant_id, id, note) values ($1, $2, 'batch')", k, i)
	}
	b.Queue("select count(*) from orders where tenant_id = $1", k)
	results := conn.SendBatch(t.Context(), b)
	if err := results.Close(); err != nil {
		t.Fatal(err)
	}
	if got := r.value(conn, "select count(*) from orders where tenant_id = $1", k); got != "5" {
		t.Fatalf("%s rows", got)
	}
	pipe := conn.PgConn().StartPipeline(t.Context())
	for range 3 {
		pipe.SendQueryParams("select count(*) from orders where tenant_id = "+itoa(k), nil, nil, nil, nil)
		if err := pipe.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	if err := pipe.Close(); err != nil {
		t.Fatal(err)
	}
	r.exec(conn, "set pgdrover.tenant to "+itoa(k))
	n, err := conn.CopyFrom(t.Context(), pgx.Identifier{"orders"}, []string{"tenant_id", "id"}, pgx.CopyFromRows([][]any{{k, int64(100)}, {k, int64(101)}}))
	if err != nil || n != 2 {
		t.Fatal(n, err)
	}
	r.exec(conn, "set timezone to 'Asia/Tokyo'")
	if got := r.value(conn, "show timezone"); got != "Asia/Tokyo" {
		t.Fatal(got)
	}
	r.exec(conn, "deallocate all")
}

// TestStatementModeEndsWhatItCannotRefuse ends a session for which a server opened a transaction though no BEGIN was seen.
func TestStatementModeEndsWhatItCannotRefuse(t *testing.T) {
	s := &session{scratch: new(scratch), mode: ModeStatement, links: []*link{{use: use{status: 'I'}}}}
	if s.outlasts() {
		t.Fatal("nothing was left behind")
	}
	s.tx.open = true
	if !s.outlasts() {
		t.Fatal("a transaction was left behind")
	}
	s.tx.open, s.links[0].hold = false, router.HoldCursor
	if !s.outlasts() {
		t.Fatal("a cursor was left behind")
	}
	s.mode = ModeTransaction
	if s.outlasts() {
		t.Fatal("it is another mode")
	}
}

// clientOf is what the operator sees of a client.
func (r *rig) clientOf(conn *pgx.Conn) Client {
	return r.clientWith(conn.PgConn().PID())
}

func (r *rig) clientWith(pid uint32) Client {
	for _, c := range r.server.Clients() {
		if c.PID == pid {
			return c
		}
	}
	r.t.Fatalf("no client has the number %d", pid)
	return Client{}
}
