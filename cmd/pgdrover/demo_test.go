package main

import (
	"os"
	"strings"
	"testing"

	"github.com/pgdrover/pgdrover/shardmap"
)

// The compose file's configuration must be one that PgDrover takes, for the demo's tables.
func TestDeployedFiles(t *testing.T) {
	t.Setenv("APP_PG_PASSWORD", "a")
	t.Setenv("OPS_PASSWORD", "o")
	config, err := Load("../../deploy/pgdrover.yaml")
	if err != nil {
		t.Fatal(err)
	}
	path := config.Databases["app"].ShardMap
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file, err := shardmap.Parse(path, text)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), demoTables) {
		t.Errorf("%s does not have the demo's tables:\n%s", path, demoTables)
	}
	compose, err := os.ReadFile("../../deploy/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, shard := range file.Shards {
		for _, node := range append(shard.Replicas, shard.Primary) {
			if !strings.Contains(string(compose), "\n  "+node.Host+":\n") {
				t.Errorf("%s names the node %s, which deploy/compose.yaml does not start", path, node.Host)
			}
		}
	}
}

func TestTenantRows(t *testing.T) {
	first, second := tenantRows(42), tenantRows(42)
	if strings.Join(first, ";") != strings.Join(second, ";") {
		t.Error("a tenant's rows differ from one time to the next")
	}
	if first[0] != "begin" || first[len(first)-1] != "commit" {
		t.Errorf("no transaction: %q", first)
	}
	for _, sql := range first[1 : len(first)-1] {
		if !strings.Contains(sql, "tenant_id") || !strings.Contains(sql, "(42, ") {
			t.Errorf("does not name its tenant: %s", sql)
		}
	}
}
