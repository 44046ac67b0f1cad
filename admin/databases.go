package admin

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/proxy"
)

// databases answers SHOW DATABASES. Columns up to disabled are PgBouncer's; host, port and database are those of the primaries.
func databases(v *view) proxy.Table {
	return tabulate([]column[database]{
		word("name", func(d database) string { return d.name }),
		word("host", func(d database) string { return d.primaries(func(n *pool.NodeStats) string { return hostOf(n.Addr) }) }),
		word("port", func(d database) string { return d.primaries(func(n *pool.NodeStats) string { return portOf(n.Addr) }) }),
		word("database", func(d database) string { return d.primaries(func(n *pool.NodeStats) string { return n.Database }) }),
		word("force_user", func(d database) string { return d.login() }),
		num("pool_size", func(d database) int { return d.poolSize() }),
		zero[database]("min_pool_size"),
		zero[database]("reserve_pool_size"),
		none[database]("server_lifetime"),
		word("pool_mode", func(d database) string { return d.mode.String() }),
		word("load_balance_hosts", func(database) string { return "" }),
		zero[database]("max_connections"),
		num("current_connections", func(d database) int { return len(d.backends) }),
		num("max_client_connections", func(d database) int { return d.limits.Clients }),
		num("current_client_connections", func(d database) int { return v.clientsOf(d.name) }),
		flag("paused", func(d database) bool { return d.paused }),
		flag("disabled", func(d database) bool { return d.disabled }),
		num("shards", func(d database) int { return d.shards.ShardCount() }),
		num("nodes", func(d database) int { n, _ := d.nodesOf(""); return n }),
		num("up", func(d database) int { _, up := d.nodesOf(""); return up }),
		word("tenant_column", func(d database) string { return d.shards.TenantColumn() }),
		word("tenant_type", func(d database) string { return d.shards.TenantType().String() }),
		num("partitions", func(d database) int { return d.shards.Partitions() }),
		num("epoch", func(d database) uint64 { return d.shards.Epoch() }),
		word("cache", func(d database) string { return yes(d.cache != nil) }),
		word("idle_transaction_timeout", func(d database) string { return limit(d.limits.IdleTransaction) }),
		word("statement_timeout", func(d database) string { return limit(d.limits.Statement) }),
	}, v.databases)
}

// limit shows a limited time; 0 is no limit.
func limit(d time.Duration) string {
	if d == 0 {
		return "0"
	}
	return d.String()
}

// primaries is something of the primaries in force, each value once, separated by commas.
func (d *database) primaries(text func(*pool.NodeStats) string) string {
	var list []string
	for i := range d.nodes {
		if n := &d.nodes[i]; n.Role == pool.Primary && !n.Draining && !slices.Contains(list, text(n)) {
			list = append(list, text(n))
		}
	}
	return strings.Join(list, ",")
}

// poolSize is how many backends each node may have.
func (d *database) poolSize() int {
	for i := range d.nodes {
		if !d.nodes[i].Draining {
			return d.nodes[i].Size
		}
	}
	return 0
}

// users answers SHOW USERS. Columns up to current_client_connections are PgBouncer's.
func (c *Console) users(v *view) proxy.Table {
	all := c.opt.Users()
	var list []*proxy.User
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, all[name])
	}
	return tabulate([]column[*proxy.User]{
		word("name", func(u *proxy.User) string { return u.Name }),
		none[*proxy.User]("pool_size"),
		none[*proxy.User]("reserve_pool_size"),
		word("pool_mode", func(u *proxy.User) string { return u.Mode.String() }),
		zero[*proxy.User]("max_user_connections"),
		num("current_connections", func(u *proxy.User) int { return v.backendsOf(u.Name) }),
		num("max_user_client_connections", func(u *proxy.User) int { return u.Limits.Clients }),
		num("current_client_connections", func(u *proxy.User) int { return v.clientsBy(u.Name) }),
		word("databases", func(u *proxy.User) string {
			if len(u.Databases) == 0 {
				return "all"
			}
			return strings.Join(u.Databases, ", ")
		}),
		word("admin", func(u *proxy.User) string { return yes(u.Admin) }),
		word("query_wait_timeout", func(u *proxy.User) string { return limit(u.Limits.QueryWait) }),
		word("idle_transaction_timeout", func(u *proxy.User) string { return limit(u.Limits.IdleTransaction) }),
		word("statement_timeout", func(u *proxy.User) string { return limit(u.Limits.Statement) }),
	}, list)
}

// clientsBy counts the clients of a user.
func (v *view) clientsBy(user string) int {
	n := 0
	for i := range v.clients {
		if v.clients[i].User == user {
			n++
		}
	}
	return n
}

// backendsOf counts the backends that clients of a user have.
func (v *view) backendsOf(user string) int {
	n := 0
	for i := range v.clients {
		if v.clients[i].User == user {
			n += len(v.clients[i].Serials)
		}
	}
	return n
}
