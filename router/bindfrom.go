package router

// from binds one element of a FROM list. s has the names to its left, which
// LATERAL may use.
func (b *binder) from(n *node, s *scope) names {
	if x := n.GetRangeVar(); x != nil {
		return b.relation(x, useRead).names()
	}
	if x := n.GetJoinExpr(); x != nil {
		return b.join(x, s)
	}
	if x := n.GetRangeSubselect(); x != nil {
		return b.subselect(x, s)
	}
	if x := n.GetRangeFunction(); x != nil {
		return b.functions(x, s)
	}
	if x := n.GetRangeTableSample(); x != nil {
		b.facts.refuseCache("TABLESAMPLE")
		b.diverge("TABLESAMPLE")
		b.expressions(s, n)
		return b.from(x.GetRelation(), s)
	}
	b.expressions(s, n)
	it := b.item(n.GetRangeTableFunc().GetAlias())
	if x := n.GetJsonTable(); x != nil {
		it.alias = x.GetAlias().GetAliasname()
	}
	it.open = true
	return it.names()
}

// item makes an item with an alias.
func (b *binder) item(alias *aliasNode) *item {
	it := &item{id: b.items, alias: alias.GetAliasname()}
	b.items++
	return it
}

// fill gives an item the columns of a result.
func (b *binder) fill(it *item, res result, alias *aliasNode) {
	it.open = it.open || res.open
	for _, o := range res.cols {
		it.cols = append(it.cols, col{name: o.name, node: o.node})
		if o.node != noNode {
			b.g.owner[o.node] = it.id
		}
	}
	it.rename(alias)
}

func (b *binder) subselect(x *subselectNode, s *scope) names {
	around := s.outer
	if x.GetLateral() {
		around = s
	}
	res := b.source(x.GetSubquery().GetSelectStmt(), around)
	it := b.item(x.GetAlias())
	fresh := result{open: res.open}
	for _, o := range res.cols {
		fresh.cols = append(fresh.cols, b.above(o))
	}
	b.fill(it, fresh, x.GetAlias())
	return it.names()
}

// above returns a column that stands for o in the query around.
func (b *binder) above(o outcol) outcol {
	if o.node == noNode {
		return o
	}
	n := b.g.node(noItem)
	b.g.edge(o.node, n)
	if o.inward {
		b.g.edge(n, o.node)
	}
	return outcol{name: o.name, node: n, inward: o.inward}
}

// reference makes an item for a CTE.
func (b *binder) reference(c *cte, x *rangeNode) *item {
	it := b.item(x.GetAlias())
	if it.alias == "" {
		it.alias = x.GetRelname()
	}
	c.refs++
	res := result{open: c.res.open}
	for _, o := range c.res.cols {
		up := outcol{name: o.name}
		if o.node != noNode {
			up.node = b.g.node(noItem)
			b.g.edge(o.node, up.node)
			if o.inward {
				c.ins = append(c.ins, [2]int32{up.node, o.node})
			}
		}
		res.cols = append(res.cols, up)
	}
	b.fill(it, res, x.GetAlias())
	return it
}

// functions binds functions in FROM. The values of unnest are those of its
// arrays.
func (b *binder) functions(x *functionsNode, s *scope) names {
	it := b.item(x.GetAlias())
	single := it.alias != ""
	var res result
	for _, f := range x.GetFunctions() {
		pair := f.GetList().GetItems()
		for _, n := range pair {
			b.expressions(s, n)
		}
		call := (*callNode)(nil)
		if len(pair) > 0 {
			call = pair[0].GetFuncCall()
		}
		if names := call.GetFuncname(); it.alias == "" && len(names) > 0 {
			it.alias, single = stringOf(names[len(names)-1]), len(x.GetFunctions()) == 1
		}
		if !isUnnest(call) {
			res.open = true
			continue
		}
		for _, arg := range call.GetArgs() {
			res.open = res.open || b.ofRows(arg)
			res.cols = append(res.cols, b.above(outcol{name: "unnest", node: b.array(arg)}))
		}
	}
	if res.open {
		res.cols = nil // which column is which is not known
	}
	if len(res.cols) == 1 && single {
		res.cols[0].name = it.alias
	}
	if x.GetOrdinality() {
		res.cols = append(res.cols, outcol{name: "ordinality"})
	}
	b.fill(it, res, x.GetAlias())
	return it.names()
}

// ofRows reports an array whose elements may be rows, of which unnest makes as
// many columns as they have. Types that the catalog has no table of are taken for
// such as have one value.
func (b *binder) ofRows(array *node) bool {
	x := array.GetTypeCast()
	if x == nil || len(x.GetTypeName().GetArrayBounds()) == 0 {
		return b.array(array) == noNode && array.GetParamRef() == nil && array.GetAConst() == nil
	}
	names := x.GetTypeName().GetNames()
	schema, of := "", stringOf(names[len(names)-1])
	if len(names) > 1 {
		schema = stringOf(names[len(names)-2])
	} else {
		schema, _ = b.r.catalog.find(b.path, of)
	}
	return b.r.catalog.relations[name{schema, of}] != nil
}

// isUnnest reports a call of unnest of arrays.
func isUnnest(c *callNode) bool {
	f := c.GetFuncname()
	return len(f) > 0 && stringOf(f[len(f)-1]) == "unnest" && (len(f) == 1 || stringOf(f[0]) == systemSchema)
}

// join binds a JOIN. The condition of an outer join says something of its
// nullable side only.
func (b *binder) join(x *joinNode, s *scope) names {
	lo := b.items
	left := b.from(x.GetLarg(), s)
	mid := b.items
	beside := &scope{names: s.names.beside(left), outer: s.outer}
	right := b.from(x.GetRarg(), beside)
	hi := b.items
	var r reach
	switch x.GetJointype() {
	case joinInner:
		r = reach{lo, hi}
	case joinLeft:
		r = reach{mid, hi}
		b.nullable = append(b.nullable, r)
	case joinRight:
		r = reach{lo, mid}
		b.nullable = append(b.nullable, r)
	default:
		b.nullable = append(b.nullable, reach{lo, hi})
	}
	merged, pairs := b.using(x, left, right, r)
	joined := left.beside(right)
	if len(merged) > 0 {
		rest := append(without(left.cols, merged), without(right.cols, merged)...)
		joined.cols = append(append([]visible(nil), merged...), rest...)
	}
	if merged != nil && x.GetJoinUsingAlias() != nil {
		joined.items = append(joined.items, b.named(names{cols: merged}, x.GetJoinUsingAlias()).items...)
	}
	on := &scope{names: joined, outer: s.outer}
	b.filter(x.GetQuals(), on, r)
	if x.GetJointype() == joinLeft || x.GetJointype() == joinRight {
		b.outers = append(b.outers, outer{x.GetQuals(), on, pairs, r, reach{lo, hi}})
	}
	return b.named(joined, x.GetAlias())
}

// using binds the columns that USING and NATURAL make equal, and returns the
// columns that they become, and which two each was.
func (b *binder) using(x *joinNode, left, right names, r reach) (merged []visible, pairs [][2]int32) {
	var list []string
	for _, n := range x.GetUsingClause() {
		list = append(list, stringOf(n))
	}
	if x.GetIsNatural() && !left.open && !right.open {
		for _, v := range left.cols {
			if _, ok := b.find(right, v.name); ok {
				list = append(list, v.name)
			}
		}
	}
	for _, column := range list {
		l, _ := b.find(left, column)
		rt, _ := b.find(right, column)
		b.g.equal(l, rt, r)
		pairs = append(pairs, [2]int32{l, rt})
		v := visible{name: column, node: l}
		switch {
		case x.GetJointype() == joinFull:
			v.node = b.fullColumn(l, rt)
		case x.GetJointype() == joinRight, l == noNode && x.GetJointype() == joinInner:
			v.node = rt
		}
		merged = append(merged, v)
	}
	return merged, pairs
}

// fullColumn returns the column that a FULL JOIN makes of two: a filter on it
// filters both sides.
func (b *binder) fullColumn(l, r int32) int32 {
	if l == noNode || r == noNode {
		return noNode
	}
	out := b.g.all([]int32{l, r})
	b.g.owner[out] = b.g.owner[l]
	b.fulls = append(b.fulls, out)
	b.g.edge(out, l)
	b.g.edge(out, r)
	return out
}

// named hides the names of a join behind its alias.
func (b *binder) named(n names, alias *aliasNode) names {
	if alias.GetAliasname() == "" {
		return n
	}
	it := &item{id: noItem, alias: alias.GetAliasname(), open: n.open}
	for _, v := range n.cols {
		it.cols = append(it.cols, col{name: v.name, node: b.nodeOf(v)})
	}
	it.rename(alias)
	return it.names()
}
