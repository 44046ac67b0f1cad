package admin

import (
	"cmp"
	"slices"

	"github.com/pgdrover/pgdrover/proxy"
)

// traffic is what one role of one shard has done since the program began.
type traffic struct {
	proxy.MeterKey
	statements, own, wait      histogram
	timeouts, rejected, failed uint64
}

// traffic lists what was done, by database, shard and role. Shards that have left the map stay in it with their statements.
func (v *view) traffic() []traffic {
	byKey := map[proxy.MeterKey]*traffic{}
	at := func(key proxy.MeterKey) *traffic {
		if byKey[key] == nil {
			byKey[key] = &traffic{MeterKey: key}
		}
		return byKey[key]
	}
	for key, m := range v.meters {
		t := at(key)
		t.statements, t.own = m.statements, m.own
	}
	for _, d := range v.databases {
		for i := range d.nodes {
			n := &d.nodes[i]
			t := at(proxy.MeterKey{Database: d.name, Shard: n.Shard, Role: n.Role.String()})
			t.wait = t.wait.add(waitHistogram(&n.Counts))
			t.timeouts += n.Counts.Timeouts
			t.rejected += n.Counts.Rejected
			t.failed += n.Counts.Failed
		}
	}
	list := make([]traffic, 0, len(byKey))
	for _, t := range byKey {
		list = append(list, *t)
	}
	slices.SortFunc(list, func(a, b traffic) int {
		return cmp.Or(cmp.Compare(a.Database, b.Database), cmp.Compare(a.Shard, b.Shard), cmp.Compare(a.Role, b.Role))
	})
	return list
}
