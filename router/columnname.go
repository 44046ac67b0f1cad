package router

// nameless is the name of a column of which it is not known what PostgreSQL calls
// it: it may hide any column of a query around.
const nameless = "*"

// implied returns the name that PostgreSQL gives to a column without one
// (FigureColname); empty for one that no name can mean, nameless where it is not
// known here.
func implied(n *node) string {
	name, _ := impliedName(n)
	return name
}

// impliedName is implied, and reports a name that a cast around replaces.
func impliedName(n *node) (name string, weak bool) {
	switch {
	case n.GetColumnRef() != nil:
		return lastName(n.GetColumnRef().GetFields()), false
	case n.GetAIndirection() != nil:
		if field := lastName(n.GetAIndirection().GetIndirection()); field != "" {
			return field, false
		}
		return impliedName(n.GetAIndirection().GetArg())
	case n.GetFuncCall() != nil:
		return lastName(n.GetFuncCall().GetFuncname()), false
	case n.GetCollateClause() != nil:
		return impliedName(n.GetCollateClause().GetArg())
	case n.GetTypeCast() != nil:
		return strongerThan(n.GetTypeCast().GetArg(), lastName(n.GetTypeCast().GetTypeName().GetNames()))
	case n.GetCaseExpr() != nil:
		return strongerThan(n.GetCaseExpr().GetDefresult(), "case")
	case n.GetSubLink() != nil:
		return linkName(n.GetSubLink()), false
	case n.GetAExpr() != nil:
		if n.GetAExpr().GetKind() == exprNullIf {
			return "nullif", false
		}
		return "", false
	case n == nil, n.GetAConst() != nil, n.GetParamRef() != nil, n.GetBoolExpr() != nil, n.GetNullTest() != nil, n.GetBooleanTest() != nil,
		n.GetSetToDefault() != nil:
		return "", false
	}
	return fixedName(n), false
}

// strongerThan is the name of an expression, or another where it has none or a
// weak one.
func strongerThan(n *node, other string) (name string, weak bool) {
	if name, weak = impliedName(n); name == "" || weak {
		return other, true
	}
	return name, false
}

// lastName is the last of a list of names that is one; empty: none is.
func lastName(list []*node) string {
	for i := len(list) - 1; i >= 0; i-- {
		if name := stringOf(list[i]); name != "" {
			return name
		}
	}
	return ""
}

// fixedName is the name of what is always called the same.
func fixedName(n *node) string {
	switch {
	case n.GetCoalesceExpr() != nil:
		return "coalesce"
	case n.GetAArrayExpr() != nil:
		return "array"
	case n.GetRowExpr() != nil:
		return "row"
	case n.GetGroupingFunc() != nil:
		return "grouping"
	case n.GetMinMaxExpr() != nil && n.GetMinMaxExpr().GetOp() == minMaxLeast:
		return "least"
	case n.GetMinMaxExpr() != nil:
		return "greatest"
	}
	return nameless
}

// linkName is the name of a subquery of an expression: of a scalar one that of
// its column.
func linkName(x *sublinkNode) string {
	switch x.GetSubLinkType() {
	case linkExists:
		return "exists"
	case linkArray:
		return "array"
	case linkExpr:
	default:
		return ""
	}
	q := x.GetSubselect().GetSelectStmt()
	for q.GetLarg() != nil {
		q = q.GetLarg()
	}
	if len(q.GetValuesLists()) > 0 {
		return "column1"
	}
	if len(q.GetTargetList()) == 0 || expands(q.GetTargetList()[0].GetResTarget().GetVal()) {
		return nameless
	}
	t := q.GetTargetList()[0].GetResTarget()
	if t.GetName() != "" {
		return t.GetName()
	}
	return implied(t.GetVal())
}

// expands reports what stands for several columns: t.* and (x).*.
func expands(n *node) bool {
	fields := n.GetColumnRef().GetFields()
	if n.GetAIndirection() != nil {
		fields = n.GetAIndirection().GetIndirection()
	}
	return len(fields) > 0 && fields[len(fields)-1].GetAStar() != nil
}
