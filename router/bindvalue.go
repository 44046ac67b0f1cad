package router

import "github.com/pgdrover/pgdrover/shardmap"

// The types of PostgreSQL that a tenant's value may have on its way.
const (
	oidInt8         = 20
	oidInt2         = 21
	oidInt4         = 23
	oidText         = 25
	oidUnknown      = 705
	oidVarchar      = 1043
	oidNumeric      = 1700
	oidUUID         = 2950
	oidInt2Array    = 1005
	oidInt4Array    = 1007
	oidTextArray    = 1009
	oidVarcharArray = 1015
	oidInt8Array    = 1016
	oidNumericArray = 1231
	oidUUIDArray    = 2951
)

// value returns the node of an expression that is a column or a constant, seen
// through casts that keep its value; noNode for any other.
func (b *binder) value(n *node, s *scope) int32 {
	if c := n.GetColumnRef(); c != nil {
		return b.column(c, s)
	}
	if c := n.GetAConst(); c != nil {
		if b.retyped(c) {
			return noNode
		}
		return b.literal(c)
	}
	if p := n.GetParamRef(); p != nil {
		return b.at(p.GetLocation(), constRef{})
	}
	if c := n.GetTypeCast(); c != nil {
		return b.cast(c, s)
	}
	if x := n.GetAExpr(); x != nil && x.GetKind() == exprOp && x.GetLexpr() == nil {
		return b.negated(x, s)
	}
	if l := n.GetSubLink(); l != nil && l.GetSubLinkType() == linkExpr {
		if res := b.sublink(l, s); len(res.cols) == 1 && !res.open {
			return b.above(outcol{node: res.cols[0].node}).node
		}
	}
	if c := n.GetFuncCall(); isUnnest(c) && len(c.GetArgs()) == 1 {
		return b.array(c.GetArgs()[0])
	}
	return noNode
}

func (b *binder) column(c *columnNode, s *scope) int32 {
	f := c.GetFields()
	for _, n := range f {
		if n.GetString_() == nil {
			return noNode
		}
	}
	switch len(f) {
	case 1:
		return b.lookup(s, stringOf(f[0]))
	case 2:
		return b.lookupIn(s, "", stringOf(f[0]), stringOf(f[1]))
	case 3:
		return b.lookupIn(s, stringOf(f[0]), stringOf(f[1]), stringOf(f[2]))
	}
	return noNode
}

// retyped reports a number where tenants are text. As text it is what PostgreSQL
// prints of the number, and so is a string that takes its type from one.
func (b *binder) retyped(c *constNode) bool {
	return b.r.m.TenantType() == shardmap.Text && isNumeric(c)
}

// intoTenant returns the node of an expression that goes into a tenant column as
// it is, with no type but that column's on its way.
func (b *binder) intoTenant(n *node, s *scope) int32 {
	if c := n.GetAConst(); c != nil {
		return b.literal(c)
	}
	return b.value(n, s)
}

// literal returns the node of a constant.
func (b *binder) literal(c *constNode) int32 {
	if c.GetIsnull() {
		return b.g.constant(constRef{slot: noSlot, null: true})
	}
	if isBoolean(c) {
		return noNode
	}
	return b.at(c.GetLocation(), constRef{negate: isNumeric(c) && constNegative(c), text: constString(c)})
}

// constString returns a constant's text, for views.
func constString(c *constNode) string {
	text, _, _ := constText(c)
	return text
}

// at returns the node of the constant at a place of the parser's text.
func (b *binder) at(off int32, c constRef) int32 {
	if b.src == nil {
		if c.text == "" {
			return noNode
		}
		return b.g.constant(constRef{slot: noSlot, text: c.text})
	}
	slot, ok := b.src.slotAt(off)
	if !ok {
		return noNode
	}
	c.slot, c.text = slot, ""
	return b.g.constant(c)
}

// cast sees through casts that keep the value: to types whose values compare as
// the tenant's do.
func (b *binder) cast(c *castNode, s *scope) int32 {
	oid := castType(c.GetTypeName())
	if oid == 0 || !keepsTenant(b.r.m.TenantType(), oid) {
		return noNode
	}
	v := b.intoTenant(c.GetArg(), s)
	if v == noNode || b.g.sets[v] == nil {
		if b.r.m.TenantType() == shardmap.Text && oid != oidText && oid != oidVarchar {
			return noNode
		}
		return v
	}
	for i := range b.g.sets[v] {
		if b.g.sets[v][i].cast == 0 {
			b.g.sets[v][i].cast = oid
		}
	}
	return v
}

// keepsTenant reports whether a tenant's value cast to a type is still the
// same tenant, or an error.
func keepsTenant(t shardmap.Type, oid uint32) bool {
	switch oid {
	case oidInt2, oidInt4, oidInt8, oidNumeric:
		return t == shardmap.Bigint
	case oidUUID:
		return t == shardmap.UUID
	}
	return oid == oidText || oid == oidVarchar
}

// castType returns the OID of a type that tenants are cast to, without a length
// and not of a user's schema; 0 for any other type.
func castType(t *typeNode) uint32 {
	names := t.GetNames()
	if len(names) == 0 || len(t.GetTypmods()) > 0 || len(t.GetArrayBounds()) > 0 || t.GetSetof() || t.GetPctType() {
		return 0
	}
	if len(names) == 2 && stringOf(names[0]) != systemSchema || len(names) > 2 {
		return 0
	}
	switch stringOf(names[len(names)-1]) {
	case "int2", "smallint":
		return oidInt2
	case "int4", "int", "integer":
		return oidInt4
	case "int8", "bigint":
		return oidInt8
	case "numeric":
		return oidNumeric
	case "text":
		return oidText
	case "varchar":
		return oidVarchar
	case "uuid":
		return oidUUID
	}
	return 0
}

// negated returns the node of - in front of a constant that the parser did not
// fold into it, as in -$1 or -(1::bigint).
func (b *binder) negated(x *exprNode, s *scope) int32 {
	name := x.GetName()
	if len(name) != 1 || stringOf(name[0]) != "-" || !isWritten(x.GetRexpr()) || b.r.m.TenantType() != shardmap.Bigint {
		return noNode
	}
	v := b.constant(x.GetRexpr(), s)
	if v == noNode || len(b.g.sets[v]) != 1 || b.src == nil {
		return noNode
	}
	b.g.sets[v][0].negate = !b.g.sets[v][0].negate
	return v
}

// isWritten reports a literal or parameter, with casts and signs or without: its
// node is its own, and not another expression's too.
func isWritten(n *node) bool {
	for {
		switch {
		case n.GetTypeCast() != nil:
			n = n.GetTypeCast().GetArg()
		case n.GetAExpr() != nil && n.GetAExpr().GetKind() == exprOp && n.GetAExpr().GetLexpr() == nil:
			n = n.GetAExpr().GetRexpr()
		default:
			return n.GetAConst() != nil || n.GetParamRef() != nil
		}
	}
}

// arrayElements returns the elements of ARRAY[…], also under a cast to an array
// of a type that keeps tenants.
func (b *binder) arrayElements(n *node) []*node {
	if c := n.GetTypeCast(); c != nil && len(c.GetTypeName().GetArrayBounds()) > 0 {
		if oid := castArrayType(c.GetTypeName()); oid == 0 || !keepsTenant(b.r.m.TenantType(), oid) {
			return nil
		}
		n = c.GetArg()
	}
	return n.GetAArrayExpr().GetElements()
}

// array returns the node of an array of constants: a parameter, a literal, or
// ARRAY[…].
func (b *binder) array(n *node) int32 {
	if elements := b.arrayElements(n); elements != nil {
		var in []int32
		for _, e := range elements {
			in = append(in, b.constant(e, nil))
		}
		return b.g.all(in)
	}
	c := constRef{array: true}
	if x := n.GetTypeCast(); x != nil {
		if c.cast = castArrayType(x.GetTypeName()); c.cast == 0 || !keepsTenant(b.r.m.TenantType(), c.cast) {
			return noNode
		}
		n = x.GetArg()
	}
	if p := n.GetParamRef(); p != nil {
		return b.at(p.GetLocation(), c)
	}
	if k := n.GetAConst(); k != nil && !k.GetIsnull() && !isNumeric(k) && !isBoolean(k) && b.src != nil {
		return b.at(k.GetLocation(), c)
	}
	return noNode
}

// castArrayType returns the OID of the element type of a one-dimensional array
// type; 0 for any other.
func castArrayType(t *typeNode) uint32 {
	if len(t.GetArrayBounds()) != 1 {
		return 0
	}
	return castType(&typeNode{Names: t.GetNames(), Typmods: t.GetTypmods(), Setof: t.GetSetof()})
}
