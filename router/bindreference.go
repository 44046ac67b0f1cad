package router

import (
	"maps"
	"slices"
	"strings"

	"github.com/pgdrover/pgdrover/shardmap"
)

// diverging are functions that give each shard a value of its own, so that the
// copies of a reference table would differ.
var diverging = map[string]bool{
	"random": true, "random_normal": true, "gen_random_uuid": true, "uuidv4": true, "uuidv7": true,
	"uuid_generate_v1": true, "uuid_generate_v1mc": true, "uuid_generate_v4": true, "gen_random_bytes": true,
	"now": true, "transaction_timestamp": true, "statement_timestamp": true, "clock_timestamp": true, "timeofday": true,
	"nextval": true, "currval": true, "lastval": true, "pg_backend_pid": true, "txid_current": true,
	"unique_id": true, "shard_number": true, // of 'pgdrover install'
	"pg_current_xact_id": true, "pg_current_wal_lsn": true, "inet_server_addr": true, "inet_server_port": true,
	"inet_client_addr": true, "inet_client_port": true, "pg_postmaster_start_time": true, "pg_conf_load_time": true,
	"pg_current_snapshot": true, "txid_current_snapshot": true, "txid_current_if_assigned": true, "pg_current_xact_id_if_assigned": true,
}

// divergingDefaultSQL is a condition on a row a of pg_attribute and its row d of pg_attrdef, if it has one: the
// column's default, or its domain's, may be another value on each shard. That is so of the functions above, those of the clock that are
// keywords, 'now' and the like that are read as a date when a row is made, and functions of the database that are volatile. Types below 10000 are
// the server's own, and none of them is a domain.
func divergingDefaultSQL() string {
	const text = `lower(coalesce(pg_get_expr(d.adbin, d.adrelid), (SELECT y.typdefault FROM pg_type y WHERE y.oid = a.atttypid AND y.typtype = 'd'), ''))`
	return `(a.attidentity <> '' OR regexp_replace(` + text + `, '''[^'']*''', '', 'g') ~ ` + quoteString(divergingWords()) + `
       OR ` + text + ` ~ '[(]''(now|today|tomorrow|yesterday)''::text[)]::'
       OR EXISTS (SELECT FROM pg_depend x JOIN pg_proc p ON p.oid = x.refobjid AND p.provolatile = 'v'
         WHERE x.classid = 'pg_attrdef'::regclass AND x.objid = d.oid AND x.refclassid = 'pg_proc'::regclass))`
}

// divergingWords is a regular expression of what divergingDefaultSQL looks for in SQL.
func divergingWords() string {
	words := append(slices.Sorted(maps.Keys(diverging)), "current_(date|time|timestamp)", "localtime(stamp)?")
	return `\m(` + strings.Join(words, "|") + `)\M`
}

// divergingTriggerSQL is a condition on a row g of pg_trigger and its function p: it sees rows before they are written, and its text has such a
// word. moddatetime is an extension's, in C.
func divergingTriggerSQL() string {
	return `g.tgtype & 3 = 3 AND g.tgtype & 20 <> 0 AND (p.proname = 'moddatetime' OR lower(p.prosrc) ~ ` + quoteString(divergingWords()) + `)`
}

// diverge notes what would give each shard another value.
func (b *binder) diverge(what string) {
	if b.facts.diverges == "" {
		b.facts.diverges = what
	}
}

// divergingColumns are the columns of the reference table that a statement
// fills, also through a view, whose defaults differ from shard to shard.
func (b *binder) divergingColumns(x *rangeNode) (rel *Relation, columns []string) {
	schema := x.GetSchemaname()
	if schema == "" {
		schema, _ = b.r.catalog.find(b.path, x.GetRelname())
	}
	rel = b.r.catalog.relations[name{schema, x.GetRelname()}]
	if rel == nil || isSystem(schema) {
		return nil, nil
	}
	if rel.Kind == "v" {
		from := b.r.viewTree(rel).GetSelectStmt().GetFromClause()
		if len(from) != 1 || from[0].GetRangeVar() == nil {
			return rel, nil
		}
		_, columns = b.divergingColumns(from[0].GetRangeVar())
		return rel, columns
	}
	if t := b.r.table(schema, x.GetRelname(), rel); t == nil || t.Kind != shardmap.Reference {
		return rel, nil
	}
	return rel, rel.Diverging
}

// left notes a default that differs from shard to shard if one of some columns
// is not given.
func (b *binder) left(columns, given []string) {
	for _, c := range columns {
		if !slices.Contains(given, c) {
			b.diverge(`the default of column "` + c + `"`)
		}
	}
}

// insertDefaults notes what an INSERT leaves to defaults.
func (b *binder) insertDefaults(x *insertNode, source result) {
	rel, columns := b.divergingColumns(x.GetRelation())
	if len(columns) == 0 {
		return
	}
	given := filled(x.GetCols(), rel, len(source.cols), source.open)
	if x.GetOverride() == overrideUser || x.GetSelectStmt() == nil {
		given = nil
	}
	b.left(columns, given)
	for _, row := range x.GetSelectStmt().GetSelectStmt().GetValuesLists() {
		b.defaulted(columns, given, row.GetList().GetItems())
	}
	b.setDefaults(x.GetRelation(), x.GetOnConflictClause().GetTargetList())
}

// filled are the names of the columns that so many values go into; open: nobody knows how many.
func filled(list []*node, rel *Relation, values int, open bool) []string {
	var names []string
	for _, n := range list {
		names = append(names, n.GetResTarget().GetName())
	}
	if len(list) > 0 {
		return names
	}
	for i, c := range rel.Columns {
		if open || i < values {
			names = append(names, c.Name)
		}
	}
	return names
}

// defaulted notes the columns that a row of values leaves to their defaults with the word DEFAULT.
func (b *binder) defaulted(columns, given []string, row []*node) {
	for i, value := range row {
		if value.GetSetToDefault() != nil && i < len(given) && slices.Contains(columns, given[i]) {
			b.left(given[i:i+1], nil)
		}
	}
}

// setDefaults notes what a SET list gives its default.
func (b *binder) setDefaults(x *rangeNode, list []*node) {
	_, columns := b.divergingColumns(x)
	for _, n := range list {
		if c := n.GetResTarget().GetName(); assigned(n.GetResTarget().GetVal()).GetSetToDefault() != nil && slices.Contains(columns, c) {
			b.left([]string{c}, nil)
		}
	}
}

// mergeDefaults notes what an action of a MERGE leaves to defaults.
func (b *binder) mergeDefaults(x *rangeNode, w *whenNode) {
	rel, columns := b.divergingColumns(x)
	switch {
	case len(columns) == 0:
	case w.GetCommandType() == mergeUpdate:
		b.setDefaults(x, w.GetTargetList())
	case w.GetCommandType() == mergeInsert:
		given := filled(w.GetTargetList(), rel, len(w.GetValues()), false)
		if w.GetOverride() == overrideUser || len(w.GetValues()) == 0 {
			given = nil
		}
		b.left(columns, given)
		b.defaulted(columns, given, w.GetValues())
	}
}

// copyDefaults notes what COPY FROM leaves to defaults.
func (b *binder) copyDefaults(x *copyNode) {
	if len(x.GetAttlist()) == 0 {
		return
	}
	var given []string
	for _, n := range x.GetAttlist() {
		given = append(given, stringOf(n))
	}
	_, columns := b.divergingColumns(x.GetRelation())
	b.left(columns, given)
}
