package router

import "slices"

// A statement that finds at most one row, by equality with all columns of a
// unique key, or that inserts a row of plain values, needs one plan whatever its
// parameters are: none that PostgreSQL makes for their values is better than its
// generic one, and so a server may keep that. docs/design/0017-unnamed-statements.md has
// the argument; whatever is not known to be such a statement is none.

// onePlan are the parameters of such a statement, by the template's slots.
type onePlan struct{ uses []paramUse }

// paramUse is where a parameter stands. A parameter is used once, as it is or
// cast, so that no plan computes with its value.
type paramUse struct {
	slot int32
	typ  uint32 // that the place gives to it; oidOther: whatever it has
	key  bool   // it is compared with a column of the key
}

// OnePlan reports whether the query string is one statement whose plan does not
// depend on the values of its parameters. oids are the types that were declared
// for them, each of four bytes, in network order.
func (q *Query) OnePlan(oids []byte) bool {
	p := q.tpl.statements[0].onePlan
	if p == nil || len(q.tpl.statements) != 1 || len(q.runs) > 0 || q.hint.noReuse || q.hint.err != nil {
		return false
	}
	var seen uint64
	for _, u := range p.uses {
		if int(u.slot) >= len(q.slots) {
			return false
		}
		n := q.slots[u.slot].number
		if n < 1 || n > 64 || seen&(1<<(n-1)) != 0 {
			return false
		}
		seen |= 1 << (n - 1)
		if !u.fits(declaredOID(oids, int(n-1))) {
			return false
		}
	}
	return true
}

// declaredOID is the i-th of the types declared, 0 where none was.
func declaredOID(oids []byte, i int) uint32 {
	if len(oids) < 4*i+4 {
		return 0
	}
	b := oids[4*i:]
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

// fits reports whether a parameter of a declared type gets to its place with no
// conversion that may fail: the planner would do that for one kind of plan, and
// the executor for the other.
func (u paramUse) fits(declared uint32) bool {
	switch {
	case declared == 0 || declared == u.typ || u.typ == oidOther:
		return true
	case isText(u.typ):
		return isText(declared)
	}
	return intWidth(declared) > 0 && (intWidth(declared) < intWidth(u.typ) || u.key && intWidth(u.typ) > 0)
}

func isText(oid uint32) bool { return oid == oidText || oid == oidVarchar }

func intWidth(oid uint32) int {
	switch oid {
	case oidInt2:
		return 2
	case oidInt4:
		return 4
	case oidInt8:
		return 8
	}
	return 0
}

// planner looks for the one plan of a statement.
type planner struct {
	r    *Router
	path []string
	src  *source
	rel  *Relation
	uses []paramUse
	keys []string // columns that are compared with a parameter
}

// onePlan returns the parameters of a statement that has one plan; nil for any other.
func (c *compiler) onePlan(n *node, src *source) *onePlan {
	p := &planner{r: c.r, path: c.path, src: src}
	if !p.selects(n.GetSelectStmt()) && !p.update(n.GetUpdateStmt()) && !p.delete(n.GetDeleteStmt()) && !p.insert(n.GetInsertStmt()) {
		return nil
	}
	return &onePlan{p.uses}
}

func (p *planner) selects(x *selectNode) bool {
	if x == nil || len(x.GetFromClause()) != 1 || x.GetOp() != setNone || x.GetIntoClause() != nil || x.GetWithClause() != nil {
		return false
	}
	if len(x.GetDistinctClause())+len(x.GetGroupClause())+len(x.GetWindowClause())+len(x.GetSortClause())+len(x.GetValuesLists()) > 0 || x.GetHavingClause() != nil {
		return false
	}
	return p.relation(x.GetFromClause()[0].GetRangeVar(), "r") && p.byKey(x.GetWhereClause()) && p.outputs(x.GetTargetList()) &&
		p.number(x.GetLimitCount()) && p.number(x.GetLimitOffset())
}

func (p *planner) update(x *updateNode) bool {
	return x != nil && len(x.GetFromClause()) == 0 && x.GetWithClause() == nil && p.relation(x.GetRelation(), "r") && p.byKey(x.GetWhereClause()) &&
		p.assigned(x.GetTargetList()) && p.outputs(x.GetReturningList())
}

func (p *planner) delete(x *deleteNode) bool {
	return x != nil && len(x.GetUsingClause()) == 0 && x.GetWithClause() == nil && p.relation(x.GetRelation(), "r") && p.byKey(x.GetWhereClause()) &&
		p.outputs(x.GetReturningList())
}

func (p *planner) insert(x *insertNode) bool {
	rows := x.GetSelectStmt().GetSelectStmt()
	if x == nil || x.GetWithClause() != nil || len(rows.GetValuesLists()) == 0 || rows.GetLimitCount() != nil || rows.GetLimitOffset() != nil ||
		len(rows.GetSortClause()) > 0 || rows.GetWithClause() != nil || !p.relation(x.GetRelation(), "rp") {
		return false
	}
	names, ok := p.inserted(x)
	for _, row := range rows.GetValuesLists() {
		items := row.GetList().GetItems()
		if !ok || len(items) > len(names) {
			return false
		}
		for i, v := range items {
			ok = ok && p.assign(names[i], v)
		}
	}
	return ok && p.conflict(x.GetOnConflictClause()) && p.outputs(x.GetReturningList())
}

// inserted are the columns that an INSERT gives values to, in order.
func (p *planner) inserted(x *insertNode) ([]string, bool) {
	var names []string
	for _, n := range x.GetCols() {
		if len(n.GetResTarget().GetIndirection()) > 0 {
			return nil, false
		}
		names = append(names, n.GetResTarget().GetName())
	}
	if len(names) == 0 {
		for _, c := range p.rel.Columns {
			names = append(names, c.Name)
		}
	}
	return names, true
}

// conflict reads ON CONFLICT. Which indexes it means does not depend on parameters, unless a predicate has one.
func (p *planner) conflict(x *conflictNode) bool {
	if x == nil {
		return true
	}
	for _, n := range x.GetInfer().GetIndexElems() {
		if n.GetIndexElem().GetExpr() != nil {
			return false
		}
	}
	return x.GetInfer().GetWhereClause() == nil && p.assigned(x.GetTargetList()) && p.filter(x.GetWhereClause())
}

// relation takes the statement's only table, of one of some kinds of pg_class.
func (p *planner) relation(x *rangeNode, kinds string) bool {
	if x == nil {
		return false
	}
	c, schema := p.r.catalog, x.GetSchemaname()
	if schema == "" && slices.Contains(p.path, tenantSpot) {
		return false
	}
	if schema == "" {
		schema, _ = c.find(p.path, x.GetRelname())
	}
	own := name{schema, x.GetRelname()}
	rel := c.relations[own]
	if rel == nil || isSystem(schema) || rel.RowSecurity || rel.Rules || rel.Persistence == "t" {
		return false
	}
	p.rel = rel
	if kinds == "rp" {
		return rel.Kind == "r" || rel.Kind == "p"
	}
	return rel.Kind == "r" && len(c.children[own]) == 0 && (rel.Large || p.r.anySize)
}

// byKey reports whether a condition compares all columns of a unique key with parameters, and what else it asks of the one row that
// there may be.
func (p *planner) byKey(where *node) bool {
	if where == nil || !p.filter(where) {
		return false
	}
	return slices.ContainsFunc(p.rel.UniqueKeys, func(key []string) bool {
		return !slices.ContainsFunc(key, func(column string) bool { return !slices.Contains(p.keys, column) })
	})
}

// filter reads conditions that all have to hold.
func (p *planner) filter(n *node) bool {
	if n == nil {
		return true
	}
	if x := n.GetBoolExpr(); x != nil && x.GetBoolop() == boolAnd {
		return !slices.ContainsFunc(x.GetArgs(), func(arg *node) bool { return !p.filter(arg) })
	}
	return p.compared(n) || p.plain(n)
}

// compared reads a column, an operator and a parameter, in either order. The parameter has the column's type.
func (p *planner) compared(n *node) bool {
	x := n.GetAExpr()
	if x == nil || x.GetKind() != exprOp || len(x.GetName()) != 1 {
		return false
	}
	column, value := x.GetLexpr(), x.GetRexpr()
	if column.GetColumnRef() == nil {
		column, value = value, column
	}
	c, ok := p.column(column)
	if !ok {
		return false
	}
	use, ok := p.parameter(value, c.Type)
	if !ok {
		return false
	}
	if stringOf(x.GetName()[0]) == "=" && isKeyType(c) {
		use.key = true
		p.keys = append(p.keys, c.Name)
	}
	p.uses = append(p.uses, use)
	return true
}

// isKeyType reports whether an index finds the values of a column that are equal to a parameter of its type.
func isKeyType(c Column) bool {
	return intWidth(c.Type) > 0 || c.Type == oidUUID || isText(c.Type) && c.Deterministic
}

func (p *planner) column(n *node) (Column, bool) {
	fields := n.GetColumnRef().GetFields()
	if len(fields) == 0 {
		return Column{}, false
	}
	return p.rel.column(stringOf(fields[len(fields)-1]))
}

// parameter reads a parameter, cast or not, in a place for a type.
func (p *planner) parameter(n *node, typ uint32) (paramUse, bool) {
	if cast := n.GetTypeCast(); cast != nil {
		to := castType(cast.GetTypeName())
		if to == 0 || to == oidNumeric || typ != oidOther && !(paramUse{typ: typ}).fits(to) {
			return paramUse{}, false
		}
		n, typ = cast.GetArg(), to
	}
	if n.GetParamRef() == nil {
		return paramUse{}, false
	}
	slot, ok := p.src.slotAt(n.GetParamRef().GetLocation())
	return paramUse{slot: slot, typ: typ}, ok
}

// plain reports an expression without parameters and subqueries that is computed for each row.
func (p *planner) plain(n *node) bool {
	if n == nil {
		return true
	}
	if n.GetParamRef() != nil || n.GetSubLink() != nil || n.GetCurrentOfExpr() != nil {
		return false
	}
	if f := n.GetFuncCall(); f != nil && !p.call(f) {
		return false
	}
	ok := true
	known := children(n, func(child *node) { ok = ok && p.plain(child) })
	return known && ok
}

// call reports a call of a function that is none of several rows.
func (p *planner) call(f *callNode) bool {
	names := f.GetFuncname()
	if f.GetAggStar() || f.GetAggFilter() != nil || f.GetOver() != nil || len(f.GetAggOrder()) > 0 || len(names) == 0 || len(names) > 2 {
		return false
	}
	schema := ""
	if len(names) == 2 {
		schema = stringOf(names[0])
	}
	v := p.r.catalog.function(append([]string{systemSchema}, p.path...), schema, stringOf(names[len(names)-1]))
	return v.known && !v.aggregate
}

// outputs reads a target list or RETURNING.
func (p *planner) outputs(list []*node) bool {
	for _, n := range list {
		v := n.GetResTarget().GetVal()
		use, ok := p.parameter(v, oidOther)
		if ok {
			p.uses = append(p.uses, use)
		} else if v == nil || !p.plain(v) {
			return false
		}
	}
	return true
}

// assigned reads the assignments of an UPDATE.
func (p *planner) assigned(list []*node) bool {
	for _, n := range list {
		t := n.GetResTarget()
		if t == nil || len(t.GetIndirection()) > 0 || t.GetVal().GetMultiAssignRef() != nil || !p.assign(t.GetName(), t.GetVal()) {
			return false
		}
	}
	return true
}

// assign reads a value for a column. A column with a length, or of a domain, checks what it is given.
func (p *planner) assign(column string, v *node) bool {
	c, ok := p.rel.column(column)
	if !ok {
		return false
	}
	if use, ok := p.parameter(v, c.Type); ok && !slices.Contains(p.rel.Checked, column) {
		p.uses = append(p.uses, use)
		return true
	}
	return p.computed(v) || p.plain(v)
}

// computed is compared for the values of an UPDATE, such as n + $1.
func (p *planner) computed(v *node) bool {
	keys := len(p.keys)
	ok := p.compared(v)
	p.keys = p.keys[:keys]
	return ok
}

// number reads LIMIT and OFFSET.
func (p *planner) number(n *node) bool {
	if use, ok := p.parameter(n, oidInt8); ok {
		p.uses = append(p.uses, use)
		return true
	}
	return p.plain(n)
}
