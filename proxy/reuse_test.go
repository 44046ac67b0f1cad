package proxy

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgdrover/pgdrover/internal/task"
)

// noOIDs are the types of a Parse that declares none.
var noOIDs = []byte{0, 0}

// sends plays a text as an unnamed statement, n times.
func (r *rig) sends(conn *pgx.Conn, sql string, n int) {
	r.t.Helper()
	for i := range n {
		if res := conn.PgConn().ExecParams(r.t.Context(), sql, [][]byte{[]byte(strconv.Itoa(i))}, nil, nil, nil).Read(); res.Err != nil {
			r.t.Fatalf("%s: %v", sql, res.Err)
		}
	}
}

// plans is how often the backend of a pool of one has planned, or used the plan of, the statements that have a name there.
func (r *rig) plans(conn *pgx.Conn) string {
	r.t.Helper()
	res, err := conn.PgConn().Exec(r.t.Context(), `select coalesce(string_agg(concat_ws(' ', custom_plans, generic_plans, statement), '; ' order by statement), 'none') from pg_prepared_statements`).ReadAll()
	if err != nil {
		r.t.Fatal(err)
	}
	return string(res[0].Rows[0][0])
}

// TestReuse looks at what a backend has of unnamed statements.
func TestReuse(t *testing.T) {
	c := sharedPrimaries(t, 1)
	const point = "select name from countries where code = $1"
	for _, test := range []struct {
		name string
		o    rigOptions
		sql  string
		want string
	}{
		{"a point select", rigOptions{}, point, "5 14 " + point}, // the first time a text comes, nobody knows whether it comes again
		{"an insert", rigOptions{}, "insert into countries (code) values ($1)", "5 14 insert into countries (code) values ($1)"},
		{"what may have several plans", rigOptions{}, "select name from countries where code > $1", "none"},
		{"switched off", rigOptions{parse: true}, point, "none"},
		{"a hint", rigOptions{}, "/* pgdrover: noreuse */ " + point, "none"},
		{"session mode", rigOptions{mode: ModeSession}, point, "none"},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.o.size = 1
			r := startRig(t, c, test.o)
			conn := r.connect()
			defer conn.Close(t.Context())
			r.sends(conn, test.sql, 20)
			if got := r.plans(conn); got != test.want {
				t.Errorf("the backend has %s", got)
			}
		})
	}
}

// TestReuseNotInTransactions has a session use its own statements where an error could not be mended, or where it has something of its own.
func TestReuseNotInTransactions(t *testing.T) {
	r := startRig(t, sharedPrimaries(t, 1), rigOptions{size: 1})
	conn := r.connect()
	defer conn.Close(t.Context())
	for _, around := range [][2]string{{"begin", "rollback"}, {"select pg_advisory_lock(1)", "select pg_advisory_unlock(1)"}, {"create temp table tmp (id int)", "drop table tmp"}} {
		r.exec(conn, around[0])
		r.sends(conn, "select name from countries where code = $1", 10)
		if got := r.plans(conn); strings.Contains(got, "countries") {
			t.Errorf("after %s the backend has %s", around[0], got)
		}
		r.exec(conn, around[1])
	}
}

// TestReusedTexts admits texts that come again, as many as there is room for, and gives them up when others are of more use.
func TestReusedTexts(t *testing.T) {
	var n statementNames
	n.init()
	now := time.Now().UnixNano()
	name := func(text string) string {
		if s := n.reuse(7, []byte(text), noOIDs, now, 2); s != nil {
			return s.name
		}
		return "none"
	}
	for _, step := range []struct{ text, want string }{
		{"a", "none"}, {"a", "pgdrover_1"}, {"b", "none"}, {"a", "pgdrover_1"}, {"b", "pgdrover_2"}, {"c", "none"}, {"c", "none"}, {"a", "pgdrover_1"},
	} {
		if got := name(step.text); got != step.want {
			t.Errorf("%s is %s, not %s", step.text, got, step.want)
		}
	}
	now += int64(reuseTime)
	if a, c := name("a"), name("c"); a != "pgdrover_1" || c != "pgdrover_3" {
		t.Errorf("after some time a is %s and c is %s", a, c)
	}
	n.renew()
	if a := name("a"); a != "pgdrover_4" {
		t.Errorf("after DDL a is %s", a)
	}
	if s := n.reuse(8, []byte("a"), noOIDs, now, 2); s != nil {
		t.Errorf("under other settings a is %s", s.name)
	}
	text := []byte("a")
	if allocs := testing.AllocsPerRun(100, func() { n.reuse(7, text, noOIDs, now, 2) }); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// TestReuseIsRenewed has a backend be told a statement anew after some time: it plans it anew.
func TestReuseIsRenewed(t *testing.T) {
	r := startRig(t, sharedPrimaries(t, 1), rigOptions{size: 1, reuseFor: time.Nanosecond})
	conn := r.connect()
	defer conn.Close(t.Context())
	const point = "select name from countries where code = $1"
	r.sends(conn, point, 20)
	if got := r.plans(conn); got != "1 0 "+point {
		t.Errorf("the backend has %s", got)
	}
}

// TestKnownSince keeps when a backend was told a statement.
func TestKnownSince(t *testing.T) {
	s, now := &statementName{}, task.Moment(time.Second)
	var k statementSet
	k.add(knownStatement{s, now}, 10)
	if k.outlived(s, now-1) || !k.outlived(s, now+1) || !k.use(s) {
		t.Error("a statement's age is another")
	}
	k.restore(&statementName{})
	if k.order[1] != (knownStatement{s, now}) {
		t.Error("a statement's age is lost")
	}
}

// BenchmarkReuse finds the name of a text that comes again.
func BenchmarkReuse(b *testing.B) {
	var n statementNames
	n.init()
	text := []byte("select tenant_id, id, status from orders where tenant_id = $1 and id = $2")
	n.reuse(7, text, noOIDs, 0, 100)
	b.ReportAllocs()
	for b.Loop() {
		if n.reuse(7, text, noOIDs, 0, 100) == nil {
			b.Fatal("it has none")
		}
	}
}
