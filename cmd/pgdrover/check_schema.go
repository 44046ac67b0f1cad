package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pgdrover/pgdrover/shardmap"
)

// schemaSQL lists everything that DDL makes, as rows of kind, schema, table (or empty), name and definition. Objects of
// extensions are left out, the extensions themselves are listed.
const schemaSQL = `
with spaces as (
  select oid, nspname from pg_namespace
  where nspname !~ '^pg_' and nspname <> 'information_schema'
), owned as (
  select classid, objid from pg_depend where deptype = 'e'
), relations as (
  select c.*, s.nspname from pg_class c join spaces s on s.oid = c.relnamespace
  where c.relpersistence <> 't' and not exists (select from owned where classid = 'pg_class'::regclass and objid = c.oid)
)
select 'table' as kind, nspname as space, relname as rel, '' as name,
       case relkind when 'p' then 'partitioned table' when 'f' then 'foreign table' else 'table' end
       || case when relpersistence = 'u' then ', unlogged' else '' end
       || case when relrowsecurity then ', row level security' else '' end
       || case when relforcerowsecurity then ' forced' else '' end
       || ', replica identity ' || relreplident::text
       || coalesce(', partition ' || pg_get_expr(relpartbound, oid), '') as definition
from relations where relkind in ('r', 'p', 'f')
union all
select 'column', r.nspname, r.relname, a.attname,
       'column ' || row_number() over (partition by a.attrelid order by a.attnum) || ', '
       || format_type(a.atttypid, a.atttypmod)
       || case when a.attnotnull then ' not null' else '' end
       || case when a.attcollation <> t.typcollation then ' collate ' || a.attcollation::regcollation else '' end
       || case when a.attidentity <> '' then ' identity ' || a.attidentity::text else '' end
       || case when a.attgenerated <> '' then ' generated ' || a.attgenerated::text else '' end
       || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '')
from relations r join pg_attribute a on a.attrelid = r.oid join pg_type t on t.oid = a.atttypid
     left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
where r.relkind in ('r', 'p', 'f', 'c') and a.attnum > 0 and not a.attisdropped
union all
select 'constraint', r.nspname, r.relname, c.conname, pg_get_constraintdef(c.oid)
from relations r join pg_constraint c on c.conrelid = r.oid
union all
select 'index', r.nspname, r.relname, x.relname, pg_get_indexdef(i.indexrelid) || case when i.indisvalid then '' else ' (invalid)' end
from relations r join pg_index i on i.indrelid = r.oid join pg_class x on x.oid = i.indexrelid
union all
select 'trigger', r.nspname, r.relname, t.tgname, pg_get_triggerdef(t.oid) || ' ' || t.tgenabled::text
from relations r join pg_trigger t on t.tgrelid = r.oid where not t.tgisinternal
union all
select 'policy', schemaname, tablename, policyname,
       concat_ws(' ', permissive, cmd, 'to', array_to_string(roles, ','), 'using ' || qual, 'check ' || with_check)
from pg_policies
union all
select case relkind when 'm' then 'materialized view' else 'view' end, nspname, relname, '', pg_get_viewdef(oid)
from relations where relkind in ('v', 'm')
union all
select 'sequence', coalesce(o.nspname, r.nspname), coalesce(o.relname, ''), r.relname,
       format('%s start %s increment %s min %s max %s cache %s%s', format_type(s.seqtypid, null), s.seqstart, s.seqincrement,
              s.seqmin, s.seqmax, s.seqcache, case when s.seqcycle then ' cycle' else '' end)
from relations r join pg_sequence s on s.seqrelid = r.oid
     left join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = r.oid and d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i')
     left join relations o on o.oid = d.refobjid
union all
select case p.prokind when 'p' then 'procedure' when 'a' then 'aggregate' else 'function' end, s.nspname, '',
       p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')',
       case when p.prokind = 'a' then pg_get_function_result(p.oid)
            when s.nspname = 'pgdrover' and p.proname = 'shard_number' then 'a number of its own'
            else pg_get_functiondef(p.oid) end
from pg_proc p join spaces s on s.oid = p.pronamespace
where not exists (select from owned where classid = 'pg_proc'::regclass and objid = p.oid)
union all
select 'type', s.nspname, '', t.typname,
       case t.typtype when 'e' then 'enum ' || (select string_agg(quote_literal(enumlabel), ', ' order by enumsortorder) from pg_enum where enumtypid = t.oid)
                      when 'd' then 'domain over ' || format_type(t.typbasetype, t.typtypmod) || case when t.typnotnull then ' not null' else '' end
                           || coalesce(' default ' || t.typdefault, '')
                           || coalesce(' ' || (select string_agg(pg_get_constraintdef(oid), ' ' order by conname) from pg_constraint where contypid = t.oid), '')
                      else 'range' end
from pg_type t join spaces s on s.oid = t.typnamespace
where t.typtype in ('e', 'd', 'r') and not exists (select from owned where classid = 'pg_type'::regclass and objid = t.oid)
union all
select 'schema', nspname, '', '', 'schema' from spaces
union all
select 'extension', '', '', extname, 'version ' || extversion from pg_extension
`

// object is something that DDL makes: its kind, schema, table and name. Parts that it does not have are empty.
type object struct{ kind, space, table, name string }

// String gives the object as a person would call it.
func (o object) String() string {
	var parts []string
	for _, part := range []string{o.space, o.table, o.name} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return o.kind + " " + strings.Join(parts, ".")
}

func (o object) compare(other object) int {
	return cmp.Or(cmp.Compare(o.space, other.space), cmp.Compare(o.table, other.table), cmp.Compare(o.kind, other.kind), cmp.Compare(o.name, other.name))
}

// schema is what one shard has: the definition of each object.
type schema map[object]string

// schemaOf takes the rows that schemaSQL gave. Tables that live on one shard, with all that belongs to them, are left
// out: the other shards need not have them.
func schemaOf(m *shardmap.Map, rows [][]string) (schema, error) {
	s := schema{}
	for _, row := range rows {
		if len(row) != 5 {
			return nil, fmt.Errorf("the schema query gave %s where it should give 5", plural(len(row), "column"))
		}
		o := object{kind: row[0], space: row[1], table: row[2], name: row[3]}
		if o == (object{kind: "schema", space: "pgdrover"}) || o.space == "pgdrover" && o.table == "reference_copy" {
			continue // shards that were added have it
		}
		if t, ok := m.Table(o.space, o.table); ok && o.table != "" && t.Kind == shardmap.Unsharded {
			continue
		}
		s[o] = row[4]
	}
	return s, nil
}

// difference is one object that is not the same on two shards.
type difference struct {
	object object
	text   string
}

// compareSchemas lists what is different on shard other, seen from shard first. Of an object that one shard lacks, what
// belongs to it is not listed.
func compareSchemas(first, other string, a, b schema) []difference {
	all := maps.Clone(a)
	maps.Copy(all, b)
	var list []difference
	for _, o := range slices.SortedFunc(maps.Keys(all), object.compare) {
		inA, hasA := a[o]
		inB, hasB := b[o]
		switch {
		case hasA && hasB && inA == inB:
		case hasA && hasB:
			list = append(list, difference{o, fmt.Sprintf("%s differs\n  on %s: %s\n  on %s: %s", o, first, oneLine(inA), other, oneLine(inB))})
		case !partOfMissing(o, a, b):
			there, missing := first, other
			if hasB {
				there, missing = other, first
			}
			list = append(list, difference{o, fmt.Sprintf("%s is on %s and not on %s", o, there, missing)})
		}
	}
	return list
}

// partOfMissing reports whether the table that o belongs to is missing on one of the shards.
func partOfMissing(o object, a, b schema) bool {
	whole := object{kind: "table", space: o.space, table: o.table}
	if o.table == "" || o == whole {
		return false
	}
	_, inA := a[whole]
	_, inB := b[whole]
	return inA != inB
}

// oneLine shortens a definition to what fits a line or two.
func oneLine(text string) string {
	const most = 160
	runes := []rune(strings.Join(strings.Fields(text), " "))
	if len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return string(runes)
}
