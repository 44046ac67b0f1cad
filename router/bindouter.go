package router

import "slices"

// outer is a LEFT or RIGHT JOIN, for as long as the query that it is of is bound.
type outer struct {
	quals    *node
	on       *scope
	pairs    [][2]int32 // columns that USING makes equal
	nullable reach
	both     reach
}

// reduce looks for outer joins whose rows without a match WHERE lets no pass: it
// compares a column of the nullable side, and NULL is equal to nothing. They are
// inner joins, so their conditions say something of both sides.
func (b *binder) reduce(where *node, s *scope) {
	if len(b.outers) == 0 || where == nil {
		return
	}
	columns := b.compared(where, s)
	for _, x := range b.outers {
		if !slices.ContainsFunc(columns, func(n int32) bool { return b.g.within(n, x.nullable) }) {
			continue
		}
		for _, p := range x.pairs {
			b.g.equal(p[0], p[1], x.both)
		}
		if x.quals != nil {
			b.conjunct(x.quals, x.on, x.both)
		}
	}
}

// compared returns columns that are not NULL in rows for which a condition holds.
func (b *binder) compared(n *node, s *scope) []int32 {
	var columns []int32
	note := func(c int32) {
		if b.isColumn(c) && !slices.Contains(b.fulls, c) {
			columns = append(columns, c)
		}
	}
	if x := n.GetBoolExpr(); x != nil && x.GetBoolop() == boolAnd {
		for _, arg := range x.GetArgs() {
			columns = append(columns, b.compared(arg, s)...)
		}
		return columns
	}
	x := n.GetAExpr()
	switch k := x.GetKind(); {
	case x == nil || !isEquals(x): // IS NOT DISTINCT FROM is true of NULL
	case k == exprOp:
		note(b.value(x.GetLexpr(), s))
		note(b.value(x.GetRexpr(), s))
	case k == exprIn, k == exprOpAny:
		note(b.value(x.GetLexpr(), s))
	}
	return columns
}
