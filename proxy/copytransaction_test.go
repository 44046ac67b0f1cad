package proxy

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// copyRefused is the error of a COPY that fails with a code.
func copyRefused(t *testing.T, conn *pgx.Conn, code, sql, data string) *pgconn.PgError {
	t.Helper()
	_, err := conn.PgConn().CopyFrom(t.Context(), strings.NewReader(data), sql)
	var e *pgconn.PgError
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("%s: got %v, want SQLSTATE %s", sql, err, code)
	}
	return e
}

// TestCopyTransactions is about a COPY's place in a transaction, and about what has no shard though one server takes it.
func TestCopyTransactions(t *testing.T) {
	r, conn, _ := copyRig(t, rigOptions{})
	a, b := r.tenants(0, 1)[0], r.tenants(1, 1)[0]
	const into = "copy orders (tenant_id, id) from stdin"
	rows := func(list ...int64) string {
		var data strings.Builder
		for i, k := range list {
			fmt.Fprintf(&data, "%d\t%d\n", k, i)
		}
		return data.String()
	}
	count := func() int { return len(r.allOf("orders", nil)) }

	t.Run("of the client's", func(t *testing.T) {
		for _, k := range []int64{a, b} {
			r.exec(conn, "begin")
			if got := copied(t, conn, into, rows(k, k, k)); got != "COPY 3" {
				t.Fatal(got)
			}
			if got := r.value(conn, "select count(*) from orders where tenant_id = $1", k); got != "3" {
				t.Fatal(got)
			}
			r.exec(conn, "rollback")
		}
		r.exec(conn, "begin")
		r.exec(conn, "savepoint s")
		e := copyRefused(t, conn, "0A000", into, rows(b, b, a))
		if !strings.Contains(e.Detail, "s2") || e.Hint == "" || e.Where != "COPY orders, line 3" {
			t.Errorf("%+v", e)
		}
		r.refuses(conn, "25P02", "select 1")
		r.exec(conn, "rollback to s")
		copyRefused(t, conn, "0A000", into, rows(a, b))
		r.exec(conn, "rollback to s")
		if got := copied(t, conn, into, rows(b, b)); got != "COPY 2" {
			t.Fatal(got)
		}
		r.refuses(conn, "0A000", "insert into orders values ($1, 9)", a)
		r.exec(conn, "rollback to s")
		r.exec(conn, "insert into orders values ($1, 9)", b)
		copyRefused(t, conn, "0A000", into, rows(a))
		if tag := r.exec(conn, "commit"); tag != "ROLLBACK" || count() != 0 {
			t.Fatal(tag, count())
		}
	})

	t.Run("strict", func(t *testing.T) {
		r.exec(conn, "begin isolation level repeatable read")
		r.value(conn, "select count(*) from orders where tenant_id = $1", a)
		copyRefused(t, conn, "0A000", into, rows(b))
		r.exec(conn, "rollback")
		r.exec(conn, "begin isolation level repeatable read")
		copyRefused(t, conn, "0A000", "copy countries from stdin", "de\tGermany\n")
		r.exec(conn, "rollback")
	})

	t.Run("no shard", func(t *testing.T) {
		if e := copyRefused(t, conn, "23502", "copy late (id, tenant_id) from stdin", "1\t1\n2\t\\N\n"); e.Hint == "" || e.Where != "COPY late, line 2, column tenant_id: null input" {
			t.Errorf("%+v", e)
		}
		if e := copyRefused(t, conn, "0A000", "copy made from stdin", ""); !strings.Contains(e.Hint, "COPY made (") {
			t.Errorf("%+v", e)
		}
		copyRefused(t, conn, "0A000", "copy late (id) from stdin", "")
		copyRefused(t, conn, "0A000", "copy late from stdin encoding 'sjis'", "")
		copyRefused(t, conn, "22P02", "copy late (id, tenant_id) from stdin", "1\t1\n2\t0x\n")
	})

	t.Run("a tenant is named", func(t *testing.T) {
		hinted := fmt.Sprintf("/* pgdrover: tenant=%d */ copy orders (tenant_id, id) from stdin", a)
		if got := copied(t, conn, hinted, rows(a, a)); got != "COPY 2" || r.on(r.cluster.Shards[0].Primary, "select count(*) from orders") != "2" {
			t.Fatal(got)
		}
		r.exec(conn, "truncate orders")
	})

	t.Run("reference tables at once", func(t *testing.T) {
		var all sync.WaitGroup
		for n := range 6 {
			mine := r.connect()
			all.Go(func() {
				for i := range 5 {
					if _, err := mine.PgConn().CopyFrom(t.Context(), strings.NewReader(fmt.Sprintf("k%d\tx\n%d-%d\tx\n", i, n, i)), "copy countries from stdin"); err != nil && !isCode(err, "23505") {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		want := r.on(r.cluster.Shards[0].Primary, "select string_agg(code, ' ' order by code) from countries")
		for _, sh := range r.cluster.Shards {
			if got := r.on(sh.Primary, "select string_agg(code, ' ' order by code) from countries"); got != want {
				t.Errorf("%s has %s, want %s", sh.Name, got, want)
			}
		}
	})

	t.Run("half committed", func(t *testing.T) {
		for _, sql := range refiring {
			sql = strings.NewReplacer("update countries set name = name where code = new.code", "update orders set note = note where id = new.id", "on countries", "on orders").Replace(sql)
			r.on(r.cluster.Shards[1].Primary, sql)
		}
		e := copyRefused(t, conn, "40003", into, rows(a, b))
		if !strings.Contains(e.Detail, "Committed on s1") || !strings.Contains(e.Detail, "s2: too late") || e.Hint == "" {
			t.Errorf("%+v", e)
		}
		if got := count(); got != 1 {
			t.Errorf("%d rows", got)
		}
		for _, sql := range refiring {
			r.on(r.cluster.Shards[1].Primary, strings.Replace(sql, "create function", "create or replace function", 1))
		}
		if e := copyRefused(t, conn, "40003", "copy countries from stdin", "zz\tZ\n"); !strings.Contains(e.Detail, "Committed on s1, s3. Not on s2: too late") {
			t.Errorf("%+v", e)
		}
	})
}

// TestCopyIsJoint has two-phase commit on: what one server takes, several take, in a transaction of the client's too, and all or nothing.
func TestCopyIsJoint(t *testing.T) {
	r, conn, _ := copyRig(t, rigOptions{twoPhase: true})
	const into = "copy orders (tenant_id, id) from stdin"
	data := "1\t1\n2\t1\n3\t1\n4\t1\n5\t1\n6\t1\n"
	if got := copied(t, conn, into, data); got != "COPY 6" {
		t.Fatal(got)
	}
	r.exec(conn, "begin")
	r.exec(conn, "delete from orders where tenant_id = 1")
	r.exec(conn, "savepoint s")
	copyRefused(t, conn, "23505", into, "1\t1\n"+data)
	r.exec(conn, "rollback to s")
	if got := copied(t, conn, into, strings.ReplaceAll(data, "\t1", "\t2")); got != "COPY 6" {
		t.Fatal(got)
	}
	r.exec(conn, "commit")
	if got := r.allOf("orders", nil); len(got) != 11 {
		t.Fatal(got)
	}
	for _, sql := range refiring {
		sql = strings.NewReplacer("update countries set name = name where code = new.code", "update orders set note = note where id = new.id", "on countries", "on orders").Replace(sql)
		r.on(r.cluster.Shards[1].Primary, sql)
	}
	e := copyRefused(t, conn, "P0123", into, strings.ReplaceAll(data, "\t1", "\t3"))
	if !strings.Contains(e.Detail, "s2") {
		t.Errorf("%+v", e)
	}
	if got := r.allOf("orders", nil); len(got) != 11 {
		t.Fatal(got)
	}
	if got := r.db.TwoPhase(); got.Commits != 2 {
		t.Errorf("%+v", got)
	}
}

// TestCopyModes splits a COPY in session mode and in statement mode.
func TestCopyModes(t *testing.T) {
	for _, mode := range []Mode{ModeSession, ModeStatement} {
		t.Run(mode.String(), func(t *testing.T) {
			r, conn, _ := copyRig(t, rigOptions{mode: mode})
			for range 2 {
				if got := copied(t, conn, "copy late (id, tenant_id) from stdin", "1\t1\n2\t2\n3\t3\n4\t4\n"); got != "COPY 4" {
					t.Fatal(got)
				}
				copyRefused(t, conn, "22P02", "copy late (id, tenant_id) from stdin", "1\t1\nx\t2\n3\t3\n")
			}
			if got := len(r.allOf("late", nil)); got != 8 {
				t.Fatal(got)
			}
		})
	}
}
