package router

import (
	"slices"
	"strings"

	"github.com/pgdrover/pgdrover/shardmap"
)

// compiler turns a query string into a Template.
type compiler struct {
	r    *Router
	q    *Query
	path []string
}

// compile analyses the query string in q, which no template was found for.
func (r *Router) compile(q *Query, searchPath, user string) *Template {
	t := &Template{norm: append([]byte(nil), q.norm...), searchPath: strings.Clone(searchPath), user: strings.Clone(user)}
	c := &compiler{r: r, q: q, path: searchSchemas(searchPath, user)}
	if len(q.pieces) == 0 {
		t.statements = []Statement{{Verb: Empty, place: placement{control: true}}}
		return t
	}
	next := int32(0)
	for i := range q.pieces {
		var src source
		src, next = q.rebuild(i, next)
		n, f := c.parse(i, &src)
		if f != nil {
			t.statements = []Statement{rejected(f)}
			q.rejectedNames(&t.statements[0])
			return t
		}
		st := c.statement(n, &src)
		st.Unsettles = c.unsettles(&st)
		t.statements = append(t.statements, st)
	}
	linkPrepared(t.statements)
	t.plain = len(t.statements) == 1 && t.statements[0].plain()
	t.fixed = t.plain && c.r.oneShard() && t.statements[0].place.alone()
	return t
}

// plain is Query.Plain for one statement.
func (st *Statement) plain() bool {
	switch st.Verb {
	case Select, Insert, Update, Delete, Merge:
		return !st.names() && len(st.changes) == 0 && st.Hold|st.Frees == 0 && !st.Unsettles && !st.Redefines && !st.Reshapes && !st.MadeByPath
	}
	return false
}

// parse returns the tree of piece i.
func (c *compiler) parse(i int, src *source) (*node, *fault) {
	p := c.q.pieces[i]
	if p.deep {
		return nil, &fault{message: "the statement is nested too deeply or too long for PgDrover to read", piece: i, token: atNone}
	}
	nodes, bad := c.r.parse(src.text)
	if bad != nil && p.bad {
		return nil, &fault{message: bad.message, piece: i, token: atNone, char: bad.pos}
	}
	if bad != nil {
		return nil, &fault{message: bad.message, piece: i, token: src.tokenAt(bad.pos)}
	}
	if p.bad || len(nodes) != 1 {
		return nil, &fault{message: "the statement cannot be read as one statement", piece: i, token: atNone}
	}
	return nodes[0], nil
}

// rejected is the Statement of a text that the parser rejects: PostgreSQL may
// know more, so it may do anything.
func rejected(f *fault) Statement {
	return Statement{
		Verb: Unknown, Write: true, WhyWrite: "the parser rejects it", WritesUnknown: true, Unsettles: true,
		WhyNotCacheable: "the parser rejects it", place: placement{fault: f},
	}
}

// statement analyses one parse tree.
func (c *compiler) statement(n *node, src *source) Statement {
	if isDML(n) {
		return c.query(n, src)
	}
	if st, ok := c.control(n, src); ok {
		st.WhyNotCacheable = st.Verb.String()
		return st
	}
	if st, ok := c.wrapped(n, src); ok {
		return st
	}
	st := c.utility(n)
	st.WhyNotCacheable = st.Verb.String()
	return st
}

// query analyses SELECT, INSERT, UPDATE, DELETE and MERGE.
func (c *compiler) query(n *node, src *source) Statement {
	b := c.r.newBinder(src, c.path)
	b.statement(n, nil)
	b.keepLists(n)
	st := c.conclude(b)
	st.Verb = verbOf(n)
	st.onePlan = c.onePlan(n, src)
	if q := n.GetSelectStmt(); q != nil {
		st.changes = c.setConfig(q, src)
		if q.GetIntoClause() != nil && !b.facts.temp {
			c.madeFrom(&st, q.GetIntoClause().GetRel())
			st.Redefines = true
		}
	}
	if len(st.changes) < b.facts.settings {
		st.Hold |= HoldSetting
		st.place.configs.unseen = true
	}
	return st
}

// verbOf returns the verb of a query.
func verbOf(n *node) Verb {
	switch {
	case n.GetInsertStmt() != nil:
		return Insert
	case n.GetUpdateStmt() != nil:
		return Update
	case n.GetDeleteStmt() != nil:
		return Delete
	case n.GetMergeStmt() != nil:
		return Merge
	}
	return Select
}

// everySelect places a statement that makes a table from a query: the table is
// made on every shard, so the query may not be one shard's own.
func (p *placement) everySelect() {
	p.every = "it creates a table"
	if p.tables > 0 || len(p.on) > 0 || p.control {
		p.control = false
		p.ask = "a table made from the rows of one shard"
	}
}

// conclude makes the Statement of what a binder found.
func (c *compiler) conclude(b *binder) Statement {
	f := &b.facts
	st := Statement{place: b.place(), Reads: f.reads, Notifies: f.notifies, Hold: f.hold, Frees: f.frees}
	st.Write, st.WhyWrite = f.write != "", f.write
	if f.opaque != "" {
		f.writing(f.opaque)
		f.refuseCache(f.opaque)
		st.Write, st.WhyWrite, st.WritesUnknown = true, f.write, true
	}
	if len(f.writes) > 0 {
		var unknown bool
		st.Writes, unknown = c.r.widen(f.writes, f.updates, f.deletes)
		st.WritesUnknown = st.WritesUnknown || unknown
		st.place.shared = slices.ContainsFunc(st.Writes, func(t *Table) bool { return t.Kind != shardmap.Sharded })
	}
	st.WritesUnknown = st.WritesUnknown || f.opensWrite || f.unknownWrite != ""
	if f.temp {
		st.Hold |= HoldTempTable
	}
	st.Unsettles = c.concludeUnsettling(f, &st)
	switch {
	case f.uncacheable != "":
		st.WhyNotCacheable = f.uncacheable
	case st.Write:
		st.WhyNotCacheable = st.WhyWrite
	case len(f.reads) == 0:
		st.WhyNotCacheable = "it reads no table"
	case len(st.place.binds) == 0:
		st.WhyNotCacheable = "no tenant"
	default:
		st.Cacheable = true
	}
	return st
}
