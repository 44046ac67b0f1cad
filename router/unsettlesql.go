package router

// unsettlingSQL is the part of [CatalogSQL] that finds out which functions may change, unseen, what a session keeps beyond the
// transaction: settings, session locks, channels, temporary tables, prepared statements and cursors WITH HOLD.
//
//   - source: the functions of the database in SQL and other languages. Those in C are taken to leave all that alone.
//   - runs: which relations run them: by triggers, defaults, constraints, indexes, policies, rules and views.
//   - suspect: those whose source says something that could do that, and all in languages that are not read.
//   - known: names that lead to other functions: those of the functions, and of relations that run some or reach others.
//   - reach: the suspects, and where there are any, every function whose source has a word in it that is a known name.
const unsettlingSQL = `
WITH source AS MATERIALIZED (
  SELECT p.oid AS func, lower(p.proname) AS name, lower(coalesce(pg_get_function_sqlbody(p.oid), p.prosrc)) AS text,
    l.lanname NOT IN ('sql', 'plpgsql') AS other
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
  WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND l.lanname NOT IN ('internal', 'c')
    AND NOT ` + ownFunction + `
), runs AS MATERIALIZED (
  SELECT tgrelid AS rel, tgfoid AS func FROM pg_trigger
  UNION SELECT o.rel, d.refobjid FROM pg_depend d JOIN (
      SELECT 'pg_attrdef'::regclass, oid, adrelid FROM pg_attrdef
      UNION ALL SELECT 'pg_constraint'::regclass, oid, conrelid FROM pg_constraint
      UNION ALL SELECT 'pg_class'::regclass, indexrelid, indrelid FROM pg_index
      UNION ALL SELECT 'pg_policy'::regclass, oid, polrelid FROM pg_policy
      UNION ALL SELECT 'pg_rewrite'::regclass, oid, ev_class FROM pg_rewrite
    ) o(class, oid, rel) ON (d.classid, d.objid) = (o.class, o.oid)
    WHERE d.refclassid = 'pg_proc'::regclass
), suspect AS MATERIALIZED (
  SELECT func FROM source WHERE other OR text ~ E'` + unsettlingWords + `'
), known AS MATERIALIZED (
  SELECT name FROM source
  UNION SELECT lower(relname) FROM pg_class WHERE oid IN (SELECT rel FROM runs JOIN source USING (func))
    OR oid IN (SELECT confrelid FROM pg_constraint WHERE confdeltype IN ('c', 'n', 'd') OR confupdtype IN ('c', 'n', 'd'))
    OR oid IN (SELECT inhparent FROM pg_inherits UNION SELECT inhrelid FROM pg_inherits)
), reach AS MATERIALIZED (
  SELECT func FROM suspect
  UNION SELECT s.func FROM source s, regexp_split_to_table(s.text, '[^[:alnum:]_$]+') word
    WHERE EXISTS (SELECT FROM suspect) AND word <> s.name AND word IN (SELECT name FROM known)
  UNION SELECT s.func FROM source s, known k
    WHERE EXISTS (SELECT FROM suspect) AND k.name ~ '[^[:alnum:]_$]' AND strpos(s.text, k.name) > 0
)`

// unsettlingWords is a regular expression of PostgreSQL for what the source of such a function says in lower case, or of one that
// runs SQL which it makes up as it runs. SET stands at the beginning of a statement, unlike that of an UPDATE. It is
// written as in an E'' string, which reads the same whatever standard_conforming_strings says.
const unsettlingWords = `\\m(set_config|reset|discard|listen|unlisten|pg_(try_)?advisory_lock(_shared)?|temp|temporary|pg_temp|prepare|deallocate|execute|hold|load|dblink_\\w*)\\M` +
	`|(^|;|>>|\\*/|\\m(begin|then|else|loop|atomic)\\M|--[^\\n]*\\n)\\s*set\\M`
