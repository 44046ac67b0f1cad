package admin

import (
	"github.com/pgdrover/pgdrover/proxy"
)

// doubt is one row of SHOW TWO_PHASE.
type doubt struct {
	*database
	proxy.InDoubt
}

// twoPhase answers SHOW TWO_PHASE: what transactions on several shards have left prepared, and why it is still there.
func twoPhase(v *view) proxy.Table {
	var list []doubt
	for i := range v.databases {
		d := &v.databases[i]
		for _, left := range d.twoPhase.InDoubt {
			list = append(list, doubt{d, left})
		}
	}
	return tabulate([]column[doubt]{
		word("database", func(d doubt) string { return d.name }),
		word("shard", func(d doubt) string { return d.Shard }),
		word("gid", func(d doubt) string { return d.GID }),
		word("first_shard", func(d doubt) string { return d.FirstShard }),
		num("age", func(d doubt) int64 { return int64(d.Age.Seconds()) }),
		word("why", func(d doubt) string { return d.Why }),
	}, list)
}

type twoPhaseFamilies struct {
	ended, recovered, doubts, differences family
}

func declareTwoPhase(f *families) twoPhaseFamilies {
	return twoPhaseFamilies{
		ended:       f.counter("pgdrover_two_phase_transactions_total", "Transactions that wrote on several shards, by how they ended.", "database", "outcome"),
		recovered:   f.counter("pgdrover_two_phase_recovered_total", "Parts of such transactions that were left prepared and ended by the recovery.", "database", "outcome"),
		doubts:      f.gauge("pgdrover_two_phase_in_doubt", "Parts that are prepared on the shard and could not be ended yet.", "database", "shard"),
		differences: f.gauge("pgdrover_schema_differences", "Objects that are not the same on the shard as on the first one.", "database", "shard"),
	}
}

func (f *twoPhaseFamilies) collect(s series, d *database, differences map[string]int) {
	s.put(f.ended, float64(d.twoPhase.Commits), d.name, "committed")
	s.put(f.ended, float64(d.twoPhase.Rollbacks), d.name, "rolled back")
	s.put(f.recovered, float64(d.twoPhase.Finished), d.name, "committed")
	s.put(f.recovered, float64(d.twoPhase.Discarded), d.name, "rolled back")
	left := map[string]int{}
	for _, doubt := range d.twoPhase.InDoubt {
		left[doubt.Shard]++
	}
	for _, shard := range d.shards.Shards() {
		s.put(f.doubts, float64(left[shard.Name]), d.name, shard.Name)
		if n, ok := differences[shard.Name]; ok {
			s.put(f.differences, float64(n), d.name, shard.Name)
		}
	}
}
