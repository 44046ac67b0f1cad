package shardmap

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pgdrover/pgdrover/internal/yamlfile"
)

// tenantMark stands for the tenant's key in the name of its schema.
const tenantMark = "{tenant}"

// TenantSchema says which schemas are tenants', in a map whose tenants have a
// schema each. The zero TenantSchema is that of a map whose tenants share tables.
type TenantSchema struct {
	Prefix, Suffix string   // what stands around the key in the schema's name
	Except         []string // schemas whose names fit, and which are no tenant's

	set bool
}

// String returns the pattern as the file has it; empty for the zero TenantSchema.
func (t TenantSchema) String() string {
	if !t.set {
		return ""
	}
	return t.Prefix + tenantMark + t.Suffix
}

// sharedSchemas are never a tenant's, nor are those whose names begin with pg_.
var sharedSchemas = []string{"public", "information_schema", "pgdrover"}

// shared reports a schema that is no tenant's whatever the pattern is.
func (t TenantSchema) shared(schema string) bool {
	return strings.HasPrefix(schema, "pg_") || slices.Contains(sharedSchemas, schema) || slices.Contains(t.Except, schema)
}

// key returns the tenant whose schema has a name, as the catalog has it. Only
// the canonical spelling of a key counts, so that a tenant has one schema.
func (t TenantSchema) key(typ Type, schema string) (Key, bool) {
	if !t.set || len(schema) <= len(t.Prefix)+len(t.Suffix) || len(schema) > maxName ||
		!strings.HasPrefix(schema, t.Prefix) || !strings.HasSuffix(schema, t.Suffix) || t.shared(schema) {
		return Key{}, false
	}
	text := []byte(schema[len(t.Prefix) : len(schema)-len(t.Suffix)])
	k, err := typ.ParseText(text)
	if err != nil || !bytes.Equal(k.Append(nil), text) {
		return Key{}, false
	}
	return k, true
}

// names reports whether the schema of a tenant has a name that is its.
func (t TenantSchema) names(k Key) bool {
	own, ok := t.key(k.Type(), t.Prefix+k.String()+t.Suffix)
	return ok && own == k
}

// BySchema reports a map whose tenants have a schema each. Its TenantColumn is
// empty.
func (m *Map) BySchema() bool { return m.file.TenantSchema.set }

// TenantSchema returns the pattern of the names of the tenants' schemas.
func (m *Map) TenantSchema() TenantSchema { return m.file.TenantSchema }

// TenantText says for people what tells tenants apart, and their type.
func (m *Map) TenantText() string {
	if m.BySchema() {
		return "schema " + m.TenantSchema().String() + " " + m.TenantType().String()
	}
	return m.TenantColumn() + " " + m.TenantType().String()
}

// TenantOf returns the tenant that a schema belongs to; false for a schema that
// is no tenant's, as all are unless BySchema.
func (m *Map) TenantOf(schema string) (Key, bool) {
	return m.file.TenantSchema.key(m.file.TenantType, schema)
}

// SchemaOf returns the name of a tenant's schema; false for a key whose schema
// would have no name in PostgreSQL, or one that is no tenant's.
func (m *Map) SchemaOf(k Key) (string, bool) {
	t := m.file.TenantSchema
	return t.Prefix + k.String() + t.Suffix, t.names(k)
}

// InTenantSchemas reports a table that the map says is in every tenant's schema.
func (m *Map) InTenantSchemas(table string) bool {
	t, ok := m.tables[tableName{"", table}]
	return ok && m.BySchema() && t.Kind == Sharded
}

// TenantSchemaSQL returns a condition of SQL on an expression of type name or
// text: that a schema of this name is a tenant's. It is false unless BySchema.
// A bigint beyond its range passes, which no tenant's schema has.
func (m *Map) TenantSchemaSQL(expression string) string {
	t := m.file.TenantSchema
	if !t.set {
		return "false"
	}
	e := "(" + expression + ")::text"
	before, after := utf8.RuneCountInString(t.Prefix), utf8.RuneCountInString(t.Suffix)
	key := map[Type]string{
		Bigint: "~ '^(0|-?[1-9][0-9]*)$'",
		Text:   "<> ''",
		UUID:   "~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'",
	}[m.file.TenantType]
	var not []string
	for _, s := range append(slices.Clone(sharedSchemas), t.Except...) {
		not = append(not, quoteText(s))
	}
	return fmt.Sprintf("(left(%[1]s, %[2]d) = %[3]s AND right(%[1]s, %[4]d) = %[5]s AND length(%[1]s) > %[6]d AND substr(%[1]s, %[7]d, length(%[1]s) - %[6]d) %[8]s"+
		" AND left(%[1]s, 3) <> 'pg_' AND %[1]s NOT IN (%[9]s))",
		e, before, quoteText(t.Prefix), after, quoteText(t.Suffix), before+after, before+1, key, strings.Join(not, ", "))
}

// quoteText writes a string of SQL that reads the same whatever
// standard_conforming_strings says.
func quoteText(s string) string {
	s = strings.ReplaceAll(s, "'", "''")
	if strings.Contains(s, `\`) {
		return "E'" + strings.ReplaceAll(s, `\`, `\\`) + "'"
	}
	return "'" + s + "'"
}

// tenantSchema checks tenant.schema and tenant.except.
func (c *checker) tenantSchema() {
	spec := c.spec.Tenant
	text, pos := spec.Schema.V, spec.Schema.Pos
	prefix, suffix, ok := strings.Cut(text, tenantMark)
	t := TenantSchema{Prefix: prefix, Suffix: suffix, set: true}
	switch {
	case !ok || strings.Contains(suffix, tenantMark):
		c.errs.Add(pos, `tenant.schema: %q has to hold {tenant} once, in the place of the tenant's key: write "t_{tenant}"`, text)
	case strings.HasPrefix(text, "pg_"):
		c.errs.Add(pos, "tenant.schema: %q begins with pg_, which PostgreSQL keeps for itself", text)
	case len(prefix)+len(suffix) >= maxName || strings.ContainsRune(text, 0):
		c.errs.Add(pos, "tenant.schema: %q leaves no room for a key in a name of %d bytes", text, maxName)
	}
	for _, e := range spec.Except {
		name, err := parseName(e.V)
		if err != nil {
			c.errs.Add(e.Pos, "tenant.except: %v", err)
		}
		t.Except = append(t.Except, name)
	}
	c.file.TenantSchema, c.file.at.column = t, pos
}

// inSchemas checks a table of a map whose tenants have a schema each.
func (c *checker) inSchemas(t Table, e yamlfile.Entry[tableSpec]) {
	_, own := c.file.TenantSchema.key(c.file.TenantType, t.Schema)
	switch {
	case own:
		c.errs.Add(e.Key, "tables.%s: the schema %s is a tenant's: list it under tenant.except if it is not", t, quoteName(t.Schema))
	case t.Kind == Sharded && e.V.column.IsSet():
		c.errs.Add(e.V.column.Pos, "tables.%s: no table has a tenant column where each tenant has a schema: remove it", t)
	case t.Kind == Sharded && t.Schema != "":
		c.errs.Add(e.Key, "tables.%s: a sharded table is in every tenant's schema: name it without one", t)
	}
}
