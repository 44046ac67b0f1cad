package proxy

import (
	"github.com/pgdrover/pgdrover/cache"
	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/router"
)

// scratch is what a session has in hand while it works. Between transactions nothing is in hand: a session that rests then gives its scratch to
// whoever works next, who uses its memory again. What says whether something is in hand stands first, and together.
type scratch struct {
	tx     transaction
	batch  batch
	spare  *link      // those that are not in use; next leads on
	mark   cache.Mark // what the open transaction writes, for the cache
	spaces unnamedSpaces
	tape   tape
	portal portal // the unnamed one

	query  router.Query // the statement in hand
	routed router.Route // where a Query goes
	bound  pgwire.Bind  // the Bind in hand, and its parameters
	params bindParams

	again   again   // the read that a replica has
	words   wording // the text of the query string in hand, as backends are told it
	cached  cacheQuery
	written cache.Deps
}

// takeScratch gives the session a scratch, if it has none.
func (s *session) takeScratch() {
	if s.scratch == nil {
		s.scratch = s.srv.scratches.Take(s.t)
	}
}

// putScratch takes it away, unless something is in hand.
func (s *session) putScratch() {
	w := s.scratch
	if w == nil || len(s.links) > 0 || s.queued != nil || !w.empty() {
		return
	}
	for l := w.spare; l != nil; l = l.next {
		l.req.Notify, l.req.Task = nil, nil
	}
	s.scratch = nil
	if w.room() <= scratchRoom {
		s.srv.scratches.Give(s.t, w)
	}
}

// scratchRoom is how much memory a scratch may have that is used again, in bytes. What has grown beyond, for one long statement, is dropped.
const scratchRoom = 256 << 10

// room is how much memory what may grow without a bound has, in bytes.
func (w *scratch) room() int { return w.query.Room() + cap(w.again.bind) + cap(w.words.text) }

// empty reports whether nothing is in hand.
func (w *scratch) empty() bool {
	return w.tx.isZero() && !w.batch.open && w.batch.link == nil && len(w.batch.deferred)+len(w.spaces.taken) == 0 && w.mark.Empty() && !w.tape.on && w.portal.stmt == nil
}

// isZero reports whether a transaction is neither open nor has left anything.
func (t *transaction) isZero() bool {
	if t.isSaid() || t.locals != nil || t.told != nil || t.reason != nil || t.router != nil {
		return false
	}
	return len(t.strict)+len(t.prelude)+len(t.marks)+len(t.listens) == 0 && t.tenant.IsZero()
}

// isSaid reports whether anything is said with yes. It asks field by field, since the compiler makes more of a comparison with condition{}.
func (c *condition) isSaid() bool {
	return c.open || c.aborted || c.poisoned || c.faulted || c.readOnly || c.ofBatch || c.severed || c.joint || c.ddl || c.redefined || c.reshaped || c.local
}
