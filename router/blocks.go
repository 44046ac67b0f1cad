package router

// walk looks for the queries in a statement that all shards can answer each by
// itself: arms of set operations, CTEs, subqueries and views in FROM, and
// subqueries in expressions that name nothing of the query around them. Their
// rows take their place, and the rest of the statement runs over those, on one
// server.
type walk struct {
	r    *Router
	path []string

	all   inside // names in the whole statement
	parts []*Portion
	needs int // references to sharded tables in what parts stand for
	arm   bool
}

// mostParts bounds how many queries a statement is made of.
const mostParts = 16

// part plans one SELECT that needs nothing around it.
func (w *walk) part(text, rows string) (*Portion, *Error) {
	nodes, fault := w.r.parse(text)
	if fault != nil || len(nodes) != 1 || nodes[0].GetSelectStmt() == nil {
		return nil, refuse("Name a tenant.", "the statement cannot be read as one SELECT")
	}
	sel := nodes[0].GetSelectStmt()
	if sel.GetOp() != setNone {
		return w.union(sel, text, rows)
	}
	b, err := w.spread(sel, text)
	if err != nil {
		return nil, err
	}
	w.needs += len(b.needs)
	a := arranger{b: b, sel: sel, text: text, rows: rows}
	return a.arrange()
}

// spread binds a query whose rows each come from one shard.
func (w *walk) spread(sel *selectNode, text string) (*binder, *Error) {
	b := w.r.newBinder(&source{text: text}, w.path)
	b.watch = sel
	b.query(sel, nil)
	return b, b.spreads()
}

// blocks plans a statement of which only parts can be answered by all shards;
// nil if there are none, or if there is more to it.
func (w *walk) blocks(text string) *Gathering {
	nodes, fault := w.r.parse(text)
	if fault != nil || len(nodes) != 1 || nodes[0].GetSelectStmt() == nil {
		return nil
	}
	sel := nodes[0].GetSelectStmt()
	b := w.r.newBinder(&source{text: text}, w.path)
	b.query(sel, nil)
	if b.lonely() != nil {
		return nil
	}
	w.needs = 0
	w.all = insideOf(sel)
	w.below(sel)
	if len(w.parts) == 0 || len(w.parts) > mostParts || w.needs != len(b.needs) {
		return nil
	}
	return &Gathering{parts: w.parts, final: sel}
}

// query has a part take the place of a query, or of queries in it.
func (w *walk) query(q *selectNode, arm bool, put func(*selectNode)) {
	if q == nil {
		return
	}
	needs := w.needs
	if p := w.block(q, arm); p != nil {
		w.parts = append(w.parts, p)
		put(p.made)
		return
	}
	w.needs = needs
	w.below(q)
}

// block is the part that a query is; nil if it is none.
func (w *walk) block(q *selectNode, arm bool) *Portion {
	if names := insideOf(q); names.needs(w.all) || q.GetOp() == setNone && len(q.GetTargetList()) == 0 {
		return nil
	}
	text, err := unparse(q)
	if err != nil {
		return nil
	}
	rows := gathered
	if n := len(w.parts); n > 0 {
		rows += "_" + itoa(n+1)
	}
	p, fault := w.part(text, rows)
	if fault != nil {
		return nil
	}
	p.text = text
	if p.made == nil {
		p.made = over(rows)
		if arm {
			p.literals(q)
		}
	}
	return p
}

// literals keeps what an arm of a set operation has in place of a value of a
// known type: it takes the type of the other arm's.
func (p *Portion) literals(q *selectNode) {
	var list []*node
	found := false
	for i, n := range q.GetTargetList() {
		val := n.GetResTarget().GetVal()
		switch {
		case isStar(val), val.GetAIndirection() != nil: // may be several columns
			return
		case val.GetAConst() != nil, val.GetParamRef() != nil:
			found = true
			list = append(list, target(&node{Node: val.GetNode()}, n.GetResTarget().GetName()))
		default:
			list = append(list, target(rowColumn(i), n.GetResTarget().GetName()))
		}
	}
	if found && q.GetOp() == setNone {
		p.targets, p.made.TargetList = list, list
	}
}

// below looks through the queries in a query.
func (w *walk) below(q *selectNode) {
	for _, n := range q.GetWithClause().GetCtes() {
		x := n.GetCommonTableExpr()
		w.query(x.GetCtequery().GetSelectStmt(), false, func(by *selectNode) { x.Ctequery = selecting(by) })
	}
	if q.GetOp() != setNone {
		w.query(q.GetLarg(), true, func(by *selectNode) { q.Larg = by })
		w.query(q.GetRarg(), true, func(by *selectNode) { q.Rarg = by })
		return
	}
	each(w.from, q.GetFromClause()...)
	for _, list := range [][]*node{q.GetTargetList(), q.GetGroupClause(), q.GetSortClause(), q.GetDistinctClause(), q.GetWindowClause(), q.GetValuesLists()} {
		each(w.expression, list...)
	}
	each(w.expression, q.GetWhereClause(), q.GetHavingClause(), q.GetLimitCount(), q.GetLimitOffset())
}

// from looks through an item of FROM.
func (w *walk) from(n *node) {
	switch {
	case n.GetJoinExpr() != nil:
		each(w.from, n.GetJoinExpr().GetLarg(), n.GetJoinExpr().GetRarg())
		each(w.expression, n.GetJoinExpr().GetQuals())
	case n.GetRangeSubselect() != nil && !n.GetRangeSubselect().GetLateral():
		x := n.GetRangeSubselect()
		w.query(x.GetSubquery().GetSelectStmt(), false, func(by *selectNode) { x.Subquery = selecting(by) })
	case n.GetRangeVar() != nil:
		w.view(n)
	}
}

// view looks through the query that a view is.
func (w *walk) view(n *node) {
	x := n.GetRangeVar()
	if x.GetSchemaname() == "" && w.all.defined[x.GetRelname()] > 0 {
		return
	}
	schema := x.GetSchemaname()
	if schema == "" {
		schema, _ = w.r.catalog.find(w.path, x.GetRelname())
	}
	rel := w.r.catalog.relations[name{schema, x.GetRelname()}]
	if rel == nil || rel.Kind != "v" {
		return
	}
	nodes, fault := w.r.parse(rel.Definition)
	if fault != nil || len(nodes) != 1 {
		return
	}
	alias := x.GetAlias().GetAliasname()
	if alias == "" {
		alias = x.GetRelname()
	}
	item := derived(nodes[0].GetSelectStmt(), alias)
	sub := item.GetRangeSubselect()
	for i, c := range rel.Columns {
		named := c.Name
		if own := x.GetAlias().GetColnames(); i < len(own) {
			named = stringOf(own[i])
		}
		sub.Alias.Colnames = append(sub.Alias.Colnames, stringNode(named))
	}
	parts := len(w.parts)
	w.query(nodes[0].GetSelectStmt(), false, func(by *selectNode) { sub.Subquery = selecting(by) })
	if len(w.parts) > parts {
		n.Node = item.Node
	}
}

// expression looks through the subqueries in an expression.
func (w *walk) expression(n *node) {
	if t := n.GetResTarget(); t != nil {
		n = t.GetVal()
	}
	if x := n.GetSubLink(); x != nil {
		each(w.expression, x.GetTestexpr())
		if sel := x.GetSubselect().GetSelectStmt(); isExists(x) && len(sel.GetTargetList()) == 0 && sel.GetOp() == setNone {
			sel.TargetList = []*node{target(integer(1), "")} // what it selects does not matter
		}
		w.query(x.GetSubselect().GetSelectStmt(), false, func(by *selectNode) { x.Subselect = selecting(by) })
		return
	}
	children(n, w.expression)
}

// inside is what names a query has.
type inside struct {
	defined  map[string]int  // CTEs, and how often
	tables   map[string]bool // relations without a schema
	aliases  map[string]bool // items of FROM
	prefixes map[string]bool // what columns are qualified by
}

// needs reports whether a query may name what is outside of it: a CTE, or a
// column.
func (in *inside) needs(around inside) bool {
	for t := range in.tables {
		if around.defined[t] > in.defined[t] {
			return true
		}
	}
	for p := range in.prefixes {
		if !in.aliases[p] {
			return true
		}
	}
	return false
}

// insideOf collects the names in a query and those in it.
func insideOf(q *selectNode) inside {
	in := inside{map[string]int{}, map[string]bool{}, map[string]bool{}, map[string]bool{}}
	in.query(q)
	return in
}

func (in *inside) query(q *selectNode) {
	for _, n := range q.GetWithClause().GetCtes() {
		in.defined[n.GetCommonTableExpr().GetCtename()]++
	}
	clauses(q, in.node)
	each(in.node, q.GetDistinctClause()...)
}

func (in *inside) node(n *node) {
	switch {
	case n.GetRangeVar() != nil:
		x := n.GetRangeVar()
		in.aliases[x.GetAlias().GetAliasname()] = true
		if x.GetAlias() == nil {
			in.aliases[x.GetRelname()] = true
		}
		if x.GetSchemaname() == "" {
			in.tables[x.GetRelname()] = true
		}
	case n.GetColumnRef() != nil:
		if f := n.GetColumnRef().GetFields(); len(f) > 1 {
			in.prefixes[stringOf(f[len(f)-2])] = true
		}
	case n.GetRangeSubselect() != nil:
		in.aliases[n.GetRangeSubselect().GetAlias().GetAliasname()] = true
		in.query(n.GetRangeSubselect().GetSubquery().GetSelectStmt())
		return
	case n.GetSubLink() != nil:
		each(in.node, n.GetSubLink().GetTestexpr())
		in.query(n.GetSubLink().GetSubselect().GetSelectStmt())
		return
	case n.GetRangeFunction() != nil:
		in.aliases[n.GetRangeFunction().GetAlias().GetAliasname()] = true
	case n.GetJoinExpr() != nil:
		in.aliases[n.GetJoinExpr().GetAlias().GetAliasname()] = true
	}
	below(n, in.node)
}
