package router

import (
	"slices"

	"github.com/pgdrover/pgdrover/shardmap"
)

// placement is what the analysis knows of where a statement may run; the values
// of tenants are known at execution only.
type placement struct {
	binds   []bind
	unbound []need // sharded tables that nothing binds

	on           []onShard // unsharded tables
	reference    bool      // reads reference tables
	copies       *Table    // a reference table that is written
	undeclared   []*Table
	doubtful     *Error // what it is refused with on several shards
	unknown      []string
	unknownWrite string
	system       bool

	control   bool   // transaction control, settings, cursors: any shard, whatever the tenant
	local     bool   // the proxy's own
	every     string // DDL: runs everywhere
	temporary bool   // but where the session's temporary tables are, if it has any
	ask       string // cannot be placed by its text: what it is
	home      string
	opens     string
	opaque    string
	diverges  string
	sequences []int32
	configs   configs // settings that it changes, and that may be search_path
	dated     bool    // a string of the statement may be read as a date or time: as the clock's, if it is 'now'
	forbidden string  // what a session bound to a tenant may not run
	tables    int     // how many sharded tables
	truncates bool    // TRUNCATE of sharded tables
	shared    bool    // writes a table that is not one tenant's
	strays    bool    // may write rows of other tenants of the shard
	fault     *fault
}

// alone reports that on a map of one shard nothing but the session's tenant changes the Route, and that there is nothing to be said of it.
func (pl *placement) alone() bool { return len(pl.binds) == 0 && len(pl.unknown) == 0 && !pl.local }

// bind is a set of constants that bind sharded tables.
type bind struct {
	set   []constRef
	table *Table // one of the tables bound; nil for a column of a recursive query
	use   use    // the strictest
}

type onShard struct {
	table *Table
	shard int
}

// fault is a text that the parser rejected.
type fault struct {
	message string
	piece   int
	token   int // ordinal in the piece; see atNone and atEnd
	char    int // in place of token: the character, of a text that no token counts in
}

const (
	atNone = -1
	atEnd  = -2
)

// place solves the graph into a placement.
func (b *binder) place() placement {
	f := &b.facts
	p := placement{
		undeclared: f.undeclared, doubtful: f.doubtful, unknown: f.unknown, unknownWrite: f.unknownWrite, system: f.system,
		home: f.home, opens: f.opens, opaque: f.opaque, diverges: f.diverges, dated: f.dated, sequences: f.sequences, configs: configs{names: f.configs, any: f.configsAny},
	}
	sets := b.g.solve()
	tables := map[Table]bool{}
	for _, n := range b.needs {
		tables[*n.table] = true
		if sets[n.node] == nil {
			p.unbound = append(p.unbound, n)
			continue
		}
		p.bind(sets[n.node], n.table, n.use)
	}
	p.tables = len(tables)
	for _, l := range b.g.loops {
		if sets[l.own] != nil && sets[l.again] != nil && b.g.leads(l.own, b.needs) {
			p.bind(sets[l.again], nil, useRead)
		}
	}
	b.placeTables(&p)
	if f.strays != "" {
		p.forbidden = "ON CONFLICT may find another tenant's row of " + f.strays + ": its target does not have the tenant's column"
		p.strays = true
	}
	if f.guarded != "" {
		p.forbidden = f.guarded + " shows more than one tenant's data"
	}
	return p
}

// bind adds a set, unless it is known already.
func (p *placement) bind(set []constRef, t *Table, u use) {
	for i := range p.binds {
		k := &p.binds[i]
		if len(k.set) == len(set) && len(appendNew(k.set[:len(k.set):len(k.set)], set)) == len(set) {
			k.use = max(k.use, u)
			return
		}
	}
	p.binds = append(p.binds, bind{set: set, table: t, use: u})
}

// placeTables notes the tables that are not sharded.
func (b *binder) placeTables(p *placement) {
	for _, t := range b.facts.reads {
		b.placeTable(p, t)
		p.reference = p.reference || t.Kind == shardmap.Reference
	}
	for _, t := range b.facts.writes {
		b.placeTable(p, t)
		if t.Kind == shardmap.Reference {
			p.copies, p.dated = t, p.dated || b.r.takesNow(t)
			b.restamped(p, t)
		}
		if t.Kind != shardmap.Sharded && p.forbidden == "" {
			p.forbidden = t.Name + " is every tenant's"
		}
	}
}

func (b *binder) placeTable(p *placement, t *Table) {
	if t.Kind != shardmap.Unsharded {
		return
	}
	declared, _ := b.r.m.Table(t.Schema, t.Name)
	p.on = append(p.on, onShard{t, declared.On})
}

// leads reports whether a node can bind one of the needs.
func (g *graph) leads(from int32, needs []need) bool {
	seen := make([]bool, len(g.owner))
	queue := []int32{from}
	for len(queue) > 0 {
		n := queue[0]
		queue = queue[1:]
		if seen[n] {
			continue
		}
		seen[n] = true
		queue = append(queue, g.edges[n]...)
		for _, r := range g.rules {
			if slices.Contains(r.in, n) {
				queue = append(queue, r.out)
			}
		}
	}
	for _, n := range needs {
		if n.node != noNode && seen[n.node] {
			return true
		}
	}
	return false
}
