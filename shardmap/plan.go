package shardmap

import (
	"slices"

	"github.com/pgdrover/pgdrover/internal/yamlfile"
)

// Move is one partition that changes its owner.
type Move struct {
	Partition int
	From, To  string // names of shards
}

// Plan returns the first placement of a cluster that holds no data: epoch 1,
// every partition owned, in proportion to the weights. It depends on the file
// alone.
func Plan(f *File) (*Lock, error) {
	planned, err := plannedOwners(f)
	if err != nil {
		return nil, err
	}
	l := &Lock{Database: f.Database, Epoch: 1, Tenant: f.TenantType, Owners: planned}
	return l, nil
}

// plannedOwners asks the ring for the name of the owner of each partition.
func plannedOwners(f *File) ([]string, error) {
	owners, err := ringOwners(f.Shards, f.Partitions)
	if err != nil {
		return nil, f.at.shards.Errorf("shards: %v", err)
	}
	names := make([]string, len(owners))
	for p, i := range owners {
		names[p] = f.Shards[i].Name
	}
	return names, nil
}

// Assign returns the moves that the planner proposes and the lock after them,
// one epoch later; without moves the same lock. A partition moves only onto a
// shard that owns nothing yet, or that owns clearly less than planned (a raised
// weight); what the ring would swap between other shards stays. Whether the
// moves can be made is the caller's to know: owners may change at once only
// while the cluster is empty.
func Assign(f *File, l *Lock) (*Lock, []Move, error) {
	if err := contradictions(f, l); err != nil {
		return nil, nil, err
	}
	planned, err := plannedOwners(f)
	if err != nil {
		return nil, nil, err
	}
	next := l.Next()
	var moves []Move
	for {
		round := receive(next.Owners, planned)
		if len(round) == 0 {
			break
		}
		moves = append(moves, round...)
	}
	if len(moves) == 0 {
		return l, nil, nil
	}
	slices.SortFunc(moves, func(a, b Move) int { return a.Partition - b.Partition })
	return next, moves, nil
}

// receive changes owners for the shards that lack partitions, and returns the
// moves. Giving to one shard can make another lack some: it is called until
// there are no moves. It comes to an end, since a partition that has moved is
// where it is planned.
func receive(owners, planned []string) []Move {
	want, have := tally(planned), tally(owners)
	lacks := map[string]bool{}
	for name, n := range want {
		lacks[name] = float64(n) > float64(have[name])*ringLoad
	}
	var moves []Move
	for p, to := range planned {
		from := owners[p]
		if from == to || !lacks[to] || have[to] >= want[to] {
			continue
		}
		have[from]--
		have[to]++
		owners[p] = to
		moves = append(moves, Move{p, from, to})
	}
	return moves
}

// tally counts the partitions of each shard.
func tally(owners []string) map[string]int {
	counts := map[string]int{}
	for _, name := range owners {
		counts[name]++
	}
	return counts
}

// Transition reports whether a file may replace the map in force without moving
// rows: nil, or an error that names file, line and column. It refuses another
// database, tenant column, tenant type or number of partitions, and a file
// without a shard that owns partitions. Whether a pin or a table's new kind
// parts a tenant from rows is the caller's to look for; [Diff] names them.
func Transition(old *Map, f *File) error {
	var errs yamlfile.Errors
	errs.Append(yamlfile.Position{File: f.Name}, contradictions(f, old.lock))
	if f.TenantColumn != old.TenantColumn() && f.TenantSchema.set == old.BySchema() {
		errs.Add(f.at.column, "tenant.column: %s here, %s in the map in force: the column is fixed for the life of the data",
			quoteName(f.TenantColumn), quoteName(old.TenantColumn()))
	}
	if now, before := f.TenantSchema.String(), old.TenantSchema().String(); now != before {
		errs.Add(f.at.column, "tenant.schema: %q here, %q in the map in force: the pattern is fixed for the life of the data", now, before)
	}
	return errs.Err()
}
