package router

import "github.com/pgdrover/pgdrover/shardmap"

// Verb is what a statement does.
type Verb uint8

// The verbs. The zero Verb is Unknown: the parser rejected the text.
const (
	Unknown Verb = iota
	Empty
	Select
	Insert
	Update
	Delete
	Merge
	Copy
	Begin
	Commit
	Rollback
	Savepoint
	Release
	RollbackTo
	PrepareTransaction
	CommitPrepared
	RollbackPrepared
	Set
	Reset
	Show
	Discard
	Prepare
	Execute
	Deallocate
	Listen
	Unlisten
	Notify
	Declare
	Fetch
	CloseCursor
	DDL
	Explain
	ExplainRoute
	Call
	Do
	Lock
	Utility
)

var verbNames = [...]string{
	"UNKNOWN", "EMPTY", "SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "COPY", "BEGIN", "COMMIT", "ROLLBACK",
	"SAVEPOINT", "RELEASE", "ROLLBACK TO", "PREPARE TRANSACTION", "COMMIT PREPARED", "ROLLBACK PREPARED", "SET",
	"RESET", "SHOW", "DISCARD", "PREPARE", "EXECUTE", "DEALLOCATE", "LISTEN", "UNLISTEN", "NOTIFY", "DECLARE",
	"FETCH", "CLOSE", "DDL", "EXPLAIN", "EXPLAIN (ROUTE)", "CALL", "DO", "LOCK", "UTILITY",
}

// String returns the verb as SQL writes it.
func (v Verb) String() string {
	if int(v) >= len(verbNames) {
		return "UNKNOWN"
	}
	return verbNames[v]
}

// Hold is a set of reasons why a session keeps its backend after a statement.
type Hold uint16

// The reasons that a statement can give.
const (
	HoldTempTable    Hold = 1 << iota // CREATE TEMP, SELECT INTO TEMP
	HoldAdvisoryLock                  // a session-level advisory lock
	HoldCursor                        // DECLARE … WITH HOLD
	HoldPrepare                       // a PREPARE that the text does not show
	HoldSetting                       // set_config whose arguments are known to the server only
	HoldFunction                      // a function that is declared to need it
)

// Table is a relation as a statement's analysis resolved it.
type Table struct {
	Schema string
	Name   string
	Kind   shardmap.Kind // 0: neither sharded nor declared, or a system catalog
	Column string        // the tenant column of a sharded table
}

// String returns the qualified name.
func (t *Table) String() string { return t.Schema + "." + t.Name }

// Change is what one SET, RESET or set_config does to a session's settings.
type Change struct {
	Name  string // canonical: lower case; "role" and "session_authorization" for SET ROLE and SET SESSION AUTHORIZATION
	SQL   string // replays the change on another backend, without LOCAL
	Value string // as SHOW would print it, where the statement has it as a constant; empty for Reset
	Local bool   // until the end of the transaction
	Reset bool   // back to the session's default
	All   bool   // RESET ALL, DISCARD ALL: every setting
}

// Statement is one statement of a template. It is immutable, and shared by all
// queries of the template.
type Statement struct {
	Verb     Verb
	Write    bool   // needs a primary
	WhyWrite string // "UPDATE", "FOR UPDATE", "volatile function nextval", …

	// Name is the savepoint, setting, prepared statement, cursor or channel;
	// for DISCARD what is discarded; empty for DEALLOCATE ALL and UNLISTEN *.
	Name string

	// Runs is the prepared statement that EXECUTE runs, be it in EXPLAIN or in
	// CREATE TABLE AS; empty: none.
	Runs string

	ReadOnly  bool   // BEGIN or SET TRANSACTION … READ ONLY
	ReadWrite bool   // … READ WRITE
	Isolation string // "serializable", …: of BEGIN or SET TRANSACTION; empty: not said
	Chain     bool   // COMMIT or ROLLBACK AND CHAIN
	CopyIn    bool   // COPY … FROM STDIN
	CopyOut   bool   // COPY … TO STDOUT
	NoBlock   bool   // cannot run in a transaction block

	Index   string // what CREATE INDEX CONCURRENTLY makes, if it says so, or DROP INDEX CONCURRENTLY drops, if that is one; quoted, a DROP's as qualified as it is
	IndexOn string // the table of a CREATE INDEX CONCURRENTLY, quoted and as qualified as it is; empty for a DROP

	Reads         []*Table // relations read, views expanded
	Writes        []*Table // relations written, with what foreign keys and inheritance reach
	WritesUnknown bool     // triggers, functions or unknown SQL may write any table
	Redefines     bool     // DDL after which the catalog of everyone may be another
	Reshapes      bool     // DDL on what is a tenant's, which no catalog has: names may stand for something else, and results have other columns
	MadeByPath    bool     // it makes something in the first schema of the search path that exists, which is to be a tenant's
	Notifies      bool     // NOTIFY, or a call of pg_notify; what WritesUnknown says may notify too
	Hold          Hold
	Frees         Hold // reasons for which a backend is held that may be over with it; the server knows
	Unsettles     bool // what it runs may change, unseen, what the session keeps: settings, locks, channels, temporary tables

	Cacheable       bool
	WhyNotCacheable string

	onePlan *onePlan // what OnePlan looks at; nil: it may have many
	changes []setting
	place   placement
	inner   *Statement // of EXPLAIN (ROUTE); what PREPARE prepares

	args  []argument // of what Runs names
	along bool       // it goes where what Runs names goes
	plans bool       // EXPLAIN without ANALYZE
	types []uint32   // declared by PREPARE
	ready *Statement // what Runs names, where the query string itself prepares it
}
