package router

// query binds a SELECT, VALUES or set operation.
func (b *binder) query(q *selectNode, s *scope) result {
	end := b.with(q.GetWithClause(), s)
	defer end()
	b.locking(q)
	b.chosenByOrder(q)
	if q.GetIntoClause() != nil {
		b.into(q.GetIntoClause())
	}
	var res result
	switch {
	case q.GetOp() != setNone:
		res = b.arms(q, s)
	case len(q.GetValuesLists()) > 0:
		res = b.valuesList(q, s)
	default:
		res = b.plain(q, s)
	}
	if q.GetLimitCount() != nil || q.GetLimitOffset() != nil {
		res.seal()
	}
	return res
}

// source binds a query in FROM, or a view's.
func (b *binder) source(q *selectNode, s *scope) result {
	if !b.rowByRow(q) {
		b.mixes++
		defer func() { b.mixes-- }()
	}
	return b.query(q, s)
}

// rowByRow reports whether each row of a query's result is made of one row of
// its FROM, and each of those makes one, or none that WHERE lets pass.
func (b *binder) rowByRow(q *selectNode) bool {
	if q.GetOp() != setNone || len(q.GetValuesLists()) > 0 || len(q.GetGroupClause()) > 0 || q.GetHavingClause() != nil ||
		len(q.GetDistinctClause()) > 0 || q.GetLimitCount() != nil || q.GetLimitOffset() != nil {
		return false
	}
	plain := true
	var look func(n *node)
	look = func(n *node) {
		c := n.GetFuncCall()
		plain = plain && (c == nil || c.GetOver() == nil && !b.isAggregate(c)) && !isAggregateOfJSON(n)
		if n.GetSubLink() != nil {
			plain = false // an aggregate in it may be this query's
			return
		}
		plain = children(n, look) && plain
	}
	for _, n := range q.GetTargetList() {
		look(n.GetResTarget().GetVal())
	}
	return plain
}

// isAggregate reports whether a call may be of an aggregate.
func (b *binder) isAggregate(c *callNode) bool {
	f := c.GetFuncname()
	if len(f) == 0 || len(f) > 2 {
		return true
	}
	schema := ""
	if len(f) == 2 {
		schema = stringOf(f[0])
	}
	return c.GetAggStar() || b.r.catalog.function(b.path, schema, stringOf(f[len(f)-1])).aggregate
}

// seal forbids pushing filters into a result.
func (r *result) seal() {
	for i := range r.cols {
		r.cols[i].inward = false
	}
}

// arms binds a set operation: a column of the result is bound where both arms'
// is, and a filter on it may be pushed into both.
func (b *binder) arms(q *selectNode, s *scope) result {
	left, right := b.query(q.GetLarg(), s), b.query(q.GetRarg(), s)
	b.expressions(&scope{outer: s}, q.GetSortClause()...)
	b.expressions(s, q.GetLimitCount(), q.GetLimitOffset())
	res := result{open: left.open || right.open}
	for i, l := range left.cols {
		out := outcol{name: l.name}
		if i < len(right.cols) && l.node != noNode && right.cols[i].node != noNode && !res.open {
			r := right.cols[i]
			out.node = b.g.node(noItem)
			b.g.rules = append(b.g.rules, rule{in: []int32{l.node, r.node}, out: out.node})
			out.inward = l.inward && r.inward
			if out.inward {
				b.g.edge(out.node, l.node)
				b.g.edge(out.node, r.node)
			}
		}
		res.cols = append(res.cols, out)
	}
	return res
}

// valuesList binds VALUES: a column is bound where it is in every row.
// What an INSERT has as its VALUES goes into the columns row by row.
func (b *binder) valuesList(q *selectNode, s *scope) result {
	rows, read := q.GetValuesLists(), b.value
	if q == b.inserts {
		read = b.intoTenant
	}
	var cols [][]int32
	var res result
	for k, row := range rows {
		items := row.GetList().GetItems()
		for i, n := range items {
			b.expressions(s, n)
			res.open = res.open || expands(n)
			if k == 0 {
				cols = append(cols, nil)
			}
			if i < len(cols) {
				cols[i] = append(cols[i], read(n, s))
			}
		}
	}
	for i, in := range cols {
		out := outcol{name: "column" + itoa(i+1)}
		if len(in) == len(rows) && !res.open {
			out.node = b.g.all(in)
		}
		res.cols = append(res.cols, out)
	}
	return res
}

// plain binds a SELECT with a target list.
func (b *binder) plain(q *selectNode, s *scope) result {
	level := &scope{outer: s}
	lo, around := b.items, b.outers
	b.outers = nil
	for _, n := range q.GetFromClause() {
		level.names = level.beside(b.from(n, level))
	}
	own := reach{lo, b.items}
	if q == b.watch {
		b.top = level
	}
	b.filter(q.GetWhereClause(), level, own)
	b.reduce(q.GetWhereClause(), level)
	b.outers = around
	b.expressions(level, q.GetTargetList()...)
	b.expressions(level, q.GetGroupClause()...)
	b.filter(q.GetHavingClause(), level, reach{})
	b.expressions(level, q.GetWindowClause()...)
	b.expressions(level, q.GetDistinctClause()...)
	b.expressions(level, q.GetLimitCount(), q.GetLimitOffset())
	for _, n := range q.GetSortClause() {
		b.expressions(level, n)
	}
	res := b.targets(q.GetTargetList(), level)
	b.push(q, level, own, res.cols)
	return res
}

// filter binds a condition whose rows are kept only where it is true.
func (b *binder) filter(n *node, s *scope, r reach) {
	if n == nil {
		return
	}
	b.expressions(s, n)
	b.conjunct(n, s, r)
}

// targets returns the columns of a target or RETURNING list.
func (b *binder) targets(list []*node, s *scope) result {
	var res result
	for _, n := range list {
		t := n.GetResTarget()
		ref := t.GetVal().GetColumnRef()
		if fields := ref.GetFields(); len(fields) > 0 && fields[len(fields)-1].GetAStar() != nil {
			res.star(b, fields[:len(fields)-1], s)
			continue
		}
		if expands(t.GetVal()) { // (x).*
			res.open = true
			continue
		}
		out := outcol{name: t.GetName()}
		if x := b.value(t.GetVal(), s); x != noNode {
			out.node = b.g.node(noItem)
			b.g.edge(x, out.node)
		}
		if out.name == "" {
			out.name = implied(t.GetVal())
		}
		res.cols = append(res.cols, out)
	}
	return res
}

// star adds the columns that * or table.* stands for.
func (r *result) star(b *binder, table []*node, s *scope) {
	var from names
	switch len(table) {
	case 0:
		from = s.names
	case 1, 2:
		schema := ""
		if len(table) == 2 {
			schema = stringOf(table[0])
		}
		from = b.starred(s, schema, stringOf(table[len(table)-1]))
	default:
		from.open = true
	}
	r.open = r.open || from.open
	for _, v := range from.cols {
		out := outcol{name: v.name}
		if x := b.nodeOf(v); x != noNode {
			out.node = b.g.node(noItem)
			b.g.edge(x, out.node)
		}
		r.cols = append(r.cols, out)
	}
}

// starred returns the names that table.* stands for.
func (b *binder) starred(s *scope, schema, table string) names {
	for ; s != nil; s = s.outer {
		for _, it := range s.items {
			if it.alias == table && (schema == "" || it.schema == schema) {
				return it.names()
			}
		}
	}
	return names{open: true}
}

// push lets filters on the result reach the columns below, where that cannot
// change the result: not past LIMIT, DISTINCT ON or a window, and past GROUP BY
// for the grouped columns only.
func (b *binder) push(q *selectNode, s *scope, own reach, cols []outcol) {
	if distinctOn(q) || b.windowed(q.GetTargetList()) {
		return
	}
	grouped := map[int32]bool{}
	for _, n := range q.GetGroupClause() {
		if n.GetGroupingSet() != nil {
			return
		}
		grouped[b.value(n, s)] = true
	}
	group := len(q.GetGroupClause()) > 0 || q.GetHavingClause() != nil
	below := map[int32][]int32{}
	for from, edges := range b.g.edges {
		for _, to := range edges {
			below[to] = append(below[to], int32(from))
		}
	}
	for i := range cols {
		for _, x := range below[cols[i].node] {
			if b.g.within(x, own) && (!group || grouped[x]) {
				cols[i].inward = true
				b.g.edge(cols[i].node, x)
			}
		}
	}
}

// distinctOn reports DISTINCT ON, which keeps one row of several.
func distinctOn(q *selectNode) bool {
	d := q.GetDistinctClause()
	return len(d) > 0 && d[0].GetNode() != nil
}

// windowed reports whether a window function is called in a target list.
func (b *binder) windowed(list []*node) bool {
	found := false
	var look func(n *node)
	look = func(n *node) {
		if n.GetFuncCall().GetOver() != nil {
			found = true
		}
		if n.GetSubLink() == nil {
			children(n, look)
		}
	}
	for _, n := range list {
		look(n)
	}
	return found
}
