package shardmap

import (
	"strings"

	"github.com/pgdrover/pgdrover/internal/yamlfile"
)

// New puts intent and state together. What contradicts is an error that names
// file, line and column: another database, tenant type or number of partitions,
// and a shard that owns partitions and is not in the file. The map keeps both
// arguments, which must not be changed afterwards.
func New(f *File, l *Lock) (*Map, error) {
	if err := contradictions(f, l); err != nil {
		return nil, err
	}
	m := &Map{
		file: f, lock: l, names: map[string]int{}, owners: make([]uint16, len(l.Owners)),
		shards: append([]Shard(nil), f.Shards...),
		pins:   newPinTable(f.Pins), tables: map[tableName]Table{},
	}
	for i := range m.shards {
		m.names[m.shards[i].Name] = i
	}
	for p, name := range l.Owners {
		i := m.names[name]
		m.owners[p] = uint16(i)
		m.shards[i].Owned++
	}
	for _, t := range f.Tables {
		m.tables[t.key()] = t
	}
	return m, nil
}

// contradictions compares a file with a lock.
func contradictions(f *File, l *Lock) error {
	var errs yamlfile.Errors
	if f.Database != l.Database {
		errs.Add(f.at.database, "database: %s here, %s in %s: a lock belongs to one database",
			f.Database, l.Database, l.place(l.at.database))
	}
	if f.TenantType != l.Tenant {
		errs.Add(f.at.tenant, "tenant.type: %s here, %s in %s: the type is fixed for the life of the data",
			f.TenantType, l.Tenant, l.place(l.at.tenant))
	}
	if f.Partitions != len(l.Owners) {
		errs.Add(f.at.partitions, "partitions: %d here, %d in %s: the number is fixed for the life of the data",
			f.Partitions, len(l.Owners), l.place(l.at.partitions))
	}
	reported := map[string]bool{}
	for _, name := range l.Owners {
		if f.shardIndex(name) >= 0 || reported[name] {
			continue
		}
		reported[name] = true
		errs.Add(f.at.shards, "shards: %s is not here, and owns %d partitions by %s: put it back under this name, or move its partitions first",
			name, l.count(name), l.place(l.at.owner[name]))
	}
	return errs.Err()
}

// place says where in the lock something stands; only the lock's name for a
// lock that was not read from a file.
func (l *Lock) place(p yamlfile.Position) string {
	if p.IsZero() {
		return strings.TrimSpace("the lock " + l.Name)
	}
	return p.String()
}

// count returns how many partitions a shard owns.
func (l *Lock) count(shard string) int {
	n := 0
	for _, owner := range l.Owners {
		if owner == shard {
			n++
		}
	}
	return n
}
