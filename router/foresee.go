package router

import (
	"bytes"
	"fmt"
	"slices"
)

// Foresight is where a statement goes as far as its text says, before its
// parameters have values.
type Foresight struct {
	Route

	// Waits are the parameters that name tenants, from 1, each once, in the
	// order of the text. If there are any, the Route is a Single whose Shard and
	// Tenant are not known yet.
	Waits []int

	// Agree reports that values are conceivable with which the statement would
	// be split by shard or refused: several parameters, a list, or a parameter
	// beside something else that has a shard may name tenants of several.
	Agree bool

	// Session reports what concerns the session and no data: transaction
	// control, settings, cursors.
	Session bool
}

// Foresee answers where the one statement in q goes, whatever values its
// parameters get. A relation that the catalog does not know is an error here, as
// it will be from the server. It is for statements on paper: it allocates. The
// Route is valid as that of [Router.Route] is, and an error is of its kind.
func (r *Router) Foresee(q *Query, env *Env) (Foresight, error) {
	if len(q.tpl.statements) != 1 {
		return Foresight{}, &Error{Code: codeSyntax, Message: "the text is not one statement", Hint: "Split it at its semicolons."}
	}
	var u unvalued
	route, err := r.Route(q, &u, env)
	if err != nil {
		return Foresight{}, err
	}
	place := &q.tpl.statements[0].place
	if len(place.unknown) > 0 && route.Kind != Every && !env.TempTables {
		return Foresight{}, &Error{
			Code: codeNoTable, Message: fmt.Sprintf("relation %q does not exist", place.unknown[0]),
			Detail: "It is not in the catalog.",
		}
	}
	f := Foresight{Route: route, Session: place.control && route.Kind == Any || route.Kind == Local}
	if route.Kind != Single || r.oneShard() || len(u.asked) == 0 {
		return f, nil
	}
	slices.Sort(u.asked)
	f.Waits = slices.Compact(u.asked)
	f.Agree = len(f.Waits) > 1 || u.list || len(place.on) > 0 || !route.Tenant.IsZero() || q.names(place)
	return f, nil
}

// names reports a tenant that the text itself names.
func (q *Query) names(pl *placement) bool {
	for i := range pl.binds {
		for _, c := range pl.binds[i].set {
			if c.slot < 0 {
				return true
			}
			if at, _ := q.locate(c.slot); q.slots[at].kind != slotParam {
				return true
			}
		}
	}
	return false
}

// unvalued are parameters before they have values. It notes which are asked for
// tenants.
type unvalued struct {
	asked []int
	list  bool // one of them stands for several tenants
}

// Len implements Params.
func (u *unvalued) Len() int { return 0 }

// Param implements Params. No index is valid.
func (u *unvalued) Param(int) (value []byte, binary, null bool) { return nil, false, true }

// OID implements Params.
func (u *unvalued) OID(int) uint32 { return 0 }

// squashed follows a parameter by which pg_stat_statements shows a list of
// constants, from PostgreSQL 18 on.
var squashed = []byte("/*, ... */")

// note notes a parameter that names tenants.
func (u *unvalued) note(q *Query, c *constRef, s slot) *Error {
	i := int(s.number) - 1
	if !c.array && !compares(q.r.m.TenantType(), c.cast) {
		return incomparable(q.r.m.TenantType(), c.cast, i)
	}
	u.asked = append(u.asked, i+1)
	u.list = u.list || c.array || bytes.HasPrefix(trimBlanks(q.text[s.end:]), squashed)
	return nil
}
