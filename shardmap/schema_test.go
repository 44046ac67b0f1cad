package shardmap_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgdrover/pgdrover/shardmap"
)

// bySchema is a map whose tenant block is given.
func bySchema(t testing.TB, tenant, rest string) *shardmap.Map {
	t.Helper()
	return planned(t, "database: app\ntenant: "+tenant+"\nshards: [{name: s1, primary: {host: h}}, {name: s2, primary: {host: i}}]\n"+rest)
}

// tenantSchemas are names of schemas, and the tenants they belong to by several patterns; "-": none.
var tenantSchemas = []struct {
	tenant string
	names  map[string]string
}{
	{`{schema: "t_{tenant}", type: bigint}`, map[string]string{
		"t_42": "42", "t_0": "0", "t_-7": "-7", "t_9223372036854775807": "9223372036854775807",
		"t_042": "-", "t_+4": "-", "t_ 4": "-", "t_4 ": "-", "t_-0": "-", "t_0x10": "-", "t_4_2": "-", "t_": "-", "t_x": "-", "T_42": "-", "xt_42": "-",
		"t_42x": "-", "public": "-", "pg_catalog": "-", "t_4\n": "-", "": "-",
	}},
	{`{schema: "{tenant}", type: text, except: [extensions, "\"Other\""]}`, map[string]string{
		"acme": "acme", "Acme": "Acme", "a b'\"\\": "a b'\"\\", "ünder": "ünder", "other": "other", strings.Repeat("x", 63): strings.Repeat("x", 63),
		"public": "-", "pgdrover": "-", "information_schema": "-", "pg_temp_3": "-", "extensions": "-", "Other": "-",
	}},
	{`{schema: "ü'%_{tenant}.\\z", type: text}`, map[string]string{`ü'%_a.\z`: "a", `ü'%_.\z`: "-", `ü'xya.\z`: "-", `ü'%_ü.\z`: "ü"}},
	{`{schema: "c{tenant}", type: uuid}`, map[string]string{
		"c0a1b2c3d-0000-4000-8000-0123456789ab": "0a1b2c3d-0000-4000-8000-0123456789ab", "c0A1b2c3d-0000-4000-8000-0123456789ab": "-",
		"c0a1b2c3d000040008000" + "0123456789ab": "-", "c{0a1b2c3d-0000-4000-8000-0123456789ab}": "-",
	}},
}

// TestTenantOf reads the names of schemas.
func TestTenantOf(t *testing.T) {
	for _, of := range tenantSchemas {
		m := bySchema(t, of.tenant, "")
		for schema, want := range of.names {
			k, ok := m.TenantOf(schema)
			if ok != (want != "-") || ok && k.String() != want {
				t.Errorf("%s: %q is %q, %v", of.tenant, schema, k, ok)
			}
			if back, named := m.SchemaOf(k); ok && (!named || back != schema) {
				t.Errorf("%s: the schema of %s is %q", of.tenant, k, back)
			}
		}
	}
	m := bySchema(t, `{schema: "t_{tenant}", type: text}`, "")
	if schema, ok := m.SchemaOf(shardmap.TextKey(strings.Repeat("x", 62))); ok {
		t.Errorf("%q is cut by PostgreSQL", schema)
	}
	column := bySchema(t, "{column: tenant_id, type: bigint}", "")
	if _, ok := column.TenantOf("t_42"); ok || column.BySchema() || column.TenantSchemaSQL("x") != "false" {
		t.Error("a map with a column has tenants' schemas")
	}
}

// schemas compares the condition in SQL with TenantOf.
func (s server) schemas() {
	for _, of := range tenantSchemas {
		m := bySchema(s.t, of.tenant, "")
		for schema, want := range of.names {
			quoted := "E'" + strings.NewReplacer("'", "''", `\`, `\\`).Replace(schema) + "'"
			got := s.query("select " + m.TenantSchemaSQL(quoted+"::name"))[0][0]
			if got != map[bool]string{true: "t", false: "f"}[want != "-"] {
				s.t.Errorf("%s: %q: %s", of.tenant, schema, got)
			}
		}
	}
}

// TestSchemaTables says which tables are in tenants' schemas.
func TestSchemaTables(t *testing.T) {
	m := bySchema(t, `{schema: "t_{tenant}", type: bigint}`, "tables: {countries: reference, migrations: sharded, public.migrations: reference, only: sharded}\n")
	got := ""
	for _, table := range []string{"countries", "migrations", "only", "other"} {
		said, ok := m.Table("public", table)
		got += fmt.Sprintf("%s: %v %v %v\n", table, said.Kind, ok, m.InTenantSchemas(table))
	}
	if want := "countries: reference true false\nmigrations: reference true true\nonly: Kind(0) false true\nother: Kind(0) false false\n"; got != want {
		t.Error(got)
	}
}

// TestSchemaErrors has mistakes in the block "tenant", and what contradicts it.
func TestSchemaErrors(t *testing.T) {
	const shards = "\nshards: [{name: s1, primary: {host: h}}]\n"
	for text, want := range map[string]string{
		"{type: bigint}" + shards:                                                        `2:16: tenant: what tells tenants apart is missing: write column: COLUMN, or schema: "t_{tenant}" if each tenant has a schema of its own`,
		"{column: a, schema: 't_{tenant}', type: bigint}" + shards:                       "2:29: tenant.schema: tenants are told apart by a column or by their schemas: keep column or schema",
		"{schema: tenants, type: bigint}" + shards:                                       `2:18: tenant.schema: "tenants" has to hold {tenant} once, in the place of the tenant's key: write "t_{tenant}"`,
		"{schema: '{tenant}{tenant}', type: bigint}" + shards:                            `2:18: tenant.schema: "{tenant}{tenant}" has to hold {tenant} once, in the place of the tenant's key: write "t_{tenant}"`,
		"{schema: 'pg_{tenant}', type: bigint}" + shards:                                 `2:18: tenant.schema: "pg_{tenant}" begins with pg_, which PostgreSQL keeps for itself`,
		"{column: a, type: bigint, except: [b]}" + shards:                                "2:44: tenant.except: it belongs to tenant.schema, which is not there",
		"{schema: 't_{tenant}', type: bigint, except: [a b]}" + shards:                   `2:55: tenant.except: "a b" is no name of SQL: put it in double quotes (inside single ones for YAML)`,
		"{schema: '{tenant}', type: text}" + shards + "pins: {public: s1}":               `4:8: pins: tenant "public" has no schema: "public" is shared, or no name for one: remove the pin`,
		"{schema: 't_{tenant}', type: bigint, except: [t_4]}" + shards + "pins: {4: s1}": `4:8: pins: tenant "4" has no schema: "t_4" is shared, or no name for one: remove the pin`,
		"{schema: 't_{tenant}', type: bigint}" + shards + "tables: {t_4.x: reference}":   "4:10: tables.t_4.x: the schema t_4 is a tenant's: list it under tenant.except if it is not",
		"{schema: 't_{tenant}', type: bigint}" + shards + "tables: {x: {column: c}}":     "4:22: tables.x: no table has a tenant column where each tenant has a schema: remove it",
		"{schema: 't_{tenant}', type: bigint}" + shards + "tables: {public.x: sharded}":  "4:10: tables.public.x: a sharded table is in every tenant's schema: name it without one",
	} {
		_, err := shardmap.Parse("m.yaml", []byte("database: app\ntenant: "+text))
		if err == nil || err.Error() != "m.yaml:"+want {
			t.Errorf("%s: %v", text, err)
		}
	}
	old := bySchema(t, `{schema: "t_{tenant}", type: bigint}`, "")
	for tenant, want := range map[string]string{
		`{schema: "u_{tenant}", type: bigint}`: `tenant.schema: "u_{tenant}" here, "t_{tenant}" in the map in force`,
		"{column: tenant_id, type: bigint}":    `tenant.schema: "" here, "t_{tenant}" in the map in force`,
	} {
		err := shardmap.Transition(old, bySchema(t, tenant, "").File())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", tenant, err)
		}
	}
}
