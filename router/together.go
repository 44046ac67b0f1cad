package router

import (
	"slices"

	"github.com/pgdrover/pgdrover/shardmap"
)

// statements places a query string of several statements, together or in turn.
func (q *Query) statements(p Params, env *Env, s session) (Route, *Error) {
	own := s
	route, err := q.together(p, env, &own)
	if err == nil || err.Code != codeNotSupported {
		return route, err
	}
	if env.Brief {
		return Route{}, errLong
	}
	if route, ok := q.inTurn(p, env); ok {
		return route, nil
	}
	return Route{}, err
}

// together places a query string of several statements: on the shards that all
// of them agree on. A SET pgdrover.tenant holds for those after it.
func (q *Query) together(p Params, env *Env, s *session) (Route, *Error) {
	var all Route
	local, moved := 0, false
	for i := range q.tpl.statements {
		st := &q.tpl.statements[i]
		if err := q.change(s, i, p); err != nil {
			return Route{}, err
		}
		if moved && !st.place.control && !st.place.local {
			return Route{}, refuse("Send the change of search_path in a query of its own.",
				"names cannot be looked up by a search_path that the query string itself changes")
		}
		moved = moved || st.movesPath() && q.r.m.BySchema() && !q.r.oneShard()
		if (st.Verb == Commit || st.Verb == Rollback) && s.source == SourceSetLocal {
			*s = session{} // what was SET before it is not known here
		}
		if st.place.local {
			local++
			if st.Verb != Set && st.Verb != Reset {
				return Route{}, refuse("Send it in a query of its own.",
					"%s cannot share a query string with other statements", st.Verb)
			}
			continue
		}
		var next Route
		if err := q.one(st, p, env, s, &next); err != nil {
			return Route{}, err
		}
		next.statement = i
		var err *Error
		if all, err = join(all, next, i-local == 0); err != nil {
			return Route{}, err
		}
	}
	if local == len(q.tpl.statements) {
		return Route{Kind: Local, reason: byProxy, Tenant: s.key, Source: s.source}, nil
	}
	all.Cacheable, all.Within = false, false
	return all, nil
}

// join makes one Route of two. What goes anywhere goes along.
func join(all, next Route, first bool) (Route, *Error) {
	if first {
		return next, nil
	}
	write, unknown := all.Write || next.Write, all.Unknown || next.Unknown
	switch {
	case next.Kind == Any:
	case all.Kind == Any:
		if next.Tenant.IsZero() {
			next.Tenant, next.Source = all.Tenant, all.Source
		}
		all = next
	case all.Kind == Single && next.Kind == Single && all.Shard == next.Shard:
		if !all.Tenant.IsZero() && !next.Tenant.IsZero() && all.Tenant != next.Tenant {
			all.Tenant, all.Source = shardmap.Key{}, SourceNone
		} else if all.Tenant.IsZero() {
			all.Tenant, all.Source = next.Tenant, next.Source
		}
	case all.Kind == Every && next.Kind == Every:
	case all.Kind == Single && next.Kind == Single:
		return all, refuse("Send the statements for each shard in a query of their own.",
			"the statements of the query string belong to several shards")
	default:
		return all, refuse("Send the statements in queries of their own.",
			"the query string mixes statements for every shard with statements for one")
	}
	all.Write, all.Unknown = write, unknown
	return all, nil
}

// movesPath reports a statement that may change the search path.
func (st *Statement) movesPath() bool {
	return st.Hold&HoldSetting != 0 || slices.ContainsFunc(st.changes, func(s setting) bool {
		return s.call || s.change.All || s.change.Name == "search_path"
	})
}
