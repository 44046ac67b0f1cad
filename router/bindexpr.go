package router

import (
	"slices"

	"github.com/pgdrover/pgdrover/shardmap"
)

// expressions walks expressions for what they touch: subqueries, functions and
// values that depend on the session.
func (b *binder) expressions(s *scope, nodes ...*node) {
	for _, n := range nodes {
		b.expression(n, s)
	}
}

func (b *binder) expression(n *node, s *scope) {
	if n == nil {
		return
	}
	switch {
	case isDML(n):
		b.statement(n, s)
		return
	case n.GetSubLink() != nil:
		b.sublink(n.GetSubLink(), s)
		b.expression(n.GetSubLink().GetTestexpr(), s)
		return
	case n.GetColumnRef() != nil:
		b.systemColumn(n.GetColumnRef())
	case n.GetFuncCall() != nil:
		b.call(n.GetFuncCall())
	case n.GetSqlvalueFunction() != nil, n.GetTypeCast() != nil:
		b.sessionValue(n)
	}
	if !children(n, func(c *node) { b.expression(c, s) }) {
		b.facts.opaque = "a construct that PgDrover does not know"
	}
}

// sessionValue notes values that depend on more than the data.
func (b *binder) sessionValue(n *node) {
	if v := n.GetSqlvalueFunction(); v != nil {
		b.facts.refuseCache("a value of the session or the clock")
		if v.GetOp() >= clockFirst && v.GetOp() <= clockLast {
			b.diverge("the clock")
		}
		return
	}
	b.facts.dated = b.facts.dated || isDate(typeName(n.GetTypeCast().GetTypeName()))
	names := n.GetTypeCast().GetTypeName().GetNames()
	if len(names) > 0 && len(stringOf(names[len(names)-1])) > 3 && stringOf(names[len(names)-1])[:3] == "reg" {
		b.facts.refuseCache("a name in the system catalogs")
	}
}

// sublink binds a subquery of an expression, once.
func (b *binder) sublink(x *sublinkNode, s *scope) result {
	res, ok := b.links[x]
	if !ok {
		b.mixes++
		if q := x.GetSubselect().GetSelectStmt(); x.GetSubLinkType() == linkExists {
			b.exists = q
		}
		res = b.query(x.GetSubselect().GetSelectStmt(), s)
		b.mixes--
		b.links[x] = res
	}
	return res
}

// conjunct reads a condition that must be true for a row to matter. Equalities
// say something of the columns within r.
func (b *binder) conjunct(n *node, s *scope, r reach) {
	if x := n.GetBoolExpr(); x != nil {
		switch x.GetBoolop() {
		case boolAnd:
			for _, arg := range x.GetArgs() {
				b.conjunct(arg, s, r)
			}
		case boolOr:
			for column, value := range b.pins(n, s) {
				b.equalTo(column, value, r)
			}
		}
		return
	}
	if x := n.GetSubLink(); x != nil {
		b.inSubquery(x, s, r)
		return
	}
	if x := n.GetBooleanTest(); x != nil && x.GetBooltesttype() == isTrue {
		b.conjunct(x.GetArg(), s, r)
		return
	}
	x := n.GetAExpr()
	if x == nil {
		return
	}
	switch x.GetKind() {
	case exprOp:
		if isEquals(x) {
			b.equals(x.GetLexpr(), x.GetRexpr(), s, r)
		}
	case exprIn, exprOpAny, exprNotDist:
		for column, value := range b.pins(n, s) {
			b.equalTo(column, value, r)
		}
	}
}

// equalTo adds what column = value says of the column.
func (b *binder) equalTo(column, value int32, r reach) {
	if b.g.within(column, r) {
		b.g.edge(value, column)
	}
}

// isEquals reports PostgreSQL's own = operator.
func isEquals(x *exprNode) bool { return namesEquals(x.GetName()) }

func namesEquals(names []*node) bool {
	if len(names) == 2 && stringOf(names[0]) != systemSchema {
		return false
	}
	return len(names) > 0 && stringOf(names[len(names)-1]) == "="
}

// equals adds what l = r says; rows are compared element by element.
func (b *binder) equals(l, r *node, s *scope, reach reach) {
	if lr, rr := l.GetRowExpr(), r.GetRowExpr(); lr != nil && rr != nil {
		for i := range lr.GetArgs() {
			b.equals(rowElement(l, i, len(rr.GetArgs())), rowElement(r, i, len(lr.GetArgs())), s, reach)
		}
		return
	}
	if row, sub := l.GetRowExpr(), r.GetSubLink(); row != nil && sub.GetSubLinkType() == linkExpr {
		b.equalsRow(row.GetArgs(), b.sublink(sub, s), s, reach)
		return
	}
	b.g.equal(b.value(l, s), b.value(r, s), reach)
}

// equalsRow adds what (x, y) = (SELECT …) says of x and y.
func (b *binder) equalsRow(row []*node, res result, s *scope, r reach) {
	if res.open || len(row) != len(res.cols) {
		return
	}
	for i, n := range row {
		b.g.equal(b.value(n, s), b.above(outcol{node: res.cols[i].node}).node, r)
	}
}

// inSubquery reads x IN (SELECT …): the rows within r match rows of the
// subquery, and only rows of it that they match can matter.
func (b *binder) inSubquery(x *sublinkNode, s *scope, r reach) {
	if x.GetSubLinkType() != linkAny || len(x.GetOperName()) > 0 && !namesEquals(x.GetOperName()) {
		return
	}
	res := b.sublink(x, s)
	tests := []*node{x.GetTestexpr()}
	if row := x.GetTestexpr().GetRowExpr(); row != nil {
		tests = row.GetArgs()
	}
	if res.open || len(tests) != len(res.cols) {
		return
	}
	for i, t := range tests {
		v, o := b.value(t, s), res.cols[i]
		if v == noNode || o.node == noNode {
			continue
		}
		b.equalTo(v, o.node, r)
		if o.inward {
			b.g.edge(v, o.node)
		}
	}
}

// pins returns what a condition says of columns by constants alone. A column is
// bound by OR when every arm binds it.
func (b *binder) pins(n *node, s *scope) map[int32]int32 {
	if x := n.GetBoolExpr(); x != nil {
		return b.boolPins(x.GetArgs(), s, x.GetBoolop() == boolAnd, x.GetBoolop() == boolOr)
	}
	x := n.GetAExpr()
	if x == nil || !isEquals(x) {
		return nil
	}
	found := map[int32]int32{}
	switch x.GetKind() {
	case exprOp:
		b.pairPins(found, x.GetLexpr(), []*node{x.GetRexpr()}, false, s)
		b.pairPins(found, x.GetRexpr(), []*node{x.GetLexpr()}, false, s)
	case exprNotDist:
		b.pairPins(found, x.GetLexpr(), []*node{x.GetRexpr()}, false, s)
		b.pairPins(found, x.GetRexpr(), []*node{x.GetLexpr()}, false, s)
		for _, v := range found {
			for i := range b.g.sets[v] {
				b.g.sets[v][i].notNull = true
			}
		}
	case exprIn:
		b.pairPins(found, x.GetLexpr(), x.GetRexpr().GetList().GetItems(), true, s)
	case exprOpAny:
		elements := b.arrayElements(x.GetRexpr())
		if elements != nil {
			b.pairPins(found, x.GetLexpr(), elements, true, s)
		} else if column := b.value(x.GetLexpr(), s); b.isColumn(column) {
			if a := b.array(x.GetRexpr()); a != noNode {
				found[column] = a
				b.g.sets[a][0].list = b.newList(column)
			}
		}
	}
	return found
}

func (b *binder) isColumn(n int32) bool { return n != noNode && b.g.owner[n] != noItem }

// newList is the number, from 1, of a list of constants that a column is
// compared with.
func (b *binder) newList(column int32) int32 {
	b.lists = append(b.lists, column)
	return int32(len(b.lists))
}

// pairPins notes that test is one of values, if test is a column, or a row with
// columns, and the values are constants. They are of a list if one column alone
// is compared with them.
func (b *binder) pairPins(found map[int32]int32, test *node, values []*node, list bool, s *scope) {
	tests := []*node{test}
	row := test.GetRowExpr()
	if row != nil {
		tests = row.GetArgs()
	}
	for i, t := range tests {
		column := b.value(t, s)
		if !b.isColumn(column) {
			continue
		}
		number := int32(0)
		if list && row == nil {
			number = b.newList(column)
		}
		var in []int32
		for _, v := range values {
			if row != nil {
				v = rowElement(v, i, len(tests))
			}
			x := b.constant(v, s)
			if x != noNode {
				b.g.sets[x][0].list = number
			}
			in = append(in, x)
		}
		if all := b.g.all(in); all != noNode {
			found[column] = all
		}
	}
}

// rowElement returns element i of a row of a certain length; nil for any other
// expression, and where something in the row stands for several elements.
func rowElement(n *node, i, length int) *node {
	args := n.GetRowExpr().GetArgs()
	if len(args) != length || slices.ContainsFunc(args, expands) {
		return nil
	}
	return args[i]
}

// constant returns the node of a constant, noNode for other expressions.
func (b *binder) constant(n *node, s *scope) int32 {
	v := b.value(n, s)
	if v == noNode || b.g.sets[v] == nil {
		return noNode
	}
	return v
}

func (b *binder) boolPins(args []*node, s *scope, and, or bool) map[int32]int32 {
	if !and && !or {
		return nil
	}
	arms := make([]map[int32]int32, len(args))
	for i, a := range args {
		arms[i] = b.pins(a, s)
	}
	found := map[int32]int32{}
	for i, arm := range arms {
		for column, v := range arm {
			if and {
				found[column] = v
			} else if i == 0 {
				found[column] = b.inEvery(arms, column)
			}
		}
	}
	for column, v := range found {
		if v == noNode {
			delete(found, column)
		}
	}
	return found
}

// inEvery returns the node of all values that the arms give a column.
func (b *binder) inEvery(arms []map[int32]int32, column int32) int32 {
	var in []int32
	for _, arm := range arms {
		in = append(in, arm[column])
	}
	return b.g.all(in)
}

// tenantType reports whether values of a column of this type can be compared
// with tenants by the hash of the text alone.
func tenantType(t shardmap.Type, c Column) bool {
	switch t {
	case shardmap.Bigint:
		return c.Type == oidInt2 || c.Type == oidInt4 || c.Type == oidInt8
	case shardmap.Text:
		return (c.Type == oidText || c.Type == oidVarchar) && c.Deterministic
	}
	return c.Type == oidUUID
}
