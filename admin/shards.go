package admin

import (
	"fmt"

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
		word("database", func(p placed) string { return p.name }),
		word("shard", func(p placed) string { return p.shard.Name }),
		num("weight", func(p placed) int { return p.shard.Weight }),
		num("partitions", func(p placed) int { return p.shard.Owned }),
		word("percent", func(p placed) string { return fmt.Sprintf("%.1f", p.share(p.shard)) }),
		num("pins", func(p placed) int { return p.pins }),
		num("nodes", func(p placed) int { return p.nodes }),
		num("up", func(p placed) int { return p.up }),
		word("primary", func(p placed) string { return p.shard.Primary.Addr() }),
		word("primary_up", func(p placed) string { n := p.primary(p.shard.Name); return yes(n != nil && n.Up) }),
		num("epoch", func(p placed) uint64 { return p.database.shards.Epoch() }),
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
