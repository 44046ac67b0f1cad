package main

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"drivers/report"
)

func transaction(c check) {
	conns := scene(c, 2)
	one, two := conns[0], conns[1]
	tx, err := one.Begin(ctx)
	c.Must(err)
	exec(c, tx, insert, a, 1000, "e", "n")
	c.Expect(count(c, two, a), int64(0))
	c.Must(tx.Commit(ctx))
	c.Expect(count(c, two, a), int64(1))
	tx, err = one.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.Serializable})
	c.Must(err)
	exec(c, tx, insert, a, 1001, "f", "n")
	c.Expect(value[string](c, tx, "show transaction isolation level"), "serializable")
	c.Must(tx.Rollback(ctx))
	c.Expect(count(c, two, a), int64(1))
	tx, err = one.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
	c.Must(err)
	failing(c, "25006", tx, insert, a, 1002, "g", "n")
	c.Must(tx.Rollback(ctx))
	closeAll(conns...)
}

func savepoint(c check) {
	conn := scene(c, 1)[0]
	tx, err := conn.Begin(ctx)
	c.Must(err)
	exec(c, tx, insert, a, 1000, "e", "n")
	inner, err := tx.Begin(ctx)
	c.Must(err)
	failing(c, "23505", inner, insert, a, 1000, "f", "n")
	failing(c, "25P02", inner, "select 1")
	c.Must(inner.Rollback(ctx))
	exec(c, tx, insert, a, 1001, "g", "n")
	c.Must(tx.Commit(ctx))
	c.Expect(count(c, conn, a), int64(2))
	closeAll(conn)
}

func aborted(c check) {
	conn := scene(c, 1)[0]
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeSimpleProtocol} {
		tx, err := conn.Begin(ctx)
		c.Must(err)
		exec(c, tx, insert, mode, a, 1000, "e", "n")
		failing(c, "22012", tx, "select 1/0", mode)
		failing(c, "25P02", tx, "select 1", mode)
		if err := tx.Commit(ctx); !errors.Is(err, pgx.ErrTxCommitRollback) {
			c.Fatalf("commit of an aborted transaction: %v", err)
		}
		c.Expect(count(c, conn, a), int64(0))
	}
	closeAll(conn)
}

func prepared(c check) {
	conns := scene(c, 4)
	modes := []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec}
	for turn := range int64(3) {
		for number := range int64(25) {
			for i, conn := range conns {
				for _, tenant := range []int64{a, b} {
					got := value[int64](c, conn, fmt.Sprintf("select count(*) + %d + $1::bigint from users where tenant_id = $2 and id < 1000", number), modes[i], turn, tenant)
					c.Expect(got, 3+number+turn)
				}
			}
		}
	}
	seen := map[int32]bool{}
	_, err := conns[0].Prepare(ctx, "mine", locked)
	c.Must(err)
	for range 4 {
		for range 3 {
			var pid int32
			var name string
			c.Must(conns[0].QueryRow(ctx, "mine", a).Scan(&pid, &name))
			seen[pid] = true
		}
		conns = append(conns, holder(c))
	}
	if report.Moves && len(seen) < 2 {
		c.Fatalf("all on one backend: nothing was tried")
	}
	closeAll(conns...)
}

func reprepare(c check) {
	conns := scene(c, 2)
	for number := range int64(30) {
		for i, conn := range conns { // the same names on two connections, with other texts
			_, err := conn.Prepare(ctx, "mine", fmt.Sprintf("select %d::bigint from users where tenant_id = $1 and id = 1", number*2+int64(i)))
			c.Must(err)
		}
		for i, conn := range conns {
			c.Expect(value[int64](c, conn, "mine", []int64{a, b}[number%2]), number*2+int64(i))
			c.Must(conn.Deallocate(ctx, "mine"))
		}
	}
	// The protocol itself refuses a name that is taken.
	conn := conns[0].PgConn()
	_, err := conn.Prepare(ctx, "taken", "select 1", nil)
	c.Must(err)
	_, err = conn.Prepare(ctx, "taken", "select 2", nil)
	fails(c, "42P05", err)
	result := conn.ExecPrepared(ctx, "taken", nil, nil, nil).Read()
	c.Must(result.Err)
	c.Expect(string(result.Rows[0][0]), "1")
	c.Must(conns[0].DeallocateAll(ctx))
	fails(c, "26000", conn.ExecPrepared(ctx, "taken", nil, nil, nil).Read().Err)
	closeAll(conns...)
}

func sqlPrepare(c check) {
	conn := scene(c, 1)[0]
	exec(c, conn, "prepare ps (bigint) as select name from users where tenant_id = $1 and id = 1 for update")
	var held []*pgx.Conn
	for range 3 {
		for _, tenant := range []int64{a, b} {
			c.Expect(value[string](c, conn, fmt.Sprintf("execute ps(%d)", tenant), pgx.QueryExecModeSimpleProtocol), "User 1")
			c.Expect(value[string](c, conn, fmt.Sprintf("execute ps(%d)", tenant), pgx.QueryExecModeDescribeExec), "User 1")
		}
		held = append(held, holder(c))
	}
	exec(c, conn, "deallocate ps")
	failing(c, "26000", conn, fmt.Sprintf("execute ps(%d)", a))
	closeAll(append(held, conn)...)
}

func planChange(c check) {
	conns := scene(c, 2)
	conn, other := conns[0], conns[1]
	exec(c, other, "alter table driver_columns drop column if exists b")
	exec(c, other, "delete from driver_columns where tenant_id = $1", a)
	exec(c, other, "insert into driver_columns (tenant_id, id, a) values ($1, 1, 'a')", a)
	columns := func() int {
		rows, err := conn.Query(ctx, "select * from driver_columns where tenant_id = $1 and id = 1 for update", a)
		c.Must(err)
		defer rows.Close()
		n := 0
		for rows.Next() {
			got, err := rows.Values()
			c.Must(err)
			n = len(got)
		}
		if rows.Err() != nil {
			fails(c, "0A000", rows.Err())
			return -1
		}
		return n
	}
	for range 3 {
		c.Expect(columns(), 3)
	}
	exec(c, other, "alter table driver_columns add column b text default 'b'")
	if n := columns(); n != 4 && n != -1 { // PostgreSQL's error makes pgx prepare anew the next time
		c.Fatalf("%d columns", n)
	}
	c.Expect(columns(), 4)
	exec(c, other, "alter table driver_columns drop column b")
	closeAll(conns...)
}

func batch(c check) {
	conn := scene(c, 1)[0]
	work := &pgx.Batch{}
	for n := range 300 {
		work.Queue(insert, a, 1000+n, fmt.Sprint(n), "n")
		work.Queue("select count(*) from users where tenant_id = $1 and id >= 1000", a)
	}
	results := conn.SendBatch(ctx, work)
	for n := range int64(300) {
		_, err := results.Exec()
		c.Must(err)
		var got int64
		c.Must(results.QueryRow().Scan(&got))
		c.Expect(got, n+1)
	}
	c.Must(results.Close())
	wrong := &pgx.Batch{}
	wrong.Queue(insert, a, 2000, "2000", "n")
	wrong.Queue(insert, a, 2000, "2001", "n")
	wrong.Queue(insert, a, 2002, "2002", "n")
	fails(c, "23505", conn.SendBatch(ctx, wrong).Close())
	c.Expect(count(c, conn, a), int64(300)) // all before one Sync is one transaction
	for range 3 {
		exec(c, conn, "select 1")
	}
	closeAll(conn)
	pipeline(c)
}

// pipeline is several batches with a Sync each, of tenants on two shards.
func pipeline(c check) {
	conn := scene(c, 1)[0]
	p := conn.PgConn().StartPipeline(ctx)
	for n := range 60 {
		p.SendQueryParams("select "+fmt.Sprint(n)+" + count(*) from users where tenant_id = $1", [][]byte{fmt.Append(nil, []int64{a, b}[n%2])}, nil, nil, nil)
		c.Must(p.Sync())
	}
	for n := range 60 {
		got, err := p.GetResults()
		c.Must(err)
		read := got.(*pgconn.ResultReader).Read()
		c.Must(read.Err)
		c.Expect(string(read.Rows[0][0]), fmt.Sprint(n+3))
		_, err = p.GetResults() // the Sync
		c.Must(err)
	}
	c.Must(p.Close())
	closeAll(conn)
}

func multi(c check) {
	conn := scene(c, 1)[0]
	text := func(number int) string {
		return fmt.Sprintf("insert into users (tenant_id, id, email, name) values (%d, %d, '%d', 'm'); ", a, number, number)
	}
	results, err := conn.PgConn().Exec(ctx, text(1000)+text(1001)+fmt.Sprintf("select count(*) from users where tenant_id = %d", a)).ReadAll()
	c.Must(err)
	c.Expect(len(results), 3)
	c.Expect(string(results[2].Rows[0][0]), "5")
	_, err = conn.PgConn().Exec(ctx, text(1002)+"select 1/0; "+text(1003)).ReadAll()
	fails(c, "22012", err)
	c.Expect(count(c, conn, a), int64(2))
	_, err = conn.PgConn().Exec(ctx, "begin; "+text(1002)+"savepoint s; "+text(1003)+"rollback to s; commit; "+text(1004)).ReadAll()
	c.Must(err)
	c.Expect(count(c, conn, a), int64(4))
	_, err = conn.PgConn().Exec(ctx, "").ReadAll() // EmptyQueryResponse
	c.Must(err)
	closeAll(conn)
}
