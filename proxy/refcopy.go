package proxy

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// complete makes the tables of a target the same as the source's, by the digests that were found, and commits that. It reports whether rows
// were written. It holds locks there that begin a transaction.
func (f *filling) complete(ctx context.Context, shard string) (written bool, err error) {
	differ, err := f.differing(ctx, shard)
	if err != nil {
		return false, err
	}
	if len(differ) > 0 {
		if err := f.copyTables(ctx, shard, differ); err != nil {
			return false, err
		}
	}
	if err := f.sequences(ctx, shard); err != nil {
		return false, err
	}
	if err := f.mark(ctx, shard); err != nil {
		return false, err
	}
	if _, err := f.lines[shard].Exec(ctx, "COMMIT"); err != nil {
		return false, fmt.Errorf("shard %s: reference tables: %w", shard, err)
	}
	for _, name := range f.names() {
		f.copies[[2]string{shard, name}] = true
	}
	return len(differ) > 0, nil
}

// differing are the tables that are to be copied: those that are empty on the target, or all, if rows that were copied before are not the
// source's any more, since they may refer to each other. Rows of any other origin are an error.
func (f *filling) differing(ctx context.Context, shard string) ([]string, error) {
	var differ []string
	again := false
	for _, name := range f.names() {
		here, there := f.found[f.source][name], f.found[shard][name]
		if here == there {
			continue
		}
		differ = append(differ, name)
		if there.count == "0" {
			continue
		}
		copied, err := f.copied(ctx, shard, name)
		if err != nil {
			return nil, err
		}
		if !copied {
			return nil, refusedShard(shard, "reference table %s has rows there that are not those of shard %s (shard %s has %s%s): "+
				"empty the table on shard %s and try again, and they are copied", name, f.source, f.source, here, versus(shard, here, there), shard)
		}
		again = true
	}
	if again {
		return f.names(), nil
	}
	return differ, nil
}

// copied reports whether the rows of a table are a copy that this or another filling has made, so that they may be replaced.
func (f *filling) copied(ctx context.Context, shard, table string) (bool, error) {
	if f.copies[[2]string{shard, table}] {
		return true, nil
	}
	answer, err := f.lines[shard].Exec(ctx, "SELECT pg_catalog.to_regclass('pgdrover.reference_copy') IS NOT NULL")
	if err != nil || string(answer.Rows[0][0]) != "t" {
		return false, err
	}
	answer, err = f.lines[shard].Exec(ctx, "SELECT EXISTS (SELECT FROM pgdrover.reference_copy WHERE name = "+quoteLiteral(table)+")")
	return err == nil && string(answer.Rows[0][0]) == "t", err
}

// copyTables copies tables inside the transaction on the target, and verifies all of them there.
func (f *filling) copyTables(ctx context.Context, shard string, tables []string) error {
	keys, err := foreignKeys(ctx, f.lines[shard], f.m)
	if err != nil {
		return err
	}
	order, circle := inOrder(tables, keys)
	if len(circle) > 0 {
		return refusedShard(shard, "the foreign keys of the reference tables %s go in a circle: make one of them DEFERRABLE, or copy the rows by hand", strings.Join(circle, ", "))
	}
	if _, err := f.lines[shard].Exec(ctx, "SET CONSTRAINTS ALL DEFERRED"); err != nil {
		return err
	}
	for _, name := range slices.Backward(order) {
		if err := f.empty(ctx, shard, name, keys); err != nil {
			return err
		}
	}
	for _, name := range order {
		if err := f.copyTable(ctx, shard, f.tables[f.source][name]); err != nil {
			return err
		}
	}
	if _, err := f.lines[shard].Exec(ctx, "SET CONSTRAINTS ALL IMMEDIATE"); err != nil {
		return err
	}
	if err := f.digests(ctx, shard); err != nil {
		return err
	}
	for name, d := range f.found[shard] {
		if d != f.found[f.source][name] {
			return refusedShard(shard, "reference table %s did not take the rows of shard %s as they are: does a trigger or a rule there change them? "+
				"Nothing was left there", name, f.source)
		}
	}
	return nil
}

// empty removes an earlier copy. Rows of tenants that refer to it would go with it, or be in the way: they are left alone.
func (f *filling) empty(ctx context.Context, shard, name string, keys []reference) error {
	if f.found[shard][name].count == "0" {
		return nil
	}
	for _, k := range keys {
		if _, own := f.tables[f.source][k.from.String()]; own || k.to.String() != name {
			continue
		}
		answer, err := f.lines[shard].Exec(ctx, "SELECT EXISTS (SELECT FROM "+k.from.quoted()+")")
		if err != nil {
			return err
		}
		if string(answer.Rows[0][0]) == "t" {
			return refusedShard(shard, "reference table %s differs from shard %s, and cannot be copied again while rows of %s refer to it: make it the same by hand",
				name, f.source, k.from)
		}
	}
	_, err := f.lines[shard].Exec(ctx, "DELETE FROM "+f.tables[shard][name].rows())
	return err
}

// copyTable streams the rows of one table.
func (f *filling) copyTable(ctx context.Context, shard string, t referenceTable) error {
	f.log.Info("copying a reference table to a new shard", "table", t.String(), "from", f.source, "to", shard, "rows", f.found[f.source][t.String()].count)
	next := int64(progressBytes)
	err := f.lines[f.source].CopyRows(ctx, "COPY (SELECT "+t.given+" FROM "+t.rows()+") TO STDOUT", f.lines[shard], "COPY "+t.quoted()+" ("+t.given+") FROM STDIN",
		func(bytes int64) {
			if bytes >= next {
				next += progressBytes
				f.log.Info("still copying a reference table", "table", t.String(), "to", shard, "bytes", bytes)
			}
		})
	if err != nil {
		return fmt.Errorf("shard %s: reference table %s could not be copied, and nothing was left there: %w", shard, t, err)
	}
	return nil
}

// progressBytes is how much is copied from one line in the log to the next.
const progressBytes = 64 << 20

const referenceSequencesSQL = `SELECT DISTINCT tn.nspname, t.relname, pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(s.relname)
FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace
JOIN pg_catalog.pg_class t ON t.oid = d.refobjid JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype IN ('a', 'i')
	AND t.relname IN ({names})`

// sequences has the sequences of the tables' columns go on on the target where they go on on the source.
func (f *filling) sequences(ctx context.Context, shard string) error {
	answer, err := f.lines[f.source].Exec(ctx, ofReferences(referenceSequencesSQL, f.m))
	if err != nil {
		return err
	}
	for _, row := range answer.Rows {
		if _, ok := f.tables[f.source][relation{schema: string(row[0]), name: string(row[1])}.String()]; !ok {
			continue
		}
		name := string(row[2])
		at, err := f.lines[f.source].Exec(ctx, "SELECT last_value, is_called FROM "+name)
		if err != nil {
			return err
		}
		last, called := string(at.Rows[0][0]), string(at.Rows[0][1])
		if _, err := f.lines[shard].Exec(ctx, fmt.Sprintf("SELECT pg_catalog.setval(%s, %s, '%s') FROM %s WHERE (last_value, is_called) <> (%s, '%s')",
			quoteLiteral(name), last, called, name, last, called)); err != nil {
			return err
		}
	}
	return nil
}

// mark notes on the target which tables are copies, for proxies that take up the same map later and may have to copy again what was written
// without their knowledge. Where backend.user may not make the note, those refuse instead.
func (f *filling) mark(ctx context.Context, shard string) error {
	if len(f.names()) == 0 {
		return nil
	}
	answer, err := f.lines[shard].Exec(ctx, `SELECT pg_catalog.to_regclass('pgdrover.reference_copy') IS NOT NULL,
	CASE WHEN pg_catalog.to_regnamespace('pgdrover') IS NULL THEN pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')
		ELSE pg_catalog.has_schema_privilege('pgdrover', 'CREATE') END`)
	if err != nil {
		return err
	}
	sql := ""
	if string(answer.Rows[0][0]) != "t" {
		if string(answer.Rows[0][1]) != "t" {
			return nil
		}
		sql = "CREATE SCHEMA IF NOT EXISTS pgdrover; CREATE TABLE pgdrover.reference_copy (name text PRIMARY KEY); "
	}
	for _, name := range f.names() {
		sql += "INSERT INTO pgdrover.reference_copy VALUES (" + quoteLiteral(name) + ") ON CONFLICT DO NOTHING; "
	}
	_, err = f.lines[shard].Exec(ctx, sql)
	return err
}
