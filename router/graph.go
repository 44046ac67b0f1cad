package router

// The graph says which values a tenant column can have where it matters. A node
// is a column of one table reference, a column of a subquery's result, or a
// constant. An edge x → y means: if only the rows with x in a set of tenants
// can matter to the result, then only the rows with y in that set can. What
// edges there are is decided where equalities are read:
//
//   - WHERE and the ON of an inner join link both ways;
//   - the ON of an outer join reaches into its nullable side only;
//   - a correlated subquery is reached from outside, and says nothing outward;
//   - a subquery's result is reached from its columns, and reaches them only
//     where a filter on the result may be pushed into it;
//   - a set operation's result is bound where every arm's is.

// constRef is a constant that a tenant column is compared with. It is read at
// execution, from the text's slot or the parameter.
type constRef struct {
	slot    int32  // the template's; noSlot for what the text does not hold
	cast    uint32 // the type it is cast to first; 0: none
	negate  bool
	array   bool   // an array, whose elements are the values
	list    int32  // it is of this list of a condition column IN (…) or = ANY (…), which nothing else sees; 0: of none
	notNull bool   // IS NOT DISTINCT FROM: NULL would match rows
	text    string // the value, with noSlot
	null    bool   // NULL, with noSlot
}

// What a constRef has in the place of a slot.
const (
	noSlot   = -1
	pathSlot = -2 // the tenants whose schemas are in the search path
)

type graph struct {
	owner []int32   // by node: the item it is a column of; noItem for others
	edges [][]int32 // by node
	sets  [][]constRef
	rules []rule
	loops []loop
}

// rule: out is bound when all of in are, to the union of their sets.
type rule struct {
	in  []int32
	out int32
}

// loop is a column of a recursive query: within it, own stands for the rows so
// far, and is bound as start is, provided that again is bound then too.
type loop struct{ start, own, again int32 }

const (
	noNode = 0
	noItem = -1
)

func newGraph() *graph {
	g := &graph{}
	g.node(noItem) // noNode
	return g
}

func (g *graph) node(owner int32) int32 {
	g.owner = append(g.owner, owner)
	g.edges = append(g.edges, nil)
	g.sets = append(g.sets, nil)
	return int32(len(g.owner) - 1)
}

// constant returns a node that is bound to c.
func (g *graph) constant(c constRef) int32 {
	n := g.node(noItem)
	g.sets[n] = []constRef{c}
	return n
}

func (g *graph) edge(from, to int32) {
	if from != noNode && to != noNode && from != to {
		g.edges[from] = append(g.edges[from], to)
	}
}

// all returns a node that is bound where all of in are; noNode if one of them
// is none.
func (g *graph) all(in []int32) int32 {
	for _, n := range in {
		if n == noNode {
			return noNode
		}
	}
	if len(in) == 0 {
		return noNode
	}
	if len(in) == 1 {
		return in[0]
	}
	out := g.node(noItem)
	g.rules = append(g.rules, rule{in: in, out: out})
	return out
}

// reach is a range of items: those that an equality may say something of.
type reach struct{ lo, hi int32 }

func (g *graph) within(n int32, r reach) bool {
	return g.owner[n] >= r.lo && g.owner[n] < r.hi
}

// equal adds what x = y says about the columns within r.
func (g *graph) equal(x, y int32, r reach) {
	if x == noNode || y == noNode {
		return
	}
	if g.within(y, r) {
		g.edge(x, y)
	}
	if g.within(x, r) {
		g.edge(y, x)
	}
}

// solve returns the set that each node is bound to, nil for those that are not.
func (g *graph) solve() [][]constRef {
	live := make([]bool, len(g.loops))
	for i := range live {
		live[i] = true
	}
	for {
		sets := g.propagate(live)
		again := false
		for i, l := range g.loops {
			if live[i] && sets[l.start] != nil && sets[l.again] == nil {
				live[i], again = false, true
			}
		}
		if !again {
			return sets
		}
	}
}

// propagate follows the edges from the constants. The first set to arrive
// stays; small sets set out first.
func (g *graph) propagate(live []bool) [][]constRef {
	sets := make([][]constRef, len(g.owner))
	var queue []int32
	bind := func(n int32, set []constRef) {
		if sets[n] == nil {
			sets[n] = set
			queue = append(queue, n)
		}
	}
	for _, single := range []bool{true, false} {
		for n, set := range g.sets {
			if set != nil && (len(set) == 1 && !set[0].array) == single {
				bind(int32(n), set)
			}
		}
	}
	for {
		for len(queue) > 0 {
			n := queue[0]
			queue = queue[1:]
			for _, to := range g.edges[n] {
				bind(to, sets[n])
			}
		}
		if !g.fire(sets, live, bind) {
			return sets
		}
	}
}

// fire applies the rules and loops whose inputs are bound; false if none was.
func (g *graph) fire(sets [][]constRef, live []bool, bind func(int32, []constRef)) bool {
	fired := false
	for i, l := range g.loops {
		if live[i] && sets[l.start] != nil && sets[l.own] == nil {
			bind(l.own, sets[l.start])
			fired = true
		}
	}
	for _, r := range g.rules {
		if sets[r.out] != nil {
			continue
		}
		if set := union(sets, r.in); set != nil {
			bind(r.out, set)
			fired = true
		}
	}
	return fired
}

// union joins the sets of nodes; nil if one is not bound.
func union(sets [][]constRef, nodes []int32) []constRef {
	var all []constRef
	for _, n := range nodes {
		if sets[n] == nil {
			return nil
		}
		all = appendNew(all, sets[n])
	}
	return all
}

// appendNew appends the constants that list does not hold yet.
func appendNew(list, more []constRef) []constRef {
	for _, c := range more {
		known := false
		for _, k := range list {
			known = known || k == c
		}
		if !known {
			list = append(list, c)
		}
	}
	return list
}
