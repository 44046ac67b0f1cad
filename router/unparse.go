package router

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
)

// This file makes and writes parse trees, as parse.go reads them.

// treeVersion is the version of PostgreSQL whose parser pg_query_go is.
const treeVersion = 170007

const (
	limitDefault = pg.LimitOption_LIMIT_OPTION_DEFAULT
	limitCount   = pg.LimitOption_LIMIT_OPTION_COUNT
)

// unparse writes a query as SQL.
func unparse(q *selectNode) (string, error) {
	return pg.Deparse(&pg.ParseResult{Version: treeVersion, Stmts: []*pg.RawStmt{{Stmt: selecting(q)}}})
}

// writtenAs is unparse with an error for the client.
func writtenAs(q *selectNode) (string, *Error) {
	text, err := unparse(q)
	if err != nil {
		return "", refuse("Name a tenant.", "the statement cannot be written for all shards: %s", err.Error())
	}
	return text, nil
}

// explaining writes EXPLAIN with the options of x, up to its query.
func explaining(x *explainNode) (string, error) {
	const query = "SELECT 1"
	one := &selectNode{TargetList: []*node{target(integer(1), "")}, Op: setNone, LimitOption: limitDefault}
	x = &explainNode{Options: x.GetOptions(), Query: selecting(one)}
	text, err := pg.Deparse(&pg.ParseResult{Version: treeVersion, Stmts: []*pg.RawStmt{{Stmt: &node{Node: &pg.Node_ExplainStmt{ExplainStmt: x}}}}})
	return strings.TrimSuffix(text, query), err
}

// over is a query over the gathered rows of that name, without a target yet.
func over(rows string) *selectNode {
	from := &pg.RangeVar{Relname: rows, Inh: true, Relpersistence: "p"}
	return &selectNode{FromClause: []*node{{Node: &pg.Node_RangeVar{RangeVar: from}}}, Op: setNone, LimitOption: limitDefault}
}

// derived is a query in FROM.
func derived(q *selectNode, alias string) *node {
	sub := &pg.RangeSubselect{Subquery: selecting(q), Alias: &pg.Alias{Aliasname: alias}}
	return &node{Node: &pg.Node_RangeSubselect{RangeSubselect: sub}}
}

// selecting is a query as a node.
func selecting(q *selectNode) *node { return &node{Node: &pg.Node_SelectStmt{SelectStmt: q}} }

// target is a column of a select list; name may be empty.
func target(val *node, name string) *node {
	return &node{Node: &pg.Node_ResTarget{ResTarget: &pg.ResTarget{Name: name, Val: val}}}
}

// rowColumn is the i-th column of the gathered rows.
func rowColumn(i int) *node { return columnOf(position + itoa(i+1)) }

func columnOf(name string) *node {
	return &node{Node: &pg.Node_ColumnRef{ColumnRef: &pg.ColumnRef{Fields: []*node{pg.MakeStrNode(name)}}}}
}

func starNode() *node {
	star := &node{Node: &pg.Node_AStar{AStar: &pg.A_Star{}}}
	return &node{Node: &pg.Node_ColumnRef{ColumnRef: &pg.ColumnRef{Fields: []*node{star}}}}
}

// isStar reports * and table.*.
func isStar(n *node) bool {
	f := n.GetColumnRef().GetFields()
	return len(f) > 0 && f[len(f)-1].GetAStar() != nil
}

// isExists reports EXISTS (…).
func isExists(x *sublinkNode) bool { return x.GetSubLinkType() == pg.SubLinkType_EXISTS_SUBLINK }

// isAggregateOfJSON reports the aggregates that have a syntax of their own.
func isAggregateOfJSON(n *node) bool {
	return n.GetJsonObjectAgg() != nil || n.GetJsonArrayAgg() != nil
}

// ordinal is the number of a column in ORDER BY, GROUP BY or DISTINCT ON.
func ordinal(n *node) (int, bool) {
	if n.GetAConst() == nil || n.GetAConst().GetIsnull() {
		return 0, false
	}
	i, ok := constInt(n.GetAConst())
	return int(i), ok
}

func stringNode(s string) *node { return pg.MakeStrNode(s) }

func integer(i int32) *node { return pg.MakeAConstIntNode(int64(i), -1) }

// sortAs is an item of ORDER BY for another expression.
func sortAs(by *pg.SortBy, n *node) *node {
	return &node{Node: &pg.Node_SortBy{SortBy: &pg.SortBy{Node: n, SortbyDir: by.GetSortbyDir(), SortbyNulls: by.GetSortbyNulls(), UseOp: by.GetUseOp()}}}
}

// keyOf is how an item of ORDER BY orders.
func keyOf(by *pg.SortBy) MergeKey {
	k := MergeKey{Descending: by.GetSortbyDir() == pg.SortByDir_SORTBY_DESC}
	k.NullsFirst = k.Descending
	switch by.GetSortbyNulls() {
	case pg.SortByNulls_SORTBY_NULLS_FIRST:
		k.NullsFirst = true
	case pg.SortByNulls_SORTBY_NULLS_LAST:
		k.NullsFirst = false
	}
	return k
}

// countOf is what LIMIT or OFFSET says; false if only a server can tell.
func countOf(n *node) (Count, bool) {
	switch {
	case n.GetNode() == nil || n.GetAConst().GetIsnull():
		return Count{}, true
	case n.GetParamRef().GetNumber() > 0:
		return Count{Parameter: int(n.GetParamRef().GetNumber()), Said: true}, true
	case n.GetAConst() != nil:
		i, ok := constInt(n.GetAConst())
		return Count{Value: int64(i), Said: true}, ok && i >= 0
	}
	return Count{}, false
}

// system is a name in pg_catalog.
func system(name string) []*node {
	return []*node{pg.MakeStrNode(systemSchema), pg.MakeStrNode(name)}
}

func castTo(n *node, typ string) *node {
	return &node{Node: &pg.Node_TypeCast{TypeCast: &pg.TypeCast{Arg: n, TypeName: &pg.TypeName{Names: system(typ), Typemod: -1}}}}
}

// call is a call of a function of pg_catalog.
func call(function string, args ...*node) *node {
	return &node{Node: &pg.Node_FuncCall{FuncCall: &pg.FuncCall{Funcname: system(function), Args: args}}}
}

func plus(a, b *node) *node { return operation("+", a, b) }

func dividedBy(a, b *node) *node { return operation("/", a, b) }

func operation(op string, a, b *node) *node {
	return &node{Node: &pg.Node_AExpr{AExpr: &pg.A_Expr{Kind: exprOp, Name: []*node{pg.MakeStrNode(op)}, Lexpr: a, Rexpr: b}}}
}

// below calls f for what is directly below a node, into subqueries too.
func below(n *node, f func(*node)) {
	switch {
	case n.GetSubLink() != nil:
		each(f, n.GetSubLink().GetTestexpr())
		clauses(n.GetSubLink().GetSubselect().GetSelectStmt(), f)
	case n.GetResTarget() != nil:
		each(f, n.GetResTarget().GetVal())
	case n.GetJoinExpr() != nil:
		each(f, n.GetJoinExpr().GetLarg(), n.GetJoinExpr().GetRarg(), n.GetJoinExpr().GetQuals())
	case n.GetRangeSubselect() != nil:
		clauses(n.GetRangeSubselect().GetSubquery().GetSelectStmt(), f)
	default:
		children(n, f)
	}
}

// clauses calls f for the parts of a query.
func clauses(q *selectNode, f func(*node)) {
	if q == nil {
		return
	}
	for _, n := range q.GetWithClause().GetCtes() {
		clauses(n.GetCommonTableExpr().GetCtequery().GetSelectStmt(), f)
	}
	clauses(q.GetLarg(), f)
	clauses(q.GetRarg(), f)
	for _, list := range [][]*node{q.GetTargetList(), q.GetFromClause(), q.GetGroupClause(), q.GetWindowClause(), q.GetSortClause(), q.GetValuesLists()} {
		each(f, list...)
	}
	each(f, q.GetWhereClause(), q.GetHavingClause(), q.GetLimitCount(), q.GetLimitOffset())
}
