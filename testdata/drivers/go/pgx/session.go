package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"drivers/report"
)

func copyIn(c check) {
	conn := scene(c, 1)[0]
	exec(c, conn, fmt.Sprintf("set pgdrover.tenant = '%d'", a))
	columns := []string{"tenant_id", "id", "email", "name"}
	rows := make([][]any, 5000)
	for n := range rows {
		rows[n] = []any{a, int64(1000 + n), fmt.Sprint(n), "na\tme"}
	}
	n, err := conn.CopyFrom(ctx, pgx.Identifier{"users"}, columns, pgx.CopyFromRows(rows)) // in binary
	c.Must(err)
	c.Expect(n, int64(5000))
	_, err = conn.CopyFrom(ctx, pgx.Identifier{"users"}, columns, pgx.CopyFromRows(rows))
	fails(c, "23505", err)
	c.Expect(count(c, conn, a), int64(5000))
	wrong := strings.NewReader(strings.Repeat(fmt.Sprintf("%d\tx\ty\tz\n", a), 100000))
	_, err = conn.PgConn().CopyFrom(ctx, wrong, "copy users (tenant_id, id, email, name) from stdin")
	fails(c, "22P02", err)
	exec(c, conn, "reset pgdrover.tenant")
	one := strings.NewReader(fmt.Sprintf("%d,1000,e,n\n", b))
	_, err = conn.PgConn().CopyFrom(ctx, one, fmt.Sprintf("/* pgdrover: tenant=%d */ copy users (tenant_id, id, email, name) from stdin (format csv)", b))
	c.Must(err)
	c.Expect(count(c, conn, b), int64(1))
	for n := range rows {
		rows[n] = []any{[]int64{a, b}[n%2], int64(20000 + n), fmt.Sprint("both", n), "na\tme"}
	}
	n, err = conn.CopyFrom(ctx, pgx.Identifier{"users"}, columns, pgx.CopyFromRows(rows)) // of both tenants
	c.Must(err)
	c.Expect(n, int64(5000))
	c.Expect(count(c, conn, a)+count(c, conn, b), int64(10001))
	closeAll(conn)
}

func copyOut(c check) {
	conn := scene(c, 1)[0]
	var out bytes.Buffer
	_, err := conn.PgConn().CopyTo(ctx, &out, fmt.Sprintf("copy (select id, name from users where tenant_id = %d order by id) to stdout", a))
	c.Must(err)
	c.Expect(out.String(), "1\tUser 1\n2\tUser 2\n3\tUser 3\n")
	out.Reset()
	tag, err := conn.PgConn().CopyTo(ctx, &out, fmt.Sprintf("copy (select generate_series(1, 100000), name from users where tenant_id = %d and id = 1) to stdout (format binary)", b))
	c.Must(err)
	c.Expect(tag.String(), "COPY 100000")
	out.Reset()
	_, err = conn.PgConn().CopyTo(ctx, &out, "copy (select 1 / (g - 5000) from generate_series(1, 9999) g) to stdout")
	fails(c, "22012", err)
	c.Expect(value[int64](c, conn, "select 1"), int64(1))
	closeAll(conn)
}

func cursor(c check) {
	conn := scene(c, 1)[0]
	tx, err := conn.Begin(ctx)
	c.Must(err)
	exec(c, tx, "declare mine cursor for select g from users u, generate_series(1, 100) g where tenant_id = $1 and u.id = 1 order by g", pgx.QueryExecModeExec, a)
	total := 0
	for {
		got := values[int64](c, tx, "fetch 7 from mine")
		if len(got) == 0 {
			break
		}
		total += len(got)
	}
	c.Expect(total, 100)
	exec(c, tx, "close mine")
	c.Must(tx.Commit(ctx))
	closeAll(conn)
}

func cancel(c check) {
	conn := scene(c, 1)[0]
	timer := time.AfterFunc(300*time.Millisecond, func() { _ = conn.PgConn().CancelRequest(ctx) })
	defer timer.Stop()
	begun := time.Now()
	failing(c, "57014", conn, "select pg_sleep(15)")
	if time.Since(begun) > 5*time.Second {
		c.Fatalf("the cancel came late")
	}
	c.Expect(value[int64](c, conn, "select 1"), int64(1))
	short, end := context.WithTimeout(ctx, 200*time.Millisecond)
	defer end()
	if _, err := conn.Exec(short, "select pg_sleep(15)"); !errors.Is(err, context.DeadlineExceeded) {
		c.Fatalf("a context that ended: %v", err)
	}
	closeAll(conn)
}

func timeout(c check) {
	conn := scene(c, 1)[0]
	exec(c, conn, "set statement_timeout = '200ms'")
	failing(c, "57014", conn, "select pg_sleep(5)")
	exec(c, conn, "reset statement_timeout")
	exec(c, conn, "select pg_sleep(0.3)")
	closeAll(conn)
}

func notify(c check) {
	conns := scene(c, 2)
	exec(c, conns[0], "listen drivers")
	exec(c, conns[1], "select pg_notify('drivers', 'from another')")
	exec(c, conns[0], "notify drivers, 'from itself'")
	short, end := context.WithTimeout(ctx, 5*time.Second)
	defer end()
	got := map[string]bool{}
	for range 2 {
		n, err := conns[0].WaitForNotification(short)
		if err != nil {
			c.Fatalf("after %v: %v", got, err)
		}
		got[n.Payload] = true
	}
	c.Expect(got, map[string]bool{"from another": true, "from itself": true})
	closeAll(conns...)
}

func notice(c check) {
	cfg, err := pgx.ParseConfig(url())
	c.Must(err)
	var got []string
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { got = append(got, n.Severity+" "+n.Message) }
	conn, err := pgx.ConnectConfig(ctx, cfg)
	c.Must(err)
	exec(c, conn, fmt.Sprintf("set pgdrover.tenant = '%d'", a))
	exec(c, conn, "do $$ begin raise notice 'here it is'; end $$")
	c.Expect(got, []string{"NOTICE here it is"})
	closeAll(conn)
}

func settings(c check) {
	conns := scene(c, 2)
	conn, other := conns[0], conns[1]
	before := value[string](c, other, "show timezone")
	exec(c, conn, "set time zone 'Asia/Tokyo'")
	exec(c, conn, "set search_path = public, pg_temp")
	exec(c, conn, "set application_name = 'it is mine'")
	c.Expect(conn.PgConn().ParameterStatus("TimeZone"), "Asia/Tokyo")
	c.Expect(conn.PgConn().ParameterStatus("application_name"), "it is mine")
	read := `select concat_ws('|', current_setting('TimeZone'), current_setting('search_path'), current_setting('application_name'))
		from users where tenant_id = $1 and id = 1 for update`
	for range 3 {
		for _, tenant := range []int64{a, b} {
			c.Expect(value[string](c, conn, read, tenant), "Asia/Tokyo|public, pg_temp|it is mine")
		}
		c.Expect(value[string](c, other, "show timezone"), before)
		conns = append(conns, holder(c))
	}
	exec(c, conn, "begin")
	exec(c, conn, "set time zone 'UTC'")
	c.Expect(conn.PgConn().ParameterStatus("TimeZone"), "UTC")
	exec(c, conn, "rollback")
	c.Expect(conn.PgConn().ParameterStatus("TimeZone"), "Asia/Tokyo")
	c.Expect(value[string](c, conn, "show timezone"), "Asia/Tokyo")
	exec(c, conn, "discard all")
	c.Expect(value[string](c, conn, "show timezone", pgx.QueryExecModeSimpleProtocol), before)
	own := open(c, "timezone=Africa/Nairobi", "application_name=named%20at%20start")
	c.Expect(own.PgConn().ParameterStatus("TimeZone"), "Africa/Nairobi")
	c.Expect(value[string](c, own, "select current_setting('TimeZone') from users where tenant_id = $1 and id = 1 for update", b), "Africa/Nairobi")
	closeAll(append(conns, own)...)
}

// terminate ends a server process on whichever node has it.
func terminate(c check, pid int32) {
	for _, node := range report.Nodes {
		conn, err := pgx.Connect(ctx, node)
		c.Must(err)
		exec(c, conn, "select pg_terminate_backend(pid) from pg_stat_activity where pid = $1", pid)
		closeAll(conn)
	}
}

func terminated(c check) {
	conn := scene(c, 1)[0]
	exec(c, conn, "begin")
	terminate(c, value[int32](c, conn, locked[:len("select pg_backend_pid()")]+" from users where tenant_id = $1 and id = 1", a))
	if _, err := conn.Exec(ctx, "select 1 from users where tenant_id = $1 and id = 1", a); err == nil {
		c.Fatalf("a transaction went on without its backend")
	}
	closeAll(conn)
	conn = open(c)
	terminate(c, value[int32](c, conn, "select pg_backend_pid() from users where tenant_id = $1 and id = 1 for update", a))
	if report.Moves {
		for end := time.Now().Add(3 * time.Second); ; {
			_, err := conn.Exec(ctx, locked, a)
			if err == nil {
				break
			}
			if conn.IsClosed() || time.Now().After(end) {
				c.Fatalf("an idle backend was terminated: %v", err)
			}
		}
	}
	closeAll(conn)
	conn = open(c)
	c.Expect(value[string](c, conn, "select name from users where tenant_id = $1 and id = 1", a), "User 1")
	closeAll(conn)
}

// parallel runs work in goroutines and fails with the first error of them.
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
	conn := scene(c, 1)[0]
	for _, tenant := range []int64{a, b} {
		exec(c, conn, "update driver_counters set n = 0 where tenant_id = $1 and id = 1", tenant)
	}
	p, err := pgxpool.New(ctx, url("pool_max_conns=10"))
	c.Must(err)
	defer p.Close()
	parallel(c, 20, func(number int) error {
		for turn := range 10 {
			tenant := []int64{a, b}[(number+turn)%2]
			err := pgx.BeginFunc(ctx, p, func(tx pgx.Tx) error {
				_, err := tx.Exec(ctx, "update driver_counters set n = n + 1 where tenant_id = $1 and id = 1", tenant)
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	for _, tenant := range []int64{a, b} {
		c.Expect(value[int64](c, conn, "select n from driver_counters where tenant_id = $1 and id = 1 for update", tenant), int64(100))
	}
	closeAll(conn)
}

func short(c check) {
	parallel(c, 10, func(number int) error {
		for range 4 {
			conn, err := pgx.Connect(ctx, url())
			if err != nil {
				return err
			}
			var name string
			err = conn.QueryRow(ctx, "select name from users where tenant_id = $1 and id = 1", []int64{a, b}[number%2]).Scan(&name)
			if err := errors.Join(err, conn.Close(ctx)); err != nil || name != "User 1" {
				return fmt.Errorf("%q: %v", name, err)
			}
		}
		return nil
	})
}
