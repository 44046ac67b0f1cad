package admin

import (
	"cmp"
	"slices"
	"time"

	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/proxy"
)

// pooled is one row of SHOW POOLS, what a database has logged in as one user on all of its nodes, or of SHOW NODES, one node.
type pooled struct {
	database, user           string
	mode                     proxy.Mode
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
		word("pool_mode", func(p pooled) string { return p.mode.String() }),
		word("load_balance_hosts", func(pooled) string { return "" }),
		num("pool_size", func(p pooled) int { return p.size }),
	}
}

// pools answers SHOW POOLS, one row for each database and user of backends, as in PgBouncer: tools tell rows apart by those two.
func pools(v *view) proxy.Table {
	return tabulate(append(poolColumns(),
		num("nodes", func(p pooled) int { return p.nodes }),
		num("up", func(p pooled) int { return p.up }),
	), v.pools())
}

// nodes answers SHOW NODES, one row for each node, with the pools of all users.
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

// pools lists the databases of a view, each with its own user first and then with the users of clients that are passed through.
func (v *view) pools() []pooled {
	var list []pooled
	for i := range v.databases {
		d := &v.databases[i]
		for _, user := range v.backendUsers(d) {
			list = append(list, v.poolOf(d, user))
		}
	}
	return list
}

// backendUsers are those that backends of a database are logged in as, or will be for the clients that are there.
func (v *view) backendUsers(d *database) []string {
	var others []string
	for i := range d.pools {
		others = append(others, d.pools[i].User)
	}
	for _, c := range v.clients {
		if c.Database == d.name {
			others = append(others, c.Login)
		}
	}
	own := d.login()
	others = slices.DeleteFunc(others, func(user string) bool { return user == own })
	slices.Sort(others)
	return append([]string{own}, slices.Compact(others)...)
}

// poolOf is the row of a database and a user of its backends.
func (v *view) poolOf(d *database, user string) pooled {
	sum := pooled{database: d.name, user: user, mode: d.mode, cancels: v.cancels[proxy.PoolKey{Database: d.name, User: user}]}
	sum.nodes, sum.up = d.nodesOf("")
	if mode, own := v.modes[user]; own && user != d.login() {
		sum.mode = mode
	}
	for i := range d.pools {
		if n := &d.pools[i]; n.User == user {
			sum.add(n)
			sum.cancelling += d.cancelling(n, user)
		}
	}
	for _, c := range v.clients { // one waits for RESUME, or for a change of placement, in no node's queue
		switch {
		case c.Database != d.name || c.Login != user:
		case c.State == proxy.ClientWaiting:
			sum.waiting++
			sum.oldest = max(sum.oldest, c.Wait)
		default:
			sum.active++
		}
	}
	return sum
}

// add adds the backends of a node's pool.
func (p *pooled) add(n *pool.NodeStats) {
	p.busy += n.Busy
	p.idle += n.Idle
	p.dialing += n.Dialing
	p.oldest = max(p.oldest, n.OldestWait)
	if !n.Draining {
		p.size += n.Size
	}
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
			p := pooled{database: d.name, user: n.User, mode: d.mode, node: n, waiting: n.Waiting, cancelling: d.cancelling(n, "")}
			p.add(n)
			p.active = using[place{d.name, n.Shard + " " + n.Role.String() + " " + n.Addr}]
			list = append(list, p)
		}
	}
	return list
}

// cancelling counts the backends on a node, of one user or (empty) of all, that were released while a cancel request was under way.
func (d *database) cancelling(n *pool.NodeStats, user string) int {
	count := 0
	for _, b := range d.backends {
		if b.State == "cancelling" && (user == "" || b.User == user) && b.Shard == n.Shard && b.Role == n.Role && b.Addr == n.Addr {
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
	all := []count{{"databases", len(v.databases)}, {"users", v.users}, {"peers", len(v.peers)}, {"pools", len(v.pools())},
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

// login is the user that the proxy itself is on all nodes.
func (d *database) login() string {
	for _, n := range d.nodes {
		return n.User
	}
	return ""
}

// byID orders clients: the oldest first.
func byID(a, b proxy.Client) int { return cmp.Or(a.Began.Compare(b.Began), cmp.Compare(a.PID, b.PID)) }
