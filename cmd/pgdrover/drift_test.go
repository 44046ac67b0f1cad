package main

import (
	"os"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
)

// TestDrift compares two shards whose schemas come to differ, one that lives on one shard only apart, and to be the same again.
func TestDrift(t *testing.T) {
	c := onlineCase{t, pgcluster.Test(t, pgcluster.Config{Shards: 2})}
	c.files("primary: "+node(c.cluster.Shards[0].Primary, ""), "primary: "+node(c.cluster.Shards[1].Primary, ""))
	text, err := os.ReadFile("shardmap.yaml")
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, "shardmap.yaml", string(text)+"tables: {alone: {on: s1}}\n")
	c.want(exitOK, "shardmap init")
	c.both("create table orders (tenant_id bigint primary key, note text)")
	c.sql(0, "create table alone (id int)")
	config, err := Load("pgdrover.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p, err := readPlacement("app", config.Databases["app"])
	if err != nil {
		t.Fatal(err)
	}
	m, err := p.toMap()
	if err != nil {
		t.Fatal(err)
	}
	var known drift
	for _, step := range []struct {
		shard int
		sql   string
		want  int
		more  bool
	}{
		{0, "select 1", 0, false},
		{1, "create index by_note on orders (note)", 1, true},
		{1, "alter table orders add column extra int", 2, true},
		{1, "alter table orders drop column extra", 1, false},
		{0, "create index by_note on orders (note)", 0, false},
	} {
		c.sql(step.shard, step.sql)
		found, err := differencesOf(t.Context(), "app", p.db, m)
		if err != nil || found["s1"] != 0 || found["s2"] != step.want {
			t.Fatalf("%s: %v, %v", step.sql, found, err)
		}
		if more := known.note("app", found); more != step.more {
			t.Errorf("%s: it is told of: %v", step.sql, more)
		}
		if got := known.differences()["app"]["s2"]; got != step.want {
			t.Errorf("%s: %d are known", step.sql, got)
		}
	}
	if err := c.cluster.Shards[1].Primary.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	found, err := differencesOf(t.Context(), "app", p.db, m)
	if _, known := found["s2"]; err == nil || known || found["s1"] != 0 {
		t.Errorf("of a shard that does not answer: %v, %v", found, err)
	}
}

// TestLastingDifferences has DDL that has reached one shard when they are looked at first.
func TestLastingDifferences(t *testing.T) {
	for name, looks := range map[string][]map[string]int{
		"DDL meanwhile": {{"s1": 0, "s2": 1}, {"s1": 0, "s2": 0}},
		"none":          {{"s1": 0, "s2": 0}},
	} {
		n := 0
		found, err := lastingDifferences(t.Context(), time.Millisecond, func() (map[string]int, error) { n++; return looks[n-1], nil })
		if err != nil || n != len(looks) || found["s2"] != 0 {
			t.Errorf("%s: %v, %v after %d looks", name, found, err, n)
		}
	}
	found, err := lastingDifferences(t.Context(), time.Millisecond, func() (map[string]int, error) { return map[string]int{"s1": 0, "s2": 2}, nil })
	if err != nil || found["s2"] != 2 {
		t.Errorf("%v, %v", found, err)
	}
}
