package proxy

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// copiedOut is the data of a COPY TO and its tag. Lines behind the header are in order.
func copiedOut(t *testing.T, conn *pgx.Conn, sql string) string {
	t.Helper()
	var b bytes.Buffer
	tag, err := conn.PgConn().CopyTo(t.Context(), &b, sql)
	if err != nil {
		for _, code := range []string{"0A000", "22012", "42703"} {
			if isCode(err, code) {
				return code
			}
		}
		t.Fatalf("%s: %v", sql, err)
	}
	if strings.Contains(sql, "binary") {
		return b.String() + tag.String()
	}
	lines := strings.SplitAfter(b.String(), "\n")
	from := 0
	if strings.Contains(sql, "header") {
		from = 1
	}
	slices.Sort(lines[from:])
	return strings.Join(lines, "") + tag.String()
}

// TestCopyGathers copies the rows of all shards out, and of one server that has all.
func TestCopyGathers(t *testing.T) {
	r, one := scatterRig(t, rigOptions{})
	all, conn := r.direct(one), r.connect()
	if got := copiedOut(t, conn, "copy orders to stdout"); got != "0A000" {
		t.Fatal(got)
	}
	r.exec(conn, "set pgdrover.scatter = on")
	for _, sql := range []string{
		"copy orders to stdout", "copy orders (id, tenant_id, note) to stdout", "copy orders (id, tenant_id, tags) to stdout csv",
		"copy orders to stdout (format csv, header)", "copy users to stdout (header, null 'nil')", "copy (select * from users where id > 2) to stdout csv header",
		"copy (select id, total from orders where false) to stdout csv header", "copy (select o.id, i.line, i.took from orders o join items i on i.tenant_id = o.tenant_id and i.order_id = o.id) to stdout",
		"copy countries to stdout", "copy (select id from orders order by id) to stdout", "copy (select 1 / (id - 3) from orders) to stdout",
		"copy (select * from orders where tenant_id = 5 order by id) to stdout csv header", "copy (select repeat('x', 100000) || id from orders) to stdout",
	} {
		want, got := copiedOut(t, all, sql), copiedOut(t, conn, sql)
		if strings.Contains(sql, "order by id) to stdout") && !strings.Contains(sql, "tenant_id") {
			want = "0A000"
		}
		if got != want {
			t.Errorf("%s:\n got %.300q\nwant %.300q", sql, got, want)
		}
	}
	for _, sql := range []string{"copy orders to stdout (format binary)", "copy (select tenant_id, id from orders where tenant_id = 3) to stdout (format binary)", "copy (select id from orders where false) to stdout binary"} {
		data := copiedOut(t, conn, sql)
		tag := data[strings.LastIndex(data, "COPY "):]
		want := copiedOut(t, all, sql)
		if tag != want[strings.LastIndex(want, "COPY "):] || len(data) != len(want) {
			t.Errorf("%s: %s of %d bytes, want %d", sql, tag, len(data), len(want))
		}
	}
	data := copiedOut(t, conn, "copy orders to stdout (format binary)")
	r.exec(all, "create table again (like orders)")
	if got := copied(t, all, "copy again from stdin (format binary)", data[:strings.LastIndex(data, "COPY ")]); got != "COPY 180" {
		t.Fatal(got)
	}
	if got := r.value(all, "select count(*) from (table again except table orders) x"); got != "0" {
		t.Fatal(got)
	}
	if got := r.value(conn, "select count(*) from orders"); got != "180" {
		t.Fatal(got)
	}
}
