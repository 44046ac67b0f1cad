package admin

import (
	"cmp"
	"slices"
	"time"

	"github.com/pgdrover/pgdrover/cache"
	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/proxy"
	"github.com/pgdrover/pgdrover/shardmap"
)

// view is the proxy at one moment, as the console, the metrics and the page show it. It does not change.
type view struct {
	at        time.Time
	databases []database     // by name
	clients   []proxy.Client // oldest first
	login     int            // clients that have not logged in yet
	users     int            // that are listed
	meters    map[proxy.MeterKey]meter
	counts    serverCounts
	limits    map[proxy.LimitKey]int64
	peers     []proxy.Peer
	cancels   map[proxy.PoolKey]proxy.CancelLoad
	modes     map[string]proxy.Mode // of users that have one of their own
	loops     []loopLoad

	total, recent map[string]proxy.Usage // by database: since the start, and within the period
	period        time.Duration
}

// loopLoad is what a view says of an event loop.
type loopLoad struct {
	sessions int64
	stalls   uint64
}

// database is one database of a view.
type database struct {
	name     string
	shards   *shardmap.Map
	nodes    []pool.NodeStats // by shard, role and address, which no two share
	pools    []pool.NodeStats // the same, and apart those of clients' own users
	backends []pool.BackendStats
	cache    *cache.Stats // nil: off
	dry      proxy.DryRun
	twoPhase proxy.TwoPhaseStats
	limits   proxy.Limits
	mode     proxy.Mode // of users that have none of their own

	paused, disabled bool
}

// meter is what the proxy has measured for one database, shard and role.
type meter struct{ statements, own histogram }

// serverCounts are the counters of proxy.Metrics.
type serverCounts struct{ logins, cancels, forwarded, dropped, retries, repaired, panics, refused, rejected int64 }

// look takes a view of a proxy; the view of none is empty.
func look(srv *proxy.Server) view {
	v := view{at: time.Now(), meters: map[proxy.MeterKey]meter{}, modes: map[string]proxy.Mode{}}
	if srv == nil {
		return v
	}
	for _, d := range srv.Databases() {
		v.databases = append(v.databases, lookAt(d))
	}
	slices.SortFunc(v.databases, func(a, b database) int { return cmp.Compare(a.name, b.name) })
	v.clients, v.login = srv.Clients(), srv.LoggingIn()
	slices.SortFunc(v.clients, byID)
	users := srv.Users()
	v.users, v.peers, v.cancels = len(users), srv.Peers(), srv.Cancels()
	for name, u := range users {
		if u.Mode != proxy.ModeUnset {
			v.modes[name] = u.Mode
		}
	}
	v.total = srv.Usage()
	v.recent, v.period = srv.RecentUsage()
	for _, l := range srv.Loops() {
		v.loops = append(v.loops, loopLoad{l.Tasks, l.Stalls})
	}
	m := srv.Metrics()
	for key, measured := range m.Meters() {
		v.meters[key] = meter{histogramOf(&measured.Statements), histogramOf(&measured.Own)}
	}
	v.limits = m.Limits()
	v.counts = serverCounts{
		logins: m.Clients.Load(), cancels: m.Cancels.Load(), forwarded: m.CancelsForwarded.Load(), dropped: m.CancelsDropped.Load(),
		retries: m.Retries.Load(), repaired: m.Repaired.Load(), panics: m.Panics.Load(), refused: m.Refused.Load(), rejected: m.Rejected.Load(),
	}
	return v
}

func lookAt(d *proxy.Database) database {
	stats := d.Cluster().Stats()
	seen := database{name: d.Name(), shards: d.Map(), nodes: mergeNodes(stats, false), pools: mergeNodes(stats, true), backends: d.Cluster().Backends(),
		limits: d.Limits(), mode: d.Mode(), twoPhase: d.TwoPhase(), dry: d.DryRun(), paused: d.Paused(), disabled: d.Disabled()}
	if c := d.Cache(); c != nil {
		stats := c.Stats()
		seen.cache = &stats
	}
	return seen
}

// mergeNodes makes one of nodes that have shard, role and address in common: a map may have sent the shard to another database of
// the same server, and the old pool is still being drained. The state is that of the pool in force. The pools of clients' own users stay
// apart or become part of their nodes'.
func mergeNodes(nodes []pool.NodeStats, apart bool) []pool.NodeStats {
	var merged []pool.NodeStats
	for _, n := range nodes {
		i := slices.IndexFunc(merged, func(m pool.NodeStats) bool {
			return m.Shard == n.Shard && m.Role == n.Role && m.Addr == n.Addr && (!apart || m.Own == n.Own && m.User == n.User)
		})
		if i < 0 {
			merged = append(merged, n)
			continue
		}
		if merged[i].Draining && !n.Draining {
			merged[i], n = n, merged[i]
		}
		addNode(&merged[i], n)
	}
	return merged
}

// addNode adds the numbers of another pool to those of a node.
func addNode(sum *pool.NodeStats, n pool.NodeStats) {
	sum.Idle += n.Idle
	sum.Busy += n.Busy
	sum.Dialing += n.Dialing
	sum.Listening += n.Listening
	sum.Waiting += n.Waiting
	sum.OldestWait = max(sum.OldestWait, n.OldestWait)
	sum.Counts.Add(&n.Counts)
}

// primary is the node that takes a shard's writes; nil when there is none.
func (d *database) primary(shard string) *pool.NodeStats {
	for i := range d.nodes {
		if n := &d.nodes[i]; n.Shard == shard && n.Role == pool.Primary && !n.Draining {
			return n
		}
	}
	return nil
}

// nodesOf counts the nodes in force of a shard, or of all shards when shard is empty, and those of them that are up.
func (d *database) nodesOf(shard string) (nodes, up int) {
	for i := range d.nodes {
		n := &d.nodes[i]
		if n.Draining || shard != "" && n.Shard != shard {
			continue
		}
		nodes++
		if n.Up {
			up++
		}
	}
	return nodes, up
}

// pins counts the pins of each shard.
func (d *database) pins() map[string]int {
	counts := map[string]int{}
	for _, pin := range d.shards.Pins() {
		counts[d.shards.Shard(pin.Shard).Name]++
	}
	return counts
}

// share is the part of all partitions that a shard owns, in percent.
func (d *database) share(s shardmap.Shard) float64 {
	return 100 * float64(s.Owned) / float64(d.shards.Partitions())
}

// clientsOf counts the clients of a database.
func (v *view) clientsOf(name string) int {
	n := 0
	for i := range v.clients {
		if v.clients[i].Database == name {
			n++
		}
	}
	return n
}
