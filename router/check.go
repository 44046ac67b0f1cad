package router

import (
	"fmt"
	"slices"

	"github.com/pgdrover/pgdrover/shardmap"
)

// Severity says what a Problem keeps from working.
type Severity uint8

// The severities.
const (
	Warning Severity = iota // works, but a later feature will not
	Fault                   // rows would be placed or found wrongly
)

// String returns the word for the severity.
func (s Severity) String() string {
	if s == Fault {
		return "error"
	}
	return "warning"
}

// Problem is something of a database that does not fit the map.
type Problem struct {
	Severity Severity
	Table    string // qualified; empty: the database
	Message  string
}

// String returns the problem in a line.
func (p Problem) String() string {
	if p.Table == "" {
		return fmt.Sprintf("%s: %s", p.Severity, p.Message)
	}
	return fmt.Sprintf("%s: table %s: %s", p.Severity, p.Table, p.Message)
}

// Check compares a database with the map: what makes a tenant's rows lie where
// the map does not say is a Fault.
func (c *Catalog) Check(m *shardmap.Map) []Problem {
	var list []Problem
	if c.Encoding != "UTF8" {
		list = append(list, Problem{Fault, "", fmt.Sprintf(
			"its encoding is %s: tenants are hashed as UTF8; create the database with ENCODING 'UTF8'", c.Encoding)})
	}
	for i := range c.Relations {
		rel := &c.Relations[i]
		if rel.Kind == "v" || rel.Schema == "pgdrover" { // the latter is PgDrover's own
			continue
		}
		list = append(list, rel.check(m, c)...)
	}
	for _, t := range m.Tables() {
		if t.Schema != "" && c.relations[name{t.Schema, t.Name}] == nil || t.Schema == "" && !c.named(t.Name) {
			list = append(list, Problem{Warning, t.String(), "the map names it, but it does not exist"})
		}
	}
	return list
}

// named reports whether any schema has a relation of a name.
func (c *Catalog) named(relation string) bool {
	return slices.ContainsFunc(c.Relations, func(r Relation) bool { return r.Name == relation })
}

// check compares one relation with the map.
func (rel *Relation) check(m *shardmap.Map, c *Catalog) []Problem {
	own := rel.Schema + "." + rel.Name
	declared, ok := m.Table(rel.Schema, rel.Name)
	column, has := rel.column(m.TenantColumn())
	switch {
	case ok && declared.Kind != shardmap.Sharded:
		return nil
	case ok:
		if column, has = rel.column(declared.Column); !has {
			return []Problem{{Fault, own, fmt.Sprintf("the map says it is sharded by %q, which it does not have", declared.Column)}}
		}
	case !has:
		if m.ShardCount() == 1 {
			return nil
		}
		return []Problem{{Warning, own, fmt.Sprintf(
			"it has no column %q and is not in the map: declare it `reference` or `{on: %s}`", m.TenantColumn(), m.Shard(0).Name)}}
	}
	return rel.checkTenant(own, column, m, c)
}

// checkTenant looks at the tenant column of a sharded table.
func (rel *Relation) checkTenant(own string, column Column, m *shardmap.Map, c *Catalog) []Problem {
	var list []Problem
	if want := columnType(m.TenantType()); column.Type != want && !(want == oidText && column.Type == oidVarchar) {
		t := c.typeName(column.Type)
		list = append(list, Problem{Fault, own, fmt.Sprintf(
			"column %q is %s, the map's tenants are %s: their hashes differ", column.Name, t.name, m.TenantType())})
	}
	if !column.Deterministic {
		list = append(list, Problem{Fault, own, fmt.Sprintf(
			"column %q has the nondeterministic collation %q: equal tenants may hash differently", column.Name, column.Collation)})
	}
	if !column.NotNull && (rel.Kind == "r" || rel.Kind == "p") {
		list = append(list, Problem{Warning, own, fmt.Sprintf("column %q may be NULL: such rows belong to no tenant", column.Name)})
	}
	if rel.Kind == "r" && rel.Persistence == "p" && !rel.identifies(column.Name) {
		list = append(list, Problem{Warning, own, fmt.Sprintf(
			"column %q is not in the replica identity: a tenant cannot be moved online; make it part of the primary key or "+
				"ALTER TABLE … REPLICA IDENTITY FULL", column.Name)})
	}
	return list
}

// identifies reports whether a column is part of the replica identity.
func (rel *Relation) identifies(column string) bool {
	switch rel.Identity {
	case "f":
		return true
	case "i":
		return slices.Contains(rel.IdentityColumns, column)
	case "d":
		return slices.Contains(rel.PrimaryKey, column)
	}
	return false
}

// columnType returns the OID of the type that a tenant column must have.
// varchar hashes as text does.
func columnType(t shardmap.Type) uint32 {
	switch t {
	case shardmap.Bigint:
		return oidInt8
	case shardmap.UUID:
		return oidUUID
	}
	return oidText
}
