package router

import (
	"bytes"
	"slices"
	"strings"

	"github.com/pgdrover/pgdrover/shardmap"
)

// A write of a reference table runs on every shard by itself. What follows finds, besides the functions in bindreference.go, what makes it another write on each.

// divergesError is the error for what is not the same on each shard.
func divergesError(what, table string) *Error {
	hint := "Compute the value first, a sequence's by a SELECT of its own, and write it as a literal."
	switch {
	case strings.HasPrefix(what, "the trigger "):
		hint = "Drop it there, and write the value as a literal."
	case strings.HasSuffix(what, "without ORDER BY"):
		hint = "Order by columns that tell the rows apart, or read the rows first and name them by their keys."
	case strings.HasPrefix(what, "the system column "), what == "TABLESAMPLE", what == "SKIP LOCKED":
		hint = "Read the rows first, and name them by their keys."
	}
	return refuse(hint, "%s would give the reference table %q another value on each shard", what, table)
}

// alike are volatile functions whose results do not go into a row, or are the same on each shard. It is not changed.
var alike = map[string]bool{
	"setval": true, "set_config": true, "setseed": true, "pg_notify": true, "pg_sleep": true, "pg_sleep_for": true, "pg_sleep_until": true,
}

// ordered are functions whose result comes from the order of rows, which is each shard's own unless something says it. It is not changed.
var ordered = map[string]bool{
	"array_agg": true, "string_agg": true, "json_agg": true, "jsonb_agg": true, "json_object_agg": true, "jsonb_object_agg": true, "xmlagg": true,
	"row_number": true, "ntile": true, "lag": true, "lead": true, "first_value": true, "last_value": true, "nth_value": true,
}

// divergingCall notes a call whose result may be another one on each shard.
func (b *binder) divergingCall(c *callNode, function string, volatile bool) {
	switch {
	case diverging[function], volatile && !alike[function] && !strings.Contains(function, "_advisory_"),
		function == "age" && len(c.GetArgs()) == 1: // since today
		b.diverge(function + "()")
	case ordered[function] && len(c.GetAggOrder()) == 0 && len(c.GetOver().GetOrderClause()) == 0 && c.GetOver().GetName() == "" && c.GetOver().GetRefname() == "":
		b.diverge(function + "() without ORDER BY")
	}
}

// systemColumns are columns of every table that say where a row is. It is not changed.
var systemColumns = []string{"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"}

func (b *binder) systemColumn(c *columnNode) {
	f := c.GetFields()
	if column := stringOf(f[len(f)-1]); slices.Contains(systemColumns, column) {
		b.diverge("the system column " + column)
	}
}

// chosenByOrder notes a query that takes some of its rows, and does not say which. EXISTS takes none.
func (b *binder) chosenByOrder(q *selectNode) {
	if len(q.GetSortClause()) > 0 || q == b.exists {
		return
	}
	if distinctOn(q) {
		b.diverge("DISTINCT ON without ORDER BY")
	}
	if (q.GetLimitCount() != nil || q.GetLimitOffset() != nil) && (q.GetOp() != setNone || len(q.GetFromClause()) > 0) {
		b.diverge("LIMIT without ORDER BY")
	}
}

// typeName is the name of a type without its schema.
func typeName(t *typeNode) string {
	names := t.GetNames()
	if len(names) == 0 {
		return ""
	}
	return stringOf(names[len(names)-1])
}

// isDate reports the name of a type that takes 'now'.
func isDate(name string) bool {
	return name == "date" || strings.HasPrefix(name, "timestamp") || name == "time" || name == "timetz"
}

// The types that isDate reports, by OID.
const (
	oidDate        = 1082
	oidTime        = 1083
	oidTimestamp   = 1114
	oidTimestamptz = 1184
	oidTimetz      = 1266
)

// takesNow reports whether a column of a table takes 'now' for the clock.
func (r *Router) takesNow(t *Table) bool {
	rel := r.catalog.relations[name{t.Schema, t.Name}]
	return rel != nil && slices.ContainsFunc(rel.Columns, func(c Column) bool {
		return slices.Contains([]uint32{oidDate, oidTime, oidTimestamp, oidTimestamptz, oidTimetz}, c.Type)
	})
}

// restamped notes triggers that may change what is written to a reference table.
func (b *binder) restamped(p *placement, t *Table) {
	rel := b.r.catalog.relations[name{t.Schema, t.Name}]
	if rel != nil && len(rel.DivergingTriggers) > 0 && b.facts.fills && p.diverges == "" {
		p.diverges = "the trigger \"" + rel.DivergingTriggers[0] + "\""
	}
}

// readsNow reports a string or a parameter that is a word for the clock, alone or with a time behind it.
func (q *Query) readsNow(p Params) bool {
	for _, s := range q.slots {
		if s.kind == slotInt || s.kind == slotDecimal || s.kind == slotParam {
			continue
		}
		if value, ok := q.decode(s); ok && saysClock(value) {
			return true
		}
	}
	for i := 0; p != nil && i < p.Len(); i++ {
		if value, _, null := p.Param(i); !null && saysClock(value) {
			return true
		}
	}
	return false
}

func saysClock(value []byte) bool {
	word, _, _ := bytes.Cut(trimBlanks(value), []byte(" "))
	return len(word) < 10 && slices.ContainsFunc(clockWords, func(w []byte) bool { return bytes.EqualFold(word, w) })
}

// clockWords are those of PostgreSQL's date input. It is not changed.
var clockWords = [][]byte{[]byte("now"), []byte("today"), []byte("tomorrow"), []byte("yesterday")}

// madeEverywhere places a statement that makes a table on every shard.
func (c *compiler) madeEverywhere(st *Statement, x *rangeNode) {
	pl := &st.place
	pl.everySelect()
	t, ok := c.r.m.Table(c.schemaOf(x), x.GetRelname())
	what := pl.diverges
	if pl.opens != "" {
		what = pl.opens + "()"
	}
	if ok && t.Kind == shardmap.Reference && what != "" && pl.doubtful == nil {
		pl.doubtful = divergesError(what, t.Name)
	}
}

// schemaOf is the schema that a relation is made in.
func (c *compiler) schemaOf(x *rangeNode) string {
	if x.GetSchemaname() != "" {
		return x.GetSchemaname()
	}
	for _, s := range c.path {
		if s != systemSchema && c.r.catalog.hasSchema(s) {
			return s
		}
	}
	return ""
}

// refills refuses ALTER TABLE of a reference table that gives the rows there values that each shard would make for itself.
func (c *compiler) refills(x *alterTableNode) *Error {
	schema := x.GetRelation().GetSchemaname()
	if schema == "" {
		schema, _ = c.r.catalog.find(c.path, x.GetRelation().GetRelname())
	}
	t, ok := c.r.m.Table(schema, x.GetRelation().GetRelname())
	if !ok || t.Kind != shardmap.Reference {
		return nil
	}
	for _, n := range x.GetCmds() {
		cmd := n.GetAlterTableCmd()
		def := cmd.GetDef().GetColumnDef()
		what := ""
		switch cmd.GetSubtype() {
		case addColumn:
			what = c.addedColumn(def)
		case alterType:
			what = c.divergence(def.GetRawDefault())
		}
		if what != "" {
			return refuse("Add the column without it, give the rows their values by an UPDATE with literals, and set the default or the identity then.",
				"%s would give the reference table %q another value on each shard", what, t.Name)
		}
	}
	return nil
}

// addedColumn is what gives the rows of a table another value of a new column on each shard; empty: nothing does.
func (c *compiler) addedColumn(def *columnDefNode) string {
	if strings.Contains(typeName(def.GetTypeName()), "serial") {
		return "the sequence of column \"" + def.GetColname() + "\""
	}
	for _, n := range def.GetConstraints() {
		if n.GetConstraint().GetContype() == isIdentity {
			return "the sequence of column \"" + def.GetColname() + "\""
		}
		if what := c.divergence(n.GetConstraint().GetRawExpr()); what != "" {
			return what
		}
	}
	return ""
}

// divergence is what is another value on each shard in an expression; empty: nothing is.
func (c *compiler) divergence(n *node) string {
	b := c.r.newBinder(nil, c.path)
	b.expression(n, nil)
	if b.facts.opens != "" {
		return b.facts.opens + "()"
	}
	return b.facts.diverges
}
