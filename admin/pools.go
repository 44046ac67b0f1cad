package admin

import (
	"net"
	"strings"
	"time"

	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/proxy"
)

// poolMode is how long a client has a backend to itself.
const poolMode = "transaction"

// pooled is one row of SHOW POOLS.
type pooled struct {
	database   string
	node       *pool.NodeStats
	clients    int // that have a backend there
	cancelling int // backends
}

// pools answers SHOW POOLS. Columns that PgBouncer has too mean what they mean there; sv_used and sv_tested are states that
// backends do not have here, shown for tools that ask for them.
func pools(v *view) proxy.Table {
	count := func(n func(pooled) int) func(pooled) string {
		return func(p pooled) string { return number(n(p)) }
	}
	return tabulate([]column[pooled]{
		{"database", func(p pooled) string { return p.database }},
		{"user", func(p pooled) string { return p.node.User }},
		{"shard", func(p pooled) string { return p.node.Shard }},
		{"role", func(p pooled) string { return p.node.Role.String() }},
		{"node", func(p pooled) string { return p.node.Addr }},
		{"up", func(p pooled) string { return yes(p.node.Up) }},
		{"cl_active", count(func(p pooled) int { return p.clients })},
		{"cl_waiting", count(func(p pooled) int { return p.node.Waiting })},
		{"sv_active", count(func(p pooled) int { return p.node.Busy - p.cancelling })},
		{"sv_being_canceled", count(func(p pooled) int { return p.cancelling })},
		{"sv_idle", count(func(p pooled) int { return p.node.Idle })},
		{"sv_used", count(func(pooled) int { return 0 })},
		{"sv_tested", count(func(pooled) int { return 0 })},
		{"sv_login", count(func(p pooled) int { return p.node.Dialing })},
		{"maxwait", func(p pooled) string { return number(int64(p.node.OldestWait / time.Second)) }},
		{"maxwait_us", func(p pooled) string { return number(int64(p.node.OldestWait % time.Second / time.Microsecond)) }},
		{"pool_mode", func(pooled) string { return poolMode }},
		{"pool_size", count(func(p pooled) int { return p.node.Size })},
		{"draining", func(p pooled) string { return yes(p.node.Draining) }},
		{"why", func(p pooled) string { return trouble(p.node) }},
	}, v.pools())
}

// pools lists all pools of a view.
func (v *view) pools() []pooled {
	type place struct{ database, user, node string }
	using := map[place]int{}
	for _, c := range v.clients {
		for _, node := range c.Backends {
			using[place{c.Database, c.Login, node}]++
		}
	}
	var list []pooled
	for _, d := range v.databases {
		for i := range d.pools {
			n := &d.pools[i]
			p := pooled{database: d.name, node: n}
			p.clients = using[place{d.name, n.User, n.Shard + " " + n.Role.String() + " " + n.Addr}]
			p.cancelling = d.cancelling(n)
			list = append(list, p)
		}
	}
	return list
}

// cancelling counts the backends of a pool that were released while a cancel request was under way.
func (d *database) cancelling(n *pool.NodeStats) int {
	count := 0
	for _, b := range d.backends {
		if b.State == "cancelling" && b.User == n.User && b.Shard == n.Shard && b.Role == n.Role && b.Addr == n.Addr {
			count++
		}
	}
	return count
}

// trouble says what is wrong with a node; empty when nothing is.
func trouble(n *pool.NodeStats) string {
	switch {
	case n.Why != "":
		return n.Why
	case n.Mismatch() && n.Recovery:
		return "the server is in recovery and takes no writes; the shard map calls it the primary"
	case n.Mismatch():
		return "the server is not in recovery; the shard map calls it a replica"
	}
	return ""
}

// clients answers SHOW CLIENTS.
func clients(v *view) proxy.Table {
	return tabulate([]column[proxy.Client]{
		{"type", func(proxy.Client) string { return "C" }},
		{"user", func(c proxy.Client) string { return c.User }},
		{"database", func(c proxy.Client) string { return c.Database }},
		{"state", func(c proxy.Client) string { return c.State.String() }},
		{"addr", func(c proxy.Client) string { host, _ := splitAddr(c.Address); return host }},
		{"port", func(c proxy.Client) string { _, port := splitAddr(c.Address); return port }},
		{"connect_time", func(c proxy.Client) string { return moment(c.Began) }},
		{"age_s", func(c proxy.Client) string { return seconds(v.at.Sub(c.Began)) }},
		{"hold", func(c proxy.Client) string { return strings.Join(c.Hold, ", ") }},
		{"channels", func(c proxy.Client) string { return number(c.Channels) }},
		{"backends", func(c proxy.Client) string { return strings.Join(c.Backends, ", ") }},
		{"pid", func(c proxy.Client) string { return number(c.PID) }},
		{"tls", func(c proxy.Client) string { return yes(c.TLS) }},
	}, v.clients)
}

// splitAddr parts host and port; an address without a port is all host.
func splitAddr(addr string) (host, port string) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr, ""
	}
	return host, port
}

// backend is one row of SHOW BACKENDS.
type backend struct {
	pool.BackendStats
	database string
}

// backends answers SHOW BACKENDS.
func backends(v *view) proxy.Table {
	var list []backend
	for _, d := range v.databases {
		for _, b := range d.backends {
			list = append(list, backend{b, d.name})
		}
	}
	return tabulate([]column[backend]{
		{"type", func(backend) string { return "S" }},
		{"user", func(b backend) string { return b.User }},
		{"database", func(b backend) string { return b.database }},
		{"shard", func(b backend) string { return b.Shard }},
		{"role", func(b backend) string { return b.Role.String() }},
		{"node", func(b backend) string { return b.Addr }},
		{"state", func(b backend) string { return b.State }},
		{"connect_time", func(b backend) string { return moment(v.at.Add(-b.Age)) }},
		{"age_s", func(b backend) string { return seconds(b.Age) }},
		{"idle_s", func(b backend) string { return seconds(b.Idle) }},
		{"id", func(b backend) string { return number(b.Serial) }},
		{"remote_pid", func(b backend) string { return number(b.PID) }},
		{"tls", func(b backend) string { return yes(b.TLS) }},
	}, list)
}
