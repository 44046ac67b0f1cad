package shardmap

import (
	"fmt"
	"maps"
	"slices"
)

// ChangeKind says what a [Change] is about.
type ChangeKind uint8

// The kinds of changes. The zero ChangeKind is none of them.
const (
	DatabaseChanged   ChangeKind = iota + 1 // another database; [Transition] refuses it
	TenantChanged                           // another tenant column or type; refused
	PartitionsChanged                       // another number of partitions; refused
	ShardAdded
	ShardRemoved
	ShardWeight  // changes what is planned, not what is
	NodeAdded    // Node is the new one
	NodeRemoved  // Node is the old one
	NodeRole     // a replica became the primary, or the other way round
	NodeReads    // the node's weight or backup changed; Node is as it is now
	OwnersMoved  // Partitions went From one shard To another
	PinAdded     // Key goes From its partition's owner To the pin's shard
	PinRemoved   // Key goes From the pin's shard To its partition's owner
	PinMoved     // Key goes From one shard To another
	TableChanged // Before and After; a zero Kind means that the map does not name it
)

// Change is one difference between two maps. The fields that its Kind speaks of
// are set, the others are zero.
type Change struct {
	Kind       ChangeKind
	Text       string // one line for people
	Shard      string
	Node       Node
	Key        Key
	From, To   string // names of shards; equal where no tenant changes place
	Partitions []int
	Before     Table // its On is an index into the old map's shards
	After      Table // its On is an index into the new map's shards
}

// Diff lists what is different in after, seen from before: first what concerns
// the whole map, then shards and nodes, owners, pins, tables, each in the order
// of the file. Maps of another tenant type or number of partitions are compared
// without owners and pins.
func Diff(before, after *Map) []Change {
	d := differ{before: before, after: after}
	d.whole()
	d.shards()
	if before.TenantType() == after.TenantType() && before.Partitions() == after.Partitions() {
		d.owners()
		d.pins()
	}
	d.tables()
	return d.list
}

// differ collects changes.
type differ struct {
	before, after *Map
	list          []Change
}

// add appends a change with its text.
func (d *differ) add(c Change, format string, args ...any) {
	c.Text = fmt.Sprintf(format, args...)
	d.list = append(d.list, c)
}

// whole compares what a map says once.
func (d *differ) whole() {
	b, a := d.before, d.after
	if b.Database() != a.Database() {
		d.add(Change{Kind: DatabaseChanged}, "database: %s becomes %s", b.Database(), a.Database())
	}
	if before, after := b.TenantText(), a.TenantText(); before != after {
		d.add(Change{Kind: TenantChanged}, "tenant: %s becomes %s", before, after)
	}
	if b.Partitions() != a.Partitions() {
		d.add(Change{Kind: PartitionsChanged}, "partitions: %d becomes %d", b.Partitions(), a.Partitions())
	}
}

// shards compares the shards by name.
func (d *differ) shards() {
	for _, s := range d.before.shards {
		if _, ok := d.after.names[s.Name]; !ok {
			d.add(Change{Kind: ShardRemoved, Shard: s.Name}, "shard %s removed", s.Name)
		}
	}
	for _, s := range d.after.shards {
		i, ok := d.before.names[s.Name]
		switch {
		case !ok && s.Owned == 0:
			d.add(Change{Kind: ShardAdded, Shard: s.Name}, "shard %s added: it owns no partition yet", s.Name)
		case !ok:
			d.add(Change{Kind: ShardAdded, Shard: s.Name}, "shard %s added", s.Name)
		default:
			d.shard(d.before.shards[i], s)
		}
	}
}

// shard compares one shard with itself.
func (d *differ) shard(before, after Shard) {
	name := after.Name
	if before.Weight != after.Weight {
		d.add(Change{Kind: ShardWeight, Shard: name}, "shard %s: weight %d becomes %d: no partition moves by itself",
			name, before.Weight, after.Weight)
	}
	old, now := before.members(), after.members()
	for _, m := range old {
		if findMember(now, m.Node) < 0 {
			d.add(Change{Kind: NodeRemoved, Shard: name, Node: m.Node}, "shard %s: %s %s removed", name, m.role(), m.Addr())
		}
	}
	for _, m := range now {
		i := findMember(old, m.Node)
		switch {
		case i < 0:
			d.add(Change{Kind: NodeAdded, Shard: name, Node: m.Node}, "shard %s: %s %s added", name, m.role(), m.Addr())
			continue
		case old[i].primary != m.primary:
			d.add(Change{Kind: NodeRole, Shard: name, Node: m.Node}, "shard %s: %s is now the %s", name, m.Addr(), m.role())
		}
		if old[i].Weight != m.Weight || old[i].Backup != m.Backup {
			d.add(Change{Kind: NodeReads, Shard: name, Node: m.Node}, "shard %s: %s %s: %s becomes %s",
				name, m.role(), m.Addr(), old[i].reads(), m.reads())
		}
	}
}

// member is a node with its role.
type member struct {
	Node
	primary bool
}

// members lists the nodes of a shard, the primary first.
func (s Shard) members() []member {
	list := []member{{s.Primary, true}}
	for _, n := range s.Replicas {
		list = append(list, member{n, false})
	}
	return list
}

// findMember returns the index of the member with a node's address, or -1.
func findMember(list []member, n Node) int {
	return slices.IndexFunc(list, func(m member) bool {
		return m.Host == n.Host && m.Port == n.Port && m.DBName == n.DBName
	})
}

// role is the word for what the member is.
func (m member) role() string {
	if m.primary {
		return "primary"
	}
	return "replica"
}

// reads describes how many reads the member gets.
func (m member) reads() string {
	if m.Backup {
		return fmt.Sprintf("weight %d as backup", m.Weight)
	}
	return fmt.Sprintf("weight %d", m.Weight)
}

// owners compares who owns each partition, and reports each pair of shards
// once.
func (d *differ) owners() {
	type pair struct{ from, to string }
	moved := map[pair][]int{}
	var order []pair
	for p := range d.after.owners {
		from, to := d.before.shards[d.before.owners[p]].Name, d.after.shards[d.after.owners[p]].Name
		if from == to {
			continue
		}
		way := pair{from, to}
		if moved[way] == nil {
			order = append(order, way)
		}
		moved[way] = append(moved[way], p)
	}
	for _, way := range order {
		d.add(Change{Kind: OwnersMoved, From: way.from, To: way.to, Partitions: moved[way]},
			"%d partitions move from %s to %s", len(moved[way]), way.from, way.to)
	}
}

// pins compares the pins by key.
func (d *differ) pins() {
	for _, pin := range d.before.file.Pins {
		if _, ok := d.after.Pin(pin.Key); !ok {
			from, to := d.ends(pin.Key)
			d.add(Change{Kind: PinRemoved, Key: pin.Key, From: from, To: to},
				"tenant %q is no longer pinned to %s: its partition %d is on %s", pin.Key, from, d.after.Partition(pin.Key), to)
		}
	}
	for _, pin := range d.after.file.Pins {
		from, to := d.ends(pin.Key)
		_, ok := d.before.Pin(pin.Key)
		switch {
		case !ok:
			d.add(Change{Kind: PinAdded, Key: pin.Key, From: from, To: to},
				"tenant %q is pinned to %s: its partition %d was on %s", pin.Key, to, d.before.Partition(pin.Key), from)
		case from != to:
			d.add(Change{Kind: PinMoved, Key: pin.Key, From: from, To: to},
				"tenant %q is pinned to %s instead of %s", pin.Key, to, from)
		}
	}
}

// ends returns the names of the shards where a tenant was and is.
func (d *differ) ends(k Key) (from, to string) {
	return d.before.shards[d.before.Locate(k)].Name, d.after.shards[d.after.Locate(k)].Name
}

// tables compares what the maps say of tables.
func (d *differ) tables() {
	seen := maps.Clone(d.before.tables)
	for _, now := range d.after.file.Tables {
		d.table(d.before.tables[now.key()], now)
		delete(seen, now.key())
	}
	for _, old := range d.before.file.Tables {
		if _, gone := seen[old.key()]; gone {
			d.table(old, Table{})
		}
	}
}

// table compares one table with itself; one that a map does not name is zero.
func (d *differ) table(before, after Table) {
	c := Change{Kind: TableChanged, Before: before, After: after, From: d.before.home(before), To: d.after.home(after)}
	if before.Kind == after.Kind && before.Column == after.Column && c.From == c.To {
		return
	}
	name := after.String()
	if after.Kind == 0 {
		name = before.String()
	}
	d.add(c, "table %s: %s becomes %s", name, d.before.describe(before), d.after.describe(after))
}

// home returns the name of the shard of an unsharded table, "" for others.
func (m *Map) home(t Table) string {
	if t.Kind != Unsharded {
		return ""
	}
	return m.shards[t.On].Name
}

// describe says what a map says of a table.
func (m *Map) describe(t Table) string {
	switch t.Kind {
	case Reference:
		return "a reference table"
	case Sharded:
		if m.BySchema() {
			return "in every tenant's schema"
		}
		return "sharded by " + quoteName(t.Column)
	case Unsharded:
		return "unsharded on " + m.home(t)
	}
	if m.BySchema() {
		return "not named"
	}
	return "not named (sharded if it has the column " + quoteName(m.TenantColumn()) + ")"
}
