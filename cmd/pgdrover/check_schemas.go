package main

import (
	"context"
	"strings"

	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/router"
	"github.com/pgdrover/pgdrover/shardmap"
)

// tenantSchema is a tenant's schema on a shard, and which of the tables it lacks that the map says are in all of them.
type tenantSchema struct{ name, lacks string }

// tenantSchemas asks a shard for them; there are none unless the map gives tenants schemas.
func (a asker) tenantSchemas(ctx context.Context, m *shardmap.Map, shard shardmap.Shard) ([]tenantSchema, error) {
	if !m.BySchema() {
		return nil, nil
	}
	rows, err := a.ask(ctx, shard.Name, pool.Primary, shard.Primary, tenantSchemasSQL(m))
	var list []tenantSchema
	for _, row := range rows {
		list = append(list, tenantSchema{row[0], row[1]})
	}
	return list, err
}

// rolePath is a search path that sessions of a role begin with on a shard.
type rolePath struct{ role, path string }

// rolePathsSQL asks for them; a role without a name is every one.
const rolePathsSQL = `select coalesce(r.rolname, ''), substr(c, length('search_path=') + 1)
	from pg_db_role_setting s left join pg_roles r on r.oid = s.setrole, unnest(s.setconfig) c
	where starts_with(c, 'search_path=') and (s.setdatabase = 0 or s.setdatabase = (select oid from pg_database where datname = current_database()))
	order by 1, 2`

// rolePaths asks a shard for them, if the map gives tenants schemas.
func (a asker) rolePaths(ctx context.Context, m *shardmap.Map, shard shardmap.Shard) ([]rolePath, error) {
	if !m.BySchema() {
		return nil, nil
	}
	rows, err := a.ask(ctx, shard.Name, pool.Primary, shard.Primary, rolePathsSQL)
	var list []rolePath
	for _, row := range rows {
		list = append(list, rolePath{row[0], row[1]})
	}
	return list, err
}

// reportRolePaths reports those that lead to a tenant's schema, which nobody sees who routes by what clients set.
func reportRolePaths(r *report, m *shardmap.Map, answer shardAnswer) {
	for _, p := range answer.paths {
		if len(router.PathTenants(m, p.path)) == 0 {
			continue
		}
		whose := "the role " + p.role
		if p.role == "" {
			whose = "the database"
		}
		r.fault("shard %s: the search_path of %s (%s) leads to a tenant's schema, which PgDrover does not see: set it in the client's options",
			answer.shard.Name, whose, p.path)
	}
}

func tenantSchemasSQL(m *shardmap.Map) string {
	var tables []string
	for _, t := range m.Tables() {
		if m.InTenantSchemas(t.Name) && t.Schema == "" {
			tables = append(tables, quoteLiteral(t.Name))
		}
	}
	return "select nspname, array_to_string(array(select t from unnest(array[" + strings.Join(tables, ", ") + "]::text[]) t" +
		" where not exists (select from pg_class where relnamespace = n.oid and relname = t)), ', ') from pg_namespace n where " +
		m.TenantSchemaSQL("nspname") + " order by 1"
}

// fewSchemas is how many schemas with one mistake are named.
const fewSchemas = 5

// reportTenantSchemas reports tenants' schemas on shards where the map does not look for them, and those without a table that the map
// says is in all of them: a name is taken for the tenant's then, and means a shared table.
func reportTenantSchemas(r *report, m *shardmap.Map, answers []shardAnswer) {
	if !m.BySchema() {
		return
	}
	faults, count := r.faults, 0
	for i, answer := range answers {
		reportRolePaths(r, m, answer)
		var lost, lacking []string
		for _, s := range answer.tenants {
			k, ok := m.TenantOf(s.name)
			if !ok {
				continue
			}
			count++
			if at := m.Locate(k); at != i {
				lost = append(lost, s.name+" (shard "+m.Shard(at).Name+")")
			}
			if s.lacks != "" {
				lacking = append(lacking, s.name+" ("+s.lacks+")")
			}
		}
		if len(lost) > 0 {
			r.fault("shard %s: %s of tenants that live elsewhere: %s; nobody finds them here: move them, or pin the tenants",
				answer.shard.Name, plural(len(lost), "schema"), few(lost))
		}
		if len(lacking) > 0 {
			r.fault("shard %s: %s without tables that the map says are in every tenant's: %s; create them",
				answer.shard.Name, plural(len(lacking), "schema"), few(lacking))
		}
	}
	if faults == r.faults {
		r.ok("%s of tenants, each on its tenant's shard", plural(count, "schema"))
	}
}

// few lists the first of some names.
func few(names []string) string {
	if len(names) > fewSchemas {
		names = append(names[:fewSchemas:fewSchemas], "…")
	}
	return strings.Join(names, ", ")
}
