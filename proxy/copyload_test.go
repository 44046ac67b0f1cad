package proxy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
)

// copySchema is on the shards, and in one database that gets all rows.
var copySchema = []string{
	`create table orders (tenant_id bigint not null, id int not null, note text, amount numeric check (amount < 1000), primary key (tenant_id, id))`,
	`create table late (id int, note text, tenant_id bigint, at timestamptz default '2020-02-02 02:02+00')`,
	`create table made (twice int generated always as (id * 2) stored, tenant_id bigint, id int)`,
	`create table countries (code text primary key, name text)`,
}

// copyRig is a proxy over three shards, a client of it, and one of a database that gets all rows.
func copyRig(t *testing.T, o rigOptions) (r *rig, through, one *pgx.Conn) {
	t.Parallel()
	c := pgcluster.Test(t, pgcluster.Config{Shards: 3})
	o.schema, o.tables = copySchema, demoTables
	r = startRig(t, c, o)
	first := r.direct(c.Shards[0].Primary.SuperuserURL())
	if _, err := first.Exec(t.Context(), "create database copied owner "+c.User); err != nil {
		t.Fatal(err)
	}
	u := c.Shards[0].Primary.URL()
	one = r.direct(u[:strings.LastIndex(u, "/")] + "/copied")
	for _, sql := range copySchema {
		r.exec(one, sql)
	}
	return r, r.connect(), one
}

// copied is what a COPY gives: its tag, or its error as far as it says nothing of the way it came.
func copied(t *testing.T, conn *pgx.Conn, sql, data string) string {
	t.Helper()
	tag, err := conn.PgConn().CopyFrom(t.Context(), strings.NewReader(data), sql)
	var e *pgconn.PgError
	switch {
	case err == nil:
		return tag.String()
	case !errors.As(err, &e):
		t.Fatalf("%s: %v", sql, err)
	}
	return e.Code + " " + e.Message + " | " + e.Where
}

// allOf are the rows of a table, from the shards or from one server, with the shards' own rows only.
func (r *rig) allOf(table string, one *pgx.Conn) []string {
	r.t.Helper()
	var list []string
	read := func(conn *pgx.Conn, shard int) {
		rows, err := conn.Query(r.t.Context(), "select tenant_id, x::text from "+table+" x")
		if err != nil {
			r.t.Fatal(err)
		}
		for rows.Next() {
			var tenant *int64
			var text string
			if err := rows.Scan(&tenant, &text); err != nil {
				r.t.Fatal(err)
			}
			if shard >= 0 && (tenant == nil || r.shardOf(*tenant) != shard) {
				r.t.Errorf("%s is on shard %d", text, shard)
			}
			list = append(list, text)
		}
	}
	if one != nil {
		read(one, -1)
	} else {
		for i, sh := range r.cluster.Shards {
			conn := r.direct(sh.Primary.URL())
			read(conn, i)
			conn.Close(r.t.Context())
		}
	}
	slices.Sort(list)
	return list
}

// copyCases are played to one server and through the proxy: a table and its COPY, the data, and whether PgDrover refuses on purpose what
// one server takes.
var copyCases = []struct{ table, with, data string }{
	{"orders (tenant_id, id, note)", "", "1\t1\ta\n2\t1\tb\n3\t1\tc\n4\t1\t\\N\n5\t1\tx\\ty\\\\z\\x41\\101\n"},
	{"orders (tenant_id, id, note)", "", ""},
	{"orders (tenant_id, id, note)", "", "1\t1\ta\n2\t1\tb"},
	{"orders (id, note, tenant_id)", "", "1\tsplit\\\nline\t1\n2\ttab\\\there\t2\n3\tx\t3"},
	{"orders (id, note, tenant_id)", "", "1\ta\t\\x31\n1\ta\t\\062\n1\tb\t 3 \n1\tc\t+4\n"},
	{"orders (tenant_id, id, note)", "", "1\t1\ta\r\n2\t1\tb\r\n3\t1\tc\r\n"},
	{"orders (tenant_id, id, note)", "", "1\t1\ta\r2\t1\tb\r3\t1\tc\r"},
	{"orders (tenant_id, id, note)", "", "1\t1\ta\n2\t1\tb\n\\.\n3\t1\tc\nnonsense"},
	{"orders (tenant_id, id, note)", "", "1\t1\ta\n2\t1\tb\\.\n3\t1\tc\n"},
	{"orders (id, tenant_id)", "", "1\t1\n2\t7\\.\nx"},
	{"orders (tenant_id, id, note)", "", "1\t1\ta\n\\.x\n"},
	{"orders (tenant_id, id, note)", "", "1\t1\ta\n\\."},
	{"orders (tenant_id, id, note)", "", "1\t1\ta\r\n\\.\r\n"},
	{"orders (tenant_id, id, note)", "", "1\t1\ta\r\n\\.\n"},
	{"orders (tenant_id, id, note)", "", "1\t1\ta\n2\t1\tb\r\n"},
	{"orders (tenant_id, id, note)", "", "1\t1\ta\r\n2\t1\tb\n"},
	{"orders (tenant_id, id, note)", "", "1\t1\ta\r\n2\t1\tb\rx\r\n"},
	{"orders (tenant_id, id, note)", "", "1\t1\ta\r2\t1\tb\nx\r"},
	{"orders (tenant_id, id, note)", "", "1\t1\ta\n2\t1\tb\nx\t1\tc\n4\t1\td\n"},
	{"orders (tenant_id, id, note)", "", "1\t1\ta\n\\N\t1\tb\nx\t1\tc\n4\t1\td\n"},
	{"orders (tenant_id, id, note)", "", "1\t1\ta\n2\t1\tb\n\n4\t1\td\n"},
	{"orders (id, note, tenant_id)", "", "1\ta\t1\n2\tb\n"},
	{"orders (id, note, tenant_id)", "", "1\ta\t1\n2\tb"},
	{"orders (tenant_id, id, note)", "", "1\t1\ta\n2\t1\tb\n3\t1\tc\textra\n"},
	{"orders (tenant_id, id, note)", "", "1\t1\ta\n2\t1\tb\n3\t1\n"},
	{"orders (tenant_id, id, note)", "", "1\t1\ta\n2\tx\tb\n3\t1\tc\n"},
	{"orders (tenant_id, id, note)", "", "1\t1\ta\n2\t1\tb\n1\t1\tc\n"},
	{"orders (tenant_id, id, amount)", "", "1\t1\t5\n2\t1\t6\n3\t1\t7\n2\t2\t1000\n5\t1\t1\n"},
	{"orders (tenant_id, id, amount)", "", "1\t1\t5\n2\t1\t6\n9223372036854775808\t1\t7\n"},
	{"orders (tenant_id, id, note)", "", "1\t1\ta\n2\t1\t\xff\n"},
	{"orders (tenant_id, id, note)", "where id > 1", "1\t1\ta\n2\t2\tb\n3\t1\tc\n3\t3\tc\n"},
	{"orders (tenant_id, id, note)", "with (delimiter '|', null 'NIX')", "1|1|a\n2|1|NIX\nNIX|2|3\n"},
	{"orders (tenant_id, id, note)", "with (header)", "a\tb\tc\n1\t1\ta\n2\t1\tb\n3\tx\tc\n"},
	{"orders (tenant_id, id, note)", "with (header)", "a\tb\tc\n1\t1\ta\n2\t1\tb\n3\t1\tc\n"},
	{"orders (tenant_id, id, note)", "with (header match)", "tenant_id\tid\tno\n1\t1\ta\n"},
	{"orders (tenant_id, id, note)", "with (header match)", "tenant_id\tid\tnote\n1\t1\ta\n2\t2\t2\n"},
	{"orders (tenant_id, id, note)", "with (header)", ""},
	{"late", "", "1\tx\t5\t2021-01-01 00:00+00\n2\ty\t6\t2021-01-01 00:00+00\n"},
	{"late (note, tenant_id)", "", "x\t5\ny\t6\nz\t7\n"},
	{"late (note, tenant_id, nosuch)", "", "x\t5\n"},
	{"late (note, tenant_id)", "(delimiter 'ab')", "x\t5\n"},
	{"made (tenant_id, id)", "", "5\t1\n6\t2\n7\t3\n"},
	{"orders (tenant_id, id, note)", "with (format csv)", "1,1,a\n2,1,\"b\"\n3,1,\"c,\"\"d\"\"\n\"\"e\"\n4,1,\n5,1,\"\"\n"},
	{"orders (id, note, tenant_id)", "with (format csv)", "1,\"a\nb\rc\",1\n2,\"x\",\"2\"\n3,x\"y\"z,\"3\"\n4,\\.,4\n\\.\n9,9,9\n"},
	{"orders (id, note, tenant_id)", "csv header", "id,note,\"tenant\nid\"\n1,a,1\n2,b,2\nx,c,3\n"},
	{"orders (id, note, tenant_id)", "csv", "1,\"a\nb\",1\n2,\"a\nb\nc\",2\n3,\"a\nb\",3\n4,\"a\n\n\n\nb\",1\n5,x,1\n6,\"a\nb\",2\n7,\"a\nb\",2\n8,\"a\nb\",y\n"},
	{"orders (id, note, tenant_id)", "csv", "1,\"a\nb\",1\n2,\"a\nb\nc\",2\n3,\"a\nb\",3\n4,\"a\n\n\n\nb\",1\n5,x,1\n6,\"a\nb\",2\n7,\"a\nb\",2\nxx,\"a\nb\",5\n"},
	{"orders (id, note, tenant_id)", "csv", "1,\"a\r\nb\",1\r\n2,\"a\r\nb\r\nc\",2\r\n3,\"a\r\nb\",3\r\nx,\"a\r\nb\",1\r\n"},
	{"orders (id, note, tenant_id)", "csv delimiter ';' quote '''' escape '!' null 'nil'", "1;'a!'b!!';1\n2;nil;'2'\n3;'nil';3\n4;a!b;4\n"},
	{"orders (id, note, tenant_id)", "csv force not null note force null tenant_id", "1,,1\n2,b,2\n3,c,\"\"\n"},
	{"orders (id, note, tenant_id)", "csv", "1,a,1\n2,\"b,2\n3,c,3\n"},
	{"orders (id, note, tenant_id)", "csv", "1,a,1\n2,b,2\"\n3,c,3\n"},
	{"orders (id, note, tenant_id)", "csv", "1,a,1\n2,b\r,2\n3,c,3\n"},
	{"orders (id, note, tenant_id)", "csv", "1,a,1\r\n2,b,2\n3,c,3\n"},
	{"orders (id, note, tenant_id)", "csv", "1,a,1\n2,b,\n3,c,3\n"},
	{"orders (id, note, tenant_id)", "csv", "1,a,1\n2,b\n3,c,3\n"},
	{"orders (id, note, tenant_id)", "csv", "1,a,1\n\\.x,b,2\n"},
	{"orders (tenant_id, note, id)", "csv", "1,a,1\n\\.\nfoo"},
	{"orders (tenant_id, note, id)", "csv encoding 'latin1'", "1,\xe4\xf6,1\n2,\xc3\xa9,1\n"},
	{"orders (tenant_id, id, note)", "binary", copyBinary([]any{int64(1), int32(1), "a"}, []any{int64(2), int32(1), nil}, []any{int64(3), int32(1), "ccc"})},
	{"orders (tenant_id, id, note)", "(format binary)", strings.TrimSuffix(copyBinary([]any{int64(1), int32(1), "a"}, []any{int64(2), int32(1), nil}), "\xff\xff")},
	{"orders (tenant_id, id, note)", "binary", copyBinary([]any{int64(1), int32(1), "a"}, []any{int64(2), int32(1), ""}) + "x"},
	{"orders (tenant_id, id, note)", "binary", copyBinary([]any{int64(1), int32(1), "a"}, []any{nil, int32(1), "x"})},
	{"orders (id, note, tenant_id)", "binary", copyBinary([]any{int32(1), "a", int64(1)}, []any{int32(1), "x", int32(5)})},
	{"orders (id, note, tenant_id)", "binary", copyBinary([]any{int32(1), "a", int64(1)}, []any{int32(1), "x"})},
	{"orders (id, note, tenant_id)", "binary", copyBinary([]any{int32(1), "a", int64(1)}, []any{int64(1), "x", int64(7)}, []any{int32(1), "a", int64(2)})},
	{"orders (id, note, tenant_id)", "binary", copyBinary([]any{int32(1), "a", int64(1)})[:40]},
	{"orders (id, note, tenant_id)", "binary", "PGCOPY nonsense, long enough for a header"},
	{"orders (id, note, tenant_id)", "binary", copyBinary()},
	{"orders (id, note, tenant_id)", "binary", ""},
}

// copyBinary is data in the binary format.
func copyBinary(rows ...[]any) string {
	b := append(bytes.Clone(copySignature), 0, 0, 0, 0, 0, 0, 0, 0)
	for _, row := range rows {
		b = binary.BigEndian.AppendUint16(b, uint16(len(row)))
		for _, v := range row {
			var field []byte
			switch v := v.(type) {
			case nil:
				b = append(b, 0xff, 0xff, 0xff, 0xff)
				continue
			case int32:
				field = binary.BigEndian.AppendUint32(nil, uint32(v))
			case int64:
				field = binary.BigEndian.AppendUint64(nil, uint64(v))
			case string:
				field = []byte(v)
			}
			b = append(binary.BigEndian.AppendUint32(b, uint32(len(field))), field...)
		}
	}
	return string(append(b, 0xff, 0xff))
}

// TestCopySplit gives the same data to one server and to a proxy in front of three: the rows, the tags and the errors are the same.
func TestCopySplit(t *testing.T) {
	r, through, one := copyRig(t, rigOptions{})
	for i, c := range copyCases {
		table, _, _ := strings.Cut(c.table, " ")
		sql := fmt.Sprintf("copy %s from stdin %s", c.table, c.with)
		for _, conn := range []*pgx.Conn{one} {
			r.exec(conn, "truncate "+table)
		}
		r.exec(through, "truncate "+table)
		want, got := copied(t, one, sql, c.data), copied(t, through, sql, c.data)
		if got != want {
			t.Errorf("%d. %s %q:\n got %s\nwant %s", i, sql, c.data, got, want)
			continue
		}
		if want, got := r.allOf(table, one), r.allOf(table, nil); !slices.Equal(got, want) {
			t.Errorf("%d. %s %q:\n got %q\nwant %q", i, sql, c.data, got, want)
		}
	}
}
