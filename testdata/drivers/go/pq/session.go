package main

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/lib/pq"

	"drivers/report"
)

func transaction(c check) {
	db := database(c, 2, "")
	tx, err := db.Begin()
	c.Must(err)
	exec(c, tx, insert, a, 1000, "e", "n")
	c.Expect(count(c, db), int64(0))
	c.Must(tx.Commit())
	c.Expect(count(c, db), int64(1))
	tx, err = db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelSerializable})
	c.Must(err)
	exec(c, tx, insert, a, 1001, "f", "n")
	c.Expect(value[string](c, tx, "show transaction isolation level"), "serializable")
	c.Must(tx.Rollback())
	c.Expect(count(c, db), int64(1))
	db.Close()
}

func savepoint(c check) {
	db := database(c, 1, "")
	tx, err := db.Begin()
	c.Must(err)
	exec(c, tx, insert, a, 1000, "e", "n")
	exec(c, tx, "savepoint s")
	failing(c, "23505", tx, insert, a, 1000, "f", "n")
	failing(c, "25P02", tx, "select 1")
	exec(c, tx, "rollback to s")
	exec(c, tx, insert, a, 1001, "g", "n")
	c.Must(tx.Commit())
	c.Expect(count(c, db), int64(2))
	db.Close()
}

func aborted(c check) {
	db := database(c, 1, "")
	tx, err := db.Begin()
	c.Must(err)
	exec(c, tx, insert, a, 1000, "e", "n")
	failing(c, "22012", tx, "select 1/$1::int", 0)
	failing(c, "25P02", tx, "select 1")
	failing(c, "25P02", tx, "select 1 from users where tenant_id = $1", a)
	c.Must(tx.Rollback())
	c.Expect(count(c, db), int64(0))
	db.Close()
}

// conns takes single connections out of a pool.
func conns(c check, db *sql.DB, number int) []*sql.Conn {
	all := make([]*sql.Conn, number)
	for i := range all {
		conn, err := db.Conn(ctx)
		c.Must(err)
		all[i] = conn
	}
	return all
}

// hold makes a connection keep a backend, in a transaction.
func hold(c check, db *sql.DB) *sql.Tx {
	tx, err := db.Begin()
	c.Must(err)
	exec(c, tx, "select 1 from users where tenant_id = $1 and id = 1", a)
	return tx
}

func prepared(c check) {
	db := database(c, 10, "")
	all := conns(c, db, 4)
	type pair struct {
		statement *sql.Stmt
		number    int64
	}
	var statements []pair
	for number := range int64(25) {
		for _, conn := range all {
			statement, err := conn.PrepareContext(ctx, fmt.Sprintf("select count(*) + %d + $1::bigint from users where tenant_id = $2 and id < 1000", number))
			c.Must(err)
			statements = append(statements, pair{statement, number})
		}
	}
	for turn := range int64(3) {
		for _, p := range statements {
			for _, tenant := range []int64{a, b} {
				var got int64
				c.Must(p.statement.QueryRow(turn, tenant).Scan(&got))
				c.Expect(got, 3+p.number+turn)
			}
		}
	}
	statement, err := all[0].PrepareContext(ctx, locked)
	c.Must(err)
	seen := map[int64]bool{}
	for range 4 {
		for range 3 {
			var pid int64
			c.Must(statement.QueryRow(a).Scan(&pid))
			seen[pid] = true
		}
		defer hold(c, db).Rollback()
	}
	if report.Moves && len(seen) < 2 {
		c.Fatalf("all on one backend: nothing was tried")
	}
	for _, p := range statements {
		c.Must(p.statement.Close())
	}
}

func sqlPrepare(c check) {
	db := database(c, 4, "")
	conn := conns(c, db, 1)[0]
	exec(c, conn, "prepare ps (bigint) as select name from users where tenant_id = $1 and id = 1 for update")
	for range 3 {
		for _, tenant := range []int64{a, b} {
			c.Expect(value[string](c, conn, fmt.Sprintf("execute ps(%d)", tenant)), "User 1")
		}
		defer hold(c, db).Rollback()
	}
	exec(c, conn, "deallocate ps")
	failing(c, "26000", conn, fmt.Sprintf("execute ps(%d)", a))
}

func planChange(c check) {
	db := database(c, 2, "")
	exec(c, db, "alter table driver_columns drop column if exists b")
	exec(c, db, "delete from driver_columns where tenant_id = $1", a)
	exec(c, db, "insert into driver_columns (tenant_id, id, a) values ($1, 1, 'a')", a)
	conn := conns(c, db, 1)[0]
	statement, err := conn.PrepareContext(ctx, "select * from driver_columns where tenant_id = $1 and id = 1 for update")
	c.Must(err)
	columns := func() ([]string, error) {
		rows, err := statement.Query(a)
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		names, err := rows.Columns()
		c.Must(err)
		for rows.Next() {
			values := make([]sql.RawBytes, len(names))
			places := make([]any, len(names))
			for i := range values {
				places[i] = &values[i]
			}
			c.Must(rows.Scan(places...))
		}
		return names, rows.Err()
	}
	for range 7 {
		names, err := columns()
		c.Must(err)
		c.Expect(len(names), 3)
	}
	exec(c, db, "alter table driver_columns add column b text default 'b'")
	// The driver asked for a description once, when it prepared: it has no way to learn of another.
	if _, err = columns(); err == nil {
		c.Fatalf("no error: the driver has read four columns as three")
	}
	fails(c, "0A000", err)
	exec(c, db, "alter table driver_columns drop column b")
	c.Must(conn.Close())
	db.Close()
}

func batch(c check) {
	db := database(c, 1, "")
	tx, err := db.Begin()
	c.Must(err)
	statement, err := tx.Prepare(insert)
	c.Must(err)
	for n := range 300 {
		_, err := statement.Exec(a, 1000+n, fmt.Sprint(n), "n")
		c.Must(err)
	}
	c.Must(statement.Close())
	c.Must(tx.Commit())
	c.Expect(count(c, db), int64(300))
	db.Close()
}

func multi(c check) {
	db := database(c, 1, "")
	text := func(number int) string {
		return fmt.Sprintf("insert into users (tenant_id, id, email, name) values (%d, %d, '%d', 'm'); ", a, number, number)
	}
	exec(c, db, text(1000)+text(1001)+text(1002))
	c.Expect(count(c, db), int64(3))
	failing(c, "22012", db, text(1003)+"select 1/0; "+text(1004))
	c.Expect(count(c, db), int64(3))
	rows, err := db.Query("select 1; select 2, 3")
	c.Must(err)
	sets := 0
	for more := true; more; more = rows.NextResultSet() {
		for rows.Next() {
			sets++
		}
	}
	c.Must(rows.Err())
	c.Expect(sets, 2)
	db.Close()
}

func cancel(c check) {
	db := database(c, 1, "")
	short, end := context.WithTimeout(ctx, 300*time.Millisecond)
	defer end()
	begun := time.Now()
	_, err := db.ExecContext(short, "select pg_sleep(15)")
	if err == nil || time.Since(begun) > 5*time.Second {
		c.Fatalf("after %v: %v", time.Since(begun), err)
	}
	c.Expect(value[int64](c, db, "select 1"), int64(1))
	db.Close()
}

func timeout(c check) {
	db := database(c, 1, "&statement_timeout=200")
	c.Expect(value[string](c, db, "show statement_timeout"), "200ms")
	failing(c, "57014", db, "select pg_sleep(5)")
	exec(c, db, "set statement_timeout = 0")
	exec(c, db, "select pg_sleep(0.3)")
	db.Close()
}

func notify(c check) {
	db := database(c, 1, "")
	listener := pq.NewListener(url(""), time.Second, time.Minute, nil)
	defer listener.Close()
	c.Must(listener.Listen("drivers"))
	exec(c, db, "select pg_notify('drivers', 'from another')")
	select {
	case n := <-listener.Notify:
		if n == nil {
			c.Fatalf("the connection was lost")
		}
		c.Expect(n.Extra, "from another")
	case <-time.After(5 * time.Second):
		c.Fatalf("no notification")
	}
	c.Must(listener.Ping())
	c.Must(listener.Unlisten("drivers"))
	db.Close()
}

func notice(c check) {
	connector, err := pq.NewConnector(url(""))
	c.Must(err)
	var got []string
	db := sql.OpenDB(pq.ConnectorWithNoticeHandler(connector, func(n *pq.Error) { got = append(got, n.Severity+" "+n.Message) }))
	db.SetMaxOpenConns(1)
	exec(c, db, fmt.Sprintf("set pgdrover.tenant = '%d'", a))
	exec(c, db, "do $$ begin raise notice 'here it is'; end $$")
	c.Expect(got, []string{"NOTICE here it is"})
	db.Close()
}

func settings(c check) {
	db := database(c, 10, "")
	two := conns(c, db, 2)
	conn, other := two[0], two[1]
	before := value[string](c, other, "show timezone")
	exec(c, conn, "set time zone 'Asia/Tokyo'; set search_path = public, pg_temp; set application_name = 'it is mine'")
	read := `select concat_ws('|', current_setting('TimeZone'), current_setting('search_path'), current_setting('application_name'))
		from users where tenant_id = $1 and id = 1 for update`
	for range 3 {
		for _, tenant := range []int64{a, b} {
			c.Expect(value[string](c, conn, read, tenant), "Asia/Tokyo|public, pg_temp|it is mine")
		}
		c.Expect(value[string](c, other, "show timezone"), before)
		defer hold(c, db).Rollback()
	}
	c.Expect(value[time.Time](c, conn, "select now() from users where tenant_id = $1 and id = 1", b).Location().String(), "Asia/Tokyo")
	exec(c, conn, "reset all")
	c.Expect(value[string](c, conn, "show timezone"), before)
}

func terminated(c check) {
	kill := func(pid int64) {
		for _, node := range report.Nodes {
			db, err := sql.Open("postgres", node+"?sslmode=disable")
			c.Must(err)
			exec(c, db, "select pg_terminate_backend(pid) from pg_stat_activity where pid = $1", pid)
			db.Close()
		}
	}
	db := database(c, 1, "")
	tx, err := db.Begin()
	c.Must(err)
	kill(value[int64](c, tx, "select pg_backend_pid() from users where tenant_id = $1 and id = 1", a))
	if _, err := tx.Exec("select 1 from users where tenant_id = $1 and id = 1", a); err == nil {
		c.Fatalf("a transaction went on without its backend")
	}
	_ = tx.Rollback()
	c.Expect(value[string](c, db, "select name from users where tenant_id = $1 and id = 1", a), "User 1")
	kill(value[int64](c, db, locked, a))
	c.Expect(value[string](c, db, "select name from users where tenant_id = $1 and id = 1", a), "User 1")
	db.Close()
}
