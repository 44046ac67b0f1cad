package proxy

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// sendBatch sends statements before one Sync.
func sendBatch(t *testing.T, conn *pgx.Conn, statements ...string) error {
	b := &pgx.Batch{}
	for _, sql := range statements {
		b.Queue(sql)
	}
	return conn.SendBatch(t.Context(), b).Close()
}

// testBatches has statements for several shards share a batch: it is one transaction, as it would be on one server.
func testBatches(t *testing.T, r *rig) {
	a, b := itoa(r.tenants(0, 1)[0]), itoa(r.tenants(1, 1)[0])
	conn := r.connect("default_query_exec_mode=exec")
	if err := sendBatch(t, conn, "create table one (tenant_id bigint, id int)", "create index one_id on one (id)",
		"insert into countries values ('de', 'x')", "insert into one values ("+b+", 1)", "alter table one add column note text"); err != nil {
		t.Fatal(err)
	}
	r.hasTable("one_id", "1")
	r.everywhere("x", "select name from countries")
	if got := r.on(r.cluster.Shards[1].Primary, "select count(*) from one"); got != "1" {
		t.Fatal(got)
	}
	err := sendBatch(t, conn, "create table two (id int)", "insert into one values ("+b+", 2)", "create table one (id int)")
	if !isCode(err, "42P07") {
		t.Fatal(err)
	}
	r.hasTable("two", "0")
	if got := r.on(r.cluster.Shards[1].Primary, "select count(*) from one"); got != "1" {
		t.Fatal(got)
	}
	if err := sendBatch(t, conn, "create table two (id int)", "insert into one values ("+b+", 1/0)"); !isCode(err, "22012") {
		t.Fatal(err)
	}
	r.hasTable("two", "0")
	if err := sendBatch(t, conn, "create table two (id int)", "insert into one values ("+b+", 3)", "insert into one values ("+a+", 3)"); !isCode(err, "0A000") {
		t.Fatal(err)
	}
	r.hasTable("two", "0")
	if err := sendBatch(t, conn, "insert into one values ("+b+", 4)", "drop table one"); !isCode(err, "0A000") {
		t.Fatal(err)
	}
	if got := r.value(conn, "select string_agg(id::text, ' ') from one where tenant_id = "+b); got != "1" {
		t.Fatal(got)
	}
	r.on(r.cluster.Shards[1].Primary, "alter table countries add constraint once unique (name) deferrable initially deferred")
	if err := sendBatch(t, conn, "insert into countries values ('fr', 'x')"); !isCode(err, "23505") || !strings.Contains(err.Error(), "once") {
		t.Fatal(err)
	}
	r.everywhere("1", "select count(*) from countries")
	r.exec(conn, "begin")
	if err := sendBatch(t, conn, "insert into one values ("+b+", 5)", "create table two (id int)", "insert into one values ("+b+", 6)"); err != nil {
		t.Fatal(err)
	}
	r.exec(conn, "commit")
	r.hasTable("two", "1")
	if got := r.value(conn, "select string_agg(id::text, ' ' order by id) from one where tenant_id = "+b); got != "1 5 6" {
		t.Fatal(got)
	}
	if got := r.value(conn, "select 1"); got != "1" {
		t.Fatal("the session did not go on")
	}
}
