package router

import (
	"github.com/pgdrover/pgdrover/shardmap"
)

// argument is an argument of EXECUTE.
type argument struct {
	value constRef
	known bool // it is a constant
}

// execute analyses EXECUTE.
func (c *compiler) execute(x *executeNode, src *source) Statement {
	st := Statement{Verb: Execute, Name: x.GetName(), Runs: x.GetName(), along: true, WritesUnknown: true, Frees: freedByCode}
	for _, n := range x.GetParams() {
		st.args = append(st.args, c.argument(n, src))
	}
	st.writes("EXECUTE of a statement that is not known")
	st.uncache("EXECUTE")
	st.place.control = true
	st.place.forbidden = "No statement of that name is known to have been prepared."
	return st
}

func (c *compiler) argument(n *node, src *source) argument {
	b := c.r.newBinder(src, c.path)
	v := b.intoTenant(n, nil)
	if v == noNode && len(n.GetTypeCast().GetTypeName().GetArrayBounds()) > 0 {
		v = b.array(n)
	}
	if v == noNode || len(b.g.sets[v]) != 1 {
		return argument{}
	}
	return argument{b.g.sets[v][0], true}
}

// Arguments are the arguments of an EXECUTE as the parameters of what it runs.
// They are valid as long as the Query that they are of.
type Arguments struct {
	q     *Query
	st    *Statement
	types []uint32
}

// Arguments returns the arguments that the i-th statement gives to what it runs,
// of which types were declared.
func (q *Query) Arguments(i int, types []uint32) Arguments {
	return Arguments{q, &q.tpl.statements[i], types}
}

// Len implements Params.
func (a *Arguments) Len() int { return len(a.st.args) }

// Param implements Params. An argument that only the server can compute has no
// value.
func (a *Arguments) Param(i int) (value []byte, binary, null bool) {
	value, null, _ = a.read(i)
	return value, false, null
}

// OID implements Params.
func (a *Arguments) OID(i int) uint32 {
	if i < len(a.types) {
		return a.types[i]
	}
	return 0
}

func (a *Arguments) isKnown(i int) bool {
	_, _, ok := a.read(i)
	return ok
}

// read returns the text that an argument is, once it has the parameter's type.
// A number that is assigned to a parameter may be rounded, or written otherwise.
func (a *Arguments) read(i int) (value []byte, null, ok bool) {
	arg := &a.st.args[i]
	c := &arg.value
	switch {
	case !arg.known, c.cast == oidNumeric:
		return nil, false, false
	case c.slot == noSlot:
		return []byte(c.text), c.null, true
	}
	at, _ := a.q.locate(c.slot)
	s := a.q.slots[at]
	if s.kind == slotParam || s.kind == slotDecimal {
		return nil, false, false
	}
	value, ok = a.q.decode(s)
	if ok && s.kind == slotInt && a.q.r.m.TenantType() != shardmap.Bigint && !isCanonical(value) {
		return nil, false, false
	}
	if ok && c.negate {
		value = a.q.negative(value)
	}
	return value, false, ok
}

// unreadable is the error for a tenant that only the server can compute.
func (a *Arguments) unreadable(i int) *Error {
	if c := &a.st.args[i]; c.known && c.value.slot != noSlot {
		at, _ := a.q.locate(c.value.slot)
		if s := a.q.slots[at]; s.kind == slotParam { // EXECUTE has none, and PostgreSQL says so
			return noParameter(int(s.number) - 1)
		}
	}
	e := refuse("Write the tenant as a plain literal, or name it: SET pgdrover.tenant, or a hint such as /* pgdrover: tenant=42 */.",
		"argument %d of EXECUTE says which tenant it is for, and only the server can compute it", i+1)
	e.unread = true
	return e
}

// errUnprepared says that nothing is known of what an EXECUTE runs.
var errUnprepared = &Error{Code: codeNotSupported, Message: "no such prepared statement"}

// run places a statement that runs a prepared one: where that goes with the
// arguments in place of its parameters.
func (q *Query) run(st *Statement, env *Env, s *session) (route Route, _ *Error) {
	own := *s
	of, what, err := q.ran(st, env, &own)
	if err != nil {
		return Route{}, err
	}
	err = of.one(what, &q.args, env, &own, &route)
	if err != nil && err.Code == codeNoParameter { // PostgreSQL says so, on any shard
		route, err = Route{Kind: Any, Write: true, Tenant: s.key, Source: s.source, reason: byNothing}, nil
	}
	if err == nil && (route.Kind == Scatter || route.Kind == Several) {
		err = refuse("Send the prepared statement itself in the place of EXECUTE.", "%s of a statement for several shards is not supported", st.Verb)
	}
	if err != nil {
		return Route{}, err
	}
	route.Cacheable = false
	route.Write = route.Write || st.Verb == DDL
	if st.plans && route.Kind == Every {
		route.Kind, route.reason = Any, byReference
	}
	route.of, route.ran = of, what
	return route, nil
}

// ran returns what st runs, and makes args its arguments, and s the session
// after the hint of what it runs.
func (q *Query) ran(st *Statement, env *Env, s *session) (*Query, *Statement, *Error) {
	q.args = Arguments{q: q, st: st}
	if st.ready != nil {
		q.args.types = st.ready.types
		return q, st.ready.inner, nil
	}
	if env.Prepared == nil {
		return nil, nil, errUnprepared
	}
	of, types := env.Prepared.Prepared(st.Runs)
	if of == nil || len(of.tpl.statements) != 1 || of.tpl.statements[0].place.local {
		return nil, nil, errUnprepared
	}
	what := &of.tpl.statements[0]
	if what.along && !q.r.oneShard() {
		return nil, nil, refuse("Execute that one.", "the prepared statement %q executes another one", st.Runs)
	}
	if what.along {
		return nil, nil, errUnprepared
	}
	q.args.types = types
	of.scratch = of.scratch[:0]
	return of, what, of.hinted(s, q)
}

// hinted lets the hint of a prepared statement name the tenant, unless that of
// the statement which runs it does.
func (q *Query) hinted(s *session, by *Query) *Error {
	if q.hint.err != nil {
		return q.hint.err
	}
	if by.hint.tenant.end != 0 || q.hint.tenant.end == 0 {
		return nil
	}
	return q.session(&Env{Tenant: s.key, TenantSource: s.source}, s)
}
