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

// traffics answers SHOW TRAFFIC, one row for each role of a shard. Times are in milliseconds since the program began; p50 and p99 are estimates.
func traffics(v *view) proxy.Table {
	return tabulate([]column[traffic]{
		word("database", func(t traffic) string { return t.Database }),
		word("shard", func(t traffic) string { return t.Shard }),
		word("role", func(t traffic) string { return t.Role }),
		num("statements", func(t traffic) uint64 { return t.statements.count }),
		word("total_ms", func(t traffic) string { return millis(t.statements.sum) }),
		word("avg_ms", func(t traffic) string { return millis(t.statements.mean()) }),
		word("p50_ms", func(t traffic) string { return millis(t.statements.quantile(0.5)) }),
		word("p99_ms", func(t traffic) string { return millis(t.statements.quantile(0.99)) }),
		word("own_avg_ms", func(t traffic) string { return millis(t.own.mean()) }),
		word("own_p50_ms", func(t traffic) string { return millis(t.own.quantile(0.5)) }),
		word("own_p99_ms", func(t traffic) string { return millis(t.own.quantile(0.99)) }),
		num("acquired", func(t traffic) uint64 { return t.wait.count }),
		word("wait_total_ms", func(t traffic) string { return millis(t.wait.sum) }),
		word("wait_avg_ms", func(t traffic) string { return millis(t.wait.mean()) }),
		word("wait_p99_ms", func(t traffic) string { return millis(t.wait.quantile(0.99)) }),
		num("timeouts", func(t traffic) uint64 { return t.timeouts }),
		num("rejected", func(t traffic) uint64 { return t.rejected }),
		num("failed", func(t traffic) uint64 { return t.failed }),
	}, v.traffic())
}
