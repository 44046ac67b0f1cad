package router

// partial arranges a query whose aggregates can be made from the shards' own:
// each shard groups its rows, and the groups are grouped again.
func (a *arranger) partial() (*Portion, *Error) {
	q := a.sel
	g := &Portion{rows: a.rows, made: over(a.rows), targets: q.GetTargetList()}
	c := &combiner{arranger: a, g: g, groups: map[int]bool{}}
	for _, n := range q.GetGroupClause() {
		c.group(c.grouped(n))
	}
	for _, n := range q.GetTargetList() {
		c.replace(n.GetResTarget().GetVal())
	}
	for _, n := range q.GetSortClause() {
		c.item(n.GetSortBy().GetNode())
	}
	for _, n := range q.GetDistinctClause() {
		c.item(n)
	}
	c.replace(q.GetHavingClause())
	if a.fault != nil {
		return nil, a.fault
	}
	f := g.made
	f.TargetList, f.HavingClause, f.DistinctClause, f.SortClause = q.GetTargetList(), q.GetHavingClause(), q.GetDistinctClause(), q.GetSortClause()
	f.LimitCount, f.LimitOffset, f.LimitOption = q.GetLimitCount(), q.GetLimitOffset(), q.GetLimitOption()
	each := a.rowsOf()
	for i := range a.each {
		if c.groups[i] {
			each.GroupClause = append(each.GroupClause, integer(int32(i+1)))
			f.GroupClause = append(f.GroupClause, rowColumn(i))
		}
	}
	return g, a.finish(g, each)
}

// combiner rewrites expressions over the rows of a query for its groups.
type combiner struct {
	*arranger
	g      *Portion
	groups map[int]bool // columns that are grouped by
}

// grouped is the expression that an item of GROUP BY means.
func (c *combiner) grouped(n *node) *node {
	list := c.sel.GetTargetList()
	if at, ok := ordinal(n); ok && at >= 1 && at <= len(list) {
		return list[at-1].GetResTarget().GetVal()
	}
	if at := named(list, n); at >= 0 && !c.isInput(n) {
		return list[at].GetResTarget().GetVal()
	}
	return n
}

func (c *combiner) group(n *node) int {
	at := c.columnAt(&node{Node: n.Node})
	c.groups[at] = true
	return at
}

// item is replace for an item of ORDER BY or DISTINCT ON, which may name a
// column of the answer.
func (c *combiner) item(n *node) {
	if _, ok := ordinal(n); ok || n.GetNode() == nil || named(c.sel.GetTargetList(), n) >= 0 {
		return
	}
	c.replace(n)
}

// replace has an expression be computed of the gathered groups: what is grouped
// by is one of their columns, and so is a column that depends on it; an
// aggregate combines theirs.
func (c *combiner) replace(n *node) {
	if n.GetNode() == nil || c.fault != nil {
		return
	}
	if at, ok := c.known(n); ok {
		n.Node = rowColumn(at).Node
		return
	}
	switch call := n.GetFuncCall(); {
	case n.GetSubLink() != nil:
		c.fault = refuse("Name a tenant, or read it in a statement of its own.",
			"a subquery in the select list of a query with aggregates or windows is not run on all shards")
	case isStar(n):
		c.fault = refuse("List the columns.", "* beside aggregates or windows is not answered from all shards")
	case n.GetColumnRef() != nil:
		n.Node = rowColumn(c.group(n)).Node
	case call != nil:
		if kind, known := c.aggregate(call); known {
			combines[kind](c.arranger, n, c.g)
			return
		}
		children(n, c.replace)
	default:
		children(n, c.replace)
	}
}

// known is the column that an expression is grouped by as.
func (c *combiner) known(n *node) (int, bool) {
	if n.GetAConst() != nil || n.GetParamRef() != nil {
		return 0, false
	}
	at, ok := c.columns[c.written(n)]
	return at, ok && c.groups[at]
}

// again: the aggregate of the shards' values is that of all rows.
func (a *arranger) again(n *node, _ *Portion) {
	c := n.GetFuncCall()
	n.Node = call(stringOf(c.GetFuncname()[len(c.GetFuncname())-1]), a.column(&node{Node: n.Node})).Node
}

// count: the counts add up.
func (a *arranger) count(n *node, _ *Portion) {
	n.Node = castTo(call("sum", a.column(&node{Node: n.Node})), "int8").Node
}

// sum: the sums add up, to a value of their type.
func (a *arranger) sum(n *node, g *Portion) {
	at := a.columnAt(&node{Node: n.Node})
	n.Node = call("sum", rowColumn(at)).Node
	g.sums = append(g.sums, total{at: n, col: at})
}

// average: the sum of the sums by that of the counts.
func (a *arranger) average(n *node, g *Portion) {
	part := func(name string) int {
		c := n.GetFuncCall()
		p := call(name, c.GetArgs()...)
		p.GetFuncCall().AggFilter = c.GetAggFilter()
		return a.columnAt(p)
	}
	sum, count := part("sum"), part("count")
	by := call("sum", rowColumn(count))
	n.Node = dividedBy(call("sum", rowColumn(sum)), by).Node
	g.sums = append(g.sums, total{at: n, count: by, col: sum})
}
