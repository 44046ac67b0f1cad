package cache

import (
	"math/bits"
	"slices"
	"strconv"

	"github.com/cespare/xxhash/v2"
)

// hashEverything is the scope that every result depends on. Another scope may
// share its slot: that costs a miss and never shows a stale result.
const hashEverything = 0

// Deps names what a result depends on, or what a write changes: a tenant and
// tables. For a result, leave the tenant out only when no table of it has one
// (a lookup in a reference table). For a write, leaving the tables out means
// "any table of this tenant", leaving the tenant out means "these tables, for
// every tenant", and an empty Deps means everything.
//
// A table is named as the configuration names it; names are compared as they
// are. The zero Deps is ready; it belongs to one session and is reused with
// Reset. Not safe for concurrent use.
type Deps struct {
	tenant     []byte
	owned      bool
	tenantHash uint64
	tables     []string
	hashes     []uint64
}

// Reset empties d and keeps its memory.
func (d *Deps) Reset() {
	d.tenant = d.tenant[:0]
	d.owned = false
	d.tenantHash = 0
	clear(d.tables)
	d.tables = d.tables[:0]
	d.hashes = d.hashes[:0]
}

// Tenant says whose rows these are: the canonical text of the tenant key.
func (d *Deps) Tenant(key string) {
	d.tenant = append(d.tenant[:0], key...)
	d.owned = true
	d.tenantHash = xxhash.Sum64(d.tenant)
}

// TenantBytes is Tenant for a key held in bytes, which are copied.
func (d *Deps) TenantBytes(key []byte) {
	d.tenant = append(d.tenant[:0], key...)
	d.owned = true
	d.tenantHash = xxhash.Sum64(d.tenant)
}

// Table adds a table. Adding it twice is adding it once.
func (d *Deps) Table(name string) {
	if slices.Contains(d.tables, name) {
		return
	}
	d.tables = append(d.tables, name)
	d.hashes = append(d.hashes, xxhash.Sum64String(name))
}

// pairHash is the hash of (tenant, table).
func pairHash(tenant, table uint64) uint64 {
	return (tenant ^ bits.RotateLeft64(table, 29)) * 0x9E3779B97F4A7C15
}

// Names of scopes in Redis. The first letter tells the level; only the last
// part of a name is free text, so no two scopes share a name.
const scopeEverything = "a"

func scopeTable(table string) string { return "b:" + table }

func scopeTenant(tenant []byte) string { return "t:" + string(tenant) }

func scopePair(tenant []byte, table string) string {
	return "p:" + strconv.Itoa(len(tenant)) + ":" + string(tenant) + ":" + table
}

// readScopes lists the scopes that a result with these dependencies hangs on.
func (d *Deps) readScopes() []string {
	names := make([]string, 0, 2+2*len(d.tables))
	names = append(names, scopeEverything)
	if d.owned {
		names = append(names, scopeTenant(d.tenant))
	}
	for _, table := range d.tables {
		names = append(names, scopeTable(table))
		if d.owned {
			names = append(names, scopePair(d.tenant, table))
		}
	}
	return names
}

// touched is one scope that a write changes.
type touched struct {
	hash  uint64
	table string // "" for every table
	name  string // in Redis
	inc   string // the incarnation that holds our dirty mark, "" for none
}

// writeScopes calls add for each scope that a write to d changes.
func (d *Deps) writeScopes(add func(touched)) {
	switch {
	case len(d.tables) == 0 && d.owned:
		add(touched{hash: d.tenantHash, name: scopeTenant(d.tenant)})
	case len(d.tables) == 0:
		add(touched{hash: hashEverything, name: scopeEverything})
	}
	for i, table := range d.tables {
		if d.owned {
			hash := pairHash(d.tenantHash, d.hashes[i])
			add(touched{hash: hash, table: table, name: scopePair(d.tenant, table)})
			continue
		}
		add(touched{hash: d.hashes[i], table: table, name: scopeTable(table)})
	}
}
