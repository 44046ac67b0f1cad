package admin

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pgdrover/pgdrover/proxy"
	"github.com/pgdrover/pgdrover/shardmap"
)

// placed is one row of SHOW SHARDS.
type placed struct {
	*database
	shard     shardmap.Shard
	pins      int
	nodes, up int
}

// shards answers SHOW SHARDS.
func shards(v *view) proxy.Table {
	return tabulate([]column[placed]{
		{"database", func(p placed) string { return p.name }},
		{"shard", func(p placed) string { return p.shard.Name }},
		{"weight", func(p placed) string { return number(p.shard.Weight) }},
		{"partitions", func(p placed) string { return number(p.shard.Owned) }},
		{"percent", func(p placed) string { return fmt.Sprintf("%.1f", p.share(p.shard)) }},
		{"pins", func(p placed) string { return number(p.pins) }},
		{"nodes", func(p placed) string { return number(p.nodes) }},
		{"up", func(p placed) string { return number(p.up) }},
		{"primary", func(p placed) string { return p.shard.Primary.Addr() }},
		{"primary_up", func(p placed) string { n := p.primary(p.shard.Name); return yes(n != nil && n.Up) }},
		{"epoch", func(p placed) string { return number(p.database.shards.Epoch()) }},
	}, v.placed())
}

// placed lists all shards of a view.
func (v *view) placed() []placed {
	var list []placed
	for i := range v.databases {
		d := &v.databases[i]
		pins := d.pins()
		for _, s := range d.shards.Shards() {
			p := placed{database: d, shard: s, pins: pins[s.Name]}
			p.nodes, p.up = d.nodesOf(s.Name)
			list = append(list, p)
		}
	}
	return list
}

// databases answers SHOW DATABASES.
func databases(v *view) proxy.Table {
	return tabulate([]column[database]{
		{"name", func(d database) string { return d.name }},
		{"shards", func(d database) string { return number(d.shards.ShardCount()) }},
		{"nodes", func(d database) string { nodes, _ := d.nodesOf(""); return number(nodes) }},
		{"up", func(d database) string { _, up := d.nodesOf(""); return number(up) }},
		{"tenant_column", func(d database) string { return d.shards.TenantColumn() }},
		{"tenant_type", func(d database) string { return d.shards.TenantType().String() }},
		{"partitions", func(d database) string { return number(d.shards.Partitions()) }},
		{"epoch", func(d database) string { return number(d.shards.Epoch()) }},
		{"pool_mode", func(database) string { return poolMode }},
		{"clients", func(d database) string { return number(v.clientsOf(d.name)) }},
		{"max_clients", func(d database) string { return number(d.limits.Clients) }},
		{"idle_transaction_timeout", func(d database) string { return limit(d.limits.IdleTransaction) }},
		{"statement_timeout", func(d database) string { return limit(d.limits.Statement) }},
		{"cache", func(d database) string { return yes(d.cache != nil) }},
	}, v.databases)
}

// limit shows a limited time; 0 is no limit.
func limit(d time.Duration) string {
	if d == 0 {
		return "0"
	}
	return d.String()
}

// users answers SHOW USERS.
func (c *Console) users(string, []token) (proxy.Table, error) {
	v := look(c.opt.Server())
	all := c.opt.Users()
	var list []*proxy.User
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, all[name])
	}
	return tabulate([]column[*proxy.User]{
		{"name", func(u *proxy.User) string { return u.Name }},
		{"databases", func(u *proxy.User) string {
			if len(u.Databases) == 0 {
				return "all"
			}
			return strings.Join(u.Databases, ", ")
		}},
		{"admin", func(u *proxy.User) string { return yes(u.Admin) }},
		{"clients", func(u *proxy.User) string { return number(v.clientsBy(u.Name)) }},
		{"max_clients", func(u *proxy.User) string { return number(u.Limits.Clients) }},
		{"query_wait_timeout", func(u *proxy.User) string { return limit(u.Limits.QueryWait) }},
		{"idle_transaction_timeout", func(u *proxy.User) string { return limit(u.Limits.IdleTransaction) }},
		{"statement_timeout", func(u *proxy.User) string { return limit(u.Limits.Statement) }},
	}, list), nil
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
