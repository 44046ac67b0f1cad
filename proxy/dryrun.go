package proxy

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgdrover/pgdrover/router"
	"github.com/pgdrover/pgdrover/shardmap"
)

// dryRun routes what clients send on paper, by a shard map that is not in force, and counts what would become of it. It changes no answer.
// It is safe for concurrent use.
type dryRun struct {
	route  atomic.Pointer[dryRoute]
	counts [dryVerdicts]atomic.Uint64
	logged atomic.Int64 // when a reason was last logged, in Unix nanoseconds

	mu      sync.Mutex
	reasons map[string]*DryReason    // by message and hint
	plans   map[string]*dryStatement // by template: statements that would be answered from all shards, or not
	plansOf *router.Router           // that planned them
}

// dryRoute is a candidate and the router made from it and from the catalog in force.
type dryRoute struct {
	shards *shardmap.Map
	router *router.Router
}

// dryVerdict is what would become of a statement.
type dryVerdict uint8

const (
	dryOneShard dryVerdict = iota
	dryAnyShard
	dryEveryShard
	drySeveral
	dryScatter
	dryByRow
	drySession
	dryRefused
	dryVerdicts
)

// String gives the word of pgdrover route for a verdict.
func (v dryVerdict) String() string {
	return [dryVerdicts]string{"one_shard", "any_shard", "every_shard", "several_shards", "scatter", "row", "session", "refused"}[v]
}

// dryStatement is the verdict on a statement, and why, if it is refused or needs scatter.
type dryStatement struct {
	verdict dryVerdict
	denied  *router.Error
}

// DryReason is why statements would be refused, or answered from all shards only.
type DryReason struct {
	Verdict    string
	Code       string
	Message    string
	Hint       string
	Statements uint64
	Example    string // the first of them, its literals as question marks
}

// Bounds of what a dry run keeps and says.
const (
	mostReasons = 500
	mostPlans   = 4096
	dryLogEvery = 10 * time.Second
)

// use routes by another candidate from now on; nil: by none. Counts stay; reasons go with the candidate that they are about.
func (d *dryRun) use(m *shardmap.Map, db *Database) {
	old := d.route.Load()
	if m == nil || old == nil || len(shardmap.Diff(old.shards, m)) > 0 {
		d.mu.Lock()
		d.reasons, d.plans = map[string]*DryReason{}, nil
		d.mu.Unlock()
	}
	if m == nil {
		d.route.Store(nil)
		return
	}
	d.route.Store(&dryRoute{m, db.newRouter(m, db.Router().Catalog())})
}

// routerFor is the candidate's router with a catalog; nil where there is no candidate.
func (d *dryRun) routerFor(db *Database, c *router.Catalog) *router.Router {
	at := d.route.Load()
	if at == nil || at.router.Catalog() == c {
		return at.routing()
	}
	next := &dryRoute{at.shards, db.newRouter(at.shards, c)}
	if d.route.CompareAndSwap(at, next) {
		return next.router
	}
	return d.route.Load().routing()
}

func (r *dryRoute) routing() *router.Router {
	if r == nil {
		return nil
	}
	return r.router
}

// DryRun is what a dry run has found.
type DryRun struct {
	Shards  int // of the candidate; 0: there is none
	Counts  map[string]uint64
	Reasons []DryReason // by how many statements they are of
}

// DryRun says what would become of the statements since the start by the candidate.
func (d *Database) DryRun() DryRun {
	seen := DryRun{Counts: map[string]uint64{}}
	if at := d.dry.route.Load(); at != nil {
		seen.Shards = at.shards.ShardCount()
	}
	for v := range dryVerdicts {
		seen.Counts[v.String()] = d.dry.counts[v].Load()
	}
	d.dry.mu.Lock()
	for _, r := range d.dry.reasons {
		seen.Reasons = append(seen.Reasons, *r)
	}
	d.dry.mu.Unlock()
	slices.SortFunc(seen.Reasons, func(a, b DryReason) int {
		return cmp.Or(cmp.Compare(b.Statements, a.Statements), cmp.Compare(a.Message, b.Message))
	})
	return seen
}

// dryWork is what a session needs for a dry run; it is made with the first statement.
type dryWork struct {
	q     router.Query
	env   router.Env
	wrote string // the shard that the open transaction would have written on
}

// routeDry routes a statement on paper.
func (s *session) routeDry(q *router.Query, p router.Params) {
	d := &s.db.dry
	r := d.routerFor(s.db, s.place.router.Catalog())
	if r == nil {
		return
	}
	if s.dry == nil {
		s.dry = &dryWork{}
	}
	w := s.dry
	w.env = s.env
	w.env.Prepared, w.env.Scatter, w.env.Brief = nil, true, false
	if !r.Recall(&w.q, q.SQL(), &w.env) {
		s.t.Await(func() { r.Learn(&w.q, &w.env) })
	}
	v := s.dryVerdict(r, p)
	d.counts[v.verdict].Add(1)
	if v.denied != nil {
		d.note(s, v)
	}
}

// dryVerdict says what would become of the statement in hand.
func (s *session) dryVerdict(r *router.Router, p router.Params) dryStatement {
	w, d := s.dry, &s.db.dry
	if w.q.Gathers(&w.env) {
		return d.planned(s, r, p)
	}
	w.env.Brief = true
	route, err := r.Route(&w.q, p, &w.env)
	if w.env.Brief = false; err == router.ErrLong {
		s.t.Await(func() { route, err = r.Route(&w.q, p, &w.env) })
	}
	if err != nil {
		return dryStatement{dryRefused, dryError(err)}
	}
	switch {
	case route.Session():
		return dryStatement{verdict: drySession}
	case route.Kind == router.Every:
		return dryStatement{verdict: dryEveryShard}
	case route.Kind == router.Any:
		return dryStatement{verdict: dryAnyShard}
	case route.Kind == router.ByRow:
		return dryStatement{verdict: dryByRow}
	case route.Kind == router.Several && route.Write && !s.db.options().TwoPhase:
		return dryStatement{dryRefused, dryAcross}
	case route.Kind == router.Several, route.Kind == router.InTurn:
		return dryStatement{verdict: drySeveral}
	}
	if shard := r.Map().Shard(route.Shard).Name; route.Write && s.tx.open && !s.db.options().TwoPhase {
		if w.wrote != "" && w.wrote != shard {
			return dryStatement{dryRefused, dryAcross}
		}
		w.wrote = shard
	}
	return dryStatement{verdict: dryOneShard}
}

// dryAcross is why a transaction would be refused that writes on several shards.
var dryAcross = &router.Error{Code: "0A000", Message: "a transaction or statement would write on several shards",
	Hint: "Write for the tenants of one shard in a transaction, or have \"two_phase_commit: on\"."}

// planned is the verdict on a statement that names no tenant. To plan it runs the parser, so it is done once for each template.
func (d *dryRun) planned(s *session, r *router.Router, p router.Params) dryStatement {
	w := s.dry
	d.mu.Lock()
	if d.plansOf != r || len(d.plans) >= mostPlans {
		d.plansOf, d.plans = r, map[string]*dryStatement{}
	}
	known := d.plans[string(w.q.Template().Bytes())]
	d.mu.Unlock()
	if known != nil {
		return *known
	}
	v := dryStatement{verdict: dryRefused}
	s.t.Await(func() {
		route, err := r.Route(&w.q, p, &w.env)
		switch {
		case err == nil && route.Kind == router.ByRow:
			v.verdict = dryByRow
			return
		case err == nil:
			v.verdict = dryScatter
		}
		w.env.Scatter = false
		_, err = r.Route(&w.q, p, &w.env) // why no shard is the one
		v.denied = dryError(err)
	})
	d.mu.Lock()
	if d.plansOf == r {
		d.plans[string(w.q.Template().Bytes())] = &v
	}
	d.mu.Unlock()
	return v
}

func dryError(err error) *router.Error {
	var e *router.Error
	if !errors.As(err, &e) {
		return nil
	}
	return e
}

// note counts a reason, and logs the first statement of it, though not more than one in some seconds.
func (d *dryRun) note(s *session, v dryStatement) {
	key := v.verdict.String() + v.denied.Message + "\x00" + v.denied.Hint
	d.mu.Lock()
	r := d.reasons[key]
	first := r == nil && len(d.reasons) < mostReasons
	if first {
		r = &DryReason{Verdict: v.verdict.String(), Code: v.denied.Code, Message: v.denied.Message, Hint: v.denied.Hint, Example: s.dry.q.Template().Shape()}
		d.reasons[key] = r
	}
	if r != nil {
		r.Statements++
	}
	d.mu.Unlock()
	now, last := time.Now().UnixNano(), d.logged.Load()
	if first && now-last >= int64(dryLogEvery) && d.logged.CompareAndSwap(last, now) {
		s.log().Info("dry run: the candidate shard map would not send a statement to one shard", "database", s.db.Name(), "verdict", v.verdict.String(),
			"reason", v.denied.Message, "hint", v.denied.Hint, "statement", s.dry.q.Template().Shape())
	}
}
