package admin

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/proxy"
)

func TestShowPools(t *testing.T) {
	v := appView(t)
	wantText(t, text(t, pools(v), "database", "user", "cl_active", "cl_waiting", "cl_active_cancel_req", "cl_waiting_cancel_req", "sv_active",
		"sv_active_cancel", "sv_being_canceled", "sv_idle", "sv_used", "sv_tested", "sv_login", "maxwait", "maxwait_us", "pool_mode", "pool_size", "nodes", "up"),
		"app|app_login|2|1|2|1|2|2|1|2|0|0|0|3|4|transaction|60|3|2", "web|app_login|0|0|0|0|0|0|0|0|0|0|0|0|0|transaction|20|1|1")
	wantText(t, text(t, nodes(v), "database", "user", "shard", "role", "node", "up", "cl_active", "cl_waiting", "sv_active",
		"sv_being_canceled", "sv_idle", "sv_used", "sv_login", "maxwait", "maxwait_us", "pool_mode", "pool_size", "drained", "draining", "why"),
		"app|app_login|s1|primary|10.0.0.1:5432|yes|2|4|2|1|2|0|0|2|345|transaction|20|no|no|",
		"app|app_login|s1|replica|10.0.0.2:5432|no|0|0|0|0|0|0|0|0|0|transaction|20|no|no|connection refused",
		"app|app_login|s2|primary|10.0.0.3:5432|yes|0|0|0|0|0|0|0|0|0|transaction|20|no|no|",
		"web|app_login|only|primary|10.1.0.1:5432|yes|0|0|0|0|0|0|0|0|0|transaction|20|no|no|")
}

func TestShowClientsAndServers(t *testing.T) {
	v := appView(t)
	wantText(t, text(t, clients(v), "type", "user", "database", "state", "addr", "port", "local_addr", "local_port", "connect_time", "request_time", "wait", "wait_us",
		"ptr", "link", "tls", "application_name", "prepared_statements", "id", "transaction", "age_s", "hold", "channels", "pool_mode", "replication", "backends"),
		"C|alice|app|active|192.0.2.1|4000|10.0.0.9|6432|2026-11-05 11:58:30 UTC|2026-11-05 11:59:59 UTC|0|0|client 11|app backend 1|TLSv1.3/TLS_AES_128_GCM_SHA256|shop|7|11|no|90.000||0|transaction|none|s1 primary 10.0.0.1:5432",
		"C|alice|app|active|2001:db8::1|4001|||2026-11-05 12:00:00 UTC||0|0|client 12|app backend 9|||0|12|yes|0.000|temp table, cursor|3|session|logical|s1 primary 10.0.0.1:5432",
		"C|bob|app|waiting|192.0.2.4|4003|||2026-11-05 12:00:00 UTC||3|4|client 14||||0|14|no|0.000||0|transaction|none|",
		"C|ops|pgdrover|active|192.0.2.3|4002|||2026-11-05 12:00:00 UTC||0|0|client 13||||0|13|no|0.000||0||none|")
	wantText(t, text(t, servers(v), "type", "user", "database", "state", "addr", "port", "local_addr", "local_port", "connect_time", "request_time", "close_needed",
		"ptr", "link", "remote_pid", "tls", "application_name", "prepared_statements", "id", "shard", "role", "node", "age_s", "idle_s"),
		"S|app_login|app|active|10.0.0.1|5432|10.0.0.9|41000|2026-11-05 11:59:00 UTC|2026-11-05 11:59:59 UTC|1|app backend 1|client 11|501|TLSv1.3/TLS_AES_128_GCM_SHA256|shop||1|s1|primary|10.0.0.1:5432|60.000|0.000",
		"S|app_login|app|being_canceled|10.0.0.1|5432|||2026-11-05 11:59:00 UTC||0|app backend 2||502||||2|s1|primary|10.0.0.1:5432|60.000|0.000",
		"S|app_login|app|idle|10.0.0.1|5432|||2026-11-05 11:59:00 UTC||0|app backend 3||503||||3|s1|primary|10.0.0.1:5432|60.000|1.000")
}

func TestPoolsOfClientsOwnUsers(t *testing.T) {
	v := appView(t)
	app := &v.databases[0]
	app.mode = proxy.ModeSession
	una := app.nodes[0]
	una.User, una.Own, una.Busy, una.Idle, una.Waiting, una.OldestWait = "una", true, 1, 4, 0, 0
	app.pools = append(slices.Clone(app.nodes), una)
	app.nodes = mergeNodes(app.pools, false)
	app.backends = append(app.backends, pool.BackendStats{Serial: 4, PID: 504, User: "una", Shard: "s1", Addr: "10.0.0.1:5432", State: "cancelling", Age: time.Minute},
		pool.BackendStats{Serial: 5, PID: 505, User: "app_login", Shard: "s1", Addr: "10.0.0.1:5432", State: "listening", Age: time.Minute})
	v.clients = append(v.clients, proxy.Client{PID: 15, User: "una", Database: "app", Login: "una", State: proxy.ClientActive, Backends: []string{"s1 primary 10.0.0.1:5432"}},
		proxy.Client{PID: 16, User: "vera", Database: "app", Login: "vera", State: proxy.ClientIdle})
	v.cancels[proxy.PoolKey{Database: "app", User: "una"}] = proxy.CancelLoad{Working: 1}
	wantText(t, text(t, pools(v), "database", "user", "cl_active", "cl_waiting", "cl_active_cancel_req", "sv_active", "sv_being_canceled", "sv_idle", "pool_mode", "pool_size", "nodes"),
		"app|app_login|2|1|2|2|1|2|session|60|3", "app|una|1|0|1|0|1|4|statement|20|3", "app|vera|1|0|0|0|0|0|session|0|3", "web|app_login|0|0|0|0|0|0|transaction|20|1")
	table := nodes(v)
	if got := strings.Fields(text(t, table, "node", "user", "cl_active", "sv_active", "sv_being_canceled", "sv_idle", "pool_mode"))[0]; got != "10.0.0.1:5432|app_login|3|2|2|6|session" {
		t.Errorf("the node has %s", got)
	}
	if got := text(t, servers(v), "id", "user", "state", "close_needed"); !strings.Contains(got, "4|una|being_canceled|0\n5|app_login|listening|0\n") {
		t.Errorf("servers are\n%s", got)
	}
	wantText(t, text(t, databases(v), "name", "pool_mode", "max_client_connections", "idle_transaction_timeout", "statement_timeout"),
		"app|session|50|1m0s|1.5s", "web|transaction|0|0|0")
}

// pgBouncerColumns are the first columns of its answers (version 1.24; those of 1.18, which lacks some, have been compared with the
// program itself).
var pgBouncerColumns = map[string]string{
	"SHOW POOLS": "database user cl_active cl_waiting cl_active_cancel_req cl_waiting_cancel_req sv_active sv_active_cancel sv_being_canceled sv_idle sv_used sv_tested " +
		"sv_login maxwait maxwait_us pool_mode load_balance_hosts",
	"SHOW CLIENTS": "type user database replication state addr port local_addr local_port connect_time request_time wait wait_us close_needed ptr link remote_pid tls " +
		"application_name prepared_statements id",
	"SHOW SERVERS": "type user database replication state addr port local_addr local_port connect_time request_time wait wait_us close_needed ptr link remote_pid tls " +
		"application_name prepared_statements id",
	"SHOW DATABASES": "name host port database force_user pool_size min_pool_size reserve_pool_size server_lifetime pool_mode load_balance_hosts max_connections " +
		"current_connections max_client_connections current_client_connections paused disabled",
	"SHOW USERS": "name pool_size reserve_pool_size pool_mode max_user_connections current_connections max_user_client_connections current_client_connections",
	"SHOW STATS": "database total_server_assignment_count total_xact_count total_query_count total_received total_sent total_xact_time total_query_time total_wait_time " +
		"total_client_parse_count total_server_parse_count total_bind_count avg_server_assignment_count avg_xact_count avg_query_count avg_recv avg_sent avg_xact_time " +
		"avg_query_time avg_wait_time avg_client_parse_count avg_server_parse_count avg_bind_count",
	"SHOW STATS_TOTALS": "database server_assignment_count xact_count query_count bytes_received bytes_sent xact_time query_time wait_time client_parse_count " +
		"server_parse_count bind_count",
	"SHOW STATS_AVERAGES": "database server_assignment_count xact_count query_count bytes_received bytes_sent xact_time query_time wait_time client_parse_count " +
		"server_parse_count bind_count",
	"SHOW LISTS": "list items", "SHOW TOTALS": "name value", "SHOW CONFIG": "key value default changeable", "SHOW STATE": "key value",
	"SHOW VERSION": "version", "SHOW DRY_RUN": "database verdict statements reason hint sqlstate example", "SHOW PEERS": "peer_id host port pool_size",
}

func TestColumnsOfPgBouncer(t *testing.T) {
	c := testConsole(t, nil)
	for sql, want := range pgBouncerColumns {
		commands, err := c.Read(sql)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, column := range commands[0].Columns {
			names = append(names, column.Name)
		}
		if got := strings.Join(names, " ") + " "; !strings.HasPrefix(got, want+" ") {
			t.Errorf("%s: got\n%s\nwant\n%s", sql, got, want)
		}
	}
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
	wantText(t, text(t, databases(v), "name", "shards", "nodes", "up", "tenant_column", "tenant_type", "partitions", "epoch", "pool_mode", "current_client_connections", "cache", "host", "port", "database", "force_user", "pool_size", "current_connections", "paused", "disabled"),
		"app|2|3|2|tenant_id|bigint|64|1|transaction|3|yes|10.0.0.1,10.0.0.3|5432|app|app_login|20|3|1|0",
		"web|1|1|1|site|text|64|1|transaction|0|no|10.1.0.1|5432|app|app_login|20|0|0|0")
}

func TestShowStats(t *testing.T) {
	v := appView(t)
	wantText(t, text(t, stats(v), "database", "total_server_assignment_count", "total_xact_count", "total_query_count", "total_received", "total_sent", "total_xact_time",
		"total_query_time", "total_wait_time", "total_client_parse_count", "total_server_parse_count", "total_bind_count"),
		"app|90|100|200|1000|2000|3000000|2000000|1000000|5|6|7", "web|0|0|0|0|0|0|0|0|0|0|0")
	wantText(t, text(t, stats(v), "avg_server_assignment_count", "avg_xact_count", "avg_query_count", "avg_recv", "avg_sent", "avg_xact_time", "avg_query_time",
		"avg_wait_time", "avg_client_parse_count"), "0|1|2|10|20|10000|2000|100|1", "0|0|0|0|0|0|0|0|0")
	wantText(t, text(t, statsTotals(v), "database", "xact_count", "bytes_received", "xact_time"), "app|100|1000|3000000", "web|0|0|0")
	wantText(t, text(t, statsAverages(v), "database", "xact_count", "bytes_sent", "query_time"), "app|1|20|2000", "web|0|0|0")
	if got := text(t, totals(v), "name", "value"); !strings.Contains(got, "total_query_count|200\n") || !strings.Contains(got, "total_sent|2000\n") {
		t.Errorf("totals are\n%s", got)
	}
}

func TestShowPeersListsState(t *testing.T) {
	v := appView(t)
	wantText(t, text(t, peers(v), "peer_id", "host", "port", "pool_size", "self", "under_way", "waiting", "forwarded", "failed"),
		"1|10.0.0.9|6432|16|yes|0|0|0|0", "2|10.0.0.8|6432|16|no|3|4|5|6")
	wantText(t, text(t, lists(v), "list", "items"), "databases|2", "users|2", "peers|2", "pools|2", "peer_pools|2", "free_clients|0", "used_clients|4", "login_clients|1",
		"free_servers|0", "used_servers|3", "dns_names|0", "dns_zones|0", "dns_queries|0", "dns_pending|0", "shards|3", "nodes|4")
	wantText(t, text(t, state(v), "key", "value"), "active|yes", "paused|no", "suspended|no")
	v.databases[1].paused = true
	wantText(t, text(t, state(v), "key", "value"), "active|no", "paused|yes", "suspended|no")
}

func TestShowTraffic(t *testing.T) {
	table := traffics(appView(t))
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
