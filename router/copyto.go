package router

// gatherCopy plans how a COPY TO STDOUT is answered from all shards: their rows
// are passed on as they are, so they must be the answer's in any order.
func (r *Router) gatherCopy(text string, x *copyNode, env *Env) (*Gathering, *Error) {
	b := r.newBinder(&source{text: text}, searchSchemas(env.SearchPath, env.User))
	o := copyOptions(x.GetOptions())
	g := &Gathering{parts: []*Portion{{each: text}}, copy: &o}
	if x.GetQuery() == nil {
		b.relation(x.GetRelation(), useRead)
		if err := b.spreads(); err != nil {
			return nil, err
		}
		return g, nil
	}
	sel := x.GetQuery().GetSelectStmt()
	if sel == nil {
		return nil, refuse("Name a tenant.", "the statement cannot be read as COPY of one SELECT")
	}
	b.watch = sel
	b.statement(x.GetQuery(), nil)
	if err := b.spreads(); err != nil {
		return nil, err
	}
	a := arranger{b: b, sel: sel, text: text}
	made, err := a.arrange()
	switch {
	case err != nil:
		return nil, err
	case made.made != nil:
		return nil, refuse("Leave out ORDER BY, LIMIT, DISTINCT, grouping, aggregates and windows, name a tenant, or send the SELECT without COPY.",
			"COPY passes on the rows of all shards as they are, and this SELECT makes its rows of theirs")
	}
	return g, nil
}
