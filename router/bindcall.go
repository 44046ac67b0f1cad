package router

import "strings"

// call notes what a function call may do.
func (b *binder) call(c *callNode) {
	schema, function := "", ""
	switch f := c.GetFuncname(); len(f) {
	case 1:
		function = stringOf(f[0])
	case 2:
		schema, function = stringOf(f[0]), stringOf(f[1])
	default:
		b.facts.opaque = "a function with a name of three parts"
		return
	}
	b.holds(schema, function)
	v := b.r.catalog.function(b.path, schema, function)
	switch {
	case !v.known:
		b.unknownFunction(function)
		return
	case v.opens:
		b.facts.opens = function
		b.facts.opensWrite = b.facts.opensWrite || v.worst == 'v'
	}
	b.facts.unsettling = b.facts.unsettling || v.unsettling
	if v.own {
		b.builtin(function)
		b.sequence(c, function)
		if function == "set_config" {
			b.configures(c)
		}
	}
	switch {
	case v.worst == 'v' && v.own && (function == "set_config" || writesNothing[function]):
		b.facts.refuseCache("volatile function " + function)
	case v.worst == 'v':
		b.facts.writing("volatile function " + function)
		b.facts.refuseCache("volatile function " + function)
	case v.worst == 's':
		b.facts.refuseCache("stable function " + function)
	}
	b.divergingCall(c, function, v.worst == 'v')
}

// writesNothing are functions of pg_catalog that are volatile because their result changes, and not because they change anything:
// a replica runs them too, and some of them are asked in order to see which node answers. It is not changed.
var writesNothing = map[string]bool{
	"pg_is_in_recovery": true, "pg_last_wal_receive_lsn": true, "pg_last_wal_replay_lsn": true, "pg_last_xact_replay_timestamp": true,
	"clock_timestamp": true, "timeofday": true, "random": true, "gen_random_uuid": true,
	"pg_sleep": true, "pg_sleep_for": true, "pg_sleep_until": true,
}

// unknownFunction notes a function that may do anything. A Router without a
// catalog knows no function, so there this says nothing.
func (b *binder) unknownFunction(function string) {
	b.facts.unsettling = true
	b.facts.writing("unknown function " + function)
	b.facts.refuseCache("unknown function " + function)
	if b.r.catalog.version != 0 {
		b.facts.opens, b.facts.opensWrite = function, true
	}
}

// builtin notes what functions of pg_catalog do that their volatility does not
// say.
func (b *binder) builtin(function string) {
	switch {
	case function == "set_config":
		b.facts.settings++
	case strings.HasPrefix(function, "pg_advisory_") || strings.HasPrefix(function, "pg_try_advisory_"):
		b.facts.home = "advisory locks are each shard's own"
		b.sessionLock(function)
	case function == "nextval", function == "currval", function == "setval", function == "lastval":
		b.facts.home = homeSequences
	case function == "pg_notify":
		b.facts.home, b.facts.notifies = homeNotify, true
	case strings.HasPrefix(function, "lo_"), function == "loread", function == "lowrite":
		b.facts.home = "large objects are each shard's own"
		b.guard(function)
	case readers[function], strings.HasPrefix(function, "query_to_xml"), strings.HasPrefix(function, "table_to_xml"),
		strings.HasPrefix(function, "schema_to_xml"), strings.HasPrefix(function, "database_to_xml"):
		b.facts.opens = function
		b.guard(function)
	case strings.HasPrefix(function, "pg_stat_get_"), strings.HasPrefix(function, "pg_ls_"),
		strings.HasPrefix(function, "pg_read_"):
		b.guard(function)
	}
}

// holds notes a call of what may be a function that is declared to need its backend.
func (b *binder) holds(schema, function string) {
	path := b.path
	if schema != "" {
		path = []string{schema}
	}
	for _, s := range path {
		if b.r.holding(s, function) {
			b.facts.hold |= HoldFunction
			b.facts.unsettling = true
			b.facts.writing("function " + function + ", which holds its backend")
			b.facts.refuseCache("function " + function + ", which holds its backend")
			return
		}
	}
}

// sessionLock notes what a function does to the session's advisory locks: those that try may have got none.
func (b *binder) sessionLock(function string) {
	unlocks := strings.Contains(function, "unlock")
	if strings.Contains(function, "xact") {
		return
	}
	if !unlocks {
		b.facts.hold |= HoldAdvisoryLock
	}
	if unlocks || strings.HasPrefix(function, "pg_try_") {
		b.facts.frees |= HoldAdvisoryLock
	}
}

func (b *binder) guard(function string) {
	if b.facts.guarded == "" {
		b.facts.guarded = function + "()"
	}
}

// readers are functions of pg_catalog that run the SQL they are given.
var readers = map[string]bool{"ts_stat": true, "ts_rewrite": true, "cursor_to_xml": true, "cursor_to_xmlschema": true}

// locking notes FOR UPDATE and its kind.
func (b *binder) locking(q *selectNode) {
	for _, n := range q.GetLockingClause() {
		strength := "FOR " + strings.NewReplacer(
			"LCS_", "", "FORKEYSHARE", "KEY SHARE", "FORSHARE", "SHARE", "FORNOKEYUPDATE", "NO KEY UPDATE", "FORUPDATE", "UPDATE",
		).Replace(n.GetLockingClause().GetStrength().String())
		b.facts.writing(strength)
		b.facts.home = "row locks are each shard's own"
		b.facts.refuseCache(strength)
		if n.GetLockingClause().GetWaitPolicy() == skipLocked {
			b.diverge("SKIP LOCKED")
		}
	}
}

// into notes SELECT INTO.
func (b *binder) into(x *intoNode) {
	b.facts.writing("SELECT INTO")
	b.facts.refuseCache("SELECT INTO")
	if isTemp(x.GetRel()) {
		b.facts.temp = true
		if dropsAtCommit(x) {
			b.facts.frees |= HoldTempTable
		}
	}
}

// dropsAtCommit reports that a table which is made for the session ends with its transaction.
func dropsAtCommit(x *intoNode) bool { return x.GetOnCommit() == onCommitDrop }

// isTemp reports a relation that is made for the session.
func isTemp(x *rangeNode) bool {
	return x.GetRelpersistence() == "t" || strings.HasPrefix(x.GetSchemaname(), "pg_temp")
}
