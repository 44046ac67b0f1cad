package shardmap

import "fmt"

// Kind says how the rows of a table lie on the shards.
type Kind uint8

// The kinds of tables. The zero Kind is none of them.
const (
	Sharded   Kind = iota + 1 // split by tenant
	Reference                 // the same rows on every shard
	Unsharded                 // all rows on one shard
)

// String returns the word for the kind.
func (k Kind) String() string {
	switch k {
	case Sharded:
		return "sharded"
	case Reference:
		return "reference"
	case Unsharded:
		return "unsharded"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Table is what a map says of a table explicitly.
type Table struct {
	Schema string // as the catalog has it; empty: the table in any schema
	Name   string // as the catalog has it
	Kind   Kind
	On     int    // the index of an unsharded table's shard; -1 for other kinds
	Column string // the tenant column of a sharded table; empty for other kinds
}

// String returns the name as SQL would write it.
func (t Table) String() string {
	if t.Schema == "" {
		return quoteName(t.Name)
	}
	return quoteName(t.Schema) + "." + quoteName(t.Name)
}

// key returns what finds the table in a map.
func (t Table) key() tableName { return tableName{t.Schema, t.Name} }

// tableName is a table's name as the catalog has it, with "" for any schema.
type tableName struct{ schema, name string }
