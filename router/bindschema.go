package router

import (
	"slices"

	"github.com/pgdrover/pgdrover/shardmap"
)

// Where each tenant has a schema, a table is a tenant's by the name of its
// schema. The catalog does not have such tables: there are thousands of them,
// each on one shard. PostgreSQL says which of them there are.

// lookup says what an unqualified name of a relation may mean: a table of the
// tenant whose schema is in the path, one of a schema that is no tenant's, or
// either of them, where the tenant's comes first. shared is empty for none. What
// the map names counts too, since it may have been made a moment ago.
func (r *Router) lookup(path []string, relation string) (own bool, shared string) {
	c := r.catalog
	for _, s := range path {
		if s == tenantSpot {
			own = true
			if r.m.InTenantSchemas(relation) {
				return true, ""
			}
			continue
		}
		_, found := c.find([]string{s}, relation)
		if _, said := r.m.Table(s, relation); found || said && own && s != systemSchema {
			return own, s
		}
	}
	return own, ""
}

// tenantTable returns what a name means that is, or may be, a tenant's table,
// and binds it to the tenant; nil for any other.
func (b *binder) tenantTable(x *rangeNode, u use) *Table {
	schema, relation := x.GetSchemaname(), x.GetRelname()
	t := &Table{Schema: b.r.m.TenantSchema().String(), Name: relation, Kind: shardmap.Sharded}
	if schema != "" {
		k, ok := b.r.m.TenantOf(schema)
		if !ok {
			return nil
		}
		t.Schema = schema
		b.owned(t, constRef{slot: noSlot, text: k.String()}, u)
		return t
	}
	own, shared := b.r.lookup(b.path, relation)
	if !own {
		return nil
	}
	if shared != "" {
		b.either(shared, relation, u)
	}
	b.owned(t, constRef{slot: pathSlot}, u)
	return t
}

// owned notes a table of the tenant that c says.
func (b *binder) owned(t *Table, c constRef, u use) {
	b.note(t, u)
	b.facts.refuseCache(t.Name + " is in a tenant's schema")
	b.facts.opensWrite = b.facts.opensWrite || u != useRead // a trigger that the catalog does not have
	b.needs = append(b.needs, need{table: t, node: b.g.constant(c), use: u})
}

// either notes a name that PostgreSQL looks up in a tenant's schema first, and
// finds in a shared one if the tenant has none. On the tenant's shard both are
// right, unless the shared table is written on every shard or is elsewhere.
func (b *binder) either(schema, relation string, u use) {
	if isSystem(schema) {
		b.systemRelation(relation, u)
		return
	}
	rel := b.r.catalog.relations[name{schema, relation}]
	t := b.r.table(schema, relation, rel)
	if u != useRead && t.Kind != shardmap.Unsharded || rel != nil && rel.Kind == "v" {
		b.facts.doubtful = eitherError(schema, relation, true)
		return
	}
	b.note(t, u)
}

// eitherError is the error for a name that may mean a tenant's or a shared one.
func eitherError(schema, object string, table bool) *Error {
	hint := "Write the name with its schema."
	if table {
		hint += " If every tenant's schema has such a table, say so in shardmap.yaml under tables: \"" + object + ": sharded\"."
	}
	return refuse(hint, "%q may be in the schema of the search path's tenant, or in %q", object, schema)
}

// isTenants reports a table that is in tenants' schemas.
func (r *Router) isTenants(t *Table) bool { return r.m.BySchema() && t.Kind == shardmap.Sharded }

// runsTenants reports whether code behind tenants' tables may change what a
// session keeps: if the database has any such function, for all that the
// catalog says of them.
func (c *compiler) runsTenants(tables []*Table) bool {
	return c.r.catalog.Unsettling && slices.ContainsFunc(tables, c.r.isTenants)
}
