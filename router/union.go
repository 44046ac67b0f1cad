package router

// union plans a UNION ALL whose arms are plain queries that all shards can
// answer each by itself: then a shard's rows of all arms are its share.
func (w *walk) union(sel *selectNode, text, rows string) (*Portion, *Error) {
	arms, ok := armsOf(sel, true)
	if !ok {
		return nil, refuse("Send its parts as statements of their own.", "INTERSECT, EXCEPT, and UNION of queries that do not each have their rows from the shards' own, are not answered from all shards")
	}
	for _, arm := range arms {
		b, err := w.spread(arm, text)
		if err != nil {
			return nil, err
		}
		w.needs += len(b.needs)
		a := arranger{b: b, sel: arm, text: text, rows: rows, columns: map[string]int{}}
		s := a.shape()
		if a.fault != nil || s.windows || s.whole || s.aggregates || len(arm.GetGroupClause()) > 0 || arm.GetHavingClause() != nil ||
			len(arm.GetSortClause()) > 0 || len(arm.GetDistinctClause()) > 0 || arm.GetLimitCount() != nil || arm.GetLimitOffset() != nil {
			return nil, refuse("Send its parts as statements of their own.", "a UNION of queries that order, group or limit their rows is not answered from all shards as a whole")
		}
	}
	a := arranger{sel: sel, text: text, rows: rows}
	return a.together(arms[0])
}

// armsOf are the arms of a UNION ALL, of which the outermost may order and
// limit its rows.
func armsOf(sel *selectNode, outermost bool) ([]*selectNode, bool) {
	switch {
	case sel.GetOp() == setNone:
		return []*selectNode{sel}, len(sel.GetValuesLists()) == 0
	case sel.GetOp() != setUnion, !sel.GetAll(), sel.GetWithClause() != nil,
		!outermost && (len(sel.GetSortClause()) > 0 || sel.GetLimitCount() != nil || sel.GetLimitOffset() != nil):
		return nil, false
	}
	left, ok := armsOf(sel.GetLarg(), false)
	right, also := armsOf(sel.GetRarg(), false)
	return append(left, right...), ok && also
}

// together arranges a UNION ALL, whose columns have the names of first's.
func (a *arranger) together(first *selectNode) (*Portion, *Error) {
	q := a.sel
	if len(q.GetSortClause()) == 0 && q.GetLimitCount() == nil && q.GetLimitOffset() == nil {
		return &Portion{each: a.text, rows: a.rows}, nil
	}
	g := &Portion{rows: a.rows, made: over(a.rows)}
	for _, n := range first.GetTargetList() {
		if isStar(n.GetResTarget().GetVal()) {
			return nil, refuse("List the columns.", "* in a UNION that orders or limits its rows is not answered from all shards as a whole")
		}
	}
	for _, n := range q.GetSortClause() {
		by := n.GetSortBy()
		at, ok := ordinal(by.GetNode())
		if at--; !ok {
			at = named(first.GetTargetList(), by.GetNode())
		}
		if at < 0 {
			return nil, refuse("Order by a column of the first query.", "a UNION is ordered by the columns of its result only")
		}
		g.made.SortClause = append(g.made.SortClause, sortAs(by, rowColumn(at)))
	}
	g.made.LimitCount, g.made.LimitOffset, g.made.LimitOption = q.GetLimitCount(), q.GetLimitOffset(), q.GetLimitOption()
	a.limit()
	return g, a.finish(g, q)
}
