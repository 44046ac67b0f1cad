package admin

import (
	"github.com/pgdrover/pgdrover/cache"
	"github.com/pgdrover/pgdrover/proxy"
)

// stats answers SHOW STATS. Times are in milliseconds since the program began; p50 and p99 are estimates.
func stats(v *view) proxy.Table {
	return tabulate([]column[traffic]{
		{"database", func(t traffic) string { return t.Database }},
		{"shard", func(t traffic) string { return t.Shard }},
		{"role", func(t traffic) string { return t.Role }},
		{"statements", func(t traffic) string { return number(t.statements.count) }},
		{"total_ms", func(t traffic) string { return millis(t.statements.sum) }},
		{"avg_ms", func(t traffic) string { return millis(t.statements.mean()) }},
		{"p50_ms", func(t traffic) string { return millis(t.statements.quantile(0.5)) }},
		{"p99_ms", func(t traffic) string { return millis(t.statements.quantile(0.99)) }},
		{"own_avg_ms", func(t traffic) string { return millis(t.own.mean()) }},
		{"own_p50_ms", func(t traffic) string { return millis(t.own.quantile(0.5)) }},
		{"own_p99_ms", func(t traffic) string { return millis(t.own.quantile(0.99)) }},
		{"acquired", func(t traffic) string { return number(t.wait.count) }},
		{"wait_total_ms", func(t traffic) string { return millis(t.wait.sum) }},
		{"wait_avg_ms", func(t traffic) string { return millis(t.wait.mean()) }},
		{"wait_p99_ms", func(t traffic) string { return millis(t.wait.quantile(0.99)) }},
		{"timeouts", func(t traffic) string { return number(t.timeouts) }},
		{"rejected", func(t traffic) string { return number(t.rejected) }},
		{"failed", func(t traffic) string { return number(t.failed) }},
	}, v.traffic())
}

// caches answers SHOW CACHE, one row for each database. A database whose cache is off has no counts.
func caches(v *view) proxy.Table {
	of := func(text func(*cache.Stats) string) func(database) string {
		return func(d database) string {
			if d.cache == nil {
				return ""
			}
			return text(d.cache)
		}
	}
	count := func(n func(*cache.Stats) uint64) func(database) string {
		return of(func(s *cache.Stats) string { return number(n(s)) })
	}
	level := func(n func(*cache.Stats) int64) func(database) string {
		return of(func(s *cache.Stats) string { return number(n(s)) })
	}
	return tabulate([]column[database]{
		{"database", func(d database) string { return d.name }},
		{"cache", func(d database) string {
			if d.cache == nil {
				return "off"
			}
			return "on"
		}},
		{"l1_hits", count(func(s *cache.Stats) uint64 { return s.L1Hits })},
		{"l1_misses", count(func(s *cache.Stats) uint64 { return s.L1Misses })},
		{"l1_stale", count(func(s *cache.Stats) uint64 { return s.L1Stale })},
		{"l1_expired", count(func(s *cache.Stats) uint64 { return s.L1Expired })},
		{"l1_stores", count(func(s *cache.Stats) uint64 { return s.L1Stores })},
		{"l1_evictions", count(func(s *cache.Stats) uint64 { return s.L1Evictions })},
		{"l1_entries", level(func(s *cache.Stats) int64 { return s.L1Entries })},
		{"l1_bytes", level(func(s *cache.Stats) int64 { return s.L1Bytes })},
		{"l1_budget", level(func(s *cache.Stats) int64 { return s.L1Budget })},
		{"l2", of(func(s *cache.Stats) string { return s.L2.String() })},
		{"l2_since", of(func(s *cache.Stats) string { return moment(s.L2Since) })},
		{"l2_reason", of(func(s *cache.Stats) string { return s.L2Reason })},
		{"l2_memory", of(func(s *cache.Stats) string { return s.L2Memory })},
		{"l2_hits", count(func(s *cache.Stats) uint64 { return s.L2Hits })},
		{"l2_misses", count(func(s *cache.Stats) uint64 { return s.L2Misses })},
		{"l2_errors", count(func(s *cache.Stats) uint64 { return s.L2Errors })},
		{"l2_stores", count(func(s *cache.Stats) uint64 { return s.L2Stores })},
		{"l2_drops", count(func(s *cache.Stats) uint64 { return s.L2Drops })},
		{"l2_queue", level(func(s *cache.Stats) int64 { return s.L2Queue })},
		{"l2_queue_bytes", level(func(s *cache.Stats) int64 { return s.L2QueueBytes })},
		{"refused", count(func(s *cache.Stats) uint64 { return s.Refused })},
		{"invalidations", count(func(s *cache.Stats) uint64 { return s.Invalidations })},
		{"unannounced", count(func(s *cache.Stats) uint64 { return s.Unannounced })},
		{"voids", count(func(s *cache.Stats) uint64 { return s.Voids })},
		{"open_writes", level(func(s *cache.Stats) int64 { return s.OpenWrites })},
	}, v.databases)
}
