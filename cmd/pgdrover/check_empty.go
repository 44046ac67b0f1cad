package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/router"
	"github.com/pgdrover/pgdrover/shardmap"
)

// checkEmpty returns an error that names shard and table if a sharded table has a row on any shard.
func (p *placement) checkEmpty(ctx context.Context) error {
	m, nodes, err := p.asker()
	if err != nil {
		return err
	}
	defer nodes.close(ctx)
	for _, shard := range m.Shards() {
		if err := nodes.checkShardEmpty(ctx, m, shard); err != nil {
			return err
		}
	}
	return nil
}

// checkShardEmpty is checkEmpty for one shard.
func (a asker) checkShardEmpty(ctx context.Context, m *shardmap.Map, shard shardmap.Shard) error {
	catalog, err := a.catalog(ctx, m, shard)
	if err != nil {
		return err
	}
	if m.BySchema() {
		return a.checkNoTenants(ctx, m, shard)
	}
	tables := shardedTables(m, catalog)
	if len(tables) == 0 {
		return nil
	}
	rows, err := a.ask(ctx, shard.Name, pool.Primary, shard.Primary, occupiedSQL(tables))
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return nil
	}
	names := make([]string, len(rows))
	for i, row := range rows {
		names[i] = row[0]
	}
	return fmt.Errorf("shard %s has rows in %s, and rows do not move with partitions: empty every sharded table, or leave placement as it is",
		shard.Name, strings.Join(names, ", "))
}

// checkNoTenants is checkShardEmpty where each tenant has a schema.
func (a asker) checkNoTenants(ctx context.Context, m *shardmap.Map, shard shardmap.Shard) error {
	rows, err := a.ask(ctx, shard.Name, pool.Primary, shard.Primary, "select nspname from pg_namespace where "+m.TenantSchemaSQL("nspname")+" order by 1 limit 1")
	if err != nil || len(rows) == 0 {
		return err
	}
	return fmt.Errorf("shard %s has schema %s, and schemas do not move with partitions: drop every tenant's schema, or leave placement as it is",
		shard.Name, rows[0][0])
}

// occupiedSQL asks which of the tables have a row, also a row that row-level security would hide: the server refuses to
// answer then.
func occupiedSQL(tables []*router.Relation) string {
	parts := make([]string, len(tables))
	for i, t := range tables {
		name := quoteIdentifier(t.Schema) + "." + quoteIdentifier(t.Name)
		parts[i] = fmt.Sprintf("select %s where exists (select from %s)", quoteLiteral(t.Schema+"."+t.Name), name)
	}
	return "set row_security = off; set statement_timeout = '30s'; " + strings.Join(parts, " union all ")
}

func quoteIdentifier(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// quoteLiteral writes a text so that it means the same whatever standard_conforming_strings says.
func quoteLiteral(text string) string {
	quoted := "'" + strings.ReplaceAll(text, "'", "''") + "'"
	if !strings.Contains(text, `\`) {
		return quoted
	}
	return " E" + strings.ReplaceAll(quoted, `\`, `\\`)
}
