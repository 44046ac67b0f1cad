package router

import (
	"bytes"

	"github.com/pgdrover/pgdrover/shardmap"
)

// byName places a statement on no table but system catalogs by a string in it, or a parameter, that is the name of a tenant's schema or
// begins with one: whether there is such a schema, what is in it, and its sequences, only the tenant's shard can say. False: there is
// none, or there are some of several shards.
func (q *Query) byName(p Params, t *tally, route *Route) bool {
	pattern := t.m.TenantSchema()
	if !t.m.BySchema() || len(q.path.tenants) > 0 && pattern.Prefix+pattern.Suffix == "" { // any string is the name of a schema
		return false
	}
	shard, found := -1, shardmap.Key{}
	look := func(value []byte) bool {
		k, ok := schemaNamed(t.m, value)
		if !ok {
			return true
		}
		at := t.m.Locate(k)
		if shard >= 0 && at != shard {
			return false
		}
		if shard = at; found.IsZero() {
			found = k
		}
		return true
	}
	for _, s := range q.slots {
		if s.kind == slotInt || s.kind == slotDecimal || s.kind == slotParam {
			continue
		}
		if value, ok := q.decode(s); ok && !look(value) {
			return false
		}
	}
	for i := 0; p != nil && i < p.Len(); i++ {
		if value, _, null := p.Param(i); !null && !look(value) {
			return false
		}
	}
	if shard < 0 {
		return false
	}
	route.single(shard, byTenantName)
	route.Tenant, route.Source = found, SourceSQL
	return true
}

// schemaNamed reads the name of a tenant's schema, or one of something in it.
func schemaNamed(m *shardmap.Map, value []byte) (shardmap.Key, bool) {
	const most = 200 // no name of two parts is longer
	if len(value) > most {
		return shardmap.Key{}, false
	}
	if k, ok := m.TenantOf(string(value)); ok {
		return k, true
	}
	schema, _, dotted := bytes.Cut(value, []byte("."))
	if !dotted {
		return shardmap.Key{}, false
	}
	names := splitNames(string(schema))
	if len(names) != 1 {
		return shardmap.Key{}, false
	}
	return m.TenantOf(names[0])
}
