package proxy

import (
	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/router"
)

// Parse and Describe say nothing of parameters, and any shard can answer them: all have the same tables. Where each tenant has a schema
// only the tenant's shard can.

// parseAt is where a statement can be parsed.
func (s *session) parseAt(q *router.Query) router.Route {
	anywhere := router.Route{Kind: router.Any, Write: true}
	if s.place.single() || !s.place.shards.BySchema() {
		return anywhere
	}
	r, err := s.router().Route(q, nil, &s.env)
	if err != nil || r.Kind != router.Single {
		return anywhere
	}
	return router.Route{Kind: router.Single, Shard: r.Shard, Write: r.Write}
}

// parsePrepared is parseAt for a prepared statement, which may have been analysed for another search path.
func (s *session) parsePrepared(p *prepared) router.Route {
	if s.place.shards.BySchema() && !p.query.Fits(s.router(), &s.env) {
		s.analyse(&p.query, p.sql())
	}
	return s.parseAt(&p.query)
}

// deferredAt is where what was deferred can be parsed. No two statements of it are of different shards.
func (s *session) deferredAt() router.Route {
	for i := range s.batch.deferred {
		d := &s.batch.deferred[i]
		if d.kind == 0 {
			continue
		}
		if r := s.parsePrepared(d.stmt); r.Kind == router.Single || !s.place.shards.BySchema() {
			return r
		}
	}
	return router.Route{Kind: router.Any, Write: true}
}

// parts ends what the batch has asked of a backend aside, or deferred, for what follows to go to the shard of r. It reports as
// settleAside does.
func (s *session) parts(r router.Route) bool {
	if r.Kind != router.Single || !s.place.shards.BySchema() {
		return true
	}
	if at := s.deferredAt(); s.batch.link == nil && at.Kind == router.Single && at.Shard != r.Shard && !s.startBatch() {
		return false
	}
	l := s.batch.link
	switch {
	case l == nil || l.shard == r.Shard:
		return true
	case !l.aside:
		s.fail(s.severalShards(l))
		return false
	}
	return s.leaveBatch()
}

// severalShards is the error for statements of several shards in the batch of a link.
func (s *session) severalShards(l *link) *pgwire.Error {
	return &pgwire.Error{Code: "0A000", Message: "the statements before one Sync belong to more than one shard",
		Detail: "They are one transaction, which began on shard " + s.place.shards.Shard(l.shard).Name + ".",
		Hint:   "send a Sync between statements of different tenants"}
}

// joinedBy reports whether a backend of a route's shard takes part in the open transaction; of any shard, if it may be any.
func (s *session) joinedBy(r router.Route) bool {
	for _, l := range s.inTransaction() {
		if r.Kind != router.Single || l.shard == r.Shard {
			return true
		}
	}
	return false
}
