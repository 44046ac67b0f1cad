package proxy

import (
	"fmt"
	"maps"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgdrover/pgdrover/shardmap"
)

// candidate is a map of three shards for the tables of the demo.
func candidate(t testing.TB, database string) *shardmap.Map {
	t.Helper()
	f, err := shardmap.Parse("candidate.yaml", []byte("database: "+database+"\ntenant: {column: tenant_id, type: bigint}\nshards:\n"+
		"  - {name: a, primary: {host: 192.0.2.1}}\n  - {name: b, primary: {host: 192.0.2.2}}\n  - {name: c, primary: {host: 192.0.2.3}}\n"+demoTables))
	if err != nil {
		t.Fatal(err)
	}
	l, err := shardmap.Plan(f)
	if err != nil {
		t.Fatal(err)
	}
	m, err := shardmap.New(f, l)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestDryRun routes by a map of three shards on paper, in front of one shard, which answers everything as before.
func TestDryRun(t *testing.T) {
	r := startRig(t, sharedPrimaries(t, 1), rigOptions{size: 3})
	m := candidate(t, r.cluster.Database)
	o := *r.db.options()
	o.DryRun = m
	r.db.Adjust(o)
	var first, second int64 // tenants of two shards
	for k := int64(1); second == 0; k++ {
		switch shard := m.Locate(shardmap.BigintKey(k)); {
		case first == 0:
			first = k
		case shard != m.Locate(shardmap.BigintKey(first)):
			second = k
		}
	}
	conn, simple := r.connect(), r.connect(simpleMode)
	r.exec(conn, "insert into orders (tenant_id, id) values ($1, 1)", first)
	for _, c := range []struct{ sql, want string }{
		{fmt.Sprintf("select id from orders where tenant_id = %d", second), "one_shard"}, {"select count(*) from countries", "any_shard"},
		{fmt.Sprintf("select id from orders where tenant_id in (%d, %d)", first, second), "several_shards"},
		{fmt.Sprintf("update orders set id = id + 0 where tenant_id in (%d, %d)", first, second), "refused"}, {"update countries set name = name", "every_shard"}, {"select count(*) from orders", "scatter"}, {"select id from orders order by id", "scatter"},
		{"update orders set id = id + 0", "refused"}, {"delete from orders where id = 77", "refused"}, {"set work_mem = '5MB'", "session"},
		{"create table if not exists later (tenant_id bigint, id int)", "every_shard"},
	} {
		for _, by := range []*pgx.Conn{conn, simple} {
			before := r.db.DryRun().Counts
			r.exec(by, c.sql)
			for v, n := range r.db.DryRun().Counts {
				want := uint64(0)
				if v == c.want {
					want = 1
				}
				if n-before[v] != want {
					t.Errorf("%s: %s went up by %d", c.sql, v, n-before[v])
				}
			}
		}
	}
	before := r.db.DryRun().Counts
	for range 2 {
		r.exec(simple, "begin")
		r.exec(simple, fmt.Sprintf("update orders set id = id where tenant_id = %d", first))
		r.exec(simple, fmt.Sprintf("update orders set id = id where tenant_id = %d", first))
		r.exec(simple, "commit")
		r.exec(simple, "begin")
		r.exec(simple, fmt.Sprintf("update orders set id = id where tenant_id = %d", second))
		r.exec(simple, fmt.Sprintf("update orders set id = id where tenant_id = %d", first))
		r.exec(simple, "commit")
	}
	found := r.db.DryRun()
	if got := found.Counts["refused"] - before["refused"]; got != 2 || found.Counts["one_shard"]-before["one_shard"] != 6 {
		t.Errorf("%d refused of the transactions; %v, %v", got, before, found.Counts)
	}
	told := map[string]uint64{}
	for _, x := range found.Reasons {
		told[x.Verdict+": "+x.Example] = x.Statements
		if x.Message == "" || x.Hint == "" || x.Code != "0A000" {
			t.Errorf("%+v", x)
		}
	}
	want := map[string]uint64{"scatter: select count(*)from orders": 4, "refused: update orders set id=id+?": 4, "refused: update orders set id=id+?where tenant_id in(?,?)": 4}
	if !maps.Equal(told, want) || found.Shards != 3 {
		t.Errorf("%v of %d shards", told, found.Shards)
	}
	o.DryRun = nil
	r.db.Adjust(o)
	r.exec(conn, "select count(*) from orders")
	if now := r.db.DryRun(); now.Shards != 0 || now.Counts["scatter"] != found.Counts["scatter"] || len(now.Reasons) != 0 {
		t.Errorf("%+v", now)
	}
}
