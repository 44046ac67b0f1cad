package admin

import (
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/cache"
	"github.com/pgdrover/pgdrover/internal/pgtest"
	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/proxy"
	"github.com/pgdrover/pgdrover/shardmap"
)

var discard = slog.New(slog.DiscardHandler)

func TestMain(m *testing.M) { os.Exit(m.Run()) }

// parseMap makes a map of a file's text, with its plan as the lock.
func parseMap(t testing.TB, text string) *shardmap.Map {
	t.Helper()
	f, err := shardmap.Parse("shardmap.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	lock, err := shardmap.Plan(f)
	if err != nil {
		t.Fatal(err)
	}
	m, err := shardmap.New(f, lock)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

const appMap = `database: app
tenant: {column: tenant_id, type: bigint}
partitions: 64
shards:
  - name: s1
    primary: {host: 10.0.0.1}
    replicas: [{host: 10.0.0.2}]
  - name: s2
    weight: 2
    primary: {host: 10.0.0.3}
pins: {"7": s2, "-9": s2}
`

const webMap = `database: web
tenant: {column: site, type: text}
partitions: 64
shards: [{name: only, primary: {host: 10.1.0.1}}]
`

var noon = time.Date(2026, 11, 5, 12, 0, 0, 0, time.UTC)

// upNode is a node that is well.
func upNode(shard string, role pool.Role, addr string) pool.NodeStats {
	return pool.NodeStats{Shard: shard, Role: role, Addr: addr, Database: "app", User: "app_login", Weight: 1, Up: true,
		Since: noon.Add(-time.Hour), Probed: noon, Recovery: role == pool.Replica, Latency: 250 * time.Microsecond, Size: 20}
}

// appView is a proxy with two databases, of which app is busy.
func appView(t testing.TB) *view {
	t.Helper()
	first, replica, second := upNode("s1", pool.Primary, "10.0.0.1:5432"), upNode("s1", pool.Replica, "10.0.0.2:5432"),
		upNode("s2", pool.Primary, "10.0.0.3:5432")
	first.Busy, first.Idle, first.Waiting, first.OldestWait = 3, 2, 4, 2*time.Second+345*time.Microsecond
	first.Counts = pool.Counts{Acquired: 100, Waited: time.Second, Timeouts: 3, Rejected: 2, Failed: 1,
		Destroyed: map[string]uint64{"idle": 5, "died": 1}}
	first.Counts.Waits[0], first.Counts.Waits[2] = 90, 10
	replica.Up, replica.Why = false, "connection refused"
	busy, own := &proxy.Histogram{}, &proxy.Histogram{}
	for i := range 100 {
		busy.Observe(time.Duration(i) * 10 * time.Microsecond)
		own.Observe(3 * time.Microsecond)
	}
	app := database{name: "app", mode: proxy.ModeTransaction, limits: proxy.Limits{Clients: 50, IdleTransaction: time.Minute, Statement: 1500 * time.Millisecond},
		shards: parseMap(t, appMap), nodes: []pool.NodeStats{first, replica, second},
		backends: []pool.BackendStats{
			{Serial: 1, PID: 501, User: "app_login", Shard: "s1", Addr: "10.0.0.1:5432", State: "held", Age: time.Minute, Local: "10.0.0.9:41000",
				Cipher: "TLSv1.3/TLS_AES_128_GCM_SHA256", Closing: true},
			{Serial: 2, PID: 502, User: "app_login", Shard: "s1", Addr: "10.0.0.1:5432", State: "cancelling", Age: time.Minute},
			{Serial: 3, PID: 503, User: "app_login", Shard: "s1", Addr: "10.0.0.1:5432", State: "idle", Age: time.Minute, Idle: time.Second},
		},
		paused: true,
		dry: proxy.DryRun{Shards: 2, Counts: map[string]uint64{"one_shard": 8, "refused": 3},
			Reasons: []proxy.DryReason{{Verdict: "refused", Code: "0A000", Message: "no tenant", Hint: "name one", Statements: 3, Example: "select ?"}}},
		twoPhase: proxy.TwoPhaseStats{Commits: 12, Rollbacks: 3, Finished: 2, Discarded: 1, InDoubt: []proxy.InDoubt{
			{Shard: "s2", GID: "pgdrover:x", FirstShard: "s1", Age: 90 * time.Second, Why: "s1 does not answer"}}},
		cache: &cache.Stats{L1Hits: 30, L1Misses: 10, L1Entries: 9, L1Bytes: 4096, L1Budget: 64 << 20, L2Hits: 4, L2Misses: 6,
			L2: cache.L2Off, L2Since: noon, L2Reason: "connection reset"},
	}
	web := database{name: "web", mode: proxy.ModeTransaction, shards: parseMap(t, webMap), nodes: []pool.NodeStats{upNode("only", pool.Primary, "10.1.0.1:5432")}}
	app.pools, web.pools = app.nodes, web.nodes
	return &view{
		at: noon, databases: []database{app, web}, loops: []loopLoad{{sessions: 3}, {sessions: 2, stalls: 1}},
		clients: []proxy.Client{
			{PID: 11, User: "alice", Database: "app", Login: "app_login", Mode: proxy.ModeTransaction, Address: "192.0.2.1:4000", State: proxy.ClientActive,
				Began: noon.Add(-90 * time.Second), Backends: []string{"s1 primary 10.0.0.1:5432"}, Serials: []uint64{1},
				Cipher: "TLSv1.3/TLS_AES_128_GCM_SHA256", Local: "10.0.0.9:6432", Application: "shop", Asked: noon.Add(-time.Second), Statements: 7},
			{PID: 12, User: "alice", Database: "app", Login: "app_login", Mode: proxy.ModeSession, Replicates: true, Address: "[2001:db8::1]:4001",
				State: proxy.ClientTransaction, Began: noon, Serials: []uint64{9},
				Backends: []string{"s1 primary 10.0.0.1:5432"}, Hold: []string{"temp table", "cursor"}, Channels: 3},
			{PID: 14, User: "bob", Database: "app", Login: "app_login", Mode: proxy.ModeTransaction, Address: "192.0.2.4:4003", State: proxy.ClientWaiting, Began: noon, Wait: 3*time.Second + 4*time.Microsecond},
			{PID: 13, User: "ops", Database: "pgdrover", Address: "192.0.2.3:4002", State: proxy.ClientActive, Began: noon},
		},
		meters:  map[proxy.MeterKey]meter{{Database: "app", Shard: "s1", Role: "primary"}: {histogramOf(busy), histogramOf(own)}},
		limits:  map[proxy.LimitKey]int64{{Database: "app", Limit: "user_clients"}: 7, {Limit: "per_address"}: 8},
		cancels: map[proxy.PoolKey]proxy.CancelLoad{{Database: "app", User: "app_login"}: {Working: 2, Waiting: 1}}, login: 1, users: 2,
		modes: map[string]proxy.Mode{"una": proxy.ModeStatement},
		peers: []proxy.Peer{{ID: 1, Host: "10.0.0.9", Port: "6432", Self: true, Room: 16}, {ID: 2, Host: "10.0.0.8", Port: "6432", Room: 16, Working: 3, Waiting: 4, Forwarded: 5, Failed: 6}},
		total: map[string]proxy.Usage{"app": {Transactions: 100, TransactionTime: 3 * time.Second, Received: 1000, Sent: 2000, Parses: 5, BackendParses: 6, Binds: 7,
			Statements: 200, StatementTime: 2 * time.Second, Acquired: 90, Waited: time.Second}},
		recent: map[string]proxy.Usage{"app": {Transactions: 60, TransactionTime: 600 * time.Millisecond, Received: 600, Sent: 1200, Parses: 60,
			Statements: 120, StatementTime: 240 * time.Millisecond, Acquired: 30, Waited: 3 * time.Millisecond}},
		period: time.Minute,
		counts: serverCounts{logins: 5, cancels: 4, forwarded: 7, dropped: 8, retries: 3, repaired: 9, panics: 2, refused: 1, rejected: 6},
	}
}

// text writes the named columns of a table, one row a line.
func text(t testing.TB, table proxy.Table, columns ...string) string {
	t.Helper()
	var b strings.Builder
	for _, row := range table.Rows {
		if len(row) != len(table.Columns) {
			t.Fatalf("a row of %d values under %d columns", len(row), len(table.Columns))
		}
		for i, name := range columns {
			if i > 0 {
				b.WriteByte('|')
			}
			b.WriteString(row[columnOf(t, table, name)])
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func columnOf(t testing.TB, table proxy.Table, name string) int {
	t.Helper()
	for i, c := range table.Columns {
		if c.Name == name {
			return i
		}
	}
	t.Fatalf("no column %s among %v", name, table.Columns)
	return 0
}

func wantText(t testing.TB, got string, lines ...string) {
	t.Helper()
	if want := strings.Join(lines, "\n") + "\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// serverOver is a proxy without databases.
func serverOver(t testing.TB) *proxy.Server {
	t.Helper()
	srv, err := proxy.NewServer(proxy.Config{Loops: pgtest.Loops(t), Log: discard})
	if err != nil {
		t.Fatal(err)
	}
	return srv
}

// await waits for a condition.
func await(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for limit := time.Now().Add(20 * time.Second); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("it never came to this: %s", what)
		}
	}
}
