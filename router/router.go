package router

import (
	"hash/maphash"

	"github.com/pgdrover/pgdrover/shardmap"
)

// DefaultTemplates is how many templates a Router keeps when Options does not
// say.
const DefaultTemplates = 8192

// Options are the parts of a Router that neither the map nor the catalog holds.
type Options struct {
	Templates int                            // templates kept; 0 means DefaultTemplates
	Cached    func(schema, name string) bool // whether results from a table may be cached; nil: none
	Holding   func(schema, name string) bool // whether a function needs its backend from then on; nil: none
	Parses    int                            // parses at a time; 0 means 4
	AnySize   bool                           // tables of few rows have one plan, too (Query.OnePlan): for tests
}

// Router routes statements by one map and one catalog.
type Router struct {
	m         *shardmap.Map
	catalog   *Catalog
	cached    func(schema, name string) bool
	holding   func(schema, name string) bool
	templates *templates
	stencils  *stencils
	parses    chan struct{}
	anySize   bool
	seed      maphash.Seed
	views     viewCache
}

// New returns a Router. A nil catalog knows no table: what the map does not
// declare is then an unknown relation.
func New(m *shardmap.Map, c *Catalog, o Options) *Router {
	if c == nil {
		c = &Catalog{}
		c.index()
	}
	if o.Templates <= 0 {
		o.Templates = DefaultTemplates
	}
	if o.Parses <= 0 {
		o.Parses = 4
	}
	if o.Cached == nil {
		o.Cached = func(string, string) bool { return false }
	}
	if o.Holding == nil {
		o.Holding = func(string, string) bool { return false }
	}
	return &Router{
		m: m, catalog: c, cached: o.Cached, holding: o.Holding, anySize: o.AnySize,
		templates: newTemplates(o.Templates),
		stencils:  newStencils(o.Templates),
		parses:    make(chan struct{}, o.Parses),
		seed:      maphash.MakeSeed(),
	}
}

// Map returns the map that the Router places tenants by.
func (r *Router) Map() *shardmap.Map { return r.m }

// Catalog returns the catalog that the Router resolves names by; never nil.
func (r *Router) Catalog() *Catalog { return r.catalog }

// oneShard reports whether there is only one place to go.
func (r *Router) oneShard() bool { return r.m.ShardCount() == 1 }

// Analyse reads a query string into q: finds its template, analysing the text
// if this is the first of its shape, and notes its literals. It never fails:
// what the parser rejects is one Statement with Verb Unknown.
//
// q borrows text until the next Analyse; see [Query.Clone]. On a template hit
// nothing is allocated once q's own buffers have grown.
func (r *Router) Analyse(q *Query, text []byte, env *Env) {
	if !r.Recall(q, text, env) {
		r.Learn(q, env)
	}
}

// Recall is Analyse for a text whose shape is known, which does not take long. If it is not, Recall reports false, and Learn has to
// follow, which runs the parser.
func (r *Router) Recall(q *Query, text []byte, env *Env) bool {
	q.reset(r, text, env.PlainBackslash)
	q.user = env.User
	if st := q.foreseen(env); st != nil && st.fit(q) {
		q.habit.step()
		return true
	}
	return q.recall(env)
}

// recall is Recall for a text that no habit foresaw.
func (q *Query) recall(env *Env) bool {
	r, text, path := q.r, q.text, q.follow(env)
	if q.plain {
		return r.lookUp(q, path, r.schemaOf(env))
	}
	h := q.habitOf(path, env.User)
	user := r.schemaOf(env)
	key := r.hash(text[:literalAt(text[:min(len(text), maxStencil)])], path, user)
	if st := r.stencils.read(q, key, path, user); st != nil {
		h.note(st)
		return true
	}
	q.reset(r, text, false)
	if !r.lookUp(q, path, user) {
		return false
	}
	r.stencils.add(q, key)
	return true
}

// lookUp reads the text of q by the lexer, and reports whether its template is known.
func (r *Router) lookUp(q *Query, path, user string) bool {
	normalise(q)
	q.tpl = r.templates.find(r.hash(q.norm, path, user), q.norm, path, user)
	return q.tpl != nil
}

// Learn does what is left of Analyse after Recall with the same env did not know the text.
func (r *Router) Learn(q *Query, env *Env) {
	user, path := r.schemaOf(env), q.follow(env)
	q.tpl = r.compile(q, path, user)
	r.templates.add(r.hash(q.norm, path, user), q.tpl)
}

// schemaOf is the user's name if there is a schema of that name, which a search path may mean.
func (r *Router) schemaOf(env *Env) string {
	if r.catalog.hasSchema(env.User) {
		return env.User
	}
	return ""
}

// hash is that of a text or a template under a search path, for a user.
func (r *Router) hash(text []byte, path, user string) uint64 {
	hash := maphash.Bytes(r.seed, text)
	if path != "" || user != "" {
		hash ^= maphash.String(r.seed, path) + 3*maphash.String(r.seed, user)
	}
	return hash
}
