package router

import "github.com/pgdrover/pgdrover/shardmap"

// Route answers where the query string in q goes. Tenants are read from the
// text and from p, which is nil in the simple protocol. It allocates nothing
// when it succeeds. Route.Tenant may share memory with the text, the
// parameters and q: it is valid until q's next Route or Analyse; Clone keeps
// it. A non-nil error is an *[Error].
func (r *Router) Route(q *Query, p Params, env *Env) (route Route, err error) {
	err = r.RouteTo(&route, q, p, env)
	return route, err
}

// RouteTo is Route for those who have a place for the answer. With an error,
// that is zero.
func (r *Router) RouteTo(route *Route, q *Query, p Params, env *Env) error {
	*route = Route{}
	if q.tpl.fixed && env.Tenant.IsZero() && q.hint.end == 0 {
		route.Write = q.tpl.statements[0].Write
		route.single(0, byOneShard)
		return nil
	}
	return r.place(route, q, p, env)
}

// place is RouteTo where the Route is not fixed. The Route is zero.
func (r *Router) place(route *Route, q *Query, p Params, env *Env) error {
	q.scratch, q.gathering, q.splitting, q.turns = q.scratch[:0], nil, nil, nil
	err := q.whole(p, env, route)
	if err != nil && err.nokey && env.Foreign && r.m.TenantType() == shardmap.Text {
		err = refuse("SET client_encoding TO 'UTF8'.", "a tenant is not ASCII, and the client's encoding is not UTF8")
	}
	if err != nil {
		*route = Route{}
		return err
	}
	route.CacheFor, route.NoCache = q.hint.cacheFor, q.hint.noCache
	return nil
}

// whole places a query string. With an error, route is undefined; so it is of what whole calls.
func (q *Query) whole(p Params, env *Env, route *Route) (err *Error) {
	var s session
	if err := q.session(env, &s); err != nil {
		return err
	}
	if len(q.tpl.statements) != 1 {
		*route, err = q.statements(p, env, s)
		return err
	}
	if err := q.change(&s, 0, p); err != nil {
		return err
	}
	return q.one(&q.tpl.statements[0], p, env, &s, route)
}

// Gathers reports whether Route may plan a read of all shards for q, which runs
// the parser and so takes long.
func (q *Query) Gathers(env *Env) bool {
	return len(q.tpl.statements) == 1 && len(q.tpl.statements[0].place.unbound) > 0 && q.scatters(env) && !q.r.oneShard()
}

// Inner answers where the query in EXPLAIN (ROUTE) would go.
func (r *Router) Inner(q *Query, p Params, env *Env) (route Route, _ error) {
	q.scratch = q.scratch[:0]
	st := &q.tpl.statements[0]
	if st.Verb != ExplainRoute {
		return Route{}, &Error{Code: codeInvalid, Message: "the statement is not EXPLAIN (ROUTE)"}
	}
	var s session
	if err := q.session(env, &s); err != nil {
		return Route{}, err
	}
	if err := q.one(st.inner, p, env, &s, &route); err != nil {
		return Route{}, err
	}
	route.inner = true
	return route, nil
}

// one places one statement in route, which is zero.
func (q *Query) one(st *Statement, p Params, env *Env, s *session, route *Route) (err *Error) {
	pl := &st.place
	q.follow(env)
	if pl.local {
		*route = Route{Kind: Local, reason: byProxy, Tenant: s.key, Source: s.source}
		return nil
	}
	if st.along {
		if *route, err = q.run(st, env, s); err != errUnprepared {
			return err
		}
	}
	if err := q.permit(st, p, env, s); err != nil {
		return err
	}
	if s.misread(env, pl) && !q.r.oneShard() {
		return foreign(s.key)
	}
	route.Write, route.Unknown, route.Tenant, route.Source = st.Write, len(pl.unknown) > 0, s.key, s.source
	if q.r.oneShard() && len(pl.binds) == 0 {
		route.single(0, byOneShard)
		return nil
	}
	return q.byTenants(st, p, env, s, route)
}

// byTenants is the rest of one, where it matters which tenants the statement names.
func (q *Query) byTenants(st *Statement, p Params, env *Env, s *session, route *Route) (err *Error) {
	pl := &st.place
	t := tally{m: q.r.m, session: *s, foreign: env.Foreign, oneShard: q.r.oneShard()}
	t.unvalued, _ = p.(*unvalued)
	for i := range pl.binds {
		if err := q.tenants(&pl.binds[i], p, &t); err != nil {
			if t.oneShard && !s.explicit() {
				t.keys = 2 // no one tenant
				break
			}
			if err.spread && len(q.tpl.statements) == 1 {
				*route, err = q.several(st, p, env, s, err)
				return err
			}
			if err.unread && s.explicit() && !s.bound() { // as of a table that nothing binds
				t.unread = true
				continue
			}
			return err
		}
	}
	if t.keys == 1 && !s.explicit() && (len(pl.unbound) == 0 || t.oneShard) {
		route.Tenant, route.Source = t.key, SourceSQL
	}
	if t.oneShard {
		route.single(0, byOneShard)
	} else if err = q.shards(st, p, &t, env, route); err != nil {
		return err
	}
	route.Within = !route.Tenant.IsZero() && len(pl.unbound) == 0 && !t.unread && t.keys == 1 && !pl.shared && !pl.strays &&
		pl.opens == "" && pl.opaque == ""
	route.Cacheable = st.Cacheable && !q.hint.noCache && route.Kind == Single && !route.Tenant.IsZero() &&
		len(pl.unbound) == 0 && t.keys == 1 && !env.TempTables && !q.saysNow(p)
	return nil
}

// tenants adds the tenants of one bind.
func (q *Query) tenants(b *bind, p Params, t *tally) *Error {
	t.use, t.table = b.use, b.table
	for i := range b.set {
		t.notNull = b.set[i].notNull
		if err := q.keys(&b.set[i], p, t); err != nil {
			return err
		}
	}
	return nil
}

// shards decides on a map of several shards.
func (q *Query) shards(st *Statement, p Params, t *tally, env *Env, route *Route) *Error {
	pl := &st.place
	route.Kind = Any
	switch {
	case pl.fault != nil:
		return q.faulty(pl.fault, &t.session, route)
	case pl.control:
		route.reason = byTransaction
		return nil
	}
	if q.hidesPath(&pl.configs, p) {
		return refuse("Use SET search_path, or SELECT set_config('search_path', …) with constants or parameters and nothing else.",
			"the statement may change search_path, which says whose tables are meant, and its text does not say to what")
	}
	if err := q.tables(st, t, env); err != nil {
		return err
	}
	switch {
	case pl.ask != "":
		return refuse("Create the table first, and fill it for each tenant with INSERT … SELECT.",
			"%s cannot be placed on every shard", pl.ask)
	case pl.temporary && env.TempTables:
		route.reason, route.Temporary = byTemporary, true
		return nil
	case pl.every != "":
		route.Kind, route.reason = Every, byEvery
		return nil
	case pl.opaque != "" && !t.session.explicit():
		return refuse("Name the tenant: SET pgdrover.tenant, or a hint such as /* pgdrover: tenant=42 */.",
			"%s cannot be routed by its text", pl.opaque)
	case len(pl.unbound) > 0 && !t.session.explicit() && st.CopyIn:
		return q.split(env, route, byRows)
	case len(pl.unbound) > 0 && !t.session.explicit():
		return q.scatter(env, route)
	case pl.copies != nil:
		return q.copies(st, p, t, env, route)
	}
	if unbound := len(pl.unbound) > 0 || t.unread; t.keys > 0 || unbound || t.waits() {
		route.single(t.shard, byTenant)
		if unbound || t.keys == 0 && t.session.explicit() {
			route.single(t.m.Locate(t.session.key), byExplicit)
		}
	}
	if len(pl.on) > 0 {
		return q.unsharded(pl, t, route)
	}
	if route.Kind == Any {
		return q.anywhere(st, p, t, route)
	}
	return nil
}

// scatter places a read that names no tenant on all shards.
func (q *Query) scatter(env *Env, route *Route) *Error {
	if env.Brief {
		return errLong
	}
	g, err := q.r.gather(q, env)
	if err != nil {
		return err
	}
	q.gathering, route.Kind, route.reason = g, Scatter, byScatter
	return nil
}

// split places a COPY FROM whose rows go to several shards.
func (q *Query) split(env *Env, route *Route, why reasonFor) *Error {
	s, err := q.r.split(q, env)
	if err != nil {
		return err
	}
	q.splitting, route.Kind, route.reason = s, ByRow, why
	return nil
}

// home is the first shard that owns partitions: one that was just added serves
// nothing.
func (t *tally) home() int {
	for i := range t.m.ShardCount() {
		if t.m.Shard(i).Owned > 0 {
			return i
		}
	}
	return 0
}

func (r *Route) single(shard int, why reasonFor) {
	r.Kind, r.Shard, r.reason = Single, shard, why
}

// anywhere places a statement that no sharded or unsharded table ties to a
// shard: with its tenant, if it has one.
func (q *Query) anywhere(st *Statement, p Params, t *tally, route *Route) *Error {
	pl := &st.place
	switch {
	case t.session.explicit():
		route.single(t.m.Locate(t.session.key), byExplicit)
	case st.Verb == Select && pl.opens == "" && pl.opaque == "" && (pl.home == "" || pl.home == homeSequences) && q.byName(p, t, route):
	case q.byPath(t, route):
	case pl.opens != "":
		return refuse("Name the tenant: SET pgdrover.tenant, or a hint such as /* pgdrover: tenant=42 */.",
			"%s may touch any table, and the statement names no tenant", pl.opens)
	case pl.home != "":
		route.single(t.home(), byHome)
	case t.null || len(pl.binds) > 0:
		route.reason = byNull
	case pl.reference:
		route.reason = byReference
	case pl.system:
		route.reason = byCatalog
	case len(pl.unknown) > 0:
		route.reason = byUnknown
	}
	return nil
}

// unsharded places a statement that needs an unsharded table's shard.
func (q *Query) unsharded(pl *placement, t *tally, route *Route) *Error {
	first := pl.on[0]
	for _, o := range pl.on[1:] {
		if o.shard != first.shard {
			return refuse("Read the tables in statements of their own.",
				"%q lives on shard %q and %q on shard %q", first.table.Name, t.m.Shard(first.shard).Name,
				o.table.Name, t.m.Shard(o.shard).Name)
		}
	}
	if t.waits() {
		route.Kind = Any
	}
	if route.Kind == Single && route.Shard != first.shard {
		return refuse("Read the unsharded table in a statement of its own.",
			"%q lives on shard %q, the tenant's rows on shard %q", first.table.Name, t.m.Shard(first.shard).Name,
			t.m.Shard(route.Shard).Name)
	}
	if route.Kind == Any {
		route.single(first.shard, byTable)
	}
	return nil
}

// copies places a write of a reference table: on every shard, so what is
// written must be the same everywhere.
func (q *Query) copies(st *Statement, p Params, t *tally, env *Env, route *Route) *Error {
	pl := &st.place
	switch {
	case pl.tables > 0 || len(pl.on) > 0:
		return refuse("Read the rows first, and write them to the reference table as VALUES.",
			"the reference table %q is written on every shard, from rows that only one shard has", pl.copies.Name)
	case st.Verb == Copy && pl.home != "":
		return refuse("Have the client read the file: COPY … FROM STDIN, in psql \\copy.",
			"the reference table %q is written on every shard, and a file of the server is one shard's", pl.copies.Name)
	case pl.opens != "":
		return refuse("Call it in a SELECT of its own, and write the result as a literal; or declare it IMMUTABLE, if it touches no table.",
			"%s may touch rows that only one shard has, and the reference table %q is written on every shard", pl.opens, pl.copies.Name)
	case pl.diverges != "":
		return divergesError(pl.diverges, pl.copies.Name)
	case pl.dated && q.readsNow(p):
		return divergesError("a string that may stand for the clock, as 'now' does,", pl.copies.Name)
	case t.session.bound():
		return forbid("", "this session is bound to tenant %q: %q is every tenant's", t.session.key, pl.copies.Name)
	case st.CopyIn:
		return q.split(env, route, byEveryCopy)
	}
	route.Kind, route.reason = Every, byEveryCopy
	return nil
}
