package router

import "slices"

// item is one element of a FROM list: a table reference, or the result of a
// subquery, a CTE or a function.
type item struct {
	id     int32
	alias  string
	schema string // of a table without an alias: it may be called schema.table
	cols   []col
	open   bool // it may have columns that are not in cols
}

// col is a column of an item. Its node is made when it is first asked for.
type col struct {
	name string
	node int32
	may  bool // of a base table: it may hold tenants, so it gets a node
}

// visible is a column that an unqualified name may mean.
type visible struct {
	name string
	it   *item // with index, unless node is set
	at   int
	node int32 // of a column that USING merged
}

// names is what a FROM clause, or a part of it, makes visible.
type names struct {
	items []*item
	cols  []visible
	open  bool
}

// scope is the names of one query level, and the levels around it.
type scope struct {
	names
	outer *scope
}

// of returns the names that one item makes visible.
func (it *item) names() names {
	n := names{items: []*item{it}, open: it.open}
	for i, c := range it.cols {
		n.cols = append(n.cols, visible{name: c.name, it: it, at: i})
	}
	return n
}

// beside returns the names of two FROM elements together.
func (n names) beside(m names) names {
	return names{
		items: append(n.items[:len(n.items):len(n.items)], m.items...),
		cols:  append(n.cols[:len(n.cols):len(n.cols)], m.cols...),
		open:  n.open || m.open,
	}
}

// nodeAt returns the node of an item's column; noNode if it can hold no tenant.
func (b *binder) nodeAt(it *item, at int) int32 {
	c := &it.cols[at]
	if c.node == noNode && c.may {
		c.node = b.g.node(it.id)
	}
	return c.node
}

func (b *binder) nodeOf(v visible) int32 {
	if v.it == nil {
		return v.node
	}
	return b.nodeAt(v.it, v.at)
}

// lookup finds what an unqualified name means. Where it could mean two columns
// PostgreSQL reports an error, and nothing is concluded here.
func (b *binder) lookup(s *scope, column string) int32 {
	for ; s != nil; s = s.outer {
		found, node, dark := 0, int32(noNode), s.open
		for _, v := range s.cols {
			dark = dark || v.name == nameless
			if v.name == column {
				found++
				node = b.nodeOf(v)
			}
		}
		switch {
		case found == 1:
			return node
		case found > 1, dark:
			return noNode
		}
	}
	return noNode
}

// lookupIn finds a column by the name of its table.
func (b *binder) lookupIn(s *scope, schema, table, column string) int32 {
	for ; s != nil; s = s.outer {
		for _, it := range s.items {
			if it.alias != table || schema != "" && it.schema != schema {
				continue
			}
			if i := slices.IndexFunc(it.cols, func(c col) bool { return c.name == column }); i >= 0 {
				return b.nodeAt(it, i)
			}
			return noNode
		}
	}
	return noNode
}

// find returns the node of the one visible column of a name.
func (b *binder) find(n names, column string) (int32, bool) {
	found, node := 0, int32(noNode)
	for _, v := range n.cols {
		if v.name == column {
			found++
			node = b.nodeOf(v)
		}
	}
	return node, found == 1
}

// without returns the visible columns whose names are not in merged.
func without(cols []visible, merged []visible) []visible {
	var rest []visible
	for _, v := range cols {
		hidden := false
		for _, m := range merged {
			hidden = hidden || m.name == v.name
		}
		if !hidden {
			rest = append(rest, v)
		}
	}
	return rest
}

// result is the columns of a query's result.
type result struct {
	cols []outcol
	open bool // more or other columns than known
}

// outcol is a column of a result. With inward, a filter on it may be pushed
// into the query.
type outcol struct {
	name   string
	node   int32
	inward bool
}

// rename applies the column names of an alias. Which columns of an open item they
// name is not known, nor what the others are called then.
func (it *item) rename(alias *aliasNode) {
	for i, n := range alias.GetColnames() {
		switch {
		case it.open:
			it.hide()
			return
		case i < len(it.cols):
			it.cols[i].name = stringOf(n)
		}
	}
}

// hide leaves the columns of an item without names.
func (it *item) hide() {
	for i := range it.cols {
		it.cols[i].name = nameless
	}
}

// scopes of CTEs, innermost first.
type ctes struct {
	outer *ctes
	list  []*cte
	ahead []string // of WITH RECURSIVE: all names, which may be read before they are in list
}

// cte is a common table expression.
type cte struct {
	name string
	res  result
	refs int
	ins  [][2]int32 // node of a reference's column, node of the CTE's
	pure bool       // a plain query, into which a filter may be pushed
}

// find returns the CTE that a name means, or reports one that is defined behind
// what reads it.
func (c *ctes) find(name string) (found *cte, ahead bool) {
	for ; c != nil; c = c.outer {
		for _, e := range c.list {
			if e.name == name {
				return e, false
			}
		}
		if slices.Contains(c.ahead, name) {
			return nil, true
		}
	}
	return nil, false
}
