package shardmap

import "slices"

// Map is placement at one epoch. It is immutable and safe for concurrent use;
// [New] makes it.
type Map struct {
	file   *File
	lock   *Lock
	shards []Shard
	names  map[string]int
	owners []uint16 // by partition
	pins   pinTable
	tables map[tableName]Table
}

// Pin is a tenant placed on a shard by name.
type Pin struct {
	Key   Key
	Shard int
}

// Database returns the name of the database that the map places.
func (m *Map) Database() string { return m.file.Database }

// Epoch returns the version number of the placement, from the lock.
func (m *Map) Epoch() uint64 { return m.lock.Epoch }

// TenantColumn returns the name of the column that holds the tenant, as the
// catalog has it.
func (m *Map) TenantColumn() string { return m.file.TenantColumn }

// TenantType returns the type of the tenant column.
func (m *Map) TenantType() Type { return m.file.TenantType }

// Partitions returns the number of partitions, a power of two.
func (m *Map) Partitions() int { return len(m.owners) }

// Partition returns the partition of a key: hash & (partitions - 1).
func (m *Map) Partition(k Key) int {
	return int(k.Hash() & uint64(len(m.owners)-1))
}

// Locate returns the index in Shards of the shard that a tenant lives on: its
// pin, else the owner of its partition. A key of another type than TenantType
// is a programmer's mistake; it is placed by its own hash.
func (m *Map) Locate(k Key) int {
	if shard, ok := m.Pin(k); ok {
		return shard
	}
	return int(m.owners[m.Partition(k)])
}

// Pin returns the shard that a key is pinned to.
func (m *Map) Pin(k Key) (shard int, ok bool) {
	if len(m.file.Pins) == 0 {
		return 0, false
	}
	return m.pins.find(k)
}

// Pins returns all pins in the order of the file. The slice is the caller's.
func (m *Map) Pins() []Pin { return slices.Clone(m.file.Pins) }

// Owner returns the index of the shard that owns a partition, which must be
// below Partitions.
func (m *Map) Owner(partition int) int { return int(m.owners[partition]) }

// Shards returns the shards in the order of the file; positions in it are what
// Locate returns. The slice is the caller's, the Replicas of its elements are
// shared and must not be changed.
func (m *Map) Shards() []Shard { return slices.Clone(m.shards) }

// Shard returns the shard at an index, without copying the list.
func (m *Map) Shard(i int) Shard { return m.shards[i] }

// ShardCount returns the number of shards, at least one.
func (m *Map) ShardCount() int { return len(m.shards) }

// Idle reports whether the shard at an index has nothing that is its own: no
// partition, no pin and no unsharded table. It serves nobody then, but is
// written to as every shard is.
func (m *Map) Idle(i int) bool {
	return m.shards[i].Owned == 0 &&
		!slices.ContainsFunc(m.file.Pins, func(p Pin) bool { return p.Shard == i }) &&
		!slices.ContainsFunc(m.file.Tables, func(t Table) bool { return t.Kind == Unsharded && t.On == i })
}

// ShardByName returns the index of the shard of that name.
func (m *Map) ShardByName(name string) (int, bool) {
	i, ok := m.names[name]
	return i, ok
}

// Table returns what the map says explicitly of a table; a table it does not
// name is sharded when it has the tenant column. The names are as the catalog
// has them. An entry "schema.table" goes before a bare "table", which speaks of
// the tables of that name in every schema.
func (m *Map) Table(schema, name string) (Table, bool) {
	if len(m.tables) == 0 {
		return Table{}, false
	}
	if schema != "" {
		if t, ok := m.tables[tableName{schema, name}]; ok {
			return t, true
		}
	}
	t, ok := m.tables[tableName{"", name}]
	return t, ok
}

// Tables returns all tables that the map names, in the order of the file. The
// slice is the caller's.
func (m *Map) Tables() []Table { return slices.Clone(m.file.Tables) }

// File returns the map file that the placement was made from.
func (m *Map) File() *File { return m.file }

// Lock returns the state that the placement stands on. It shares memory with
// the map and must not be changed; [Lock.Next] makes a copy.
func (m *Map) Lock() *Lock { return m.lock }

// pinTable finds a pinned shard by key, with one map for each type so that no
// lookup hashes more than the value.
type pinTable struct {
	bigints map[int64]int
	texts   map[string]int
	uuids   map[[16]byte]int
}

// newPinTable indexes pins, which must be of one shard each.
func newPinTable(pins []Pin) pinTable {
	t := pinTable{bigints: map[int64]int{}, texts: map[string]int{}, uuids: map[[16]byte]int{}}
	for _, pin := range pins {
		switch pin.Key.typ {
		case Bigint:
			t.bigints[pin.Key.num] = pin.Shard
		case Text:
			t.texts[pin.Key.str] = pin.Shard
		case UUID:
			t.uuids[pin.Key.uid] = pin.Shard
		}
	}
	return t
}

// find returns the shard a key is pinned to.
func (t pinTable) find(k Key) (shard int, ok bool) {
	switch k.typ {
	case Bigint:
		shard, ok = t.bigints[k.num]
	case Text:
		shard, ok = t.texts[k.str]
	case UUID:
		shard, ok = t.uuids[k.uid]
	}
	return shard, ok
}
