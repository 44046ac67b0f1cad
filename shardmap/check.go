package shardmap

import (
	"strings"

	"github.com/pgdrover/pgdrover/internal/yamlfile"
)

// The bounds of weights.
const maxWeight = 100

// checker turns a spec into a File and collects what is wrong with it.
type checker struct {
	spec *fileSpec
	file *File
	errs yamlfile.Errors
}

// check fills the file.
func (c *checker) check() {
	c.file.at.shard = map[string]yamlfile.Position{}
	c.file.at.pin = map[Key]yamlfile.Position{}
	c.file.at.table = map[tableName]yamlfile.Position{}
	c.head()
	c.partitions()
	c.shards()
	c.tables()
	c.pins()
}

// head checks the database and the tenant.
func (c *checker) head() {
	f, s := c.file, c.spec
	f.Database, f.at.database = s.Database.V, s.Database.Pos
	if problem := nameProblem(f.Database); problem != "" {
		c.errs.Add(s.Database.Pos, "database: %s", problem)
	}
	f.at.tenant = s.Tenant.Type.Pos
	word := s.Tenant.Type.V
	var ok bool
	if f.TenantType, ok = ParseType(word); !ok {
		c.errs.Add(f.at.tenant, "tenant.type: unknown type %q%s", word, typeHint(word))
	}
	c.tenant()
}

// tenant checks how tenants are told apart.
func (c *checker) tenant() {
	spec := c.spec.Tenant
	switch {
	case spec.Column.IsSet() && spec.Schema.IsSet():
		c.errs.Add(spec.Schema.Pos, "tenant.schema: tenants are told apart by a column or by their schemas: keep column or schema")
		return
	case spec.Schema.IsSet():
		c.tenantSchema()
		return
	case !spec.Column.IsSet():
		c.errs.Add(c.file.at.tenant, `tenant: what tells tenants apart is missing: write column: COLUMN, or schema: "t_{tenant}" if each tenant has a schema of its own`)
		return
	case len(spec.Except) > 0:
		c.errs.Add(spec.Except[0].Pos, "tenant.except: it belongs to tenant.schema, which is not there")
	}
	column, err := parseName(spec.Column.V)
	if err != nil {
		c.errs.Add(spec.Column.Pos, "tenant.column: %v", err)
	}
	c.file.TenantColumn, c.file.at.column = column, spec.Column.Pos
}

// typeHint says which of our types a word stands for, or lists them.
func typeHint(word string) string {
	switch strings.ToLower(word) {
	case "int8", "int", "integer", "int4", "smallint", "int2", "bigserial":
		return `: the column must be of type bigint, and the word for it is "bigint"`
	case "varchar", "character varying", "string":
		return `: the word for it is "text"`
	}
	return yamlfile.DidYouMean(word, typeNames[Bigint:], ": write bigint, text or uuid")
}

// partitions checks the number of partitions.
func (c *checker) partitions() {
	n, pos := DefaultPartitions, c.spec.Partitions.Pos
	c.file.at.partitions = pos
	if c.spec.Partitions.IsSet() {
		n = c.spec.Partitions.V
	} else {
		c.file.at.partitions = yamlfile.Position{File: c.file.Name}
	}
	c.file.Partitions = n
	if n < minPartitions || n > maxPartitions || n&(n-1) != 0 {
		c.errs.Add(pos, "partitions: %d is no power of two from %d to %d: %d suits most, and it cannot be changed later",
			n, minPartitions, maxPartitions, DefaultPartitions)
	}
}

// tables checks the block "tables".
func (c *checker) tables() {
	for _, e := range c.spec.Tables {
		schema, name, err := parseTableName(e.Name)
		if err != nil {
			c.errs.Add(e.Key, "tables: %v", err)
			continue
		}
		t := Table{Schema: schema, Name: name, Kind: e.V.kind, On: -1}
		if first, ok := c.file.at.table[t.key()]; ok {
			c.errs.Add(e.Key, "tables.%s: the table was already named on line %d: keep one of them", t, first.Line)
			continue
		}
		switch t.Kind {
		case 0:
			c.errs.Add(e.Key, "tables.%s: nothing is said of the table: write reference, sharded, {on: SHARD} or {column: COLUMN}", t)
		case Unsharded:
			t.On = c.known(e.V.on.Pos, e.V.on.V, "tables."+t.String())
		case Sharded:
			t.Column = c.column(e.V.column, "tables."+t.String())
		}
		if c.file.TenantSchema.set {
			c.inSchemas(t, e)
		}
		c.file.at.table[t.key()] = e.Key
		c.file.Tables = append(c.file.Tables, t)
	}
}

// column checks the column that a table is sharded by.
func (c *checker) column(v yamlfile.Value[string], path string) string {
	if !v.IsSet() {
		return c.file.TenantColumn
	}
	name, err := parseName(v.V)
	if err != nil {
		c.errs.Add(v.Pos, "%s: %v", path, err)
	}
	return name
}

// known returns the index of a shard that something lives on.
func (c *checker) known(pos yamlfile.Position, name, path string) int {
	i := c.file.shardIndex(name)
	if i < 0 {
		names := c.file.shardNames()
		c.errs.Add(pos, "%s: no shard is named %q%s", path, name,
			yamlfile.DidYouMean(name, names, ": the shards are "+strings.Join(names, ", ")))
	}
	return i
}

// pins checks the block "pins".
func (c *checker) pins() {
	for _, e := range c.spec.Pins {
		if c.file.TenantType == 0 {
			return
		}
		k, err := c.file.TenantType.ParseText([]byte(e.Name))
		if err != nil {
			c.errs.Add(e.Key, "pins: %v: write a tenant's value", err)
			continue
		}
		if first, ok := c.file.at.pin[k]; ok {
			c.errs.Add(e.Key, "pins: tenant %q was already pinned on line %d: keep one of them", k, first.Line)
			continue
		}
		if !e.IsSet() || e.V == "" {
			c.errs.Add(e.Key, "pins: tenant %q is pinned to no shard: name one, or remove the pin", k)
			continue
		}
		if t := c.file.TenantSchema; t.set && !t.names(k) {
			c.errs.Add(e.Key, "pins: tenant %q has no schema: %q is shared, or no name for one: remove the pin", k, t.Prefix+k.String()+t.Suffix)
			continue
		}
		c.file.at.pin[k] = e.Key
		c.file.Pins = append(c.file.Pins, Pin{k, c.known(e.Pos, e.V, "pins."+e.Name)})
	}
}
