package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
)

// onlineCase runs commands in a folder of its own against a real cluster.
type onlineCase struct {
	*testing.T
	cluster *pgcluster.Cluster
}

// files writes the configuration, and a shard map of the given shards: each is the body of a shard without its braces.
func (c onlineCase) files(shards ...string) {
	c.Helper()
	c.Chdir(c.TempDir())
	c.Setenv("PGDROVER_CONFIG", "")
	c.Setenv("CLUSTER_PASSWORD", c.cluster.Password)
	writeFile(c.T, "pgdrover.yaml", fmt.Sprintf(
		"databases: {app: {shardmap: shardmap.yaml, backend: {user: %s, password: \"${CLUSTER_PASSWORD}\"}}}\nusers: [{name: app, password: x}]\n",
		c.cluster.User))
	c.shards(shards...)
}

// shards writes the shard map anew.
func (c onlineCase) shards(shards ...string) {
	c.Helper()
	text := "database: app\ntenant: {column: tenant_id, type: bigint}\nshards:\n"
	for i, shard := range shards {
		text += fmt.Sprintf("  - {name: s%d, %s}\n", i+1, shard)
	}
	writeFile(c.T, "shardmap.yaml", text)
}

// node is a node as the shard map has it.
func node(n *pgcluster.Node, more string) string {
	return fmt.Sprintf("{host: %s, port: %d%s}", n.Host, n.Port, more)
}

// want runs a command and checks its exit status, and that its output has all words.
func (c onlineCase) want(status int, command string, words ...string) string {
	c.Helper()
	out, errs, got := pgdrover(c.T, splitArgs(command)...)
	text := out + errs
	if got != status {
		c.Errorf("%s: exit %d, want %d:\n%s", command, got, status, text)
	}
	for _, word := range words {
		if !strings.Contains(text, word) {
			c.Errorf("%s: no %q in:\n%s", command, word, text)
		}
	}
	if strings.Contains(text, c.cluster.Password) {
		c.Errorf("%s shows the password:\n%s", command, text)
	}
	return text
}

// sql runs a statement on a primary as the database's owner.
func (c onlineCase) sql(shard int, text string) {
	c.Helper()
	conn, err := pgcluster.Connect(context.Background(), c.cluster.Shards[shard].Primary.URL())
	if err != nil {
		c.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Query(context.Background(), text); err != nil {
		c.Fatalf("%s: %v", text, err)
	}
}

// both runs a statement on both shards.
func (c onlineCase) both(text string) {
	c.Helper()
	c.sql(0, text)
	c.sql(1, text)
}

// TestOnline runs the commands that ask nodes, against two shards with a replica each. The subtests leave the shards as
// they found them: with an empty table orders.
func TestOnline(t *testing.T) {
	cluster := pgcluster.Test(t, pgcluster.Config{Shards: 2, Replicas: 1})
	setup := onlineCase{t, cluster}
	setup.both("create table orders (tenant_id bigint not null, id bigint not null, note text, primary key (tenant_id, id))")
	s1, s2 := cluster.Shards[0], cluster.Shards[1]
	first := fmt.Sprintf("primary: %s, replicas: [%s]", node(s1.Primary, ""), node(s1.Replicas[0], ""))
	second := fmt.Sprintf("primary: %s, replicas: [%s]", node(s2.Primary, ""), node(s2.Replicas[0], ""))

	for _, test := range []struct {
		name string
		run  func(c onlineCase)
	}{
		{"all well", func(c onlineCase) {
			c.files(first, second)
			c.want(exitOK, "check --online", "shard s1, primary "+s1.Primary.Addr(), "shard s2, replica "+s2.Replicas[0].Addr(),
				"1 sharded table: every", "the schema is the same on all 2 shards")
			c.want(exitOK, "shardmap init", "wrote shardmap.lock, epoch 1")
			c.want(exitOK, "check --schema", "the schema is the same")
		}},
		{"functions that need their backend", func(c onlineCase) {
			c.files(first, second)
			c.both("create schema tools")
			defer c.both("drop schema tools cascade")
			c.sql(0, "create function tools.f() returns int language sql as 'select 1'")
			text, err := os.ReadFile("pgdrover.yaml")
			if err != nil {
				c.Fatal(err)
			}
			writeFile(c.T, "pgdrover.yaml", strings.Replace(string(text), "app: {", "app: {hold_functions: [tools.f, tools.nosuch, pg_catalog.now], ", 1))
			out := c.want(exitError, "check --online", "shard s2: hold_functions: there is no function tools.f", "shard s1: hold_functions: there is no function tools.nosuch")
			if strings.Contains(out, "s1: hold_functions: there is no function tools.f\n") || strings.Contains(out, "now") {
				c.Error(out)
			}
		}},
		{"assign while empty, refuse afterwards", func(c onlineCase) {
			c.files(first)
			c.want(exitOK, "shardmap init", "s1 owns 4096 partitions")
			c.shards(first, second)
			c.want(exitOK, "check", "shard s2 owns 0 of")
			c.want(exitOK, "shardmap assign", "wrote shardmap.lock, epoch 2")
			c.want(exitOK, "shardmap assign", "nothing to do")
			c.sql(0, "insert into orders values (1, 1)")
			c.shards(first, "weight: 5, "+second)
			c.want(exitError, "shardmap assign", "shard s1 has rows in public.orders")
			c.want(exitOK, "shardmap show", "2 (shardmap.lock)")
			c.sql(0, "truncate orders")
			c.want(exitOK, "shardmap assign", "wrote shardmap.lock, epoch 3")
		}},
		{"no first lock over rows", func(c onlineCase) {
			c.files(first, second)
			c.sql(1, "insert into orders values (1, 1)")
			c.want(exitError, "shardmap init", "shard s2 has rows in public.orders")
			c.sql(1, "truncate orders")
		}},
		{"rows that row-level security hides", func(c onlineCase) {
			c.files(first, second)
			c.sql(0, "insert into orders values (1, 1); alter table orders enable row level security; alter table orders force row level security")
			c.want(exitError, "shardmap init", "row-level security")
			c.sql(0, "alter table orders no force row level security; alter table orders disable row level security; truncate orders")
		}},
		{"schemas that differ", func(c onlineCase) {
			c.files(first, second)
			c.sql(1, "alter table orders add column extra int default 3; create table only_here (id int)")
			c.want(exitError, "check --schema", "column public.orders.extra is on s2 and not on s1", "table public.only_here is on s2 and not on s1", "2 errors")
			c.sql(1, "alter table orders drop column extra; drop table only_here; alter table orders alter note set default 'x'")
			c.want(exitError, "check --online", "column public.orders.note differs", "on s1: column 3, text", "on s2: column 3, text default 'x'::text")
			c.sql(1, "alter table orders alter note drop default")
		}},
		{"a table of one shard", func(c onlineCase) {
			c.files(first, second)
			c.sql(0, "create table migrations (id serial primary key)")
			c.want(exitError, "check --schema", "table public.migrations is on s1 and not on s2", "1 error")
			text, err := os.ReadFile("shardmap.yaml")
			if err != nil {
				c.Fatal(err)
			}
			writeFile(c.T, "shardmap.yaml", string(text)+"tables: {migrations: {on: s1}}\n")
			c.want(exitOK, "check --schema", "the schema is the same")
			c.sql(0, "drop table migrations")
		}},
		{"a tenant column of another type", func(c onlineCase) {
			c.files(first, second)
			c.both("create table odd (tenant_id text primary key)")
			c.want(exitError, "check --online", "shards s1, s2, table public.odd", "tenant_id", "is text")
			c.both("drop table odd")
		}},
		{"roles that are not", func(c onlineCase) {
			c.files(fmt.Sprintf("primary: %s, replicas: [%s]", node(s1.Replicas[0], ""), node(s1.Primary, "")), second)
			c.want(exitError, "check --online", "it is a replica: name the primary", "it is no replica, it takes writes")
			c.files(fmt.Sprintf("primary: %s, replicas: [%s]", node(s1.Primary, ""), node(s2.Replicas[0], "")),
				fmt.Sprintf("primary: %s, replicas: [%s]", node(s2.Primary, ""), node(s1.Replicas[0], "")))
			c.want(exitError, "check --online", "it follows another primary than "+s1.Primary.Addr())
		}},
		{"one database under two names", func(c onlineCase) {
			c.files("primary: "+node(s1.Primary, ""), fmt.Sprintf("primary: {host: localhost, port: %d}", s1.Primary.Port))
			c.want(exitError, "check --online", "shards s1 and s2 are the same database of the same server")
		}},
		{"a login that is refused", func(c onlineCase) {
			c.files(first, second)
			c.Setenv("CLUSTER_PASSWORD", "wrong-horse")
			text := c.want(exitError, "check --online", "password authentication failed")
			if strings.Contains(text, "wrong-horse") {
				c.Errorf("shows the password:\n%s", text)
			}
		}},
		{"another encoding", func(c onlineCase) {
			if _, err := s1.Primary.Query(context.Background(), "create database old encoding 'LATIN1' locale 'C' template template0"); err != nil {
				c.Fatal(err)
			}
			c.files("primary: "+node(s1.Primary, ", dbname: old"), second)
			c.want(exitError, "check --online", "shard s1: its encoding is LATIN1")
			if _, err := s1.Primary.Query(context.Background(), "drop database old"); err != nil {
				c.Fatal(err)
			}
		}},
		{"routes by a shard's catalog and a saved one", func(c onlineCase) {
			c.files(first, second)
			const statement = `route "select * from orders where tenant_id = 42"`
			asked := c.want(exitOK, statement, "shard", "s2", "replica", "42", "orders.tenant_id = 42")
			c.want(exitOK, "route --save-catalog catalog.json")
			if saved := c.want(exitOK, statement+" --catalog catalog.json"); saved != asked {
				c.Errorf("a saved catalog answers\n%s\nand a shard\n%s", saved, asked)
			}
			c.want(exitError, `route "select * from orders"`, "0A000", "hint")
		}},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(onlineCase{t, cluster}) })
	}
}
