package main

import (
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"drivers/report"
)

// document is what driver_types' doc and docb hold.
type document struct {
	A []any  `json:"a"`
	C string `json:"c"`
}

// row is one of driver_types.
type row struct {
	I2    int16
	I4    int32
	I8    int64
	Num   pgtype.Numeric
	F8    float64
	Txt   string
	Bin   []byte
	Flag  bool
	Day   pgtype.Date
	At    time.Time
	Doc   document
	Docb  document
	UID   [16]byte
	Ints  []*int32
	Texts []*string
}

func wanted(c check) row {
	var number pgtype.Numeric
	c.Must(number.Scan("12345678901234567890.123456789"))
	one, minus := int32(1), int32(-3)
	first, second, last := "a", "b c", "\u00e9\"x"
	doc := document{[]any{1.0, 2.0, map[string]any{"b": nil}}, "\u00e9"}
	return row{
		-32768, 2147483647, -9223372036854775808, number, 3.141592653589793, report.Text, []byte("\x00\x01\xff\x5c\x27\x00"), true,
		pgtype.Date{Time: time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC), Valid: true}, time.Date(2024, 2, 29, 12, 34, 56, 789012000, time.UTC), doc, doc,
		[16]byte{0xa0, 0xee, 0xbc, 0x99, 0x9c, 0x0b, 0x4e, 0xf8, 0xbb, 0x6d, 0x6b, 0xb9, 0xbd, 0x38, 0x0a, 0x11},
		[]*int32{&one, nil, &minus}, []*string{&first, &second, nil, &last},
	}
}

// roundTrip writes a row and reads it back in one of pgx's modes.
func roundTrip(c check, mode pgx.QueryExecMode) {
	conn := scene(c, 1)[0]
	want := wanted(c)
	text := `{"a": [1, 2, {"b": null}], "c": "é"}`
	exec(c, conn, "delete from driver_types where tenant_id = $1 and id = 1000", mode, a)
	exec(c, conn, "insert into driver_types (tenant_id, id, "+report.Types+") values ($1, 1000, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)", mode, a,
		want.I2, want.I4, want.I8, want.Num, want.F8, want.Txt, want.Bin, want.Flag, want.Day, want.At, text, text, pgtype.UUID{Bytes: want.UID, Valid: true}, want.Ints, want.Texts)
	c.Expect(value[int64](c, conn, report.Same, mode, a, 1, 1000), int64(1))
	rows, _ := conn.Query(ctx, "select "+report.Types+" from driver_types where tenant_id = $1 and id = 1000", mode, a)
	got, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[row])
	c.Must(err)
	got.At = got.At.UTC()
	c.Expect(got, want)
	rows, _ = conn.Query(ctx, "select "+report.Types+" from driver_types where tenant_id = $1 and id = 2", mode, a)
	nulls, err := pgx.CollectExactlyOneRow(rows, func(r pgx.CollectableRow) ([]any, error) { return r.Values() })
	c.Must(err)
	c.Expect(nulls, make([]any, 15))
	closeAll(conn)
}

func typesText(c check) { roundTrip(c, pgx.QueryExecModeSimpleProtocol) }

func typesBinary(c check) {
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec} {
		roundTrip(c, mode)
	}
}

func crud(c check) {
	conn := scene(c, 1)[0]
	for _, tenant := range []int64{a, b} {
		c.Expect(value[int64](c, conn, insert+" returning id", tenant, 1000, "e", "T"), int64(1000))
		c.Expect(exec(c, conn, "insert into orders (tenant_id, id, user_id, total) values ($1, 1000, 1000, 1.25), ($1, 1001, 1000, 2.50)", tenant), "INSERT 0 2")
	}
	for _, tenant := range []int64{a, b} {
		c.Expect(value[string](c, conn, `with spent as (select tenant_id, user_id, sum(total) as s from orders where tenant_id = $1 group by 1, 2)
			select u.name || spent.s from users u join spent on spent.tenant_id = u.tenant_id and spent.user_id = u.id where u.tenant_id = $1 and u.id = 1000`, tenant), "T3.75")
		c.Expect(exec(c, conn, "update users set name = 'new' where tenant_id = $1 and id >= 1000", tenant), "UPDATE 1")
		c.Expect(value[string](c, conn, insert+" on conflict (tenant_id, id) do update set name = users.name || excluded.name returning name", tenant, 1000, "x", "y"), "newy")
		c.Expect(exec(c, conn, "insert into orders (tenant_id, id, status) select $1, id + 1000, 'copy' from orders where tenant_id = $1 and id >= 1000", tenant), "INSERT 0 2")
		c.Expect(exec(c, conn, "delete from orders where tenant_id = $1 and id = any($2)", tenant, []int64{1000, 1001, 2000, 2001}), "DELETE 4")
	}
	closeAll(conn)
}

func fields(c check) {
	conn := scene(c, 1)[0]
	exec(c, conn, insert, a, 1000, "e", "n")
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
		err := failing(c, "23505", conn, insert, mode, a, 1000, "f", "n")
		c.Expect([]string{err.ConstraintName, err.TableName, err.SchemaName}, []string{"users_pkey", "users", "public"})
		failing(c, "23503", conn, "insert into orders (tenant_id, id, user_id) values ($1, 1000, 9999)", mode, a)
		c.Expect(failing(c, "23502", conn, "insert into users (tenant_id, id, email) values ($1, 1001, 'f')", mode, a).ColumnName, "name")
		failing(c, "42P01", conn, "select * from no_such_table", mode)
		failing(c, "42703", conn, "select nothing from users where tenant_id = $1", mode, a)
		failing(c, "22012", conn, "select 1 / (id - 1) from users where tenant_id = $1", mode, a)
		c.Expect(failing(c, "42601", conn, "selec 1", mode).Position, int32(1))
		c.Expect(value[int64](c, conn, "select count(*) from users where tenant_id = $1 and id = 1", mode, a), int64(1))
	}
	closeAll(conn)
}
