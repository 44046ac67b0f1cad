package router

import "slices"

// Merging is the other way to make an ordered answer: every shard orders its
// rows, and who reads them takes the first of all shards' next ones, again and
// again. It needs values whose order does not take a server to tell.
type Merging struct {
	text string
	each string

	Keys   []MergeKey // the last columns of what every shard answers: they are not the answer's
	Limit  Count      // of the rows of the answer
	Offset Count      // of the rows before it
}

// MergeKey is how the values of a column order rows.
type MergeKey struct {
	Descending bool
	NullsFirst bool
}

// Count is a number of rows that the statement says: Value, or that of a
// parameter, from 1. Without either it says none.
type Count struct {
	Value     int64
	Parameter int
	Said      bool
}

// Text is the query that answers with the rows and their keys.
func (m *Merging) Text() string { return m.text }

// Each is the text that every shard runs: Text, or its EXPLAIN.
func (m *Merging) Each() string { return m.each }

// Merging is how the answer may be made by merging; nil: it may not be.
func (g *Gathering) Merging() *Merging {
	if len(g.parts) != 1 || g.parts[0].text != "" {
		return nil
	}
	return g.parts[0].merging
}

// merging plans to merge the rows of a query that orders them, and does nothing
// else with them but to count them.
func (a *arranger) merging() *Merging {
	q := a.sel
	if len(q.GetSortClause()) == 0 || len(q.GetDistinctClause()) > 0 || len(q.GetTargetList()) == 0 || q.GetLimitCount() != nil && q.GetLimitOption() != limitCount {
		return nil
	}
	m := &Merging{}
	list := slices.Clip(q.GetTargetList())
	for i, n := range q.GetSortClause() {
		by := n.GetSortBy()
		val := a.ordered(by.GetNode())
		if val == nil || len(by.GetUseOp()) > 0 || a.varies(val) {
			return nil
		}
		list = append(list, target(&node{Node: val.GetNode()}, orderKey+itoa(i+1)))
		m.Keys = append(m.Keys, keyOf(by))
	}
	var ok, also bool
	m.Limit, ok = countOf(q.GetLimitCount())
	m.Offset, also = countOf(q.GetLimitOffset())
	if !ok || !also {
		return nil
	}
	each := &selectNode{WithClause: q.GetWithClause(), FromClause: q.GetFromClause(), WhereClause: q.GetWhereClause(), TargetList: list,
		SortClause: q.GetSortClause(), LimitCount: q.GetLimitCount(), LimitOption: q.GetLimitOption(), Op: setNone}
	if q.GetLimitCount() != nil && q.GetLimitOffset() != nil {
		each.LimitCount = plus(castTo(q.GetLimitCount(), "int8"), castTo(q.GetLimitOffset(), "int8"))
	}
	var err *Error
	if m.text, err = writtenAs(each); err != nil {
		return nil
	}
	m.each = m.text
	return m
}

// ordered is the expression that an item of ORDER BY means; nil if it cannot be
// told.
func (a *arranger) ordered(n *node) *node {
	list := a.sel.GetTargetList()
	star := slices.ContainsFunc(list, func(t *node) bool {
		val := t.GetResTarget().GetVal()
		return isStar(val) || val.GetAIndirection() != nil
	})
	at, ok := ordinal(n)
	switch {
	case ok && (star || at < 1 || at > len(list)):
		return nil
	case ok:
		return list[at-1].GetResTarget().GetVal()
	}
	if at := named(list, n); at >= 0 {
		return list[at].GetResTarget().GetVal()
	}
	return n
}
