package proxy

import (
	"fmt"
	"testing"
)

func TestTenantsLandOnTheirShards(t *testing.T) {
	c := sharedPrimaries(t, 2)
	r := startRig(t, c, rigOptions{})
	for _, mode := range []string{"", "default_query_exec_mode=simple_protocol", "default_query_exec_mode=exec"} {
		conn := r.connect(mode)
		r.exec(conn, "delete from countries")
		for _, sh := range c.Shards {
			r.on(sh.Primary, "truncate orders")
		}
		for k := int64(1); k <= 100; k++ {
			r.exec(conn, "insert into orders (tenant_id, id, note) values ($1, $2, $3)", k, 1, fmt.Sprint("note ", k))
		}
		homes := make([]string, len(c.Shards)) // the tenants of each shard
		for k := int64(1); k <= 100; k++ {
			if got := r.value(conn, "select note from orders where tenant_id = $1 and id = 1", k); got != fmt.Sprint("note ", k) {
				t.Fatalf("tenant %d: %q", k, got)
			}
			homes[r.shardOf(k)] += itoa(k) + " "
		}
		for i, sh := range c.Shards {
			if got := r.on(sh.Primary, "select string_agg(tenant_id || ' ', '' order by tenant_id) from orders"); got != homes[i] {
				t.Fatalf("%s has rows of %s, want %s", sh.Name, got, homes[i])
			}
		}
		e := r.refuses(conn, "0A000", "select * from orders")
		if e.Hint == "" {
			t.Fatal("no hint")
		}
		if got := r.value(conn, "select 1"); got != "1" {
			t.Fatal("the session did not go on")
		}
	}
}

func TestTransactionOnOneBackend(t *testing.T) {
	c := sharedPrimaries(t, 2)
	r := startRig(t, c, rigOptions{})
	conn := r.connect()
	a, b := r.tenants(0, 1)[0], r.tenants(1, 1)[0]
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{"insert into orders (tenant_id, id) values ($1, 1)", "update orders set note = 'x' where tenant_id = $1"} {
		if _, err := tx.Exec(t.Context(), sql, a); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tx.Exec(t.Context(), "insert into orders (tenant_id, id) values ($1, 1)", b); err == nil {
		t.Fatal("a second shard was written")
	}
	if _, err := tx.Exec(t.Context(), "select 1"); err == nil {
		t.Fatal("the transaction is not aborted")
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := r.value(conn, "select count(*) from orders where tenant_id = $1", a); got != "0" {
		t.Fatalf("%s rows after rollback", got)
	}
	tx, _ = conn.Begin(t.Context())
	tx.Exec(t.Context(), "insert into orders (tenant_id, id) values ($1, 1)", a)
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := r.value(conn, "select count(*) from orders where tenant_id = $1", a); got != "1" {
		t.Fatalf("%s rows after commit", got)
	}
}
