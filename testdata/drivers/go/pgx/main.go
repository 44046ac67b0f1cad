// Pgx runs the checks with pgx v5, in each of its ways to run a statement.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime/debug"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"drivers/report"
)

type check = *report.Check

var (
	ctx  = context.Background()
	a, b = report.A, report.B
)

const (
	insert = "insert into users (tenant_id, id, email, name) values ($1, $2, $3, $4)"
	locked = "select pg_backend_pid(), name from users where tenant_id = $1 and id = 1 for update"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "probe" {
		build, _ := debug.ReadBuildInfo()
		for _, module := range build.Deps {
			if module.Path == "github.com/jackc/pgx/v5" {
				fmt.Println("pgx", module.Version)
			}
		}
		return
	}
	report.Run(os.Getenv("DRIVERS_LIST"), map[string]func(check){
		"connect": connects, "tls": tls, "types_text": typesText, "types_binary": typesBinary, "crud": crud, "transaction": transaction,
		"savepoint": savepoint, "aborted": aborted, "prepared": prepared, "reprepare": reprepare, "sql_prepare": sqlPrepare, "plan_change": planChange,
		"batch": batch, "multi": multi, "copy_in": copyIn, "copy_out": copyOut, "cursor": cursor, "cancel": cancel, "timeout": timeout,
		"notify": notify, "notice": notice, "errors": fields, "settings": settings, "catalog": catalog, "ddl": ddl, "terminated": terminated,
		"pool": pool, "short": short,
	})
}

// url is the target's, with settings appended.
func url(settings ...string) string {
	return os.Getenv("DATABASE_URL") + "?" + strings.Join(append(settings, "connect_timeout=5"), "&")
}

func open(c check, settings ...string) *pgx.Conn {
	conn, err := pgx.Connect(ctx, url(settings...))
	c.Must(err)
	return conn
}

// scene opens connections, and removes what checks have left.
func scene(c check, count int) []*pgx.Conn {
	conns := make([]*pgx.Conn, count)
	for i := range conns {
		conns[i] = open(c)
	}
	for _, tenant := range []int64{a, b} {
		for _, table := range []string{"orders", "users"} {
			exec(c, conns[0], "delete from "+table+" where tenant_id = $1 and id >= 1000", tenant)
		}
	}
	return conns
}

func closeAll(conns ...*pgx.Conn) {
	for _, conn := range conns {
		_ = conn.Close(ctx)
	}
}

type querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func exec(c check, q querier, sql string, args ...any) string {
	tag, err := q.Exec(ctx, sql, args...)
	if err != nil {
		c.Fatalf("%s: %v", sql, err)
	}
	return tag.String()
}

func value[T any](c check, q querier, sql string, args ...any) T {
	var v T
	if err := q.QueryRow(ctx, sql, args...).Scan(&v); err != nil {
		c.Fatalf("%s: %v", sql, err)
	}
	return v
}

func values[T any](c check, q querier, sql string, args ...any) []T {
	rows, _ := q.Query(ctx, sql, args...)
	all, err := pgx.CollectRows(rows, pgx.RowTo[T])
	if err != nil {
		c.Fatalf("%s: %v", sql, err)
	}
	return all
}

// fails checks that err is a PostgreSQL error of that state.
func fails(c check, state string, err error) *pgconn.PgError {
	var own *pgconn.PgError
	if !errors.As(err, &own) {
		c.Fatalf("got %v, want %s", err, state)
	}
	if own.Code != state {
		c.Fatalf("got %s: %s, want %s", own.Code, own.Message, state)
	}
	return own
}

// failing runs a statement that must fail.
func failing(c check, state string, q querier, sql string, args ...any) *pgconn.PgError {
	_, err := q.Exec(ctx, sql, args...)
	return fails(c, state, err)
}

// count is how many users checks have made, as the primary knows.
func count(c check, conn *pgx.Conn, tenant int64) int64 {
	tx, err := conn.Begin(ctx)
	c.Must(err)
	n := value[int64](c, tx, "select count(*) from users where tenant_id = $1 and id >= 1000", tenant)
	c.Must(tx.Rollback(ctx))
	return n
}

// holder is a connection that holds a backend, in a transaction.
func holder(c check) *pgx.Conn {
	conn := open(c)
	exec(c, conn, "begin")
	exec(c, conn, "select 1 from users where tenant_id = $1 and id = 1", a)
	return conn
}

func connects(c check) {
	conn := open(c)
	c.Expect(value[int64](c, conn, "select 1"), int64(1))
	closeAll(conn)
	for state, change := range map[string]func(*pgx.ConnConfig){
		"28P01": func(cfg *pgx.ConnConfig) { cfg.Password += "x" },
		"3D000": func(cfg *pgx.ConnConfig) { cfg.Database += "x" },
	} {
		cfg, err := pgx.ParseConfig(url("sslmode=disable"))
		c.Must(err)
		change(cfg)
		_, err = pgx.ConnectConfig(ctx, cfg)
		fails(c, state, err)
	}
}

func tls(c check) {
	conn := open(c, "sslmode=require")
	c.Expect(value[int64](c, conn, "select 1"), int64(1))
	if !strings.Contains(reflect.TypeOf(conn.PgConn().Conn()).String(), "tls") {
		c.Fatalf("the connection is a %T", conn.PgConn().Conn())
	}
	closeAll(conn)
}

func catalog(c check) {
	conn := scene(c, 1)[0]
	columns := values[string](c, conn, "select attname::text from pg_attribute where attrelid = 'orders'::regclass and attnum > 0 order by attnum")
	c.Expect(columns, []string{"tenant_id", "id", "user_id", "status", "total", "created"})
	t, err := conn.LoadType(ctx, "_uuid")
	c.Must(err)
	c.Expect(t.Name, "_uuid")
	closeAll(conn)
}

func ddl(c check) {
	conn := scene(c, 1)[0]
	exec(c, conn, "drop table if exists driver_ddl")
	exec(c, conn, "create table driver_ddl (tenant_id bigint, id bigint, primary key (tenant_id, id))")
	exec(c, conn, "alter table driver_ddl add column note text not null default 'n'")
	for _, tenant := range []int64{a, b} {
		exec(c, conn, "insert into driver_ddl values ($1, 1)", tenant)
		c.Expect(value[string](c, conn, "select note from driver_ddl where tenant_id = $1", tenant), "n")
	}
	exec(c, conn, "drop table driver_ddl")
	failing(c, "42P01", conn, "select 1 from driver_ddl where tenant_id = $1", a)
	closeAll(conn)
}
