package router

// Turn is one statement of a query string whose statements go to different
// shards and are answered one after the other.
type Turn struct {
	Query *Query // the statement by itself
	Route Route
	Plan  *Gathering // which shards answer it, and how
}

// Turns are the statements of a query string whose Route is InTurn, in order.
func (q *Query) Turns() []Turn { return q.turns }

// inTurn places the statements of a query string each by itself. They have to do
// nothing but read: PostgreSQL runs a query string in one transaction, which such
// statements do not see but for its time. It reports whether they can be placed
// so. Only the simple protocol has such strings.
func (q *Query) inTurn(p Params, env *Env) (Route, bool) {
	if p != nil || q.hint.off != q.hint.end || q.r.oneShard() {
		return Route{}, false
	}
	for i := range q.tpl.statements {
		st := &q.tpl.statements[i]
		if st.Verb != Select || st.Write || st.Hold != 0 || st.Unsettles || st.place.system || len(st.changes) > 0 {
			return Route{}, false
		}
	}
	var turns []Turn
	for i := range q.tpl.statements {
		turn, ok := q.turn(i, env)
		if !ok {
			return Route{}, false
		}
		turns = append(turns, turn)
	}
	q.turns = turns
	return Route{Kind: InTurn, reason: byTurns}, true
}

// turn places statement i by itself.
func (q *Query) turn(i int, env *Env) (Turn, bool) {
	text := q.verbatim(i)
	own := &Query{}
	q.r.Analyse(own, []byte(text), env)
	route, err := q.r.Route(own, nil, env)
	if err != nil {
		return Turn{}, false
	}
	switch route.Kind {
	case Scatter, Several:
		return Turn{own, route, own.gathering}, true
	case Any:
		if route.Unknown && env.TempTables { // the table may be on one backend only
			return Turn{}, false
		}
		t := tally{m: q.r.m}
		route.Shard = t.home()
	case Single:
	default:
		return Turn{}, false
	}
	return Turn{own, route, &Gathering{parts: []*Portion{{each: text}}, shares: []Share{{Shard: route.Shard}}}}, true
}

// takers names the shards that the statements of a query string go to.
func (q *Query) takers() string {
	var all []tenantAt
	for _, t := range q.turns {
		if t.Plan.shares == nil {
			return "all shards"
		}
		for _, s := range t.Plan.shares {
			all = append(all, tenantAt{shard: s.Shard})
		}
	}
	g := Gathering{}
	for _, shard := range shardsOf(all) {
		g.shares = append(g.shares, Share{Shard: shard})
	}
	return g.owners(q.r.m)
}
