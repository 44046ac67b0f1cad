package admin

import (
	"cmp"
	"time"

	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/proxy"
)

// poolMode is how long a client has a backend to itself.
const poolMode = "transaction"

// pooled is one row of SHOW POOLS, a database with all of its nodes, or of SHOW NODES, one node.
type pooled struct {
	database, user           string
	node                     *pool.NodeStats // of SHOW NODES
	active, waiting          int             // clients
	cancels                  proxy.CancelLoad
	busy, cancelling, idle   int // backends
	dialing, size, nodes, up int
	oldest                   time.Duration // wait
}

// poolColumns are PgBouncer's. sv_used and sv_tested are states that backends do not have here.
func poolColumns() []column[pooled] {
	return []column[pooled]{
		word("database", func(p pooled) string { return p.database }),
		word("user", func(p pooled) string { return p.user }),
		num("cl_active", func(p pooled) int { return p.active }),
		num("cl_waiting", func(p pooled) int { return p.waiting }),
		num("cl_active_cancel_req", func(p pooled) int { return p.cancels.Working }),
		num("cl_waiting_cancel_req", func(p pooled) int { return p.cancels.Waiting }),
		num("sv_active", func(p pooled) int { return p.busy - p.cancelling }),
		num("sv_active_cancel", func(p pooled) int { return p.cancels.Working }),
		num("sv_being_canceled", func(p pooled) int { return p.cancelling }),
		num("sv_idle", func(p pooled) int { return p.idle }),
		zero[pooled]("sv_used"),
		zero[pooled]("sv_tested"),
		num("sv_login", func(p pooled) int { return p.dialing }),
		num("maxwait", func(p pooled) int64 { return int64(p.oldest / time.Second) }),
		num("maxwait_us", func(p pooled) int64 { return micros(p.oldest % time.Second) }),
		word("pool_mode", func(pooled) string { return poolMode }),
		word("load_balance_hosts", func(pooled) string { return "" }),
		num("pool_size", func(p pooled) int { return p.size }),
	}
}

// pools answers SHOW POOLS, one row for each database and user, as in PgBouncer: tools tell rows apart by those two.
func pools(v *view) proxy.Table {
	return tabulate(append(poolColumns(),
		num("nodes", func(p pooled) int { return p.nodes }),
		num("up", func(p pooled) int { return p.up }),
	), v.pools())
}

// nodes answers SHOW NODES, one row for each node's pool.
func nodes(v *view) proxy.Table {
	return tabulate(append(poolColumns(),
		word("shard", func(p pooled) string { return p.node.Shard }),
		word("role", func(p pooled) string { return p.node.Role.String() }),
		word("node", func(p pooled) string { return p.node.Addr }),
		word("up", func(p pooled) string { return yes(p.node.Up) }),
		word("drained", func(p pooled) string { return yes(p.node.Drained) }),
		word("draining", func(p pooled) string { return yes(p.node.Draining) }),
		word("lsn", func(p pooled) string { return p.node.LSN }),
		num("probe_us", func(p pooled) int64 { return micros(p.node.Latency) }),
		word("why", func(p pooled) string { return trouble(p.node) }),
	), v.pooledNodes())
}

// pools lists the databases of a view.
func (v *view) pools() []pooled {
	var list []pooled
	for _, d := range v.databases {
		sum := pooled{database: d.name, user: d.login(), cancels: v.cancels[d.name]}
		for i := range d.nodes {
			sum.add(d.pooled(&d.nodes[i]))
		}
		sum.waiting = 0 // counted by clients: one waits for RESUME, or for a change of placement, in no node's queue
		for _, c := range v.clients {
			switch {
			case c.Database != d.name:
			case c.State == proxy.ClientWaiting:
				sum.waiting++
				sum.oldest = max(sum.oldest, c.Wait)
			default:
				sum.active++
			}
		}
		list = append(list, sum)
	}
	return list
}

// add adds the backends of a node.
func (p *pooled) add(n pooled) {
	p.busy += n.busy
	p.cancelling += n.cancelling
	p.idle += n.idle
	p.dialing += n.dialing
	p.size += n.size
	p.nodes += n.nodes
	p.up += n.up
	p.oldest = max(p.oldest, n.oldest)
}

// pooled is a node and its pool.
func (d *database) pooled(n *pool.NodeStats) pooled {
	p := pooled{
		database: d.name, user: n.User, node: n, waiting: n.Waiting, busy: n.Busy, cancelling: d.cancelling(n), idle: n.Idle,
		dialing: n.Dialing, oldest: n.OldestWait,
	}
	if n.Draining {
		return p
	}
	p.size, p.nodes = n.Size, 1
	if n.Up {
		p.up = 1
	}
	return p
}

// pooledNodes lists all nodes of a view.
func (v *view) pooledNodes() []pooled {
	type place struct{ database, node string }
	using := map[place]int{}
	for _, c := range v.clients {
		for _, node := range c.Backends {
			using[place{c.Database, node}]++
		}
	}
	var list []pooled
	for i := range v.databases {
		d := &v.databases[i]
		for j := range d.nodes {
			n := &d.nodes[j]
			p := d.pooled(n)
			p.active = using[place{d.name, n.Shard + " " + n.Role.String() + " " + n.Addr}]
			list = append(list, p)
		}
	}
	return list
}

// cancelling counts the backends of a node that were released while a cancel request was under way.
func (d *database) cancelling(n *pool.NodeStats) int {
	count := 0
	for _, b := range d.backends {
		if b.State == "cancelling" && b.Shard == n.Shard && b.Role == n.Role && b.Addr == n.Addr {
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

// peers answers SHOW PEERS.
func peers(v *view) proxy.Table {
	return tabulate([]column[proxy.Peer]{
		num("peer_id", func(p proxy.Peer) int { return p.ID }),
		word("host", func(p proxy.Peer) string { return p.Host }),
		word("port", func(p proxy.Peer) string { return p.Port }),
		num("pool_size", func(p proxy.Peer) int { return p.Room }),
		word("self", func(p proxy.Peer) string { return yes(p.Self) }),
		num("under_way", func(p proxy.Peer) int { return p.Working }),
		num("waiting", func(p proxy.Peer) int { return p.Waiting }),
		num("forwarded", func(p proxy.Peer) int64 { return p.Forwarded }),
		num("failed", func(p proxy.Peer) int64 { return p.Failed }),
	}, v.peers)
}

// lists answers SHOW LISTS.
func lists(v *view) proxy.Table {
	type count struct {
		list  string
		items int
	}
	all := []count{{"databases", len(v.databases)}, {"users", v.users}, {"peers", len(v.peers)}, {"pools", len(v.databases)},
		{"peer_pools", len(v.peers)}, {"free_clients", 0}, {"used_clients", len(v.clients)}, {"login_clients", v.login}, {"free_servers", 0}}
	used := count{list: "used_servers"}
	shards, nodes := count{list: "shards"}, count{list: "nodes"}
	for i := range v.databases {
		d := &v.databases[i]
		used.items += len(d.backends)
		shards.items += d.shards.ShardCount()
		n, _ := d.nodesOf("")
		nodes.items += n
	}
	all = append(all, used, count{"dns_names", 0}, count{"dns_zones", 0}, count{"dns_queries", 0}, count{"dns_pending", 0}, shards, nodes)
	return tabulate([]column[count]{
		word("list", func(c count) string { return c.list }),
		num("items", func(c count) int { return c.items }),
	}, all)
}

// state answers SHOW STATE. It is paused when all databases are.
func state(v *view) proxy.Table {
	paused := len(v.databases) > 0
	for _, d := range v.databases {
		paused = paused && d.paused
	}
	return tabulate([]column[[2]string]{
		word("key", func(s [2]string) string { return s[0] }),
		word("value", func(s [2]string) string { return s[1] }),
	}, [][2]string{{"active", yes(!paused)}, {"paused", yes(paused)}, {"suspended", "no"}})
}

// login is the user that the proxy is on all nodes.
func (d *database) login() string {
	for _, n := range d.nodes {
		return n.User
	}
	return ""
}

// byID orders clients: the oldest first.
func byID(a, b proxy.Client) int { return cmp.Or(a.Began.Compare(b.Began), cmp.Compare(a.PID, b.PID)) }
