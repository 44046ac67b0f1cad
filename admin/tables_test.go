package admin

import (
	"strings"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/proxy"
)

func TestShowPools(t *testing.T) {
	got := text(t, pools(appView(t)), "database", "user", "shard", "role", "node", "up", "cl_active", "cl_waiting", "sv_active",
		"sv_being_canceled", "sv_idle", "sv_used", "sv_login", "maxwait", "maxwait_us", "pool_mode", "pool_size", "draining", "why")
	wantText(t, got,
		"app|app_login|s1|primary|10.0.0.1:5432|yes|2|4|2|1|2|0|0|2|345|transaction|20|no|",
		"app|app_login|s1|replica|10.0.0.2:5432|no|0|0|0|0|0|0|0|0|0|transaction|20|no|connection refused",
		"app|app_login|s2|primary|10.0.0.3:5432|yes|0|0|0|0|0|0|0|0|0|transaction|20|no|",
		"web|app_login|only|primary|10.1.0.1:5432|yes|0|0|0|0|0|0|0|0|0|transaction|20|no|")
}

func TestShowClientsAndBackends(t *testing.T) {
	v := appView(t)
	wantText(t, text(t, clients(v), "type", "user", "database", "state", "addr", "port", "connect_time", "age_s", "hold", "channels", "backends", "pid", "tls"),
		"C|alice|app|active|192.0.2.1|4000|2026-11-05 11:58:30 UTC|90.000||0|s1 primary 10.0.0.1:5432|11|yes",
		"C|alice|app|transaction|2001:db8::1|4001|2026-11-05 12:00:00 UTC|0.000|temp table, cursor|3|s1 primary 10.0.0.1:5432|12|no",
		"C|ops|pgdrover|active|192.0.2.3|4002|2026-11-05 12:00:00 UTC|0.000||0||13|no")
	wantText(t, text(t, backends(v), "type", "user", "database", "shard", "role", "node", "state", "connect_time", "age_s", "idle_s", "id", "remote_pid", "tls"),
		"S|app_login|app|s1|primary|10.0.0.1:5432|held|2026-11-05 11:59:00 UTC|60.000|0.000|1|501|yes",
		"S|app_login|app|s1|primary|10.0.0.1:5432|cancelling|2026-11-05 11:59:00 UTC|60.000|0.000|2|502|no",
		"S|app_login|app|s1|primary|10.0.0.1:5432|idle|2026-11-05 11:59:00 UTC|60.000|1.000|3|503|no")
}

func TestShowShardsAndDatabases(t *testing.T) {
	v := appView(t)
	table := shards(v)
	wantText(t, text(t, table, "database", "shard", "weight", "pins", "nodes", "up", "primary", "primary_up", "epoch"),
		"app|s1|1|0|2|1|10.0.0.1:5432|yes|1", "app|s2|2|2|1|1|10.0.0.3:5432|yes|1", "web|only|1|0|1|1|10.1.0.1:5432|yes|1")
	owned := strings.Fields(text(t, table, "partitions"))
	s := v.databases[0].shards.Shards()
	if owned[0] != number(s[0].Owned) || owned[1] != number(s[1].Owned) || owned[2] != "64" {
		t.Errorf("partitions are %v, the map says %d, %d, 64", owned, s[0].Owned, s[1].Owned)
	}
	if percent := strings.Fields(text(t, table, "percent")); percent[2] != "100.0" {
		t.Errorf("percent is %v", percent)
	}
	wantText(t, text(t, databases(v), "name", "shards", "nodes", "up", "tenant_column", "tenant_type", "partitions", "epoch", "pool_mode", "clients", "cache"),
		"app|2|3|2|tenant_id|bigint|64|1|transaction|2|yes", "web|1|1|1|site|text|64|1|transaction|0|no")
}

func TestShowStats(t *testing.T) {
	table := stats(appView(t))
	wantText(t, text(t, table, "database", "shard", "role", "statements", "total_ms", "avg_ms", "own_avg_ms", "acquired", "wait_total_ms", "wait_avg_ms", "timeouts", "rejected", "failed"),
		"app|s1|primary|100|49.500|0.495|0.003|100|1000.000|10.000|3|2|1",
		"app|s1|replica|0|0.000|0.000|0.000|0|0.000|0.000|0|0|0",
		"app|s2|primary|0|0.000|0.000|0.000|0|0.000|0.000|0|0|0",
		"web|only|primary|0|0.000|0.000|0.000|0|0.000|0.000|0|0|0")
	// 0, 10, … 990 µs: the 50th lies between 256 and 512 µs, the 99th between 512 and 1024; own time is 2 to 4 µs.
	wantText(t, text(t, table, "p50_ms", "p99_ms", "own_p50_ms", "wait_p99_ms"),
		"0.492|1.013|0.003|0.925", "0.000|0.000|0.000|0.000", "0.000|0.000|0.000|0.000", "0.000|0.000|0.000|0.000")
}

func TestShowCache(t *testing.T) {
	wantText(t, text(t, caches(appView(t)), "database", "cache", "l1_hits", "l1_misses", "l1_entries", "l1_bytes", "l2", "l2_since", "l2_reason", "l2_hits", "l2_misses"),
		"app|on|30|10|9|4096|off|2026-11-05 12:00:00 UTC|connection reset|4|6", "web|off|||||||||")
}

func TestQuantile(t *testing.T) {
	empty := histogram{}
	if empty.quantile(0.5) != 0 || empty.mean() != 0 {
		t.Error("nothing has a quantile or a mean")
	}
	h := histogram{bounds: []float64{1, 2, 4}, cumulative: []uint64{0, 10, 10}, count: 20, sum: 100}
	for _, c := range []struct{ q, want float64 }{{0, 1}, {0.25, 1.5}, {0.5, 2}, {0.75, 4}, {1, 4}} {
		if got := h.quantile(c.q); got != c.want {
			t.Errorf("quantile %v is %v, want %v", c.q, got, c.want)
		}
	}
	if sum := h.add(empty).add(h); sum.count != 40 || sum.sum != 200 || sum.cumulative[1] != 20 || h.cumulative[1] != 10 {
		t.Errorf("the sum is %+v", sum)
	}
}

func TestMergedNodes(t *testing.T) {
	old, current, other := upNode("s1", pool.Primary, "a:1"), upNode("s1", pool.Primary, "a:1"), upNode("s1", pool.Replica, "a:1")
	old.Draining, old.Up, old.Busy, old.Database = true, false, 2, "before"
	old.Counts.Destroyed = map[string]uint64{"idle": 1}
	current.Busy, current.OldestWait = 3, time.Second
	current.Counts.Destroyed = map[string]uint64{"idle": 4}
	for _, order := range [][]pool.NodeStats{{old, current, other}, {current, other, old}} {
		merged := mergeNodes(order, false)
		if len(merged) != 2 {
			t.Fatalf("%d nodes are left", len(merged))
		}
		m := merged[0]
		if !m.Up || m.Draining || m.Database != "app" || m.Busy != 5 || m.OldestWait != time.Second || m.Counts.Destroyed["idle"] != 5 {
			t.Errorf("merged to %+v", m)
		}
	}
	una, vera := current, current
	una.Own, una.User, vera.Own, vera.User = true, "una", true, "vera"
	all := []pool.NodeStats{current, una, vera, other, una}
	if merged := mergeNodes(all, false); len(merged) != 2 || merged[0].Busy != 12 || merged[0].User != current.User {
		t.Errorf("with users: merged to %+v", merged)
	}
	if apart := mergeNodes(all, true); len(apart) != 4 || apart[0].Busy != 3 || apart[1].Busy != 6 || apart[2].User != "vera" {
		t.Errorf("apart: %+v", apart)
	}
	if old.Counts.Destroyed["idle"] != 1 || current.Counts.Destroyed["idle"] != 4 {
		t.Error("merging has changed what it was given")
	}
}

func TestTrafficOfAShardThatLeft(t *testing.T) {
	v := appView(t)
	h := &proxy.Histogram{}
	h.Observe(time.Second)
	v.meters[proxy.MeterKey{Database: "app", Shard: "gone", Role: "primary"}] = meter{statements: histogramOf(h)}
	if all := v.traffic(); all[0].Shard != "gone" || all[0].statements.count != 1 || all[0].wait.count != 0 {
		t.Errorf("it begins with %+v", all[0])
	}
}
