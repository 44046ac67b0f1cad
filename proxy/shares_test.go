package proxy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestSharesRefused is about writes of tenants on several shards where nothing makes their commit atomic.
func TestSharesRefused(t *testing.T) {
	r, _ := scatterRig(t, rigOptions{size: 2})
	for _, mode := range []string{"", simpleMode} {
		conn := r.connect(mode)
		if got := r.value(conn, "select count(*) from orders where tenant_id in (1, 2, 3, 4)"); got != "24" {
			t.Errorf("a read of a list gives %s", got)
		}
		for _, sql := range []string{
			"insert into orders (tenant_id, id) values (1, 900), (2, 900), (3, 900)", "update orders set total = 0 where tenant_id in (1, 2, 3)",
			"delete from orders where tenant_id = any (array[1, 2, 3])",
		} {
			e := r.refuses(conn, "0A000", sql)
			if !strings.Contains(e.Hint, "two_phase_commit") || !strings.Contains(e.Hint, "one statement for the tenants of each shard") || !strings.Contains(e.Detail, "s1, s2, s3") {
				t.Errorf("%s: %+v", sql, e)
			}
			r.exec(conn, "begin")
			r.exec(conn, "update orders set total = total where tenant_id = 1")
			r.refuses(conn, "0A000", sql)
			r.refuses(conn, "25P02", "select 1")
			r.exec(conn, "rollback")
		}
		r.exec(conn, "begin isolation level repeatable read")
		r.refuses(conn, "0A000", "select count(*) from orders where tenant_id in (1, 2, 3)")
		r.exec(conn, "rollback")
		r.refuses(conn, "0A000", "select id from orders where tenant_id in (1, 2, 3) for update")
		r.refuses(conn, "0A000", "explain update orders set id = id where tenant_id in (1, 2, 3)")
		r.exec(conn, "prepare lists as select count(*) from orders where tenant_id in ($1, $2, $3)")
		r.exec(conn, "execute lists (1, 1, 1)")
		if e := r.refuses(conn, "0A000", "execute lists (1, 2, 3)"); !strings.Contains(e.Hint, "in the place of EXECUTE") {
			t.Errorf("%+v", e)
		}
		if got := r.value(conn, "explain (route) select id from orders where tenant_id in (1, 2)"); got != "shard: several" {
			t.Error(got)
		}
	}
	r.everywhere("0", "select count(*) from orders where id = 900 or total = 0")
}

// TestSharesOfParameters is about parameters: a shard gets its own, in whatever format they come.
func TestSharesOfParameters(t *testing.T) {
	r, one := scatterRig(t, rigOptions{size: 3, twoPhase: true})
	all, ddl := r.direct(one), r.connect()
	for _, sql := range []string{"create domain held as int not null check (value > 0)", "create table stock (tenant_id bigint not null, n held, note text, primary key (tenant_id, n))"} {
		r.exec(ddl, sql)
		if _, err := all.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	statements := []struct {
		sql  string
		args []any
	}{
		{"select tenant_id, id from orders where tenant_id = any($1) and id > $2 order by 1, 2 /* in order */", []any{[]int64{1, 2, 3, 4}, 4}},
		{"select tenant_id, count(*) from orders where tenant_id in ($1, $2, $3) group by tenant_id", []any{int64(5), int64(6), int64(7)}},
		{"select $1::bigint[] as list, cardinality($1::bigint[]), id from orders where tenant_id = any($1) and id = 1", []any{[]int64{1, 2, 3, 4}}},
		{"select id, $2::text from orders where tenant_id = $1 or tenant_id = $3", []any{int64(8), "x", int64(9)}},
		{"select count(*) from orders where tenant_id = any($1)", []any{[]int64{}}}, {"select count(*) from orders where tenant_id = any($1::int4[])", []any{[]int32{1, 2, 3, 2}}},
		{"insert into stock (tenant_id, n, note) values ($1, $2, $3), ($4, $5, $6), ($7, $8, $9), ($1, $5 + 10, $3) returning tenant_id, n, note /* in order */",
			[]any{int64(1), 5, "a", int64(2), 6, nil, int64(3), 7, "it's"}},
		{"insert into stock (note, n, tenant_id) values ($1, $2, $3), ($1, $2, $4), ($1, $2, $5) returning tenant_id, n /* in order */", []any{"b", 50, int64(1), int64(2), int64(3)}},
		{"insert into stock (tenant_id, n) values ($1, $2), ($3, $4)", []any{int64(1), 60, int64(2), -1}}, // the domain refuses it
		{"insert into stock (tenant_id, n, note) values ($1, 70, $2), ($3, 70, $2) on conflict (tenant_id, n) do update set note = excluded.note || $4 returning note", []any{int64(1), "c", int64(3), "!"}},
		{"update stock set note = coalesce(note, $1) where tenant_id = any($2) returning tenant_id, n, note", []any{"none", []int64{1, 2, 3}}},
		{"delete from stock where tenant_id in ($1, $2, $3) and n < $4 returning n", []any{int64(1), int64(2), int64(3), 7}},
		{"select * from stock where tenant_id in ($1, $2, $3)", []any{int64(1), int64(2), int64(3)}},
	}
	for _, mode := range []string{"cache_statement", "describe_exec", "exec", "simple_protocol"} {
		cfg, err := pgx.ParseConfig(one + "?default_query_exec_mode=" + mode)
		if err != nil {
			t.Fatal(err)
		}
		direct, err := pgx.ConnectConfig(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer direct.Close(t.Context())
		conn := r.connect("default_query_exec_mode=" + mode)
		for _, s := range statements {
			if got, want := answerOf(t, conn, s.sql, s.args...), answerOf(t, direct, s.sql, s.args...); !slices.Equal(got, want) {
				t.Errorf("%s, %s:\n%s", mode, s.sql, firstDifference(got, want))
			}
		}
		r.exec(conn, "delete from stock where tenant_id in (1, 2, 3)")
		r.exec(direct, "delete from stock")
	}
}

// TestSharesInTransactions is about when shares are committed.
func TestSharesInTransactions(t *testing.T) {
	r, _ := scatterRig(t, rigOptions{size: 3, twoPhase: true})
	insert := func(id int) string {
		return fmt.Sprintf("insert into orders (tenant_id, id) values (1, %d), (2, %[1]d), (3, %[1]d), (4, %[1]d)", id)
	}
	count := func(c *pgx.Conn, id int) string {
		return r.value(c, fmt.Sprintf("select count(*) from orders where tenant_id in (1, 2, 3, 4) and id = %d", id))
	}
	for i, mode := range []string{"", simpleMode} {
		conn, other := r.connect(mode), r.connect()
		id := 1000 + 100*i
		r.exec(conn, "begin")
		r.exec(conn, insert(id))
		r.exec(conn, "savepoint a")
		r.exec(conn, insert(id+1))
		r.refuses(conn, "23505", insert(id))
		r.refuses(conn, "25P02", insert(id+2))
		r.exec(conn, "rollback to a")
		r.exec(conn, insert(id+3))
		if inside, outside := count(conn, id), count(other, id); inside != "4" || outside != "0" {
			t.Errorf("%s inside, %s outside", inside, outside)
		}
		r.exec(conn, "commit")
		if got := count(other, id) + count(other, id+1) + count(other, id+3); got != "404" {
			t.Errorf("after the commit: %s", got)
		}
		r.exec(conn, "begin")
		r.exec(conn, insert(id+4))
		r.exec(conn, "rollback")
		if got := count(other, id+4); got != "0" {
			t.Errorf("after the rollback: %s", got)
		}
		if got := r.exec(conn, "update orders set total = 1 where tenant_id in (1, 2, 3, 4) and id = "+fmt.Sprint(id)); got != "UPDATE 4" {
			t.Error(got)
		}
	}
	conn := r.connect()
	var b pgx.Batch
	b.Queue(insert(2000))
	b.Queue("update orders set total = $1 where tenant_id in (1, 2, 3) and id = 2000", 7)
	b.Queue("select sum(total) from orders where tenant_id in (1, 2, 3) and id = $1", 2000)
	if err := conn.SendBatch(t.Context(), &b).Close(); err != nil {
		t.Fatal(err)
	}
	if got := r.value(conn, "select sum(total)::int from orders where tenant_id in (1, 2, 3) and id = 2000"); got != "21" {
		t.Errorf("the batch's rows: %s", got)
	}
	var failing pgx.Batch
	failing.Queue(insert(2001))
	failing.Queue(insert(2000))
	if err := conn.SendBatch(t.Context(), &failing).Close(); !isCode(err, "23505") {
		t.Errorf("the batch that fails: %v", err)
	}
	if got := count(conn, 2001); got != "0" {
		t.Errorf("of a batch that failed: %s", got)
	}
	o := *r.db.options()
	o.ScatterMemory = 1 << 20
	r.db.Adjust(o)
	r.refuses(conn, "54000", "update orders set status = repeat('x', 200000) where tenant_id in (1, 2, 3) returning *")
	if got := r.value(conn, "select max(length(status)) from orders where tenant_id in (1, 2, 3)"); len(got) > 2 {
		t.Errorf("what was too much was written: %s", got)
	}
}

// TestSharesInOrder has many clients write the same rows on all shards: nobody waits in a circle, which no server would see.
func TestSharesInOrder(t *testing.T) {
	r, _ := scatterRig(t, rigOptions{size: 8, wait: 30 * time.Second, twoPhase: true})
	const clients, rounds = 6, 15
	var all sync.WaitGroup
	for i := range clients {
		conn := r.connect()
		rng := rand.New(rand.NewPCG(5, uint64(i)))
		all.Go(func() {
			for range rounds {
				var rows []string
				for k := 1; k <= 8; k++ {
					if k%4 == 0 || rng.IntN(2) == 0 {
						rows = append(rows, fmt.Sprintf("(%d, 5000, 1)", k))
					}
				}
				sql := "insert into orders (tenant_id, id, total) values " + strings.Join(rows, ", ") + " on conflict (tenant_id, id) do update set total = orders.total + 1"
				if _, err := conn.Exec(t.Context(), sql); err != nil {
					t.Errorf("%s: %v", sql, err)
				}
			}
		})
	}
	all.Wait()
	if got := r.value(r.connect(), "select sum(total)::int from orders where tenant_id in (4, 8) and id = 5000"); got != fmt.Sprint(2*clients*rounds) {
		t.Errorf("the counters say %s", got)
	}
}
