package proxy

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestScatterLimits is about what else a statement on all shards does: how it is asked for, and how it ends early.
func TestScatterLimits(t *testing.T) {
	r, one := scatterRig(t, rigOptions{size: 2, wait: 10 * time.Second})
	all := r.direct(one)
	conn, simple := r.connect(), r.connect(simpleMode)
	count := func(c *pgx.Conn) string { return r.value(c, "/* pgdrover: scatter */ select count(*) from orders") }

	t.Run("asked for", func(t *testing.T) {
		r.refuses(conn, "0A000", "select count(*) from orders")
		if got := count(conn) + count(simple); got != "180180" {
			t.Error(got)
		}
		r.exec(conn, "set pgdrover.scatter = yes")
		if got := r.value(conn, "select count(*) from orders"); got != "180" {
			t.Error(got)
		}
		r.refuses(conn, "0A000", "/* pgdrover: scatter=off */ select count(*) from orders")
		r.refuses(conn, "22023", "set pgdrover.scatter = maybe")
		r.exec(conn, "reset pgdrover.scatter")
		r.refuses(conn, "0A000", "select count(*) from orders")
	})

	t.Run("parameters", func(t *testing.T) {
		for _, sql := range []string{
			"/* pgdrover: scatter */ select tenant_id, id, total from orders where total > $1 and status = any($2) order by total desc, tenant_id, id limit $3 offset $4 /* in order */",
			"/* pgdrover: scatter */ select total, id, tenant_id from orders where total > $1 and status = any($2) order by total desc, tenant_id, id limit $3 offset $4 /* in order */",
			"/* pgdrover: scatter */ select status, sum(total) * $1, count(*) filter (where status = any($2)) from orders group by status having count(*) > $3 order by 1 offset $4 /* in order */",
		} {
			for range 2 { // the second time it is prepared
				got := answerOf(t, conn, sql, 12.5, []string{"new", "paid"}, 17, 1)
				want := answerOf(t, all, sql, 12.5, []string{"new", "paid"}, 17, 1)
				if d := firstDifference(got, want); d != "" || len(got) < 4 {
					t.Errorf("%s: %s, %d lines", sql, d, len(got))
				}
			}
		}
	})

	t.Run("transactions", func(t *testing.T) {
		k := r.tenants(0, 1)[0]
		r.exec(conn, "begin")
		r.exec(conn, "delete from orders where tenant_id = $1", k)
		if got := count(conn); got != "174" {
			t.Errorf("inside: %s", got)
		}
		r.refuses(conn, "22012", "/* pgdrover: scatter */ select 1 / (id - 2) from orders")
		r.refuses(conn, "25P02", "select 1")
		r.exec(conn, "rollback")
		r.exec(conn, "begin isolation level repeatable read")
		r.refuses(conn, "0A000", "/* pgdrover: scatter */ select count(*) from orders")
		r.exec(conn, "rollback")
		if got := count(conn); got != "180" {
			t.Errorf("afterwards: %s", got)
		}
	})

	t.Run("too much to keep", func(t *testing.T) {
		o := *r.db.options()
		o.ScatterMemory = 1 << 20
		r.db.Adjust(o)
		for _, c := range []*pgx.Conn{conn, simple} {
			e := r.refuses(c, "54000", "/* pgdrover: scatter */ select repeat('x', 1000), n from users, generate_series(1, 300) n order by n, 1")
			if !strings.Contains(e.Hint, "scatter_memory") || !strings.Contains(e.Message, "1 MB") {
				t.Errorf("%+v", e)
			}
			r.refuses(c, "54000", "/* pgdrover: scatter */ select repeat('x', 3000000) from users")
			// what is merged may be as much as it likes
			sorted, err := c.Query(t.Context(), "/* pgdrover: scatter */ select n, repeat('x', 1000) from users, generate_series(1, 300) n order by n desc offset 7")
			last, count := 301, 0
			for err == nil && sorted.Next() {
				n := 0
				if err := sorted.Scan(&n, nil); err != nil || n > last {
					t.Fatalf("%d after %d, %v", n, last, err)
				}
				last = n
				count++
			}
			if sorted.Err() != nil || count != 120*300-7 {
				t.Errorf("%d rows in order, %v", count, sorted.Err())
			}
			// what is handed on as it comes may be as much as it likes
			rows, err := c.Query(t.Context(), "/* pgdrover: scatter */ select repeat('x', 1000), n from users, generate_series(1, 300) n")
			n := 0
			for err == nil && rows.Next() {
				n++
			}
			if rows.Err() != nil || n != 120*300 {
				t.Errorf("%d rows, %v", n, rows.Err())
			}
		}
	})

	t.Run("the first error stops the others", func(t *testing.T) {
		k := r.tenants(0, 1)[0]
		began := time.Now()
		r.refuses(conn, "22012", fmt.Sprintf("/* pgdrover: scatter */ select case when tenant_id = %d then id / (id - id) else length(pg_sleep(30)::text) end from users", k))
		r.refuses(simple, "22012", fmt.Sprintf("/* pgdrover: scatter */ select max(case when tenant_id = %d then id / (id - id) else length(pg_sleep(30)::text) end) from users", k))
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("it took %s", took)
		}
	})

	t.Run("cancel and leave", func(t *testing.T) {
		slow := "/* pgdrover: scatter */ select max(length(pg_sleep(30)::text)) from users"
		over := make(chan error, 1)
		go func() { _, err := conn.Exec(context.Background(), slow); over <- err }()
		r.running(conn.PgConn().PID(), ClientActive)
		r.eventually("it runs on all shards", func() bool { return r.sleepers() == 3 })
		r.cancelRequest(conn.PgConn().PID(), conn.PgConn().SecretKey())
		if err := <-over; !isCode(err, "57014") {
			t.Fatal(err)
		}
		r.eventually("nothing runs", func() bool { return r.sleepers() == 0 })
		leaves := r.connect()
		go func() { _, err := leaves.Exec(context.Background(), slow); over <- err }()
		r.eventually("it runs on all shards", func() bool { return r.sleepers() == 3 })
		_ = leaves.PgConn().Conn().Close()
		<-over
		r.eventually("nothing runs", func() bool { return r.sleepers() == 0 })
	})
	if got := count(conn) + count(simple); got != "180180" {
		t.Error(got)
	}
}

// sleepers is how many shards run a pg_sleep.
func (r *rig) sleepers() int {
	n := 0
	for _, sh := range r.cluster.Shards {
		if r.on(sh.Primary, "select count(*) from pg_stat_activity where state = 'active' and query like '%pg_sleep(_0)%' and pid <> pg_backend_pid()") != "0" {
			n++
		}
	}
	return n
}
