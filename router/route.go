package router

import (
	"time"

	"github.com/pgdrover/pgdrover/shardmap"
)

// Source says where a session's tenant comes from.
type Source uint8

// The sources of a tenant. All but SourceNone, SourceSQL and SourcePath are explicit: the
// client or its credentials named the tenant outside the statement.
const (
	SourceNone     Source = iota
	SourceAuth            // bound by authentication; never left
	SourceHint            // a comment hint
	SourceSetLocal        // SET LOCAL pgdrover.tenant
	SourceSet             // SET pgdrover.tenant
	SourceStartup         // options=-c pgdrover.tenant=… at startup
	SourceSQL             // the statement itself
	SourcePath            // a tenant's schema in the search path
)

// Env is what a session brings to routing besides the text.
type Env struct {
	SearchPath     string // the session's search_path as SHOW prints it; "" means `"$user", public`
	User           string // current_user, for "$user" in the search path
	Tenant         shardmap.Key
	TenantSource   Source
	PlainBackslash bool // standard_conforming_strings = off: a backslash escapes in '...'
	Foreign        bool // client_encoding is another than UTF8: bytes beyond ASCII are not those that tenants are hashed by
	Scatter        bool // scatter was asked for
	TempTables     bool // the session may have temporary tables: unknown relations may be theirs
	Brief          bool // what takes long is not done: Route answers ErrLong

	Prepared Prepared // the session's prepared statements, for EXECUTE; nil: none
}

// Prepared knows a session's prepared statements.
type Prepared interface {
	// Prepared returns the statement of a name, analysed by the Router that is
	// asked, and the types that were declared for its parameters, 0 where none
	// was; nil if there is none. What it returns is not kept.
	Prepared(name string) (*Query, []uint32)
}

// Params are the values bound to $1, $2, … They are indexed from 0: index i is
// the parameter $(i+1).
type Params interface {
	Len() int
	// Param returns a value as the client sent it. It must stay unchanged while
	// the Route that was made from it is in use.
	Param(i int) (value []byte, binary, null bool)
	// OID returns the declared type; 0 when the client left it to the server.
	OID(i int) uint32
}

// Kind says which shards a statement goes to.
type Kind uint8

// The kinds of routes.
const (
	Any     Kind = iota // no sharded table: any shard may answer
	Single              // the shard named by Route.Shard
	Every               // all shards: DDL, and writes to reference tables
	Local               // answered by the proxy: SHOW pgdrover.…, EXPLAIN (ROUTE)
	Scatter             // this and what follows is answered by several shards together. All: a read that names no tenant, answered as Query.Gathering says
	Several             // the shards of the tenants that it names: each has a share of it, as Query.Gathering says
	ByRow               // the shards that the rows of a COPY FROM belong on, as Query.Splitting says
	InTurn              // the shards of each statement of the query string, one after the other, as Query.Turns says
)

// String returns the word for the kind.
func (k Kind) String() string {
	return [...]string{"any", "single", "every", "local", "scatter", "several", "byrow", "inturn"}[min(k, InTurn)]
}

// Route says where one query string goes, and what is known of it as a whole.
type Route struct {
	Kind   Kind
	Shard  int  // index in the map's Shards, of a Single
	Write  bool // the primary is needed
	Tenant shardmap.Key
	Source Source // where Tenant comes from

	// Cacheable reports that the result may be answered from the cache and
	// stored there: one SELECT of one tenant on listed tables.
	Cacheable bool
	CacheFor  time.Duration // from a hint; 0: what the table says
	NoCache   bool          // a hint forbids it

	// Within reports that every sharded table of the statement is bound to
	// Tenant, that it writes no other table, and calls no function that may: it
	// reads and writes no other tenant's rows, triggers aside. A tenant that was
	// merely SET says where to go, not what to filter.
	Within bool

	// Unknown reports a relation that the catalog does not know: the catalog
	// may be old, or PostgreSQL will say so.
	Unknown bool

	// Temporary reports DDL on a relation that is taken to be the session's
	// own, since the catalog does not know it.
	Temporary bool

	statement int       // the statement that decided
	reason    reasonFor // for Query.Why
	inner     bool      // of the query in EXPLAIN (ROUTE)
	of        *Query    // what EXECUTE runs, whose statement decided
	ran       *Statement
}

// Session reports a Route of what concerns the session and no data: settings,
// transaction control, cursors.
func (r Route) Session() bool { return r.Kind == Local || r.reason == byTransaction }

// reasonFor says which rule decided, for Query.Why.
type reasonFor uint8

const (
	byNothing     reasonFor = iota // no table
	byOneShard                     // the map has one shard
	byTenant                       // bound by the SQL
	byExplicit                     // by the session's tenant or a hint
	byTable                        // an unsharded table's shard
	byHome                         // shard-wide objects without a tenant: the first shard
	byReference                    // reads reference tables only
	byEvery                        // DDL
	byEveryCopy                    // writes a reference table
	byCatalog                      // system catalogs
	byTransaction                  // transaction control and settings
	byProxy                        // answered by the proxy
	byNull                         // the tenant is NULL: nothing can match
	byUnknown                      // the relation is not in the catalog
	byScatter                      // it names no tenant, and scatter was asked for
	byRows                         // each row says whose it is
	byShares                       // it names tenants of several shards
	byTurns                        // its statements go to different shards
	byTemporary                    // nor is this, and it may be the session's own
	byTenantName                   // a string in it is the name of a tenant's schema
	bySearchPath                   // a tenant's schema is in the search path
)
