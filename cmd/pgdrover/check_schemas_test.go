package main

import (
	"os"
	"strings"
	"testing"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
)

// TestOnlineSchemas checks two shards where each tenant has a schema: those are no difference between the shards, and have to be where the
// map looks for them.
func TestOnlineSchemas(t *testing.T) {
	c := onlineCase{t, pgcluster.Test(t, pgcluster.Config{Shards: 2})}
	c.files("primary: "+node(c.cluster.Shards[0].Primary, ""), "primary: "+node(c.cluster.Shards[1].Primary, ""))
	text, err := os.ReadFile("shardmap.yaml")
	if err != nil {
		t.Fatal(err)
	}
	file := strings.Replace(string(text), "{column: tenant_id, type: bigint}", `{schema: "t_{tenant}", type: bigint}`, 1) +
		"tables: {countries: reference, migrations: sharded}\npins: {\"1\": s1, \"2\": s2, \"3\": s2}\n"
	writeFile(t, "shardmap.yaml", file)
	c.both("create table countries (code text)")
	c.sql(0, "create schema t_1; create table t_1.migrations (id int); create table t_1.only (id int); create view t_1.v as select 1 as one")
	c.want(exitError, "shardmap init", "shard s1 has schema t_1", "drop every tenant's schema")
	c.sql(0, "drop schema t_1 cascade")
	c.want(exitOK, "shardmap init")
	c.sql(0, "create schema t_1; create table t_1.migrations (id int); create table t_1.only (id int); create view t_1.v as select 1 as one")
	c.sql(1, "create schema t_2; create table t_2.migrations (id int); create function t_2.f() returns int language sql as 'select 1'")
	c.want(exitOK, "check --online", "2 schemas of tenants, each on its tenant's shard", "the schema is the same on all 2 shards")
	c.sql(0, "create schema t_3; create table t_3.migrations (id int)")
	c.sql(1, "drop table t_2.migrations; create table t_2.migration (id int)")
	c.want(exitError, "check --online", "shard s1: 1 schema of tenants that live elsewhere: t_3 (shard s2)",
		"shard s2: 1 schema without tables that the map says are in every tenant's: t_2 (migrations)")
	c.sql(1, "alter role current_user in database app set search_path to t_2, public")
	c.want(exitError, "check --online", "shard s2: the search_path of the role app (t_2, public) leads to a tenant's schema")
	c.sql(1, "alter role current_user in database app reset search_path")
	c.sql(1, "create table public.stray (id int)")
	c.want(exitError, "check --schema", "table public.stray is on s2 and not on s1")
	c.want(exitOK, "shardmap show", "schema t_{tenant} bigint", "in every tenant's schema")
	c.want(exitOK, `route --search-path t_2 "select * from orders"`, "orders of tenant 2 by the search path", "s2")
}
