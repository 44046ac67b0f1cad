package router

// binder reads one statement's tree: it fills the graph with what the
// equalities say, and notes what the statement touches and does.
type binder struct {
	r     *Router
	src   *source // nil within a view, whose constants no text holds
	path  []string
	g     *graph
	items int32
	ctes  *ctes
	views int     // how deep in views
	lists []int32 // the columns that lists of constants are compared with

	links map[*sublinkNode]result // subqueries are bound once
	needs []need
	facts facts

	outers   []outer     // of the FROM that is bound
	fulls    []int32     // columns that a FULL JOIN makes of two
	inserts  *selectNode // the source of the INSERT that was entered last
	exists   *selectNode // the query in the EXISTS that was entered last
	watch    *selectNode // the query of which top is to be the scope
	top      *scope
	nullable []reach // what outer joins may leave without a row
	drivers  []int32 // tenants of tables of which each row of the outermost FROM has one row, outer joins apart
	mixes    int     // how many queries around make a row of several or none, up to the outermost
}

// need is a table that must be bound to the tenant.
type need struct {
	table *Table
	node  int32
	use   use
}

// use says what a need is for.
type use uint8

const (
	useRead use = iota
	useWrite
	useInsert // the tenant of rows that are inserted
	useSet    // the tenant that an UPDATE sets
)

// facts is what a tree says about a statement besides its tenant.
type facts struct {
	reads, writes []*Table
	write         string   // why it writes; empty: it does not
	unknown       []string // relations that the catalog does not know
	unknownWrite  string   // one of them that is written
	undeclared    []*Table // neither sharded nor in the map
	doubtful      *Error   // a name that may mean a tenant's table or a shared one, on several shards
	system        bool     // reads system catalogs
	guarded       string   // a system relation or function that shows other tenants' data
	opens         string   // a function that may touch any table
	opensWrite    bool     // and may write
	unsettling    bool     // calls a function that may change what a session keeps, that is declared to, or that is not known
	strays        string   // a table with rows of other tenants that ON CONFLICT may change
	home          string   // works on what each shard has its own of: advisory locks, sequences
	opaque        string   // a construct that is not understood
	uncacheable   string   // why the result may not be cached
	temp          bool     // creates a temporary table
	notifies      bool     // calls pg_notify
	hold          Hold
	frees         Hold
	diverges      string  // what gives another value on every shard
	configs       []int32 // slots of names that set_config is given, where each tenant has a schema
	configsAny    bool    // it is given one that nobody can read in the text, or pg_settings is written
	sequences     []int32 // slots of names of sequences, where each tenant has a schema
	fills         bool    // inserts or updates rows
	dated         bool    // casts to a type of dates and times, of which 'now' is a value
	changes       []setting
	settings      int // calls of set_config
	deletes       bool
	updates       bool
}

func (r *Router) newBinder(src *source, path []string) *binder {
	return &binder{
		r: r, src: src, path: path, g: newGraph(), items: 1, links: map[*sublinkNode]result{},
	}
}

// uncacheable notes the first reason against caching.
func (f *facts) refuseCache(why string) {
	if f.uncacheable == "" {
		f.uncacheable = why
	}
}

// writing notes the first reason why a statement writes.
func (f *facts) writing(why string) {
	if f.write == "" {
		f.write = why
	}
}

// statement binds a query or DML statement, and returns its result.
func (b *binder) statement(n *node, s *scope) result {
	if x := n.GetSelectStmt(); x != nil {
		return b.query(x, s)
	}
	if x := n.GetInsertStmt(); x != nil {
		return b.insert(x, s)
	}
	if x := n.GetUpdateStmt(); x != nil {
		return b.update(x, s)
	}
	if x := n.GetDeleteStmt(); x != nil {
		return b.delete(x, s)
	}
	if x := n.GetMergeStmt(); x != nil {
		return b.merge(x, s)
	}
	b.facts.opaque = "a statement of an unknown kind"
	return result{open: true}
}

// with binds CTEs and makes them visible until the returned function is called.
func (b *binder) with(w *withNode, s *scope) (end func()) {
	outer := b.ctes
	if w == nil {
		return func() {}
	}
	level := &ctes{outer: outer}
	b.ctes = level
	if w.GetRecursive() {
		for _, n := range w.GetCtes() {
			level.ahead = append(level.ahead, n.GetCommonTableExpr().GetCtename())
		}
	}
	b.mixes++
	for _, n := range w.GetCtes() {
		b.cte(n.GetCommonTableExpr(), w.GetRecursive(), level, s)
	}
	b.mixes--
	return func() {
		for _, c := range level.list {
			if c.refs != 1 || !c.pure {
				continue
			}
			for _, in := range c.ins {
				b.g.edge(in[0], in[1])
			}
		}
		b.ctes = outer
	}
}

func (b *binder) cte(x *cteNode, recursive bool, level *ctes, s *scope) {
	c := &cte{name: x.GetCtename()}
	q := x.GetCtequery().GetSelectStmt()
	if recursive && q != nil && q.GetOp() != setNone {
		b.recursive(c, x, level, s)
	} else {
		c.res = b.statement(x.GetCtequery(), s)
		c.pure = q != nil
		c.rename(x)
		level.list = append(level.list, c)
	}
	c.res.open = c.res.open || x.GetSearchClause() != nil || x.GetCycleClause() != nil
}

func (c *cte) rename(x *cteNode) {
	c.res.cols = append([]outcol(nil), c.res.cols...)
	for i, n := range x.GetAliascolnames() {
		switch {
		case c.res.open: // which columns they name is not known
			c.res.cols = nil
		case i < len(c.res.cols):
			c.res.cols[i].name = stringOf(n)
		}
	}
}

// recursive binds a CTE that reads itself. In its second arm its columns are
// taken to be bound as in the first; the graph checks that it comes out so.
func (b *binder) recursive(c *cte, x *cteNode, level *ctes, s *scope) {
	q := x.GetCtequery().GetSelectStmt()
	end := b.with(q.GetWithClause(), s)
	defer end()
	first := b.query(q.GetLarg(), s)
	c.res = result{open: first.open}
	own := make([]int32, len(first.cols))
	for i, o := range first.cols {
		own[i] = b.g.node(noItem)
		c.res.cols = append(c.res.cols, outcol{name: o.name, node: own[i]})
	}
	c.rename(x)
	level.list = append(level.list, c)
	second := b.query(q.GetRarg(), s)
	b.expressions(s, append(q.GetSortClause(), q.GetLimitCount(), q.GetLimitOffset())...)
	for i := range c.res.cols {
		start, again := first.cols[i].node, int32(noNode)
		if i < len(second.cols) && !second.open {
			again = second.cols[i].node
		}
		b.g.loops = append(b.g.loops, loop{start, own[i], again})
		c.res.cols[i].node = b.g.all([]int32{start, again})
	}
}
