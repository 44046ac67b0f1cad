package proxy

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/shardmap"
)

// referenceTable is a reference table as one shard has it.
type referenceTable struct {
	relation
	partitioned bool
	shape       string // its columns by name, with their types
	columns     string // their names, as SQL
	given       string // those that are not generated
}

// rows is the table in a FROM clause: with its partitions, and without tables that inherit from it.
func (t referenceTable) rows() string {
	if t.partitioned {
		return t.quoted()
	}
	return "ONLY " + t.quoted()
}

const referenceTablesSQL = `SELECT n.nspname, c.relname, c.relkind,
	pg_catalog.string_agg(pg_catalog.quote_ident(a.attname) || ' ' || pg_catalog.format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attname),
	pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' ORDER BY a.attname),
	pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' ORDER BY a.attname) FILTER (WHERE a.attgenerated = '')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relname IN ({names}) AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
GROUP BY c.oid, n.nspname, c.relname, c.relkind`

// referenceTables are the tables that m calls reference tables on a shard, by name.
func referenceTables(ctx context.Context, line *pool.Line, m *shardmap.Map) (map[string]referenceTable, error) {
	answer, err := line.Exec(ctx, ofReferences(referenceTablesSQL, m))
	if err != nil {
		return nil, err
	}
	tables := map[string]referenceTable{}
	for _, row := range answer.Rows {
		t := referenceTable{
			relation: relation{schema: string(row[0]), name: string(row[1])}, partitioned: string(row[2]) == "p",
			shape: string(row[3]), columns: string(row[4]), given: string(row[5]),
		}
		if said, ok := m.Table(t.schema, t.name); ok && said.Kind == shardmap.Reference {
			tables[t.String()] = t
		}
	}
	return tables, nil
}

// ofReferences has SQL look at tables of such names only as reference tables have: where each tenant has a schema there are very many others.
func ofReferences(sql string, m *shardmap.Map) string {
	var names []string
	for _, t := range m.Tables() {
		if t.Kind == shardmap.Reference {
			names = append(names, quoteLiteral(t.Name))
		}
	}
	return strings.ReplaceAll(sql, "{names}", strings.Join(names, ", "))
}

// hasReferences reports whether a map names reference tables.
func hasReferences(m *shardmap.Map) bool {
	return slices.ContainsFunc(m.Tables(), func(t shardmap.Table) bool { return t.Kind == shardmap.Reference })
}

// digest is what tells the rows of a table from others: how many there are, and two sums of their hashes, in which their order does not
// matter.
type digest struct{ count, first, second string }

func (d digest) String() string {
	if d.count == "1" {
		return "1 row"
	}
	return d.count + " rows"
}

func digestOf(ctx context.Context, line *pool.Line, t referenceTable) (digest, error) {
	answer, err := line.Exec(ctx, `SELECT pg_catalog.count(*), pg_catalog.sum(pg_catalog.hashtextextended(r COLLATE "C", 0)),
	pg_catalog.sum(pg_catalog.hashtextextended(r COLLATE "C", 1)) FROM (SELECT ROW(`+t.columns+`)::pg_catalog.text AS r FROM `+t.rows()+` OFFSET 0) x`)
	if err != nil {
		return digest{}, err
	}
	row := answer.Rows[0]
	return digest{string(row[0]), string(row[1]), string(row[2])}, nil
}

// referenceSettings have rows written as text in one way on every shard, all of them seen, commits durable, and no limit but those that are
// asked for, also of those that newer servers have.
const referenceSettings = `SET client_encoding = 'UTF8'; SET DateStyle = 'ISO'; SET IntervalStyle = 'postgres'; SET TimeZone = 'UTC'; SET bytea_output = 'hex';
SET extra_float_digits = 1; SET lc_monetary = 'C'; SET xmloption = 'content'; SET row_security = off; SET client_min_messages = error;
SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings
WHERE name IN ('statement_timeout', 'lock_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout');
SELECT pg_catalog.set_config(name, 'on', false) FROM pg_catalog.pg_settings WHERE name = 'synchronous_commit' AND setting IN ('off', 'local')`

// ReferenceDifferences compares the rows of the reference tables of all shards with those of the first one that owns partitions. It says how many
// tables there are, and names each that is not the same; an error says that a shard could not be asked. Rows that are being written meanwhile may differ for a moment.
func ReferenceDifferences(ctx context.Context, cluster *pool.Cluster, m *shardmap.Map) (tables int, list []string, err error) {
	if m.ShardCount() == 1 || !hasReferences(m) {
		return 0, nil, nil
	}
	digests := map[string]map[string]digest{} // by shard and table
	var names []string
	for _, sh := range m.Shards() {
		found, err := referenceDigests(ctx, cluster, m, sh)
		if err != nil {
			return 0, nil, err
		}
		digests[sh.Name] = found
		names = append(names, sh.Name)
	}
	source := sourceOf(m, nil)
	for _, table := range slices.Sorted(maps.Keys(digests[source])) {
		for _, shard := range names {
			other, there := digests[shard][table]
			if !there {
				list = append(list, fmt.Sprintf("reference table %s is missing on shard %s", table, shard))
			} else if other != digests[source][table] {
				list = append(list, fmt.Sprintf("reference table %s differs: shard %s has %s%s", table, source, digests[source][table],
					versus(shard, digests[source][table], other)))
			}
		}
	}
	return len(digests[source]), list, nil
}

// versus says what another shard has, in a way that shows that it is not the same.
func versus(shard string, first, other digest) string {
	if first.count == other.count {
		return fmt.Sprintf(", and shard %s has as many that are not all the same", shard)
	}
	return fmt.Sprintf(", and shard %s %s", shard, other)
}

func referenceDigests(ctx context.Context, cluster *pool.Cluster, m *shardmap.Map, sh shardmap.Shard) (map[string]digest, error) {
	line, err := cluster.OpenLine(ctx, sh.Name, pool.Primary, sh.Primary)
	if err != nil {
		return nil, err
	}
	defer line.Close()
	if _, err := line.Exec(ctx, referenceSettings); err != nil {
		return nil, err
	}
	tables, err := referenceTables(ctx, line, m)
	if err != nil {
		return nil, err
	}
	digests := map[string]digest{}
	for name, t := range tables {
		if digests[name], err = digestOf(ctx, line, t); err != nil {
			return nil, err
		}
	}
	return digests, nil
}

// sourceOf is the shard that reference tables are compared with and copied from: the first that owns partitions and is no target.
func sourceOf(m *shardmap.Map, targets []string) string {
	first := ""
	for _, sh := range m.Shards() {
		if slices.Contains(targets, sh.Name) {
			continue
		}
		if sh.Owned > 0 {
			return sh.Name
		}
		if first == "" {
			first = sh.Name
		}
	}
	return first
}

// reference is one foreign key of a table to another.
type reference struct {
	from, to   relation
	deferrable bool
}

const referencesSQL = `SELECT rn.nspname, r.relname, fn.nspname, f.relname, k.condeferrable FROM pg_catalog.pg_constraint k
JOIN pg_catalog.pg_class r ON r.oid = k.conrelid JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace
JOIN pg_catalog.pg_class f ON f.oid = k.confrelid JOIN pg_catalog.pg_namespace fn ON fn.oid = f.relnamespace
WHERE f.relname IN ({names}) AND k.contype = 'f' AND k.conparentid = 0 AND k.conrelid <> k.confrelid`

// foreignKeys are those of other tables that refer to the reference tables of m.
func foreignKeys(ctx context.Context, line *pool.Line, m *shardmap.Map) ([]reference, error) {
	answer, err := line.Exec(ctx, ofReferences(referencesSQL, m))
	if err != nil {
		return nil, err
	}
	var list []reference
	for _, row := range answer.Rows {
		from, to := relation{schema: string(row[0]), name: string(row[1])}, relation{schema: string(row[2]), name: string(row[3])}
		list = append(list, reference{from, to, string(row[4]) == "t"})
	}
	return list, nil
}

// inOrder puts tables behind those that they refer to by foreign keys that cannot be deferred. It gives those that are left, when they refer to
// each other in a circle.
func inOrder(tables []string, keys []reference) (order, circle []string) {
	left := slices.Sorted(slices.Values(tables))
	for len(left) > 0 {
		var next, wait []string
		for _, t := range left {
			if slices.ContainsFunc(keys, func(k reference) bool {
				return k.from.String() == t && !k.deferrable && slices.Contains(left, k.to.String())
			}) {
				wait = append(wait, t)
			} else {
				next = append(next, t)
			}
		}
		if len(next) == 0 {
			return order, left
		}
		order, left = append(order, next...), wait
	}
	return order, nil
}
