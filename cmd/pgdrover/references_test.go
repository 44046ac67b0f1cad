package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgdrover/pgdrover/internal/child"
	"github.com/pgdrover/pgdrover/internal/pgcluster"
)

// referenceCase has two shards with rows in reference tables, and a third that has the tables only.
func referenceCase(t *testing.T) (c onlineCase, three []string) {
	c = onlineCase{t, pgcluster.Test(t, pgcluster.Config{Shards: 3, Replicas: 1})}
	for i, sh := range c.cluster.Shards {
		three = append(three, fmt.Sprintf("primary: %s, replicas: [%s]", node(sh.Primary, ""), node(sh.Replicas[0], "")))
		c.sql(i, `create table orders (tenant_id bigint primary key, note text); create table countries (code text primary key, name text);
			create table cities (id bigint generated always as identity primary key, country text not null references countries)`)
		if i < 2 {
			c.sql(i, `insert into countries select 'c' || n, repeat('x', 1000) from generate_series(1, 1000) n; insert into cities (country) values ('c1'), ('c900')`)
		}
	}
	c.files(three[:2]...)
	c.references()
	c.want(exitOK, "shardmap init")
	return c, three
}

// references has the shard map name the reference tables.
func (c onlineCase) references() {
	c.Helper()
	text, err := os.ReadFile("shardmap.yaml")
	if err != nil {
		c.Fatal(err)
	}
	writeFile(c.T, "shardmap.yaml", string(text)+"tables: {countries: reference, cities: reference}\n")
}

// process runs the proxy in a process of its own.
func (c onlineCase) process(address string) *child.Process {
	c.Helper()
	writeFile(c.T, "serve.yaml", "listen: "+address+"\nlog: {level: info}\n")
	cmd := devProcess(c.T, "serve", "--config", "pgdrover.yaml", "--config", "serve.yaml")
	log, err := os.OpenFile("proxy.log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		c.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	p, err := child.Start(cmd, syscall.SIGKILL)
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() { _ = p.Signal(syscall.SIGKILL); <-p.Done() })
	return p
}

// eventually waits for a condition.
func (c onlineCase) eventually(what string, so func() bool) {
	c.Helper()
	for until := time.Now().Add(60 * time.Second); !so(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(until) {
			log, _ := os.ReadFile("proxy.log")
			c.Fatalf("not within a minute: %s\n%s", what, log)
		}
	}
}

// on is the one value of a query on a shard's primary.
func (c onlineCase) on(shard int, sql string) string {
	c.Helper()
	rows, err := c.cluster.Shards[shard].Primary.Query(c.Context(), sql)
	if err != nil {
		c.Fatal(err)
	}
	return rows[0][0]
}

// halfway holds up the copy of a table on the third shard until release is called.
func (c onlineCase) halfway() (release func()) {
	c.Helper()
	c.sql(2, `create function slowly() returns trigger language plpgsql as $$ begin
		if new.code = 'c900' then perform pg_advisory_xact_lock(4711); end if; return new; end $$;
		create trigger slowly before insert on countries for each row execute function slowly()`)
	holder, err := pgcluster.Connect(c.Context(), c.cluster.Shards[2].Primary.URL())
	if err != nil {
		c.Fatal(err)
	}
	if _, err := holder.Query(c.Context(), "select pg_advisory_lock(4711)"); err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() { holder.Close() })
	return func() { holder.Close() }
}

// TestReferenceShardKilled kills the proxy while it copies reference tables to a shard that was added to the map in force. Nothing is left
// there; and when the proxy starts, with the new map, the shard has all rows before anybody is served.
func TestReferenceShardKilled(t *testing.T) {
	c, three := referenceCase(t)
	release := c.halfway()
	address := freeAddress(t)
	url := fmt.Sprintf("postgres://app:x@%s/app?sslmode=disable", address)
	proxy := c.process(address)
	c.eventually("the proxy serves", func() bool { return pings(url) })
	c.shards(three...)
	c.references()
	copying := "select count(*) from pg_stat_activity where application_name = 'pgdrover' and wait_event = 'advisory'"
	c.eventually("the copy is under way", func() bool { return c.on(2, copying) == "1" })
	if err := proxy.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-proxy.Done()
	release()
	c.eventually("the server has noticed", func() bool { return c.on(2, copying) == "0" })
	if n := c.on(2, "select count(*) from countries"); n != "0" {
		t.Fatalf("%s rows were left", n)
	}
	c.want(exitError, "check --online", "reference table public.countries differs: shard s1 has 1000 rows, and shard s3 0 rows", "reference table public.cities differs")
	c.process(address)
	c.eventually("the proxy serves", func() bool { return pings(url) })
	c.sql(2, "drop function slowly cascade")
	c.want(exitOK, "check --online", "2 reference tables: the same rows on all 3 shards", "the schema is the same")
	rows, err := c.cluster.Shards[2].Replicas[0].Query(t.Context(), "select count(*) from countries")
	if err != nil || rows[0][0] != "1000" {
		t.Errorf("the replica has %v (%v)", rows, err)
	}
}

// pings reports whether a proxy answers a statement.
func pings(url string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return false
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, "select count(*) from countries")
	return err == nil
}

// TestReferenceShardCommands has the commands speak of reference tables of a new shard, and what a start refuses.
func TestReferenceShardCommands(t *testing.T) {
	c, three := referenceCase(t)
	c.want(exitOK, "check --online", "2 reference tables: the same rows on all 2 shards")
	c.sql(1, "update countries set name = 'y' where code = 'c7'")
	c.want(exitError, "check --online", "reference table public.countries differs: shard s1 has 1000 rows, and shard s2 has as many that are not all the same")
	c.sql(1, "update countries set name = repeat('x', 1000) where code = 'c7'")

	c.shards(three...)
	c.references()
	c.sql(2, "insert into countries values ('c1', 'another')")
	refusal := "shardmap.yaml:6:12: shard s3: reference table public.countries has rows there that are not those of shard s1 (shard s1 has 1000 rows, and shard s3 1 row): " +
		"empty the table on shard s3 and try again"
	c.want(exitError, "shardmap assign", "partitions cannot be given away", refusal)
	c.want(exitError, "serve", refusal)
	if lock, err := os.ReadFile("shardmap.lock"); err != nil || !strings.Contains(string(lock), "epoch: 1\n") {
		t.Fatalf("%s %v", lock, err)
	}
	c.sql(2, "delete from countries")
	c.want(exitOK, "shardmap assign", "wrote shardmap.lock, epoch 2", "copying a reference table to a new shard", "table=public.cities from=s1 to=s3 rows=2")
	c.want(exitOK, "check --online", "2 reference tables: the same rows on all 3 shards", "the schema is the same on all 3 shards")

	url := c.serve()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var id int
	if err := conn.QueryRow(t.Context(), "select nextval(pg_get_serial_sequence('cities', 'id'))").Scan(&id); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), fmt.Sprintf("insert into cities (id, country) overriding system value values (%d, 'c3')", id)); err != nil {
		t.Fatal(err)
	}
	c.want(exitOK, "check --online", "2 reference tables: the same rows on all 3 shards")
}

// TestReferenceShardLocked starts while a transaction keeps a reference table locked, as one may that is prepared, on a shard that was there and
// on one that is new: the shards that were there are served, and what could not be verified is not taken for right.
func TestReferenceShardLocked(t *testing.T) {
	t.Run("old", func(t *testing.T) { referenceShardLocked(t, 1, "while nobody writes them", "raise limits.reload_wait") })
	t.Run("new", func(t *testing.T) {
		referenceShardLocked(t, 2, "shard s3: writers of the reference tables could not be kept out within 500ms", "lock timeout")
	})
}

func referenceShardLocked(t *testing.T, locked int, refusal ...string) {
	c, three := referenceCase(t)
	c.shards(three...)
	c.references()
	text, err := os.ReadFile("pgdrover.yaml")
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, "pgdrover.yaml", string(text)+"limits: {reload_wait: 500ms}\n")
	holder, err := pgx.Connect(t.Context(), c.cluster.Shards[locked].Primary.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close(context.Background())
	for _, sql := range []string{"begin", "insert into countries values ('held', '')"} {
		if _, err := holder.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	address := freeAddress(t)
	c.process(address)
	c.eventually("the proxy serves", func() bool { return pings(fmt.Sprintf("postgres://app:x@%s/app?sslmode=disable", address)) })
	log, err := os.ReadFile("proxy.log")
	if err != nil || !strings.Contains(string(log), "it could not be verified that all shards have the rows of the reference tables") {
		t.Fatalf("%s %v", log, err)
	}
	c.want(exitError, "shardmap assign", refusal...)
	if _, err := holder.Exec(t.Context(), "rollback"); err != nil {
		t.Fatal(err)
	}
	c.want(exitOK, "shardmap assign", "wrote shardmap.lock, epoch 2")
}
