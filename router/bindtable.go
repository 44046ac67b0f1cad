package router

import (
	"slices"
	"strings"
	"sync"

	"github.com/pgdrover/pgdrover/shardmap"
)

// maxViews bounds how deep views are read.
const maxViews = 32

// relation binds a table reference, and notes what must be bound to the tenant.
func (b *binder) relation(x *rangeNode, u use) *item {
	if x.GetSchemaname() == "" && u == useRead {
		c, ahead := b.ctes.find(x.GetRelname())
		if c != nil {
			return b.reference(c, x)
		}
		if ahead {
			b.facts.opaque = "a query that reads " + x.GetRelname() + ", which WITH RECURSIVE defines behind it,"
			it := b.item(x.GetAlias())
			it.open = true
			return it
		}
	}
	it := b.item(x.GetAlias())
	if it.alias == "" {
		it.alias, it.schema = x.GetRelname(), x.GetSchemaname()
	}
	t, rel := b.resolve(x, u)
	if t != nil && it.schema == "" && x.GetAlias() == nil {
		it.schema = t.Schema
	}
	switch {
	case rel != nil && rel.Kind == "v":
		b.view(it, rel, x.GetAlias(), u)
		return it
	case t == nil, b.r.isTenants(t):
		it.open = true
		return it
	}
	b.columns(it, t, rel)
	it.rename(x.GetAlias())
	if t.Kind == shardmap.Sharded && u != useInsert {
		tenant := b.tenantNode(it, t, rel)
		b.needs = append(b.needs, need{table: t, node: tenant, use: u})
		if b.mixes == 0 && u == useRead && tenant != noNode {
			b.drivers = append(b.drivers, tenant)
		}
	}
	return it
}

// resolve finds what a name means, and notes it. A nil Table is a relation that
// needs no placing, or one that nothing is known of.
func (b *binder) resolve(x *rangeNode, u use) (*Table, *Relation) {
	schema, relation := x.GetSchemaname(), x.GetRelname()
	if strings.HasPrefix(schema, "pg_temp") {
		b.facts.refuseCache("a temporary table")
		return nil, nil
	}
	if b.r.m.BySchema() {
		if t := b.tenantTable(x, u); t != nil {
			return t, nil
		}
	}
	c := b.r.catalog
	if schema == "" {
		schema, _ = c.find(b.path, relation)
	}
	if isSystem(schema) {
		b.systemRelation(relation, u)
		return nil, nil
	}
	rel := c.relations[name{schema, relation}]
	t := b.r.table(schema, relation, rel)
	if t == nil {
		b.unknownRelation(x, u)
		return nil, nil
	}
	if rel != nil {
		b.relationFacts(rel)
		if rel.Kind == "v" {
			return t, rel
		}
	}
	b.note(t, u)
	return t, rel
}

// relationFacts notes what a relation's own properties say of caching.
func (b *binder) relationFacts(rel *Relation) {
	switch {
	case rel.RowSecurity:
		b.facts.refuseCache("row-level security on " + rel.Name)
	case rel.Kind == "f":
		b.facts.refuseCache("a foreign table")
	case rel.Kind == "m":
		b.facts.refuseCache("a materialized view")
	case rel.Rules && rel.Kind != "v":
		b.facts.refuseCache("rules on " + rel.Name)
	}
}

// note lists a table as read or written.
func (b *binder) note(t *Table, u use) {
	list := &b.facts.reads
	if u != useRead {
		list = &b.facts.writes
	}
	if !slices.ContainsFunc(*list, func(k *Table) bool { return *k == *t }) {
		*list = append(*list, t)
	}
	if t.Kind == 0 {
		b.facts.undeclared = append(b.facts.undeclared, t)
	}
	if !b.r.cached(t.Schema, t.Name) {
		b.facts.refuseCache(t.Name + " is not listed for caching")
	}
}

func (b *binder) unknownRelation(x *rangeNode, u use) {
	text := x.GetRelname()
	if x.GetSchemaname() != "" {
		text = x.GetSchemaname() + "." + text
	}
	b.facts.unknown = append(b.facts.unknown, text)
	if u != useRead && b.facts.unknownWrite == "" {
		b.facts.unknownWrite = text
	}
	b.facts.refuseCache(text + " is not in the catalog")
}

// systemRelation notes a relation of PostgreSQL's own.
func (b *binder) systemRelation(relation string, u use) {
	b.facts.system = true
	b.facts.refuseCache("system catalogs")
	if u != useRead {
		b.facts.home = "a system catalog is written"
		if relation == "pg_settings" && b.r.m.BySchema() { // which sets them
			b.facts.settings++
			b.facts.configsAny = true
		}
	}
	for _, prefix := range []string{"pg_stat", "pg_largeobject", "pg_prepared", "pg_cursors"} {
		if strings.HasPrefix(relation, prefix) && b.facts.guarded == "" {
			b.facts.guarded = relation
		}
	}
}

// table returns what a relation is to routing; nil when neither the catalog nor
// the map knows it.
func (r *Router) table(schema, relation string, rel *Relation) *Table {
	declared, ok := r.m.Table(schema, relation)
	if rel == nil && !ok {
		return nil
	}
	t := &Table{Schema: schema, Name: relation}
	if ok {
		t.Kind, t.Column = declared.Kind, declared.Column
		if schema == "" {
			t.Schema = declared.Schema
		}
	} else if _, has := rel.column(r.m.TenantColumn()); has {
		t.Kind = shardmap.Sharded
	}
	if t.Kind == shardmap.Sharded && t.Column == "" {
		t.Column = r.m.TenantColumn()
	}
	return t
}

// columns gives an item the columns of its table.
func (b *binder) columns(it *item, t *Table, rel *Relation) {
	if rel == nil {
		it.open = true
		if t.Kind == shardmap.Sharded {
			it.cols = []col{{name: t.Column, may: true}}
		}
		return
	}
	for _, c := range rel.Columns {
		tenant := t.Kind == shardmap.Sharded && c.Name == t.Column
		it.cols = append(it.cols, col{name: c.Name, may: tenant || tenantType(b.r.m.TenantType(), c)})
	}
}

// tenantNode returns the node of the tenant column of an item.
func (b *binder) tenantNode(it *item, t *Table, rel *Relation) int32 {
	if rel == nil && len(it.cols) > 0 {
		return b.nodeAt(it, 0)
	}
	for i := range it.cols {
		if i < len(rel.Columns) && rel.Columns[i].Name == t.Column {
			return b.nodeAt(it, i)
		}
	}
	return noNode
}

// viewCache keeps the trees of view definitions. It is safe for concurrent use.
type viewCache struct {
	mu    sync.Mutex
	trees map[*Relation]*node
}

// viewTree returns the query of a view; nil if it cannot be read.
func (r *Router) viewTree(rel *Relation) *node {
	r.views.mu.Lock()
	tree, ok := r.views.trees[rel]
	r.views.mu.Unlock()
	if ok {
		return tree
	}
	nodes, fault := r.parse(rel.Definition)
	if fault == nil && len(nodes) == 1 {
		tree = nodes[0]
	}
	r.views.mu.Lock()
	if r.views.trees == nil {
		r.views.trees = map[*Relation]*node{}
	}
	r.views.trees[rel] = tree
	r.views.mu.Unlock()
	return tree
}

// view binds a view as the subquery that it is.
func (b *binder) view(it *item, rel *Relation, alias *aliasNode, u use) {
	tree := b.r.viewTree(rel)
	if tree.GetSelectStmt() == nil || b.views >= maxViews {
		b.facts.opaque = "the view " + rel.Name + ", whose definition cannot be read"
		it.open = true
		return
	}
	src, around, reads := b.src, b.ctes, b.facts.reads
	b.src, b.ctes, b.facts.reads = nil, nil, nil
	b.views++
	res := b.source(tree.GetSelectStmt(), nil)
	b.views--
	b.src, b.ctes = src, around
	below := b.facts.reads
	b.facts.reads = reads
	for _, t := range below {
		b.note(t, useRead)
		if u != useRead {
			b.note(t, u)
		}
	}
	cols := result{open: res.open}
	for i, c := range rel.Columns {
		if i < len(res.cols) {
			o := b.above(res.cols[i])
			o.name = c.Name
			cols.cols = append(cols.cols, o)
		}
	}
	b.fill(it, cols, alias)
}
