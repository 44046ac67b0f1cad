package admin

import "github.com/pgdrover/pgdrover/cache"

type cacheFamilies struct {
	hits, misses, stores, outdated, evictions  family
	entries, bytes, budget                     family
	l2On, l2Errors, l2Drops, l2Queue, l2Bytes  family
	refused, invalidations, unannounced, voids family
	openWrites                                 family
}

func declareCaches(f *families) cacheFamilies {
	const database = "database"
	return cacheFamilies{
		hits:          f.counter("pgdrover_cache_hits_total", "Look-ups that the level answered: l1 in memory, l2 in Redis.", database, "level"),
		misses:        f.counter("pgdrover_cache_misses_total", "Look-ups that the level could not answer.", database, "level"),
		stores:        f.counter("pgdrover_cache_stores_total", "Results that were stored in the level.", database, "level"),
		outdated:      f.counter("pgdrover_cache_outdated_total", "Misses of L1 on an entry that a write made stale, or whose time was over.", database, "reason"),
		evictions:     f.counter("pgdrover_cache_evictions_total", "Entries that made room for others in L1.", database),
		entries:       f.gauge("pgdrover_cache_entries", "Entries in L1.", database),
		bytes:         f.gauge("pgdrover_cache_bytes", "Bytes that the entries of L1 take.", database),
		budget:        f.gauge("pgdrover_cache_budget_bytes", "Bytes that the entries of L1 may take.", database),
		l2On:          f.gauge("pgdrover_cache_l2_on", "Whether L2 is in use; 0 also where no Redis is configured.", database),
		l2Errors:      f.counter("pgdrover_cache_l2_errors_total", "Look-ups that Redis did not answer in time.", database),
		l2Drops:       f.counter("pgdrover_cache_l2_drops_total", "Entries on their way to Redis that did not reach it.", database),
		l2Queue:       f.gauge("pgdrover_cache_l2_queue_entries", "Entries on their way to Redis.", database),
		l2Bytes:       f.gauge("pgdrover_cache_l2_queue_bytes", "Bytes on their way to Redis.", database),
		refused:       f.counter("pgdrover_cache_refused_total", "Results not stored: overtaken by a write, or too large.", database),
		invalidations: f.counter("pgdrover_cache_invalidations_total", "Pairs of tenant and table that writes made stale.", database),
		unannounced:   f.counter("pgdrover_cache_unannounced_total", "Announcements of writes that did not reach Redis.", database),
		voids:         f.counter("pgdrover_cache_voids_total", "Times that this proxy declared all of L2 void.", database),
		openWrites:    f.gauge("pgdrover_cache_open_writes", "Writes on cached tables whose outcome is not published yet.", database),
	}
}

func (f *cacheFamilies) collect(s series, d *database) {
	c := d.cache
	if c == nil {
		return
	}
	s.put(f.hits, float64(c.L1Hits), d.name, "l1")
	s.put(f.hits, float64(c.L2Hits), d.name, "l2")
	s.put(f.misses, float64(c.L1Misses), d.name, "l1")
	s.put(f.misses, float64(c.L2Misses), d.name, "l2")
	s.put(f.stores, float64(c.L1Stores), d.name, "l1")
	s.put(f.stores, float64(c.L2Stores), d.name, "l2")
	s.put(f.outdated, float64(c.L1Stale), d.name, "stale")
	s.put(f.outdated, float64(c.L1Expired), d.name, "expired")
	s.put(f.evictions, float64(c.L1Evictions), d.name)
	s.put(f.entries, float64(c.L1Entries), d.name)
	s.put(f.bytes, float64(c.L1Bytes), d.name)
	s.put(f.budget, float64(c.L1Budget), d.name)
	s.put(f.l2On, one(c.L2 == cache.L2On), d.name)
	s.put(f.l2Errors, float64(c.L2Errors), d.name)
	s.put(f.l2Drops, float64(c.L2Drops), d.name)
	s.put(f.l2Queue, float64(c.L2Queue), d.name)
	s.put(f.l2Bytes, float64(c.L2QueueBytes), d.name)
	s.put(f.refused, float64(c.Refused), d.name)
	s.put(f.invalidations, float64(c.Invalidations), d.name)
	s.put(f.unannounced, float64(c.Unannounced), d.name)
	s.put(f.voids, float64(c.Voids), d.name)
	s.put(f.openWrites, float64(c.OpenWrites), d.name)
}
