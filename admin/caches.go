package admin

import (
	"github.com/pgdrover/pgdrover/cache"
	"github.com/pgdrover/pgdrover/proxy"
)

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
		word("database", func(d database) string { return d.name }),
		word("cache", func(d database) string {
			if d.cache == nil {
				return "off"
			}
			return "on"
		}),
		numText("l1_hits", count(func(s *cache.Stats) uint64 { return s.L1Hits })),
		numText("l1_misses", count(func(s *cache.Stats) uint64 { return s.L1Misses })),
		numText("l1_stale", count(func(s *cache.Stats) uint64 { return s.L1Stale })),
		numText("l1_expired", count(func(s *cache.Stats) uint64 { return s.L1Expired })),
		numText("l1_stores", count(func(s *cache.Stats) uint64 { return s.L1Stores })),
		numText("l1_evictions", count(func(s *cache.Stats) uint64 { return s.L1Evictions })),
		numText("l1_entries", level(func(s *cache.Stats) int64 { return s.L1Entries })),
		numText("l1_bytes", level(func(s *cache.Stats) int64 { return s.L1Bytes })),
		numText("l1_budget", level(func(s *cache.Stats) int64 { return s.L1Budget })),
		word("l2", of(func(s *cache.Stats) string { return s.L2.String() })),
		word("l2_since", of(func(s *cache.Stats) string { return moment(s.L2Since) })),
		word("l2_reason", of(func(s *cache.Stats) string { return s.L2Reason })),
		word("l2_memory", of(func(s *cache.Stats) string { return s.L2Memory })),
		numText("l2_hits", count(func(s *cache.Stats) uint64 { return s.L2Hits })),
		numText("l2_misses", count(func(s *cache.Stats) uint64 { return s.L2Misses })),
		numText("l2_errors", count(func(s *cache.Stats) uint64 { return s.L2Errors })),
		numText("l2_stores", count(func(s *cache.Stats) uint64 { return s.L2Stores })),
		numText("l2_drops", count(func(s *cache.Stats) uint64 { return s.L2Drops })),
		numText("l2_queue", level(func(s *cache.Stats) int64 { return s.L2Queue })),
		numText("l2_queue_bytes", level(func(s *cache.Stats) int64 { return s.L2QueueBytes })),
		numText("refused", count(func(s *cache.Stats) uint64 { return s.Refused })),
		numText("invalidations", count(func(s *cache.Stats) uint64 { return s.Invalidations })),
		numText("unannounced", count(func(s *cache.Stats) uint64 { return s.Unannounced })),
		numText("voids", count(func(s *cache.Stats) uint64 { return s.Voids })),
		numText("open_writes", level(func(s *cache.Stats) int64 { return s.OpenWrites })),
	}, v.databases)
}
