package proxy

import (
	"context"
	"fmt"

	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/shardmap"
)

// tenantSchemas refuses to part tenants from their schemas on the shard that they leave, where each tenant has one.
func (v *survey) tenantSchemas(ctx context.Context, c shardmap.Change, leaves func(shardmap.Key) bool) error {
	if _, known := v.before.ShardByName(c.From); !known {
		return nil // a shard that is new holds nothing that was reached through the old map
	}
	if err := v.settle(ctx, c.From); err != nil {
		return err
	}
	rows, err := v.cluster.Exec(ctx, c.From, pool.Primary, "SELECT nspname FROM pg_catalog.pg_namespace WHERE "+v.before.TenantSchemaSQL("nspname"))
	if err != nil {
		return fmt.Errorf("shard %s: %w", c.From, err)
	}
	for _, row := range rows.Rows {
		if k, ok := v.before.TenantOf(string(row[0])); ok && leaves(k) {
			return refused(c, "tenant %s has the schema %s on shard %s; move the tenant first", k, row[0], c.From)
		}
	}
	return nil
}
