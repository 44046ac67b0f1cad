package router

import (
	"slices"
	"strings"
)

// arranger makes a Portion of a SELECT whose rows each come from one shard.
type arranger struct {
	b    *binder
	sel  *selectNode
	text string
	rows string // what the rows of all shards are called

	columns map[string]int // of what every shard runs, by text
	each    []*node        // their targets
	fault   *Error
}

func (a *arranger) arrange() (*Portion, *Error) {
	q := a.sel
	if q.GetOp() != setNone || len(q.GetValuesLists()) > 0 {
		return nil, refuse("Send its parts as statements of their own.", "UNION, INTERSECT, EXCEPT and VALUES are not answered from all shards")
	}
	a.columns = map[string]int{}
	shape := a.shape()
	switch {
	case a.fault != nil:
		return nil, a.fault
	case shape.windows || shape.whole:
		return a.allRows(shape)
	case shape.aggregates || len(q.GetGroupClause()) > 0 || q.GetHavingClause() != nil:
		return a.partial()
	}
	return a.plain()
}

// shape is what the outermost query computes of rows of several shards.
type shape struct {
	aggregates bool
	windows    bool
	whole      bool // an aggregate that needs every row
	distinct   bool // each aggregate is of distinct values, or does not mind
}

// shape looks through the clauses that see the rows of all shards.
func (a *arranger) shape() shape {
	s := shape{distinct: true}
	var look func(n *node)
	look = func(n *node) {
		switch {
		case n.GetSubLink() != nil:
			a.own(n)
			return
		case n.GetGroupingSet() != nil || n.GetGroupingFunc() != nil || isAggregateOfJSON(n):
			s.whole, s.distinct = true, false
		case n.GetFuncCall() != nil:
			a.look(n.GetFuncCall(), &s)
		}
		if !children(n, look) && a.fault == nil {
			a.fault = refuse("Name a tenant.", "an expression of this statement is not understood: it is not run on all shards")
		}
	}
	for _, list := range [][]*node{a.sel.GetTargetList(), a.sel.GetGroupClause(), {a.sel.GetHavingClause()}, a.sel.GetSortClause(), a.sel.GetDistinctClause()} {
		for _, n := range list {
			if t := n.GetResTarget(); t != nil {
				n = t.GetVal()
			}
			look(n)
		}
	}
	s.windows = s.windows || len(a.sel.GetWindowClause()) > 0
	return s
}

// own refuses an aggregate in a subquery that is not the subquery's own: it is
// of the outermost query where all of its columns are (manual, "Aggregate
// Expressions").
func (a *arranger) own(n *node) {
	if c := n.GetFuncCall(); c != nil && !c.GetAggStar() {
		if _, known := a.aggregate(c); known && a.outer(c) && a.fault == nil {
			a.fault = refuse("Name its columns by their table.", "an aggregate in a subquery may be of the query around it: it is not run on all shards")
		}
	}
	below(n, a.own)
}

// outer reports whether the columns of an aggregate may all be the outermost
// query's.
func (a *arranger) outer(c *callNode) bool {
	columns, ours := 0, 0
	var look func(n *node)
	look = func(n *node) {
		if f := n.GetColumnRef().GetFields(); len(f) > 0 {
			columns++
			if len(f) == 1 && a.isInput(n) || len(f) > 1 && a.isTable(stringOf(f[len(f)-2])) {
				ours++
			}
		}
		children(n, look)
	}
	for _, n := range c.GetArgs() {
		look(n)
	}
	return columns > 0 && columns == ours
}

// isTable reports the name of an item of the outermost FROM.
func (a *arranger) isTable(alias string) bool {
	return slices.ContainsFunc(a.b.top.items, func(it *item) bool { return it.alias == alias })
}

// look notes what a call means for the shape.
func (a *arranger) look(c *callNode, s *shape) {
	kind, known := a.aggregate(c)
	plainly := c.GetAggOrder() == nil && !c.GetAggDistinct() && !c.GetAggWithinGroup()
	switch {
	case c.GetOver() != nil:
		s.windows, s.distinct = true, false
	case !known:
	case !plainly || combines[kind] == nil:
		s.aggregates, s.whole = true, true
		s.distinct = s.distinct && (c.GetAggDistinct() && c.GetAggOrder() == nil && c.GetAggFilter() == nil || extremes[kind])
	default:
		s.aggregates = true
		s.distinct = s.distinct && extremes[kind] && c.GetAggFilter() == nil
	}
}

// aggregate is the name of an aggregate of pg_catalog, "" for one of another
// schema; known is false for what is no aggregate.
func (a *arranger) aggregate(c *callNode) (kind string, known bool) {
	schema, function := "", ""
	switch f := c.GetFuncname(); len(f) {
	case 1:
		function = stringOf(f[0])
	case 2:
		schema, function = stringOf(f[0]), stringOf(f[1])
	}
	v := a.b.r.catalog.function(a.b.path, schema, function)
	if v.own && v.aggregate {
		kind = function
	}
	return kind, v.aggregate || c.GetAggStar()
}

// extremes are aggregates to which it is the same how often a value comes.
var extremes = map[string]bool{"min": true, "max": true, "bool_and": true, "bool_or": true, "every": true, "bit_and": true, "bit_or": true}

// combines says for each aggregate that can be made from the shards' own which
// aggregate makes it.
var combines = map[string]func(a *arranger, n *node, g *Portion){
	"count": (*arranger).count, "sum": (*arranger).sum, "avg": (*arranger).average,
	"min": (*arranger).again, "max": (*arranger).again, "bool_and": (*arranger).again, "bool_or": (*arranger).again,
	"every": (*arranger).again, "bit_and": (*arranger).again, "bit_or": (*arranger).again,
}

// plain arranges a query without aggregates: each shard's rows are the answer's,
// but for their order, their number and DISTINCT.
func (a *arranger) plain() (*Portion, *Error) {
	q := a.sel
	if len(q.GetSortClause()) == 0 && len(q.GetDistinctClause()) == 0 && q.GetLimitCount() == nil && q.GetLimitOffset() == nil {
		return &Portion{each: a.text, rows: a.rows}, nil
	}
	g := &Portion{rows: a.rows, made: over(a.rows), merging: a.merging()}
	if len(q.GetTargetList()) == 0 { // rows without columns are counted by one
		g.hidden++
		q.TargetList = append(q.TargetList, target(integer(1), orderKey+itoa(g.hidden)))
	}
	star := false
	for _, n := range q.GetTargetList() {
		star = star || isStar(n.GetResTarget().GetVal())
	}
	for _, n := range q.GetSortClause() {
		by := n.GetSortBy()
		g.made.SortClause = append(g.made.SortClause, sortAs(by, a.key(g, by.GetNode(), star)))
	}
	if list := q.GetDistinctClause(); len(list) > 0 {
		inner := over(a.rows)
		inner.TargetList = []*node{target(starNode(), "")}
		inner.DistinctClause = list
		if distinctOn(q) {
			inner.DistinctClause, inner.SortClause = nil, g.made.SortClause
			for _, n := range list {
				inner.DistinctClause = append(inner.DistinctClause, a.key(g, n, star))
			}
		}
		g.made.FromClause = []*node{derived(inner, a.rows)}
	}
	g.made.LimitCount, g.made.LimitOffset, g.made.LimitOption = q.GetLimitCount(), q.GetLimitOffset(), q.GetLimitOption()
	if a.fault != nil {
		return nil, a.fault
	}
	a.limit()
	return g, a.finish(g, q)
}

// key is the column that an ORDER BY or DISTINCT ON of the outermost query
// names: one of the answer's, or a hidden one behind them.
func (a *arranger) key(g *Portion, n *node, star bool) *node {
	if at, ok := ordinal(n); ok {
		return rowColumn(at - 1)
	}
	list := a.sel.GetTargetList()
	list = list[:len(list)-g.hidden]
	if at := named(list, n); at >= 0 {
		if !star {
			return rowColumn(at)
		}
		n = list[at].GetResTarget().GetVal()
		if a.varies(n) && a.fault == nil {
			a.fault = refuse("List the columns in place of *.", "an order by a column that is another each time it is computed cannot be told beside *")
		}
	}
	text := a.written(n)
	if at, ok := a.columns[text]; ok {
		return columnOf(orderKey + itoa(at))
	}
	g.hidden++
	a.columns[text] = g.hidden
	name := orderKey + itoa(g.hidden)
	a.sel.TargetList = append(a.sel.TargetList, target(&node{Node: n.Node}, name))
	return columnOf(name)
}

// varies reports a call of a volatile function.
func (a *arranger) varies(n *node) bool {
	found := false
	var look func(n *node)
	look = func(n *node) {
		if f := n.GetFuncCall().GetFuncname(); len(f) > 0 {
			v := a.b.r.catalog.function(a.b.path, "", stringOf(f[len(f)-1]))
			found = found || !v.known || v.worst == 'v'
		}
		found = found || n.GetSubLink() != nil
		children(n, look)
	}
	look(n)
	return found
}

// limit has a shard answer no more rows than the answer can have of it.
func (a *arranger) limit() {
	q := a.sel
	if q.GetLimitCount() != nil && q.GetLimitOffset() != nil {
		q.LimitCount = plus(castTo(q.GetLimitCount(), "int8"), castTo(q.GetLimitOffset(), "int8"))
	}
	if q.GetLimitOffset() != nil {
		q.LimitOffset = nil
	}
	if q.GetLimitCount() == nil {
		q.LimitOption = limitDefault
		if !distinctOn(q) {
			q.SortClause = nil
		}
	}
}

// finish writes down what every shard runs.
func (a *arranger) finish(g *Portion, each *selectNode) *Error {
	text, err := writtenAs(each)
	g.each = text
	return err
}

// allRows arranges a query whose aggregates or windows need every row: the
// shards answer with the columns that it uses.
func (a *arranger) allRows(s shape) (*Portion, *Error) {
	q := a.sel
	g := &Portion{rows: a.rows, made: over(a.rows), targets: q.GetTargetList()}
	for _, n := range q.GetTargetList() {
		a.columnsIn(n.GetResTarget().GetVal())
	}
	for _, n := range q.GetGroupClause() {
		a.clause(n, true)
	}
	for _, n := range q.GetDistinctClause() {
		a.clause(n, false)
	}
	for _, n := range q.GetSortClause() {
		a.clause(n.GetSortBy().GetNode(), false)
	}
	a.columnsIn(q.GetHavingClause())
	for _, n := range q.GetWindowClause() {
		a.columnsIn(n)
	}
	if a.fault != nil {
		return nil, a.fault
	}
	f := g.made
	f.TargetList, f.GroupClause, f.HavingClause, f.WindowClause = q.GetTargetList(), q.GetGroupClause(), q.GetHavingClause(), q.GetWindowClause()
	f.GroupDistinct, f.DistinctClause, f.SortClause = q.GetGroupDistinct(), q.GetDistinctClause(), q.GetSortClause()
	f.LimitCount, f.LimitOffset, f.LimitOption = q.GetLimitCount(), q.GetLimitOffset(), q.GetLimitOption()
	each := a.rowsOf()
	if s.distinct && !s.windows {
		each.DistinctClause = []*node{{}}
	}
	return g, a.finish(g, each)
}

// rowsOf is the query over one shard's rows, without what is computed of those
// of all.
func (a *arranger) rowsOf() *selectNode {
	each := &selectNode{WithClause: a.sel.GetWithClause(), FromClause: a.sel.GetFromClause(), WhereClause: a.sel.GetWhereClause(),
		TargetList: a.each, Op: setNone, LimitOption: limitDefault}
	if len(each.TargetList) == 0 {
		each.TargetList = []*node{target(integer(1), "")}
	}
	return each
}

// clause is columnsIn for an item of ORDER BY, GROUP BY or DISTINCT ON, which
// may name a column of the answer. GROUP BY prefers a column of FROM.
func (a *arranger) clause(n *node, grouping bool) {
	if _, ok := ordinal(n); ok {
		return
	}
	if named(a.sel.GetTargetList(), n) >= 0 && !(grouping && a.isInput(n)) {
		return
	}
	a.columnsIn(n)
}

// isInput reports whether a bare name is that of a column of the outermost FROM.
func (a *arranger) isInput(n *node) bool {
	f := n.GetColumnRef().GetFields()
	if len(f) != 1 {
		return len(f) > 1
	}
	for _, v := range a.b.top.cols {
		if v.name == stringOf(f[0]) {
			return true
		}
	}
	return a.b.top.open
}

// columnsIn has each column of FROM in an expression come from the gathered
// rows.
func (a *arranger) columnsIn(n *node) {
	switch {
	case n == nil || a.fault != nil:
	case n.GetSubLink() != nil:
		a.fault = refuse("Name a tenant, or read it in a statement of its own.",
			"a subquery in the select list of a query with aggregates or windows is not run on all shards")
	case isStar(n):
		a.fault = refuse("List the columns.", "* beside aggregates or windows is not answered from all shards")
	case n.GetColumnRef() != nil:
		n.Node = a.column(&node{Node: n.Node}).Node
	default:
		children(n, a.columnsIn)
	}
}

// column is the column of the gathered rows for an expression over one shard's.
func (a *arranger) column(n *node) *node {
	return rowColumn(a.columnAt(n))
}

func (a *arranger) columnAt(n *node) int {
	text := a.written(n)
	at, ok := a.columns[text]
	if !ok {
		at = len(a.each)
		a.columns[text] = at
		a.each = append(a.each, target(n, ""))
	}
	return at
}

// written is an expression as SQL, by which two are told to be the same.
func (a *arranger) written(n *node) string {
	text, err := writtenAs(&selectNode{TargetList: []*node{target(n, "")}, Op: setNone, LimitOption: limitDefault})
	if err != nil && a.fault == nil {
		a.fault = err
	}
	return text
}

// named is the index of the target that a bare name means; -1 for none.
func named(list []*node, n *node) int {
	f := n.GetColumnRef().GetFields()
	if len(f) != 1 {
		return -1
	}
	for i, t := range list {
		x := t.GetResTarget()
		name := x.GetName()
		if name == "" {
			name = implied(x.GetVal())
		}
		if name == stringOf(f[0]) && !strings.HasPrefix(name, orderKey) {
			return i
		}
	}
	return -1
}
