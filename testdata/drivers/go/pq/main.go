// Pq runs the checks with database/sql and lib/pq.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/lib/pq"

	"drivers/report"
)

type check = *report.Check

var (
	ctx  = context.Background()
	a, b = report.A, report.B
)

const (
	insert = "insert into users (tenant_id, id, email, name) values ($1, $2, $3, $4)"
	made   = "select count(*) from users where tenant_id = $1 and id >= 1000"
	locked = "select pg_backend_pid() from users where tenant_id = $1 and id = 1 for update"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "probe" {
		build, _ := debug.ReadBuildInfo()
		for _, module := range build.Deps {
			if module.Path == "github.com/lib/pq" {
				fmt.Println("lib/pq", module.Version)
			}
		}
		return
	}
	report.Run(os.Getenv("DRIVERS_LIST"), map[string]func(check){
		"connect": connects, "tls": tls, "types_text": func(c check) { roundTrip(c, "") }, "types_binary": func(c check) { roundTrip(c, "&binary_parameters=yes") },
		"crud": crud, "transaction": transaction, "savepoint": savepoint, "aborted": aborted, "prepared": prepared, "sql_prepare": sqlPrepare, "plan_change": planChange,
		"batch": batch, "multi": multi, "copy_in": copyIn, "cancel": cancel, "timeout": timeout, "notify": notify, "notice": notice, "errors": fields,
		"settings": settings, "terminated": terminated, "pool": pool, "short": short,
	})
}

func url(more string) string { return os.Getenv("DATABASE_URL") + "?sslmode=disable" + more }

// database opens a pool of that many connections.
func database(c check, connections int, more string) *sql.DB {
	db, err := sql.Open("postgres", url(more))
	c.Must(err)
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	for _, tenant := range []int64{a, b} {
		for _, table := range []string{"orders", "users"} {
			exec(c, db, "delete from "+table+" where tenant_id = $1 and id >= 1000", tenant)
		}
	}
	return db
}

type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func exec(c check, q querier, text string, args ...any) int64 {
	result, err := q.ExecContext(ctx, text, args...)
	if err != nil {
		c.Fatalf("%s: %v", text, err)
	}
	n, _ := result.RowsAffected()
	return n
}

func value[T any](c check, q querier, text string, args ...any) T {
	var v T
	if err := q.QueryRowContext(ctx, text, args...).Scan(&v); err != nil {
		c.Fatalf("%s: %v", text, err)
	}
	return v
}

func fails(c check, state string, err error) *pq.Error {
	var own *pq.Error
	if !errors.As(err, &own) || string(own.Code) != state {
		c.Fatalf("got %v, want %s", err, state)
	}
	return own
}

func failing(c check, state string, q querier, text string, args ...any) *pq.Error {
	_, err := q.ExecContext(ctx, text, args...)
	return fails(c, state, err)
}

// count is how many users checks have made, as the primary knows.
func count(c check, db *sql.DB) int64 {
	tx, err := db.Begin()
	c.Must(err)
	defer tx.Rollback()
	return value[int64](c, tx, made, a)
}

func connects(c check) {
	db := database(c, 1, "")
	c.Expect(value[int64](c, db, "select 1"), int64(1))
	db.Close()
	for state, more := range map[string]string{"28P01": "&password=wrong", "3D000": "&dbname=" + os.Getenv("PGDATABASE") + "x"} {
		db, err := sql.Open("postgres", url(more))
		c.Must(err)
		fails(c, state, db.Ping())
	}
}

func tls(c check) {
	db := database(c, 1, "")
	db.Close()
	db, err := sql.Open("postgres", os.Getenv("DATABASE_URL")+"?sslmode=require")
	c.Must(err)
	c.Expect(value[int64](c, db, "select 1"), int64(1))
	db.Close()
}

func roundTrip(c check, more string) {
	db := database(c, 1, more)
	doc := `{"a": [1, 2, {"b": null}], "c": "` + "\u00e9" + `"}`
	at := time.Date(2024, 2, 29, 12, 34, 56, 789012000, time.UTC)
	ints := pq.GenericArray{A: []sql.NullInt64{{Int64: 1, Valid: true}, {}, {Int64: -3, Valid: true}}}
	texts := pq.GenericArray{A: []sql.NullString{{String: "a", Valid: true}, {String: "b c", Valid: true}, {}, {String: "\u00e9\"x", Valid: true}}}
	bin := []byte("\x00\x01\xff\x5c\x27\x00")
	exec(c, db, "delete from driver_types where tenant_id = $1 and id = 1000", a)
	exec(c, db, "insert into driver_types (tenant_id, id, "+report.Types+") values ($1, 1000, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
		a, -32768, 2147483647, int64(-9223372036854775808), "12345678901234567890.123456789", 3.141592653589793, report.Text, bin, true, "2024-02-29", at, doc, doc,
		"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", ints, texts)
	c.Expect(value[int64](c, db, report.Same, a, 1, 1000), int64(1))
	var got struct {
		i2, i4, i8               int64
		num, txt, doc, docb, uid string
		f8                       float64
		bin                      []byte
		flag                     bool
		day, at                  time.Time
		ints                     []sql.NullInt64
		texts                    []sql.NullString
	}
	c.Must(db.QueryRow("select "+report.Types+" from driver_types where tenant_id = $1 and id = 1000", a).Scan(&got.i2, &got.i4, &got.i8, &got.num, &got.f8, &got.txt, &got.bin,
		&got.flag, &got.day, &got.at, &got.doc, &got.docb, &got.uid, pq.Array(&got.ints), pq.Array(&got.texts)))
	c.Expect([]any{got.i2, got.i4, got.i8, got.num, got.f8, got.txt, got.bin, got.flag, got.doc}, []any{int64(-32768), int64(2147483647), int64(-9223372036854775808),
		"12345678901234567890.123456789", 3.141592653589793, report.Text, bin, true, doc})
	c.Expect(got.at.UTC(), at)
	c.Expect([]any{got.ints, got.texts}, []any{ints.A, texts.A})
	var null sql.NullString
	c.Must(db.QueryRow("select texts from driver_types where tenant_id = $1 and id = 2", a).Scan(&null))
	c.Expect(null.Valid, false)
	db.Close()
}

func crud(c check) {
	db := database(c, 3, "")
	for _, tenant := range []int64{a, b} {
		c.Expect(value[int64](c, db, insert+" returning id", tenant, 1000, "e", "T"), int64(1000))
		c.Expect(exec(c, db, "insert into orders (tenant_id, id, user_id, total) values ($1, 1000, 1000, 1.25), ($1, 1001, 1000, 2.50)", tenant), int64(2))
	}
	for _, tenant := range []int64{a, b} {
		c.Expect(value[string](c, db, "select sum(o.total) from users u, orders o where u.tenant_id = o.tenant_id and o.user_id = u.id and o.tenant_id = $1 and u.id = 1000", tenant), "3.75")
		c.Expect(exec(c, db, "update users set name = 'new' where tenant_id = $1 and id >= 1000", tenant), int64(1))
		c.Expect(value[string](c, db, insert+" on conflict (tenant_id, id) do update set name = users.name || excluded.name returning name", tenant, 1000, "x", "y"), "newy")
		c.Expect(exec(c, db, "delete from orders where tenant_id = $1 and id = any($2)", tenant, pq.Array([]int64{1000, 1001})), int64(2))
	}
	db.Close()
}

func fields(c check) {
	db := database(c, 1, "")
	exec(c, db, insert, a, 1000, "e", "n")
	for state, text := range map[string]string{
		"23505": "insert into users (tenant_id, id, email, name) values (%d, 1000, 'e', 'n')", "23503": "insert into orders (tenant_id, id, user_id) values (%d, 1000, 9999)",
		"42703": "select nothing from users where tenant_id = %d", "22012": "select 1 / (id - 1) from users where tenant_id = %d", "42601": "selec %d",
		"42P01": "select %d from no_such_table",
	} {
		err := failing(c, state, db, fmt.Sprintf(text, a))
		if state == "23505" {
			c.Expect([]string{err.Constraint, err.Table, err.Schema}, []string{"users_pkey", "users", "public"})
		}
		text, args, _ := strings.Cut(text, "%d")
		failing(c, state, db, text+"$1::bigint"+args, a)
		c.Expect(value[int64](c, db, "select count(*) from users where tenant_id = $1 and id = 1", a), int64(1))
	}
	db.Close()
}

func copyIn(c check) {
	db := database(c, 2, "")
	load := func(tenant int64, values func(n int) []any) error {
		tx, err := db.Begin()
		c.Must(err)
		exec(c, tx, fmt.Sprintf("set local pgdrover.tenant = '%d'", tenant))
		statement, err := tx.Prepare(pq.CopyIn("users", "tenant_id", "id", "email", "name"))
		c.Must(err)
		for n := range 5000 {
			if _, err := statement.Exec(values(n)...); err != nil {
				_ = statement.Close()
				return errors.Join(err, tx.Rollback())
			}
		}
		_, err = statement.Exec()
		if err = errors.Join(err, statement.Close()); err != nil {
			_ = tx.Rollback()
			return err
		}
		return tx.Commit()
	}
	for _, tenant := range []int64{a, b} {
		c.Must(load(tenant, func(n int) []any { return []any{tenant, 1000 + n, fmt.Sprint(n), "na\tme"} }))
	}
	c.Expect(count(c, db), int64(5000))
	fails(c, "22P02", load(a, func(int) []any { return []any{a, "x", "y", "z"} }))
	c.Expect(count(c, db), int64(5000))
	db.Close()
}

func parallel(c check, goroutines int, work func(number int) error) {
	var group sync.WaitGroup
	errs := make(chan error, goroutines)
	for number := range goroutines {
		group.Go(func() {
			if err := work(number); err != nil {
				errs <- err
			}
		})
	}
	group.Wait()
	select {
	case err := <-errs:
		c.Fatalf("%v", err)
	default:
	}
}

func pool(c check) {
	db := database(c, 10, "")
	for _, tenant := range []int64{a, b} {
		exec(c, db, "update driver_counters set n = 0 where tenant_id = $1 and id = 1", tenant)
	}
	parallel(c, 20, func(number int) error {
		for turn := range 10 {
			if _, err := db.Exec("update driver_counters set n = n + 1 where tenant_id = $1 and id = 1", []int64{a, b}[(number+turn)%2]); err != nil {
				return err
			}
		}
		return nil
	})
	for _, tenant := range []int64{a, b} {
		c.Expect(value[int64](c, db, "select n from driver_counters where tenant_id = $1 and id = 1 for update", tenant), int64(100))
	}
	db.Close()
}

func short(c check) {
	parallel(c, 10, func(number int) error {
		for range 4 {
			db, err := sql.Open("postgres", url(""))
			if err != nil {
				return err
			}
			var name string
			err = db.QueryRow("select name from users where tenant_id = $1 and id = 1", []int64{a, b}[number%2]).Scan(&name)
			if err := errors.Join(err, db.Close()); err != nil || name != "User 1" {
				return fmt.Errorf("%q: %v", name, err)
			}
		}
		return nil
	})
}
