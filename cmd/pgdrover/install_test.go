package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/pgdrover/pgdrover/internal/pgcluster"
	"github.com/pgdrover/pgdrover/shardmap"
)

// TestUniqueIDs installs the function on three shards, and has many clients insert at once through the proxy, on all of them.
func TestUniqueIDs(t *testing.T) {
	cluster := pgcluster.Test(t, pgcluster.Config{Shards: 3})
	c := onlineCase{t, cluster}
	var shards []string
	for _, s := range cluster.Shards {
		shards = append(shards, "primary: "+node(s.Primary, ""))
	}
	c.files(shards[:2]...)
	c.want(exitOK, "install unique-id", "s1     1       new", "s2     2       new")
	c.shards(shards...)
	c.want(exitOK, "install unique-id", "s1     1       had it", "s2     2       had it", "s3     3       new")
	c.want(exitOK, "install unique-id", "s3     3       had it")
	c.want(exitOK, "check --schema", "the schema is the same on all 3 shards")
	c.want(exitOK, "shardmap init")

	url := c.serve()
	ids := c.insertAtOnce(url)
	seen := map[int64]bool{}
	byShard := map[int64]int{}
	for _, id := range ids {
		if seen[id] {
			t.Fatalf("the id %d was given twice", id)
		}
		seen[id] = true
		byShard[id>>12&maxShardNumber]++
		if age := time.Since(time.UnixMilli(id>>22 + 1704067200000)); age < -time.Minute || age > time.Hour {
			t.Fatalf("the id %d is %s old", id, age)
		}
	}
	if len(byShard) != 3 || byShard[1] == 0 || byShard[2] == 0 || byShard[3] == 0 {
		t.Errorf("ids by the shards' numbers: %v", byShard)
	}

	c.sql(2, "CREATE OR REPLACE FUNCTION pgdrover.shard_number() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2'")
	c.want(exitError, "install unique-id", "shards s2 and s3 both have the number 2", "DROP FUNCTION pgdrover.shard_number()")
	c.sql(2, "DROP FUNCTION pgdrover.shard_number()")
	c.want(exitError, "check --schema", "shard_number() is on s1 and not on s3")
	c.want(exitOK, "install unique-id", "s2     2       had it", "s3     3       new")
	c.sql(2, "CREATE OR REPLACE FUNCTION pgdrover.shard_number() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1 + 2'")
	c.want(exitError, "install unique-id", "shard s3: pgdrover.shard_number() there is not what 'pgdrover install' made")
}

// TestNumberIsKept checks that a shard itself refuses another number.
func TestNumberIsKept(t *testing.T) {
	shard := pgcluster.Test(t, pgcluster.Config{}).Shards[0].Primary
	for _, number := range []string{"7", "7", "8"} {
		_, err := shard.Query(t.Context(), strings.ReplaceAll(uniqueIDSQL, "SHARD_NUMBER", number))
		if refused := err != nil && strings.Contains(err.Error(), "this shard has the number 7 already"); refused != (number == "8") {
			t.Errorf("number %s: %v", number, err)
		}
	}
	rows, err := shard.Query(t.Context(), "SELECT pgdrover.unique_id() >> 12 & 1023")
	if err != nil || rows[0][0] != "7" {
		t.Errorf("%v, %v", rows, err)
	}
}

// serve runs the proxy on the files as they are, and gives the DSN of its user.
func (c onlineCase) serve() string {
	c.Helper()
	writeFile(c.T, "serve.yaml", "listen: 127.0.0.1:0\nlog: {level: error}\n")
	ready, done := make(chan proxyAddrs, 1), make(chan error, 1)
	ctx, stop := context.WithCancel(context.Background())
	go func() { done <- runProxy(ctx, []string{"pgdrover.yaml", "serve.yaml"}, ready) }()
	c.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			c.Error(err)
		}
	})
	select {
	case proxy := <-ready:
		return fmt.Sprintf("postgres://app:x@%s/app?sslmode=disable", proxy.SQL)
	case err := <-done:
		done <- nil
		c.Fatal(err)
	}
	return ""
}

// insertAtOnce makes a table whose ids are given by default, and returns those that eight clients got for 24 tenants. It checks
// that what a client gets later is of a later time, on whichever shard.
func (c onlineCase) insertAtOnce(url string) []int64 {
	c.Helper()
	ctx := c.Context()
	admin, err := pgx.Connect(ctx, url)
	if err != nil {
		c.Fatal(err)
	}
	defer admin.Close(context.Background())
	_, err = admin.Exec(ctx, "CREATE TABLE parcels (tenant_id bigint, id bigint DEFAULT pgdrover.unique_id(), n int, PRIMARY KEY (tenant_id, id))")
	if err != nil {
		c.Fatal(err)
	}
	const clients = 8
	got, errs := make([][]int64, clients), make(chan error, clients)
	for client := range clients {
		go func() {
			conn, err := pgx.Connect(ctx, url)
			if err == nil {
				got[client], err = insertAll(ctx, conn, client, clients)
				err = errors.Join(err, conn.Close(context.Background()))
			}
			errs <- err
		}()
	}
	for range clients {
		if err := <-errs; err != nil {
			c.Error(err)
		}
	}
	var all []int64
	for _, ids := range got {
		all = append(all, ids...)
	}
	if len(all) != clients*(insertRounds*insertRows+1) {
		c.Errorf("%d ids", len(all))
	}
	return all
}

// The size of what a client inserts.
const (
	insertRounds = 30
	insertRows   = 200
)

// insertAll inserts rows of three tenants in turn, and returns their ids in order.
func insertAll(ctx context.Context, conn *pgx.Conn, client, clients int) ([]int64, error) {
	var all []int64
	for round := range insertRounds {
		tenant := client + clients*(round%3)
		rows, err := conn.Query(ctx, "INSERT INTO parcels (tenant_id, n) SELECT $1, n FROM generate_series(1, $2) n RETURNING id", tenant, insertRows)
		if err != nil {
			return nil, err
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err != nil {
			return nil, err
		}
		if len(all) > 0 && ids[0]>>22 < all[len(all)-1]>>22 {
			return nil, fmt.Errorf("after id %d came %d", all[len(all)-1], ids[0])
		}
		all = append(all, ids...)
	}
	var one int64
	err := conn.QueryRow(ctx, "INSERT INTO parcels (tenant_id, id) VALUES ($1, pgdrover.unique_id()) RETURNING id", client).Scan(&one)
	return append(all, one), err
}

// TestNumberShards checks which numbers new shards get.
func TestNumberShards(t *testing.T) {
	shards := []shardmap.Shard{{Name: "a"}, {Name: "b"}, {Name: "c"}}
	for _, test := range []struct {
		had  map[string]int
		want string
	}{
		{map[string]int{}, "map[a:1 b:2 c:3]"},
		{map[string]int{"b": 5}, "map[a:6 b:5 c:7]"},
		{map[string]int{"a": 1, "c": maxShardNumber}, "map[a:1 b:2 c:1023]"},
		{map[string]int{"a": 1, "b": 2, "c": 3}, "map[a:1 b:2 c:3]"},
	} {
		if err := numberShards(shards, test.had); err != nil || fmt.Sprint(test.had) != test.want {
			t.Errorf("%v, %v, want %s", test.had, err, test.want)
		}
	}
	if err := numberShards(shards, map[string]int{"a": 4, "c": 4}); err == nil || !strings.Contains(err.Error(), "shards a and c both have the number 4") {
		t.Errorf("the same number twice: %v", err)
	}
	many := make([]shardmap.Shard, maxShardNumber+1)
	for i := range many {
		many[i].Name = fmt.Sprint("s", i)
	}
	if err := numberShards(many, map[string]int{}); err == nil || !strings.Contains(err.Error(), "all are in use") {
		t.Errorf("too many shards: %v", err)
	}
}
