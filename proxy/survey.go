package proxy

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/router"
	"github.com/pgdrover/pgdrover/shardmap"
)

// survey looks at the shards for rows that a change of the map would lose sight of.
type survey struct {
	cluster       *pool.Cluster
	catalog       *router.Catalog
	before, after *shardmap.Map

	settled map[string]bool // shards on which nothing is prepared
}

// settle refuses a change while something is prepared on a shard: nobody can see the rows of that. Nothing more is prepared there of what
// concerns the change, since the transactions have ended that could.
func (v *survey) settle(ctx context.Context, shard string) error {
	if v.settled[shard] {
		return nil
	}
	rows, err := v.cluster.Exec(ctx, shard, pool.Primary, "SELECT gid FROM pg_catalog.pg_prepared_xacts WHERE database = pg_catalog.current_database()")
	if err != nil {
		return fmt.Errorf("shard %s: %w", shard, err)
	}
	if len(rows.Rows) > 0 {
		return fmt.Errorf("the shard map in force stays: transaction %q is prepared on shard %s, and may hold rows that nobody can see yet; "+
			"try again when it has ended, and see SHOW TWO_PHASE if it is one of PgDrover's", rows.Rows[0][0], shard)
	}
	if v.settled == nil {
		v.settled = map[string]bool{}
	}
	v.settled[shard] = true
	return nil
}

// changes returns an error for the first change that rows stand against.
func (v *survey) changes(ctx context.Context, list []shardmap.Change) error {
	for _, c := range list {
		var err error
		switch c.Kind {
		case shardmap.TableChanged:
			err = v.table(ctx, c)
		case shardmap.OwnersMoved:
			err = v.partitions(ctx, c)
		default:
			err = v.tenant(ctx, c)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func refused(c shardmap.Change, format string, args ...any) error {
	return &RefusedError{c, fmt.Sprintf(format, args...)}
}

// tenant refuses to part a tenant from rows on the shard that it leaves.
func (v *survey) tenant(ctx context.Context, c shardmap.Change) error {
	if v.before.BySchema() {
		return v.tenantSchemas(ctx, c, func(k shardmap.Key) bool { return k == c.Key })
	}
	for _, t := range v.sharded() {
		where := quoteIdent(t.column) + " = " + quoteLiteral(c.Key.String()) + "::" + v.before.TenantType().String()
		found, err := v.exists(ctx, c.From, t, where)
		if err != nil {
			return err
		}
		if found {
			return refused(c, "tenant %s has rows in %s on shard %s; move the tenant first", c.Key, t, c.From)
		}
	}
	return nil
}

// partitions refuses to part partitions from rows on the shard that they leave.
func (v *survey) partitions(ctx context.Context, c shardmap.Change) error {
	if v.before.BySchema() {
		return v.tenantSchemas(ctx, c, func(k shardmap.Key) bool {
			_, pinned := v.before.Pin(k)
			return !pinned && slices.Contains(c.Partitions, v.before.Partition(k))
		})
	}
	list := make([]string, len(c.Partitions))
	for i, p := range c.Partitions {
		list[i] = strconv.Itoa(p)
	}
	for _, t := range v.sharded() {
		where := v.partition(t.column) + " = ANY('{" + strings.Join(list, ",") + "}'::bigint[])"
		found, err := v.exists(ctx, c.From, t, where)
		if err != nil {
			return err
		}
		if found {
			return refused(c, "%s on shard %s has rows of these partitions; they can be assigned while they are empty only", t, c.From)
		}
	}
	return nil
}

// partition is the expression that PostgreSQL computes a row's partition with (design, "Placement").
func (v *survey) partition(column string) string {
	col := quoteIdent(column)
	mask := strconv.Itoa(v.before.Partitions() - 1)
	switch v.before.TenantType() {
	case shardmap.Bigint:
		return "(hashint8extended(" + col + "::bigint, 0) & " + mask + ")"
	case shardmap.UUID:
		return "(uuid_hash_extended(" + col + ", 0) & " + mask + ")"
	}
	return "(hashtextextended(" + col + "::text, 0) & " + mask + ")"
}

// table refuses another kind for a table whose rows are not where the new kind looks for them.
func (v *survey) table(ctx context.Context, c shardmap.Change) error {
	if v.before.BySchema() && (c.After.Kind == shardmap.Sharded || c.Before.Kind == shardmap.Sharded) {
		return nil // it says what the tenants' schemas have, which stays where it is
	}
	name := c.After.Name
	if name == "" {
		name = c.Before.Name
	}
	for _, t := range v.relations() {
		if t.name != name && t.String() != name {
			continue
		}
		var err error
		switch c.After.Kind {
		case shardmap.Reference:
			err = v.same(ctx, c, t)
		case shardmap.Unsharded:
			err = v.empty(ctx, c, t, v.after.Shard(c.After.On).Name)
		default:
			err = v.empty(ctx, c, t, "")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// empty refuses rows on any shard but one.
func (v *survey) empty(ctx context.Context, c shardmap.Change, t relation, but string) error {
	for _, sh := range v.before.Shards() {
		if sh.Name == but {
			continue
		}
		found, err := v.exists(ctx, sh.Name, t, "true")
		if err != nil {
			return err
		}
		if found {
			return refused(c, "%s has rows on shard %s; its kind can be changed while it is empty there only", t, sh.Name)
		}
	}
	return nil
}

// same refuses a table that is not the same on all shards.
func (v *survey) same(ctx context.Context, c shardmap.Change, t relation) error {
	sql := "SELECT count(*), md5(coalesce(string_agg(t::text, E'\\n' ORDER BY t::text COLLATE \"C\"), '')) FROM " + t.quoted() + " t"
	first, on := "", ""
	for _, sh := range v.before.Shards() {
		if err := v.settle(ctx, sh.Name); err != nil {
			return err
		}
		rows, err := v.cluster.Exec(ctx, sh.Name, pool.Primary, sql)
		if err != nil {
			return fmt.Errorf("shard %s: %w", sh.Name, err)
		}
		now := string(rows.Rows[0][0]) + " rows, " + string(rows.Rows[0][1])
		if on == "" {
			first, on = now, sh.Name
		} else if now != first {
			return refused(c, "%s differs between shard %s and shard %s; make it the same on all shards first", t, on, sh.Name)
		}
	}
	return nil
}

func (v *survey) exists(ctx context.Context, shard string, t relation, where string) (bool, error) {
	if _, known := v.before.ShardByName(shard); !known {
		return false, nil // a shard that is new holds nothing that was reached through the old map
	}
	if err := v.settle(ctx, shard); err != nil {
		return false, err
	}
	rows, err := v.cluster.Exec(ctx, shard, pool.Primary, "SELECT EXISTS (SELECT 1 FROM "+t.quoted()+" WHERE "+where+")")
	if err != nil {
		return false, fmt.Errorf("shard %s: %w", shard, err)
	}
	return string(rows.Rows[0][0]) == "t", nil
}

// relation is a table that may hold rows of tenants.
type relation struct{ schema, name, column string }

func (r relation) String() string { return r.schema + "." + r.name }

func (r relation) quoted() string { return quoteIdent(r.schema) + "." + quoteIdent(r.name) }

// relations are the tables of the catalog.
func (v *survey) relations() []relation {
	var all []relation
	for i := range v.catalog.Relations {
		r := &v.catalog.Relations[i]
		if r.Kind != "r" && r.Kind != "p" || r.Persistence == "t" || r.Schema == "pg_catalog" || r.Schema == "information_schema" {
			continue
		}
		t := relation{schema: r.Schema, name: r.Name}
		column := v.before.TenantColumn()
		if said, ok := v.before.Table(r.Schema, r.Name); ok {
			column = said.Column
			if said.Kind != shardmap.Sharded {
				column = ""
			}
		}
		for _, c := range r.Columns {
			if c.Name == column {
				t.column = column
			}
		}
		all = append(all, t)
	}
	return all
}

// sharded are the tables that are split by tenant.
func (v *survey) sharded() []relation {
	var list []relation
	for _, t := range v.relations() {
		if t.column != "" {
			list = append(list, t)
		}
	}
	return list
}
