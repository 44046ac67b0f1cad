package router

import (
	"strings"

	"github.com/pgdrover/pgdrover/shardmap"
)

// CatalogSQL returns what reads everything that routing wants to know of a database: one
// row of one text. It needs PostgreSQL 15 and pg_catalog only. The result is
// what [ParseCatalog] reads. Names in view definitions come out qualified,
// because the search path is empty for the length of the statement. It is
// two statements, to be sent as one Query: compiling the second would take
// a hundred times longer than running it.
//
// What is in tenants' schemas is left out: there are thousands of them, and each
// shard has others.
func CatalogSQL(m *shardmap.Map) string {
	sql := strings.NewReplacer("{diverging}", divergingDefaultSQL(), "{divergingTrigger}", divergingTriggerSQL()).Replace(catalogSQL)
	if !m.BySchema() {
		return sharedOnly.Replace(sql)
	}
	apart := func(column string) string { return " AND NOT " + m.TenantSchemaSQL(column) }
	return strings.NewReplacer(
		"{nspname}", apart("nspname"), "{n}", apart("n.nspname"), "{tn}", apart("tn.nspname"), "{fn}", apart("fn.nspname"),
		"{c}", " AND c.relnamespace NOT IN (SELECT oid FROM pg_namespace WHERE "+m.TenantSchemaSQL("nspname")+")",
		"{objects}", strings.ReplaceAll(objectsSQL, "{n}", apart("n.nspname")),
	).Replace(sql)
}

// sharedOnly makes catalogSQL that of a map whose tenants have no schemas. It is not changed.
var sharedOnly = strings.NewReplacer("{nspname}", "", "{n}", "", "{tn}", "", "{fn}", "", "{c}", "", "{objects}", "")

// UnsettlingSQL asks whether a database has a function that may change what a
// session keeps, which each shard may have in its tenants' schemas: one boolean.
const UnsettlingSQL = "SET LOCAL jit TO off;" + unsettlingSQL + " SELECT EXISTS (SELECT FROM reach)"

// objectsSQL adds what DDL names besides relations and functions.
const objectsSQL = `
 'objects', (SELECT json_agg(json_build_array(nspname, name) ORDER BY nspname, name) FROM (
   SELECT n.nspname, c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind IN ('i', 'I', 'S', 'c') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'{n}
   UNION SELECT n.nspname, t.typname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
   WHERE t.typtype IN ('e', 'd', 'r') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'{n}) o),`

const catalogSQL = "SET LOCAL jit TO off;" + unsettlingSQL + `
SELECT json_build_object(
 'encoding', (SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = current_database()),
 'server', current_setting('server_version_num')::int,
 'schemas', (SELECT json_agg(nspname ORDER BY nspname) FROM pg_namespace
   WHERE nspname !~ '^pg_(toast|temp)'{nspname}),{objects}
 'system', (SELECT json_agg(relname ORDER BY relname) FROM pg_class
   WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind IN ('r', 'v', 'S')),
 'relations', (SELECT json_agg(json_build_object(
   'schema', n.nspname, 'name', c.relname, 'kind', c.relkind, 'persistence', c.relpersistence,
   'rowSecurity', c.relrowsecurity,
   'rules', EXISTS (SELECT FROM pg_rewrite w WHERE w.ev_class = c.oid AND w.rulename <> '_RETURN'),
   'identity', c.relreplident,
   'columns', (SELECT json_agg(json_build_array(a.attname, coalesce(nullif(t.typbasetype, 0), t.oid)::int8,
       coalesce(l.collname, ''), coalesce(l.collisdeterministic, true), a.attnotnull) ORDER BY a.attnum)
     FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_collation l ON l.oid = a.attcollation
     WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
   'primaryKey', (SELECT json_agg(a.attname ORDER BY k.i) FROM pg_index x,
       unnest(x.indkey) WITH ORDINALITY k(num, i), pg_attribute a
     WHERE x.indrelid = c.oid AND x.indisprimary AND a.attrelid = c.oid AND a.attnum = k.num),
   'uniqueKeys', (SELECT json_agg((SELECT json_agg(a.attname ORDER BY k.i) FROM unnest(x.indkey) WITH ORDINALITY k(num, i), pg_attribute a
       WHERE k.i <= x.indnkeyatts AND a.attrelid = c.oid AND a.attnum = k.num) ORDER BY x.indkey::text, x.indexrelid) FROM pg_index x
       JOIN pg_class xc ON xc.oid = x.indexrelid JOIN pg_am m ON m.oid = xc.relam
     WHERE x.indrelid = c.oid AND x.indisunique AND x.indimmediate AND x.indisvalid AND x.indisready AND m.amname = 'btree'
       AND x.indexprs IS NULL AND x.indpred IS NULL),
   'checked', (SELECT json_agg(a.attname ORDER BY a.attnum) FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
     WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND (a.atttypmod >= 0 OR t.typtype = 'd')),
   'diverging', (SELECT json_agg(a.attname ORDER BY a.attnum) FROM pg_attribute a
       LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
     WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
       AND (a.atthasdef OR a.attidentity <> '' OR a.atttypid >= 10000) AND {diverging}),
   'large', c.relpages >= 64 AND c.reltuples > 0,
   'identityColumns', (SELECT json_agg(a.attname ORDER BY k.i) FROM pg_index x,
       unnest(x.indkey) WITH ORDINALITY k(num, i), pg_attribute a
     WHERE x.indrelid = c.oid AND x.indisreplident AND a.attrelid = c.oid AND a.attnum = k.num),
   'triggers', (SELECT json_agg(g.tgname ORDER BY g.tgname) FROM pg_trigger g
     WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgenabled <> 'D'),
   'divergingTriggers', (SELECT json_agg(g.tgname ORDER BY g.tgname) FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid
     WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgenabled <> 'D' AND {divergingTrigger}),
   'parents', (SELECT json_agg(json_build_array(pn.nspname, pc.relname) ORDER BY 1)
     FROM pg_inherits i JOIN pg_class pc ON pc.oid = i.inhparent JOIN pg_namespace pn ON pn.oid = pc.relnamespace
     WHERE i.inhrelid = c.oid),
   'definition', CASE WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid) END,
   'unsettling', c.oid IN (SELECT w.rel FROM runs w JOIN reach USING (func))
   ) ORDER BY n.nspname, c.relname)
   FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'{n}),
 'cascades', (SELECT json_agg(json_build_array(tn.nspname, tc.relname, fn.nspname, fc.relname,
     o.confdeltype, o.confupdtype) ORDER BY tn.nspname, tc.relname, fn.nspname, fc.relname, o.conname)
   FROM pg_constraint o
   JOIN pg_class tc ON tc.oid = o.confrelid JOIN pg_namespace tn ON tn.oid = tc.relnamespace
   JOIN pg_class fc ON fc.oid = o.conrelid JOIN pg_namespace fn ON fn.oid = fc.relnamespace
   WHERE o.contype = 'f' AND (o.confdeltype IN ('c', 'n', 'd') OR o.confupdtype IN ('c', 'n', 'd')){tn}{fn}),
 'functions', (SELECT json_agg(json_build_array(nspname, proname, volatility, opens, unsettling, aggregate)
     ORDER BY nspname, proname)
   FROM (SELECT n.nspname, p.proname,
       CASE WHEN bool_or(p.provolatile = 'v') THEN 'v' WHEN bool_or(p.provolatile = 's') THEN 's' ELSE 'i' END AS volatility,
       bool_or(n.nspname NOT IN ('pg_catalog', 'information_schema') AND p.provolatile <> 'i' AND p.prokind <> 'a'
         AND l.lanname NOT IN ('internal', 'c') AND NOT ` + ownFunction + `) AS opens,
       bool_or(p.oid IN (SELECT func FROM reach)) AS unsettling, bool_or(p.prokind = 'a') AS aggregate
     FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
     WHERE n.nspname !~ '^pg_(toast|temp)'{n}
     GROUP BY n.nspname, p.proname) f),
 'unsettling', EXISTS (SELECT FROM reach),
 'types', (SELECT json_agg(json_build_array(t.oid::int8, n.nspname, t.typname) ORDER BY t.oid)
   FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
   WHERE t.typtype <> 'p' AND t.oid IN (SELECT a.atttypid FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
     WHERE c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
       AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND a.attnum > 0{c}
     UNION SELECT b.typbasetype FROM pg_type b))
)::text
FROM (SELECT set_config('search_path', 'pg_catalog', true) OFFSET 0) path`

// ownFunction is true of the functions that 'pgdrover install' makes: they open
// no table of a tenant's and keep nothing of a session. n is their schema, p they.
const ownFunction = `(n.nspname = 'pgdrover' AND p.proname IN ('unique_id', 'shard_number', 'decide'))`
