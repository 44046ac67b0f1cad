package router

import (
	"slices"
	"strings"

	"github.com/pgdrover/pgdrover/shardmap"
)

// Share is what one shard has of a statement that names tenants of several.
type Share struct {
	Shard int
	SQL   string         // what it runs, with the statement's parameters; empty: the portions, as every shard that has a share
	Other map[int][]byte // parameters, from 0, that it gets other values for, in text format
	Idle  []int          // parameters, from 0, that SQL does not mention
}

// tenantAt is a tenant that a statement names, and where.
type tenantAt struct {
	ref   constRef
	at    int32 // of the literal or parameter in the text; noSlot: not in it
	use   use
	key   shardmap.Key
	shard int
}

// Shares are what each shard runs, in the order of the shards; nil: Each, on
// every shard.
func (g *Gathering) Shares() []Share { return g.shares }

// Writes reports whether the shares write, in one transaction on all shards.
func (g *Gathering) Writes() bool { return g.writes }

// Rows says for the rows of VALUES, in order, by whose share each is inserted;
// nil for what is no INSERT of VALUES.
func (g *Gathering) Rows() []int32 { return g.order }

// owners names the shards that have a share.
func (g *Gathering) owners(m *shardmap.Map) string {
	var list []string
	for _, s := range g.shares {
		list = append(list, m.Shard(s.Shard).Name)
	}
	return strings.Join(list, " and ")
}

// several places a statement that names tenants of several shards. spread is
// what it is refused with if it cannot be split.
func (q *Query) several(st *Statement, p Params, env *Env, s *session, spread *Error) (Route, *Error) {
	if env.Brief {
		return Route{}, errLong
	}
	pl := &st.place
	route := Route{Kind: Several, Write: st.Write, Unknown: len(pl.unknown) > 0, reason: byShares}
	var all []tenantAt
	t := tally{m: q.r.m, session: *s, foreign: env.Foreign, all: &all}
	t.unvalued, _ = p.(*unvalued)
	if err := q.tables(st, &t, env); err != nil {
		return Route{}, err
	}
	if len(pl.unbound) > 0 {
		return route, q.scatter(env, &route)
	}
	for i := range pl.binds {
		if err := q.tenants(&pl.binds[i], p, &t); err != nil {
			return Route{}, err
		}
	}
	g, err := q.shares(st, all, env, t.unvalued != nil)
	if err != nil {
		return Route{}, spread.since(err)
	}
	q.gathering = g
	return route, nil
}

// since adds why the statement is not split.
func (e *Error) since(why *Error) *Error {
	switch {
	case why.Code != codeNotSupported:
		return why
	case e.moves:
		return e
	}
	e.Detail += " It is not split by shard: " + why.Message + "."
	first, _, _ := strings.Cut(why.Hint, " ")
	if first == "Join" || first == "Delete" || first == "Cast" || first == "List" || first == "Read" { // it is about the statement, and not about its tenants
		e.Hint = why.Hint + " Or send one statement for each tenant, or for each shard."
	}
	return e
}

// shares splits a statement. On paper, where parameters have no values, rows may
// belong to shards that are not known.
func (q *Query) shares(st *Statement, all []tenantAt, env *Env, paper bool) (*Gathering, *Error) {
	switch st.Verb {
	case Select:
		return q.readShares(st, all, env)
	case Explain, Copy:
		return q.apart(all, env)
	case Insert:
		if rows, ok := q.valuesRows(); ok {
			return q.rowShares(st, all, rows, paper)
		}
	case Update, Delete, Merge:
	case Declare:
		return nil, errCursor
	default:
		return nil, refuse("", "only SELECT, INSERT, UPDATE, DELETE, MERGE, EXPLAIN and COPY TO are, and this is %s", st.Verb)
	}
	if err := q.r.writesApart(q.verbatim(0), env); err != nil {
		return nil, err
	}
	g := &Gathering{writes: true}
	for _, shard := range shardsOf(all) {
		g.shares = append(g.shares, q.narrowed(all, shard))
	}
	return g, nil
}

// shardsOf are the shards of tenants, each once, in order.
func shardsOf(all []tenantAt) []int {
	var list []int
	for _, n := range all {
		list = append(list, n.shard)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// readShares splits a SELECT.
func (q *Query) readShares(st *Statement, all []tenantAt, env *Env) (*Gathering, *Error) {
	if err := gathers(st); err != nil {
		return nil, err
	}
	whole, err := q.r.gatherWhole(q.verbatim(0), env)
	if err != nil {
		if g, also := q.apart(all, env); also == nil {
			return g, nil
		} else if err == errParts {
			err = also
		}
		return nil, err
	}
	whole.merging = nil
	g := &Gathering{parts: []*Portion{whole}, final: whole.made}
	for _, shard := range shardsOf(all) {
		s := q.narrowed(all, shard)
		own, err := q.r.gatherWhole(bare(s.SQL, q.plain), env)
		if err != nil {
			return nil, err
		}
		s.SQL = own.each
		g.shares = append(g.shares, s)
	}
	return g, nil
}

// apart has the shards of the tenants answer as all shards would a statement that
// is not one SELECT, or of which they can answer only parts: arms of a UNION,
// CTEs, subqueries. A shard has no rows of the tenants that are not its own.
func (q *Query) apart(all []tenantAt, env *Env) (*Gathering, *Error) {
	g, err := q.r.gather(q, env)
	if err != nil {
		return nil, err
	}
	for _, shard := range shardsOf(all) {
		g.shares = append(g.shares, Share{Shard: shard})
	}
	for _, p := range g.parts {
		p.merging = nil
	}
	return g, nil
}

// bare is the text of a statement without its comments.
func bare(text string, plain bool) string {
	q := Query{text: []byte(text), plain: plain, pieces: []piece{{span: span{0, int32(len(text))}}}}
	return q.verbatim(0)
}

// writesApart says why the rows that a statement writes are not each written on
// one shard, for its tenant alone; nil if they are.
//
// They are if each is a row of the target T of UPDATE and DELETE, or is made of
// one row of a sharded table T that INSERT and MERGE read, and only rows of the
// same tenant as that one matter to it.
func (r *Router) writesApart(text string, env *Env) *Error {
	n := r.tree(text)
	b := r.newBinder(&source{text: text}, searchSchemas(env.SearchPath, env.User))
	b.statement(n, nil)
	if err := b.lonely(); err != nil {
		return err
	}
	if len(b.g.loops) > 0 {
		return errRecursive
	}
	if source := n.GetInsertStmt().GetSelectStmt().GetSelectStmt(); source != nil && !b.rowByRow(source) {
		return refuse("", "its rows are made of rows of several tenants")
	}
	if err, any := b.driven(b.driversOf(n)); any {
		return err
	}
	return refuse("", "no sharded table decides which shard its rows belong to")
}

// driversOf are the tenants that may decide which shard a row of a statement
// comes from or goes to: of UPDATE and DELETE that of their target. What their
// CTEs write comes before.
func (b *binder) driversOf(n *node) []int32 {
	if n.GetUpdateStmt() == nil && n.GetDeleteStmt() == nil {
		return b.drivers
	}
	for i := len(b.needs) - 1; i >= 0; i-- {
		if n := b.needs[i]; n.use == useWrite && n.node != noNode {
			return []int32{n.node}
		}
	}
	return nil
}
