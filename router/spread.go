package router

// gather plans how the statement in q is answered from the rows of all shards.
func (r *Router) gather(q *Query, env *Env) (*Gathering, *Error) {
	st := &q.tpl.statements[0]
	if st.Verb == ExplainRoute {
		st = st.inner
	}
	if len(q.tpl.statements) != 1 {
		return nil, refuse("Send it in a query of its own.", "a statement for all shards cannot share a query string with others")
	}
	if err := gathers(st); err != nil {
		return nil, err
	}
	text := q.verbatim(0)
	nodes, fault := r.parse(text)
	if fault != nil || len(nodes) != 1 {
		return nil, refuse("Name a tenant.", "the statement cannot be read as one SELECT")
	}
	if c := nodes[0].GetCopyStmt(); c != nil {
		return r.gatherCopy(text, c, env)
	}
	explained := nodes[0].GetExplainStmt()
	if explained != nil {
		sel := explained.GetQuery().GetSelectStmt()
		if c := explained.GetQuery().GetCopyStmt(); c != nil { // EXPLAIN (ROUTE) takes it
			return r.gatherCopy(text, c, env)
		}
		if sel == nil {
			return nil, refuse("Name a tenant, or send one statement for each.", "only SELECT may be answered from all shards, and this explains another")
		}
		var err *Error
		if text, err = writtenAs(sel); err != nil {
			return nil, err
		}
	}
	g, err := r.gathering(text, searchSchemas(env.SearchPath, env.User))
	if err == nil && st.Verb == Explain {
		err = g.explain(explained)
	}
	return g, err
}

// gathering plans how one SELECT is answered: as a whole, or from those of its
// queries that can be.
func (r *Router) gathering(text string, path []string) (*Gathering, *Error) {
	w := walk{r: r, path: path}
	whole, err := w.part(text, gathered)
	if err == nil {
		return &Gathering{parts: []*Portion{whole}, final: whole.made}, nil
	}
	if g := w.blocks(text); g != nil {
		return g, nil
	}
	return nil, err
}

// gathers says why a statement may not be answered from the rows of several
// shards whatever its FROM is.
func gathers(st *Statement) *Error {
	switch {
	case st.Verb == Declare:
		return errCursor
	case st.Verb != Select && st.Verb != Explain && !st.CopyOut:
		return refuse("Name a tenant, or send one statement for each.", "only SELECT may be answered from all shards, and this is %s", st.Verb)
	case st.Write:
		return refuse("Name a tenant, or send one statement for each.", "a statement that writes is not run on all shards: %s", st.WhyWrite)
	}
	return nil
}

// gatherWhole plans how one SELECT is answered as a whole.
func (r *Router) gatherWhole(text string, env *Env) (*Portion, *Error) {
	sel := r.tree(text).GetSelectStmt()
	if sel == nil {
		return nil, refuse("Name a tenant.", "the statement cannot be read as one SELECT")
	}
	if sel.GetOp() != setNone || len(sel.GetValuesLists()) > 0 {
		return nil, errParts
	}
	if nodes, _ := r.parse(text); nodes[0].GetExplainStmt() != nil {
		var err *Error
		if text, err = writtenAs(sel); err != nil {
			return nil, err
		}
	}
	w := walk{r: r, path: searchSchemas(env.SearchPath, env.User)}
	return w.part(text, gathered)
}

// errCursor refuses DECLARE: what FETCH reads is a server's.
var errCursor = refuse("Read the SELECT itself some rows at a time, as with a driver's fetch size, or name one tenant.",
	"a cursor is of one shard")

// errParts refuses a query that is not one SELECT as a whole.
var errParts = refuse("Send its parts as statements of their own.", "UNION, INTERSECT, EXCEPT and VALUES are not answered from several shards as a whole")

// tree is the tree of the one statement in a text, or of that in EXPLAIN; nil if
// there is none.
func (r *Router) tree(text string) *node {
	nodes, bad := r.parse(text)
	switch {
	case bad != nil || len(nodes) != 1:
		return nil
	case nodes[0].GetExplainStmt() != nil:
		return nodes[0].GetExplainStmt().GetQuery()
	}
	return nodes[0]
}

// verbatim is the text of piece i without its comments, with its literals.
func (q *Query) verbatim(i int) string {
	p := q.pieces[i]
	l := lexer{src: q.text[:p.end], pos: int(p.off), plain: q.plain}
	b := builder{q: q, verbatim: true}
	for t := l.next(); t.kind != tokEnd; t = l.next() {
		b.token(t, l.slot)
	}
	return string(b.text)
}

// spreads says why the rows of the answer do not each come from one shard; nil
// if they do.
//
// They do if a sharded table T of the outermost FROM, or of a view or subquery
// in it, is such that every row of the answer is made from one row of T, and
// only rows of the same tenant as that one matter to it. Then a shard's answer
// is what its tenants contribute, and no row is another shard's too.
func (b *binder) spreads() *Error {
	if err := b.lonely(); err != nil {
		return err
	}
	if len(b.g.loops) > 0 {
		return errRecursive
	}
	err, any := b.driven(b.drivers)
	if any {
		return err
	}
	return refuse("Name a tenant, or have a sharded table in the outermost FROM, or in a plain view or subquery there, not on the nullable side of an outer join.",
		"no sharded table decides which shard the rows of the answer come from")
}

// driven says why none of some drivers decides which shard a row comes from;
// any reports whether there is one that each row has.
func (b *binder) driven(drivers []int32) (err *Error, any bool) {
	for _, n := range drivers {
		if b.leaves(b.g.owner[n]) {
			continue
		}
		any = true
		if err = b.follows(n); err == nil {
			return nil, true
		}
	}
	return err, any
}

// lonely says what of a statement keeps it from being run on several shards,
// whatever its sharded tables are.
func (b *binder) lonely() *Error {
	f := &b.facts
	const alone = "Name a tenant, or read it in a statement of its own."
	switch {
	case f.opens != "":
		return refuse(alone, "%s may touch any table: it is not run on all shards", f.opens)
	case f.opaque != "":
		return refuse(alone, "%s is not run on all shards", f.opaque)
	case f.home != "":
		return refuse(alone, "%s", f.home)
	case f.system:
		return refuse(alone, "system catalogs are each shard's own, and are not read along with the tables of all shards")
	case len(f.unknown) > 0:
		return &Error{Code: codeNoTable, Message: "relation \"" + f.unknown[0] + "\" does not exist"}
	case f.hold != 0 || len(f.changes) > 0 || f.settings > 0:
		return refuse(alone, "a statement that changes the session is not run on all shards")
	}
	if p := b.place(); len(p.on) > 0 {
		return refuse(alone, "%q lives on one shard: it is not read along with the tables of all", p.on[0].table.Name)
	}
	return nil
}

// errRecursive refuses queries that read their own rows.
var errRecursive = refuse("Name a tenant.", "a recursive query is not run on all shards")

// leaves reports whether an outer join may leave an item without a row.
func (b *binder) leaves(id int32) bool {
	for _, r := range b.nullable {
		if id >= r.lo && id < r.hi {
			return true
		}
	}
	return false
}

// follows says which sharded table is not bound to the tenant of a driver.
func (b *binder) follows(driver int32) *Error {
	same := b.sameAs(driver)
	for _, n := range b.needs {
		switch {
		case same(n.node):
		case n.use >= useInsert:
			return unboundError(&Statement{}, n)
		default:
			return refuse("Join it on the tenant's column: … ON a.tenant_id = b.tenant_id.",
				"nothing says that the rows of %q are of the same tenant as the other tables' rows", n.table.Name)
		}
	}
	return nil
}

// sameAs says of columns whether only rows with the tenant of a driver's row in
// them can matter to what is made of that row.
func (b *binder) sameAs(driver int32) func(column int32) bool {
	same := constRef{slot: noSlot, text: "the driver's tenant"}
	before := b.g.sets[driver]
	b.g.sets[driver] = []constRef{same}
	sets := b.g.solve()
	b.g.sets[driver] = before
	return func(n int32) bool { return n != noNode && len(sets[n]) == 1 && sets[n][0] == same }
}
