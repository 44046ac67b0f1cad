package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
)

// bank has clients that move money between tenants of different shards, and write down what they were told.
type bank struct {
	t       *testing.T
	cluster *pgcluster.Cluster
	tenants [2][]int64 // by shard
	acked   atomic.Int64

	mu      sync.Mutex
	journal map[int64]heard // by id of the transfer
}

// heard is what a client was told of a transfer.
type heard int

const (
	heardNothing heard = iota
	heardDone
	heardFailed
)

const openingBalance = 1000

var bankSchema = []string{
	"create table accounts (tenant_id bigint primary key, balance bigint not null)",
	"create table transfers (tenant_id bigint, id bigint, amount bigint, primary key (tenant_id, id))",
	"create table notes (id bigint primary key)",
}

// work transfers at the proxy of a URL until ctx ends. Ids are above first.
func (b *bank) work(ctx context.Context, url string, first int64) {
	for id := first; ctx.Err() == nil; {
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			time.Sleep(20 * time.Millisecond)
			continue
		}
		for ctx.Err() == nil && !conn.IsClosed() {
			id++
			b.once(conn, id)
		}
		conn.Close(context.Background())
	}
}

// once is one transaction. It is written down before it begins.
func (b *bank) once(conn *pgx.Conn, id int64) {
	b.note(id, heardNothing)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var told heard
	switch id % 8 {
	case 0: // on every shard
		told = toldBy(conn.Exec(ctx, "insert into notes values ($1)", id))
	case 1: // split by shard
		told = toldBy(conn.Exec(ctx, fmt.Sprintf("insert into transfers values (%d, %d, 0), (%d, %d, 0)", b.tenants[0][0], id, b.tenants[1][0], id)))
	default:
		told = b.transfer(ctx, conn, id)
	}
	b.note(id, told)
	if told == heardDone {
		b.acked.Add(1)
	}
}

func (b *bank) note(id int64, told heard) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.journal[id] = told
}

// transfer moves money from one tenant to another. Rows are locked in the order of tenants, so that no two wait for each other.
func (b *bank) transfer(ctx context.Context, conn *pgx.Conn, id int64) heard {
	from, to := b.tenants[0][rand.IntN(len(b.tenants[0]))], b.tenants[1][rand.IntN(len(b.tenants[1]))]
	amount := 1 + rand.Int64N(100)
	if from > to {
		from, to, amount = to, from, -amount
	}
	steps := []string{"begin",
		fmt.Sprintf("update accounts set balance = balance - %d where tenant_id = %d", amount, from),
		fmt.Sprintf("update accounts set balance = balance + %d where tenant_id = %d", amount, to),
		fmt.Sprintf("insert into transfers values (%d, %d, %d)", from, id, -amount),
		fmt.Sprintf("insert into transfers values (%d, %d, %d)", to, id, amount)}
	for _, sql := range steps {
		if _, err := conn.Exec(ctx, sql); err != nil {
			_, _ = conn.Exec(ctx, "rollback")
			return heardFailed // nobody has asked for a commit
		}
	}
	return toldBy(conn.Exec(ctx, "commit"))
}

// toldBy is what an answer says of a commit.
func toldBy(tag pgconn.CommandTag, err error) heard {
	var e *pgconn.PgError
	switch {
	case err == nil && tag.String() == "ROLLBACK":
		return heardFailed
	case err == nil:
		return heardDone
	case !errors.As(err, &e), strings.HasPrefix(e.Code, "08"), strings.HasPrefix(e.Code, "57P"), e.Code == "40003":
		return heardNothing
	}
	return heardFailed
}

// rows is one text of all rows of a query on a shard.
func (b *bank) rows(shard int, sql string) []string {
	b.t.Helper()
	rows, err := b.cluster.Shards[shard].Primary.Query(b.t.Context(), sql)
	if err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
	var list []string
	for _, row := range rows {
		list = append(list, strings.Join(row, " "))
	}
	return list
}

// prepared counts what is prepared on all shards.
func (b *bank) prepared() int {
	n := 0
	for shard := range b.cluster.Shards {
		n += len(b.rows(shard, "select gid from pg_prepared_xacts"))
	}
	return n
}

// audit checks the shards against what clients were told. Nothing may be prepared any more, and no client at work.
func (b *bank) audit() {
	b.t.Helper()
	sums := b.rows(0, "select sum(balance) from accounts")[0] + " " + b.rows(1, "select sum(balance) from accounts")[0]
	var first, second, want int64
	if _, err := fmt.Sscan(sums, &first, &second); err != nil {
		b.t.Fatal(err)
	}
	if want = int64(len(b.tenants[0])+len(b.tenants[1])) * openingBalance; first+second != want {
		b.t.Errorf("there are %d on the accounts, and should be %d", first+second, want)
	}
	seen := [2]map[int64]bool{b.ids(0), b.ids(1)}
	for shard, other := range []int{1, 0} {
		for id := range seen[shard] {
			if !seen[other][id] {
				b.t.Errorf("transaction %d is on shard %d only", id, shard+1)
			}
		}
	}
	counts := map[heard]int{}
	kept := 0
	for id, told := range b.journal {
		counts[told]++
		switch {
		case told == heardDone && !seen[0][id]:
			b.t.Errorf("transaction %d is lost, which a client was told was committed", id)
		case told == heardFailed && seen[0][id]:
			b.t.Errorf("transaction %d is committed, and a client was told that it failed", id)
		case told == heardNothing && seen[0][id]:
			kept++
		}
	}
	b.t.Logf("%d transactions: %d committed, %d failed, %d of which no client heard, %d of them committed",
		len(b.journal), counts[heardDone], counts[heardFailed], counts[heardNothing], kept)
}

// ids are the transactions that have left something on a shard.
func (b *bank) ids(shard int) map[int64]bool {
	seen := map[int64]bool{}
	for _, text := range b.rows(shard, "select id from transfers union all select id from notes") {
		var id int64
		if _, err := fmt.Sscan(text, &id); err != nil {
			b.t.Fatal(err)
		}
		seen[id] = true
	}
	return seen
}
