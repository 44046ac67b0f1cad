package router

import (
	"errors"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
	pgparser "github.com/pganalyze/pg_query_go/v6/parser"
)

// The nodes of a parse tree that other files name. This file is the only one
// that knows the parser.
type (
	node           = pg.Node
	selectNode     = pg.SelectStmt
	insertNode     = pg.InsertStmt
	updateNode     = pg.UpdateStmt
	deleteNode     = pg.DeleteStmt
	mergeNode      = pg.MergeStmt
	whenNode       = pg.MergeWhenClause
	conflictNode   = pg.OnConflictClause
	withNode       = pg.WithClause
	cteNode        = pg.CommonTableExpr
	rangeNode      = pg.RangeVar
	subselectNode  = pg.RangeSubselect
	functionsNode  = pg.RangeFunction
	joinNode       = pg.JoinExpr
	aliasNode      = pg.Alias
	columnNode     = pg.ColumnRef
	constNode      = pg.A_Const
	exprNode       = pg.A_Expr
	castNode       = pg.TypeCast
	callNode       = pg.FuncCall
	sublinkNode    = pg.SubLink
	typeNode       = pg.TypeName
	copyNode       = pg.CopyStmt
	defNode        = pg.DefElem
	setNode        = pg.VariableSetStmt
	transactNode   = pg.TransactionStmt
	explainNode    = pg.ExplainStmt
	prepareNode    = pg.PrepareStmt
	executeNode    = pg.ExecuteStmt
	createAsNode   = pg.CreateTableAsStmt
	intoNode       = pg.IntoClause
	reindexNode    = pg.ReindexStmt
	dropNode       = pg.DropStmt
	alterTableNode = pg.AlterTableStmt
	columnDefNode  = pg.ColumnDef
	vacuumNode     = pg.VacuumStmt
)

const (
	exprOp       = pg.A_Expr_Kind_AEXPR_OP
	exprOpAny    = pg.A_Expr_Kind_AEXPR_OP_ANY
	exprNotDist  = pg.A_Expr_Kind_AEXPR_NOT_DISTINCT
	exprIn       = pg.A_Expr_Kind_AEXPR_IN
	exprNullIf   = pg.A_Expr_Kind_AEXPR_NULLIF
	boolAnd      = pg.BoolExprType_AND_EXPR
	boolOr       = pg.BoolExprType_OR_EXPR
	isTrue       = pg.BoolTestType_IS_TRUE
	linkAny      = pg.SubLinkType_ANY_SUBLINK
	linkExpr     = pg.SubLinkType_EXPR_SUBLINK
	linkExists   = pg.SubLinkType_EXISTS_SUBLINK
	linkArray    = pg.SubLinkType_ARRAY_SUBLINK
	minMaxLeast  = pg.MinMaxOp_IS_LEAST
	joinInner    = pg.JoinType_JOIN_INNER
	joinLeft     = pg.JoinType_JOIN_LEFT
	joinRight    = pg.JoinType_JOIN_RIGHT
	joinFull     = pg.JoinType_JOIN_FULL
	setNone      = pg.SetOperation_SETOP_NONE
	setUnion     = pg.SetOperation_SETOP_UNION
	overrideUser = pg.OverridingKind_OVERRIDING_USER_VALUE
	clockFirst   = pg.SQLValueFunctionOp_SVFOP_CURRENT_DATE
	clockLast    = pg.SQLValueFunctionOp_SVFOP_LOCALTIMESTAMP_N
	mergeInsert  = pg.CmdType_CMD_INSERT
	mergeUpdate  = pg.CmdType_CMD_UPDATE
	mergeDelete  = pg.CmdType_CMD_DELETE
	mergeNothing = pg.CmdType_CMD_NOTHING
	mergeOrphan  = pg.MergeMatchKind_MERGE_WHEN_NOT_MATCHED_BY_SOURCE
	varValue     = pg.VariableSetKind_VAR_SET_VALUE
	varDefault   = pg.VariableSetKind_VAR_SET_DEFAULT
	varCurrent   = pg.VariableSetKind_VAR_SET_CURRENT
	varMulti     = pg.VariableSetKind_VAR_SET_MULTI
	varReset     = pg.VariableSetKind_VAR_RESET
	varResetAll  = pg.VariableSetKind_VAR_RESET_ALL
	discardAll   = pg.DiscardMode_DISCARD_ALL
	discardPlans = pg.DiscardMode_DISCARD_PLANS
	discardSeqs  = pg.DiscardMode_DISCARD_SEQUENCES
	reindexIndex = pg.ReindexObjectType_REINDEX_OBJECT_INDEX
	reindexTable = pg.ReindexObjectType_REINDEX_OBJECT_TABLE
	onCommitDrop = pg.OnCommitAction_ONCOMMIT_DROP
	detachPart   = pg.AlterTableType_AT_DetachPartition
	addColumn    = pg.AlterTableType_AT_AddColumn
	alterType    = pg.AlterTableType_AT_AlterColumnType
	isIdentity   = pg.ConstrType_CONSTR_IDENTITY
	skipLocked   = pg.LockWaitPolicy_LockWaitSkip
	objectTable  = pg.ObjectType_OBJECT_TABLE
	objectIndex  = pg.ObjectType_OBJECT_INDEX
	objectView   = pg.ObjectType_OBJECT_MATVIEW
)

// dropsTables are the kinds of DROP of what a Catalog lists.
var dropsTables = map[pg.ObjectType]bool{
	pg.ObjectType_OBJECT_TABLE: true, pg.ObjectType_OBJECT_VIEW: true, pg.ObjectType_OBJECT_MATVIEW: true, pg.ObjectType_OBJECT_FOREIGN_TABLE: true,
}

// transactVerbs are the verbs of transaction control.
var transactVerbs = map[pg.TransactionStmtKind]Verb{
	pg.TransactionStmtKind_TRANS_STMT_BEGIN:             Begin,
	pg.TransactionStmtKind_TRANS_STMT_START:             Begin,
	pg.TransactionStmtKind_TRANS_STMT_COMMIT:            Commit,
	pg.TransactionStmtKind_TRANS_STMT_ROLLBACK:          Rollback,
	pg.TransactionStmtKind_TRANS_STMT_SAVEPOINT:         Savepoint,
	pg.TransactionStmtKind_TRANS_STMT_RELEASE:           Release,
	pg.TransactionStmtKind_TRANS_STMT_ROLLBACK_TO:       RollbackTo,
	pg.TransactionStmtKind_TRANS_STMT_PREPARE:           PrepareTransaction,
	pg.TransactionStmtKind_TRANS_STMT_COMMIT_PREPARED:   CommitPrepared,
	pg.TransactionStmtKind_TRANS_STMT_ROLLBACK_PREPARED: RollbackPrepared,
}

// parseFault is why the parser rejects a text.
type parseFault struct {
	message string
	pos     int // in characters from 1; 0: none
}

// parse returns the statements of a text. Its C parser runs on the calling
// thread for 20 to 800 µs, so the Router bounds how many run at a time.
func (r *Router) parse(text string) ([]*node, *parseFault) {
	if strings.IndexByte(text, 0) >= 0 {
		return nil, &parseFault{message: `invalid byte sequence for encoding "UTF8": 0x00`}
	}
	r.parses <- struct{}{}
	defer func() { <-r.parses }()
	tree, err := pg.Parse(text)
	if err != nil {
		var fault *pgparser.Error
		if errors.As(err, &fault) {
			return nil, &parseFault{message: fault.Message, pos: fault.Cursorpos}
		}
		return nil, &parseFault{message: "the statement cannot be read: " + err.Error()}
	}
	nodes := make([]*node, len(tree.Stmts))
	for i, s := range tree.Stmts {
		nodes[i] = s.Stmt
	}
	return nodes, nil
}

// stringOf returns the text of a String node, "" for another.
func stringOf(n *node) string { return n.GetString_().GetSval() }

// constInt reports the value of an integer constant.
func constInt(c *constNode) (int32, bool) {
	v, ok := c.GetVal().(*pg.A_Const_Ival)
	if !ok {
		return 0, false
	}
	return v.Ival.GetIval(), true
}

// constText returns a constant as SET writes it.
func constText(c *constNode) (text string, quoted, ok bool) {
	switch v := c.GetVal().(type) {
	case *pg.A_Const_Sval:
		return v.Sval.GetSval(), true, true
	case *pg.A_Const_Fval:
		return v.Fval.GetFval(), false, true
	case *pg.A_Const_Boolval:
		if v.Boolval.GetBoolval() {
			return "true", true, true
		}
		return "false", true, true
	}
	if i, isInt := constInt(c); isInt {
		return itoa(int(i)), false, true
	}
	return "", false, false
}

// constNegative reports a number below zero.
func constNegative(c *constNode) bool {
	if i, ok := constInt(c); ok {
		return i < 0
	}
	return strings.HasPrefix(c.GetFval().GetFval(), "-")
}

// isNumeric reports whether a constant is written as a number.
func isNumeric(c *constNode) bool {
	switch c.GetVal().(type) {
	case *pg.A_Const_Ival, *pg.A_Const_Fval:
		return true
	}
	return false
}

// isBoolean reports TRUE and FALSE, which no literal of the text stands for.
func isBoolean(c *constNode) bool {
	_, ok := c.GetVal().(*pg.A_Const_Boolval)
	return ok
}

// isDML reports the statements that a binder reads.
func isDML(n *node) bool {
	switch n.GetNode().(type) {
	case *pg.Node_SelectStmt, *pg.Node_InsertStmt, *pg.Node_UpdateStmt, *pg.Node_DeleteStmt, *pg.Node_MergeStmt:
		return true
	}
	return false
}

// children calls f for the expressions directly below an expression. False
// means a node that it does not know.
func children(n *node, f func(*node)) bool {
	if n == nil {
		return true
	}
	switch x := n.GetNode().(type) {
	case nil, *pg.Node_ColumnRef, *pg.Node_ParamRef, *pg.Node_AConst, *pg.Node_SetToDefault, *pg.Node_CurrentOfExpr,
		*pg.Node_MergeSupportFunc, *pg.Node_SqlvalueFunction, *pg.Node_AStar, *pg.Node_String_, *pg.Node_Integer,
		*pg.Node_Float, *pg.Node_Boolean, *pg.Node_TypeName:
	case *pg.Node_AExpr:
		each(f, x.AExpr.Lexpr, x.AExpr.Rexpr)
	case *pg.Node_BoolExpr:
		each(f, x.BoolExpr.Args...)
	case *pg.Node_SubLink:
		each(f, x.SubLink.Testexpr, x.SubLink.Subselect)
	case *pg.Node_FuncCall:
		each(f, x.FuncCall.Args...)
		each(f, x.FuncCall.AggOrder...)
		each(f, x.FuncCall.AggFilter)
		window(f, x.FuncCall.Over)
	case *pg.Node_CaseExpr:
		each(f, x.CaseExpr.Arg, x.CaseExpr.Defresult)
		each(f, x.CaseExpr.Args...)
	case *pg.Node_CaseWhen:
		each(f, x.CaseWhen.Expr, x.CaseWhen.Result)
	case *pg.Node_CoalesceExpr:
		each(f, x.CoalesceExpr.Args...)
	case *pg.Node_MinMaxExpr:
		each(f, x.MinMaxExpr.Args...)
	case *pg.Node_NullTest:
		each(f, x.NullTest.Arg)
	case *pg.Node_BooleanTest:
		each(f, x.BooleanTest.Arg)
	case *pg.Node_AArrayExpr:
		each(f, x.AArrayExpr.Elements...)
	case *pg.Node_RowExpr:
		each(f, x.RowExpr.Args...)
	case *pg.Node_AIndirection:
		each(f, x.AIndirection.Arg)
		each(f, x.AIndirection.Indirection...)
	case *pg.Node_AIndices:
		each(f, x.AIndices.Lidx, x.AIndices.Uidx)
	case *pg.Node_TypeCast:
		each(f, x.TypeCast.Arg)
	case *pg.Node_CollateClause:
		each(f, x.CollateClause.Arg)
	case *pg.Node_ResTarget:
		each(f, x.ResTarget.Val)
		each(f, x.ResTarget.Indirection...)
	default:
		return childrenMore(n, f)
	}
	return true
}

// childrenMore is children for the less frequent nodes.
func childrenMore(n *node, f func(*node)) bool {
	switch x := n.GetNode().(type) {
	case *pg.Node_SortBy:
		each(f, x.SortBy.Node)
	case *pg.Node_WindowDef:
		window(f, x.WindowDef)
	case *pg.Node_GroupingSet:
		each(f, x.GroupingSet.Content...)
	case *pg.Node_GroupingFunc:
		each(f, x.GroupingFunc.Args...)
	case *pg.Node_MultiAssignRef:
		each(f, x.MultiAssignRef.Source)
	case *pg.Node_NamedArgExpr:
		each(f, x.NamedArgExpr.Arg)
	case *pg.Node_List:
		each(f, x.List.Items...)
	case *pg.Node_IndexElem:
		each(f, x.IndexElem.Expr)
	case *pg.Node_DefElem:
		each(f, x.DefElem.Arg)
	case *pg.Node_XmlExpr:
		each(f, x.XmlExpr.NamedArgs...)
		each(f, x.XmlExpr.Args...)
	case *pg.Node_XmlSerialize:
		each(f, x.XmlSerialize.Expr)
	case *pg.Node_RangeTableSample:
		each(f, x.RangeTableSample.Args...)
		each(f, x.RangeTableSample.Repeatable)
	case *pg.Node_RangeTableFunc:
		each(f, x.RangeTableFunc.Docexpr, x.RangeTableFunc.Rowexpr)
		each(f, x.RangeTableFunc.Namespaces...)
		each(f, x.RangeTableFunc.Columns...)
	case *pg.Node_RangeTableFuncCol:
		each(f, x.RangeTableFuncCol.Colexpr, x.RangeTableFuncCol.Coldefexpr)
	default:
		return childrenJSON(n, f)
	}
	return true
}

// childrenJSON is children for SQL/JSON.
func childrenJSON(n *node, f func(*node)) bool {
	value := func(v *pg.JsonValueExpr) { each(f, v.GetRawExpr()) }
	behaviour := func(list ...*pg.JsonBehavior) {
		for _, b := range list {
			each(f, b.GetExpr())
		}
	}
	aggregate := func(c *pg.JsonAggConstructor) {
		each(f, c.GetAggFilter())
		each(f, c.GetAggOrder()...)
		window(f, c.GetOver())
	}
	switch x := n.GetNode().(type) {
	case *pg.Node_JsonValueExpr:
		value(x.JsonValueExpr)
	case *pg.Node_JsonKeyValue:
		each(f, x.JsonKeyValue.Key)
		value(x.JsonKeyValue.Value)
	case *pg.Node_JsonArgument:
		value(x.JsonArgument.Val)
	case *pg.Node_JsonObjectConstructor:
		each(f, x.JsonObjectConstructor.Exprs...)
	case *pg.Node_JsonArrayConstructor:
		each(f, x.JsonArrayConstructor.Exprs...)
	case *pg.Node_JsonArrayQueryConstructor:
		each(f, x.JsonArrayQueryConstructor.Query)
	case *pg.Node_JsonObjectAgg:
		aggregate(x.JsonObjectAgg.Constructor)
		each(f, x.JsonObjectAgg.Arg.GetKey())
		value(x.JsonObjectAgg.Arg.GetValue())
	case *pg.Node_JsonArrayAgg:
		aggregate(x.JsonArrayAgg.Constructor)
		value(x.JsonArrayAgg.Arg)
	case *pg.Node_JsonIsPredicate:
		each(f, x.JsonIsPredicate.Expr)
	case *pg.Node_JsonParseExpr:
		value(x.JsonParseExpr.Expr)
	case *pg.Node_JsonScalarExpr:
		each(f, x.JsonScalarExpr.Expr)
	case *pg.Node_JsonSerializeExpr:
		value(x.JsonSerializeExpr.Expr)
	case *pg.Node_JsonFuncExpr:
		value(x.JsonFuncExpr.ContextItem)
		each(f, x.JsonFuncExpr.Pathspec)
		each(f, x.JsonFuncExpr.Passing...)
		behaviour(x.JsonFuncExpr.OnEmpty, x.JsonFuncExpr.OnError)
	case *pg.Node_JsonTable:
		value(x.JsonTable.ContextItem)
		each(f, x.JsonTable.Pathspec.GetString_())
		each(f, x.JsonTable.Passing...)
		each(f, x.JsonTable.Columns...)
		behaviour(x.JsonTable.OnError)
	case *pg.Node_JsonTableColumn:
		each(f, x.JsonTableColumn.Columns...)
		behaviour(x.JsonTableColumn.OnEmpty, x.JsonTableColumn.OnError)
	default:
		return false
	}
	return true
}

// window calls f for the expressions of a window.
func window(f func(*node), w *pg.WindowDef) {
	each(f, w.GetPartitionClause()...)
	each(f, w.GetOrderClause()...)
	each(f, w.GetStartOffset(), w.GetEndOffset())
}

// each calls f for the nodes that are there.
func each(f func(*node), nodes ...*node) {
	for _, n := range nodes {
		if n != nil {
			f(n)
		}
	}
}

// funcNode wraps a call as a node.
func funcNode(c *callNode) *pg.Node_FuncCall { return &pg.Node_FuncCall{FuncCall: c} }
