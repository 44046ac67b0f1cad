package router

import (
	"slices"

	"github.com/pgdrover/pgdrover/shardmap"
)

// insert binds an INSERT: the tenant of the rows it inserts is a value of its
// source.
func (b *binder) insert(x *insertNode, s *scope) result {
	end := b.with(x.GetWithClause(), s)
	defer end()
	b.facts.writing("INSERT")
	b.facts.fills = true
	source := result{open: x.GetSelectStmt() == nil}
	if x.GetSelectStmt() != nil {
		b.inserts = x.GetSelectStmt().GetSelectStmt()
		source = b.query(x.GetSelectStmt().GetSelectStmt(), s)
	}
	b.insertDefaults(x, source)
	it := b.relation(x.GetRelation(), useInsert)
	t, rel, column := b.insertTarget(x.GetRelation())
	own := int32(noNode)
	if t != nil {
		own = insertedTenant(x, rel, source, column)
		b.needs = append(b.needs, need{table: t, node: own, use: useInsert})
		b.same(it, column, own)
	}
	level := &scope{names: it.names(), outer: s}
	if on := x.GetOnConflictClause(); on != nil {
		b.conflict(on, it, t, level)
		if t != nil && len(on.GetTargetList()) > 0 && !infers(on, column) {
			b.facts.strays = t.Name
		}
	}
	b.expressions(level, x.GetReturningList()...)
	return b.targets(x.GetReturningList(), level)
}

// insertTarget returns the sharded table that an INSERT fills, its relation (of
// a view the view), and the name of the column that holds the tenant; nil if
// there is none.
func (b *binder) insertTarget(x *rangeNode) (*Table, *Relation, string) {
	c, schema := b.r.catalog, x.GetSchemaname()
	if b.r.m.BySchema() {
		return nil, nil, "" // no column says whose a row is
	}
	if schema == "" {
		schema, _ = c.find(b.path, x.GetRelname())
	}
	if isSystem(schema) {
		return nil, nil, ""
	}
	rel := c.relations[name{schema, x.GetRelname()}]
	t := b.r.table(schema, x.GetRelname(), rel)
	if rel != nil && rel.Kind == "v" {
		return b.viewTarget(rel)
	}
	if t == nil || t.Kind != shardmap.Sharded {
		return nil, nil, ""
	}
	return t, rel, t.Column
}

// viewTarget finds the table behind a view that PostgreSQL lets rows be
// inserted through, and the view's name for the tenant column.
func (b *binder) viewTarget(rel *Relation) (*Table, *Relation, string) {
	q := b.r.viewTree(rel).GetSelectStmt()
	if len(q.GetFromClause()) != 1 || q.GetFromClause()[0].GetRangeVar() == nil {
		return nil, nil, ""
	}
	t, inner, column := b.insertTarget(q.GetFromClause()[0].GetRangeVar())
	if t == nil || inner == nil {
		return t, nil, ""
	}
	for i, n := range q.GetTargetList() {
		f := n.GetResTarget().GetVal().GetColumnRef().GetFields()
		if len(f) > 0 && stringOf(f[len(f)-1]) == column && i < len(rel.Columns) {
			return t, rel, rel.Columns[i].Name
		}
	}
	return t, rel, ""
}

// insertedTenant returns the node of the values that go into a column.
func insertedTenant(x *insertNode, rel *Relation, source result, column string) int32 {
	if source.open || column == "" {
		return noNode
	}
	at := -1
	for i, n := range x.GetCols() {
		if n.GetResTarget().GetName() == column {
			at = i
		}
	}
	if len(x.GetCols()) == 0 && rel != nil {
		for i, c := range rel.Columns {
			if c.Name == column {
				at = i
			}
		}
	}
	if at < 0 || at >= len(source.cols) {
		return noNode
	}
	return source.cols[at].node
}

// same makes a column of an item hold what own holds.
func (b *binder) same(it *item, column string, own int32) {
	for i, c := range it.cols {
		if c.name == column {
			b.g.edge(own, b.nodeAt(it, i))
		}
	}
}

// infers reports whether the rows that ON CONFLICT finds have the same value in
// a column as those to insert.
func infers(on *conflictNode, column string) bool {
	for _, n := range on.GetInfer().GetIndexElems() {
		if n.GetIndexElem().GetName() == column && column != "" {
			return true
		}
	}
	return false
}

// conflict binds ON CONFLICT … DO UPDATE.
func (b *binder) conflict(on *conflictNode, it *item, t *Table, level *scope) {
	excluded := &item{id: it.id, alias: "excluded", open: it.open, cols: append([]col(nil), it.cols...)}
	level = &scope{names: it.names().beside(names{items: []*item{excluded}}), outer: level.outer}
	b.expressions(level, on.GetInfer().GetIndexElems()...)
	b.expressions(level, on.GetInfer().GetWhereClause(), on.GetWhereClause())
	b.assign(on.GetTargetList(), t, level)
	if len(on.GetTargetList()) > 0 {
		b.facts.updates, b.facts.fills = true, true
	}
}

// assign binds the SET list of an UPDATE. A tenant column may only be set to a
// tenant of the same shard.
func (b *binder) assign(list []*node, t *Table, s *scope) {
	for _, n := range list {
		target := n.GetResTarget()
		b.expression(target.GetVal(), s)
		if t != nil && target.GetName() == t.Column && t.Column != "" {
			b.needs = append(b.needs, need{table: t, node: b.intoTenant(assigned(target.GetVal()), s), use: useSet})
		}
	}
}

// assigned returns the expression that (a, b) = ROW(x, y) gives one column.
func assigned(n *node) *node {
	m := n.GetMultiAssignRef()
	if m == nil {
		return n
	}
	args := m.GetSource().GetRowExpr().GetArgs()
	if at := int(m.GetColno()) - 1; at >= 0 && at < len(args) {
		return args[at]
	}
	return nil
}

// target binds the table that UPDATE, DELETE or MERGE changes.
func (b *binder) target(x *rangeNode) (*item, *Table) {
	it := b.relation(x, useWrite)
	t, _, column := b.insertTarget(x)
	if t != nil && column != t.Column {
		t = &Table{Schema: t.Schema, Name: t.Name, Kind: t.Kind, Column: column}
	}
	return it, t
}

func (b *binder) update(x *updateNode, s *scope) result {
	end := b.with(x.GetWithClause(), s)
	defer end()
	b.facts.writing("UPDATE")
	b.facts.updates, b.facts.fills = true, true
	lo := b.items
	it, t := b.target(x.GetRelation())
	level := &scope{names: it.names(), outer: s}
	for _, n := range x.GetFromClause() {
		level.names = level.beside(b.from(n, level))
	}
	b.filter(x.GetWhereClause(), level, reach{lo, b.items})
	b.assign(x.GetTargetList(), t, level)
	b.setDefaults(x.GetRelation(), x.GetTargetList())
	b.expressions(level, x.GetReturningList()...)
	return b.targets(x.GetReturningList(), level)
}

func (b *binder) delete(x *deleteNode, s *scope) result {
	end := b.with(x.GetWithClause(), s)
	defer end()
	b.facts.writing("DELETE")
	b.facts.deletes = true
	lo := b.items
	it, _ := b.target(x.GetRelation())
	level := &scope{names: it.names(), outer: s}
	for _, n := range x.GetUsingClause() {
		level.names = level.beside(b.from(n, level))
	}
	b.filter(x.GetWhereClause(), level, reach{lo, b.items})
	b.expressions(level, x.GetReturningList()...)
	return b.targets(x.GetReturningList(), level)
}

// merge binds a MERGE. Its source keeps all rows, so the condition says
// something of the target only; and of neither where target rows without a
// source row are acted on.
func (b *binder) merge(x *mergeNode, s *scope) result {
	end := b.with(x.GetWithClause(), s)
	defer end()
	b.facts.writing("MERGE")
	lo := b.items
	it, t := b.target(x.GetRelation())
	r := reach{lo, b.items}
	left := &scope{outer: s}
	source := b.from(x.GetSourceRelation(), left)
	level := &scope{names: source.beside(it.names()), outer: s} // in the order of RETURNING *
	matched := true
	for _, n := range x.GetMergeWhenClauses() {
		w := n.GetMergeWhenClause()
		if w.GetMatchKind() == mergeOrphan {
			r = reach{}
		}
		matched = matched && (w.GetCommandType() == mergeUpdate || w.GetCommandType() == mergeDelete || w.GetCommandType() == mergeNothing)
	}
	if matched && r.hi != 0 {
		r.hi = b.items // only pairs are acted on
	}
	b.filter(x.GetJoinCondition(), level, r)
	for _, n := range x.GetMergeWhenClauses() {
		b.when(n.GetMergeWhenClause(), it, t, level)
		b.mergeDefaults(x.GetRelation(), n.GetMergeWhenClause())
	}
	b.expressions(level, x.GetReturningList()...)
	return b.targets(x.GetReturningList(), level)
}

// when binds one action of a MERGE.
func (b *binder) when(w *whenNode, it *item, t *Table, s *scope) {
	b.expression(w.GetCondition(), s)
	switch w.GetCommandType() {
	case mergeUpdate:
		b.facts.updates, b.facts.fills = true, true
		b.assign(w.GetTargetList(), t, s)
	case mergeDelete:
		b.facts.deletes = true
	case mergeInsert:
		b.facts.fills = true
		b.expressions(s, w.GetValues()...)
		if t == nil {
			return
		}
		own := int32(noNode)
		if at := mergedColumn(w, it, t.Column); at >= 0 && at < len(w.GetValues()) {
			own = b.value(w.GetValues()[at], s)
		}
		b.needs = append(b.needs, need{table: t, node: own, use: useInsert})
	}
}

// mergedColumn returns which value of MERGE's INSERT goes into a column; -1:
// none.
func mergedColumn(w *whenNode, it *item, column string) int {
	for i, n := range w.GetTargetList() {
		if n.GetResTarget().GetName() == column {
			return i
		}
	}
	if len(w.GetTargetList()) > 0 {
		return -1
	}
	return slices.IndexFunc(it.cols, func(c col) bool { return c.name == column })
}
