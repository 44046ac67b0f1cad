package router

import "strings"

// control analyses statements that go wherever the session is: transaction
// control, settings, cursors, prepared statements by name.
func (c *compiler) control(n *node, src *source) (Statement, bool) {
	st := Statement{place: placement{control: true}}
	switch {
	case n.GetTransactionStmt() != nil:
		st.transact(n.GetTransactionStmt())
	case n.GetVariableSetStmt() != nil:
		return c.set(n.GetVariableSetStmt(), src), true
	case n.GetVariableShowStmt() != nil:
		st.Verb, st.Name = Show, strings.ToLower(n.GetVariableShowStmt().GetName())
		st.place.local = isOwnSetting(st.Name)
	case n.GetDiscardStmt() != nil:
		st.discard(n)
	case n.GetDeallocateStmt() != nil:
		st.Verb, st.Name = Deallocate, n.GetDeallocateStmt().GetName()
	case n.GetFetchStmt() != nil:
		st.Verb, st.Name = Fetch, n.GetFetchStmt().GetPortalname()
	case n.GetClosePortalStmt() != nil:
		st.Verb, st.Name, st.Frees = CloseCursor, n.GetClosePortalStmt().GetPortalname(), HoldCursor
	case n.GetConstraintsSetStmt() != nil:
		st.Verb = Utility
	case n.GetUnlistenStmt() != nil:
		st.Verb, st.Name = Unlisten, n.GetUnlistenStmt().GetConditionname()
	case n.GetListenStmt() != nil:
		st.Verb, st.Name = Listen, n.GetListenStmt().GetConditionname()
		st.writes("LISTEN")
		st.place.forbidden = "notifications are every tenant's"
	case n.GetNotifyStmt() != nil:
		st.Verb, st.Name, st.Notifies = Notify, n.GetNotifyStmt().GetConditionname(), true
		st.writes("NOTIFY")
		st.place.control, st.place.home = false, homeNotify
	default:
		return st, false
	}
	return st, true
}

const (
	homeNotify    = "notifications are each shard's own"
	homeSequences = "sequences are each shard's own"
	homePrepared  = "prepared transactions are each shard's own"
)

// writes notes why the primary is needed.
func (st *Statement) writes(why string) { st.Write, st.WhyWrite = true, why }

// writing is writes for a statement that may have a reason already.
func (st *Statement) writing(why string) {
	if !st.Write {
		st.writes(why)
	}
}

// transact fills a Statement of transaction control.
func (st *Statement) transact(x *transactNode) {
	st.Verb, st.Chain, st.Name = transactVerbs[x.GetKind()], x.GetChain(), x.GetSavepointName()
	st.modes(x.GetOptions())
	switch st.Verb {
	case PrepareTransaction, CommitPrepared, RollbackPrepared:
		st.Name = x.GetGid()
		st.writes(st.Verb.String())
		st.NoBlock = st.Verb != PrepareTransaction
		if st.Verb != PrepareTransaction {
			st.place.control, st.place.home = false, homePrepared
		}
		st.WritesUnknown = st.Verb == CommitPrepared // what it makes visible was written by whoever prepared it
		st.place.forbidden = "two-phase commit belongs to PgDrover"
	}
}

// modes reads the modes of BEGIN and SET TRANSACTION.
func (st *Statement) modes(options []*node) {
	for _, n := range options {
		d := n.GetDefElem()
		value, _, _ := constText(d.GetArg().GetAConst())
		switch d.GetDefname() {
		case "transaction_isolation":
			st.Isolation = value
		case "transaction_read_only":
			st.ReadOnly = value == "1"
			st.ReadWrite = value == "0"
		}
	}
}

func (st *Statement) discard(n *node) {
	st.Verb = Discard
	switch n.GetDiscardStmt().GetTarget() {
	case discardAll:
		st.Name, st.NoBlock = "all", true
		st.changes = []setting{{change: Change{Name: DiscardAll, SQL: "RESET ALL", Reset: true, All: true}}}
	case discardPlans:
		st.Name = "plans"
	case discardSeqs:
		st.Name = "sequences"
	default:
		st.Name, st.Frees = "temp", HoldTempTable
	}
}

// wrapped analyses statements around a query.
func (c *compiler) wrapped(n *node, src *source) (Statement, bool) {
	switch {
	case n.GetExplainStmt() != nil:
		return c.explain(n.GetExplainStmt(), src), true
	case n.GetDeclareCursorStmt() != nil:
		x := n.GetDeclareCursorStmt()
		st := c.statement(x.GetQuery(), src)
		st.Verb, st.Name = Declare, x.GetPortalname()
		st.place.configs.unseen = st.place.configs.unseen || len(st.changes) > 0 // FETCH makes them, later
		const withHold = 0x0020                                                  // CURSOR_OPT_HOLD
		if x.GetOptions()&withHold != 0 {
			st.Hold |= HoldCursor
			st.writing("a cursor WITH HOLD")
		}
		st.uncache("a cursor")
		return st, true
	case n.GetPrepareStmt() != nil:
		return c.prepare(n.GetPrepareStmt(), src), true
	case n.GetExecuteStmt() != nil:
		return c.execute(n.GetExecuteStmt(), src), true
	case n.GetCreateTableAsStmt() != nil:
		return c.createAs(n.GetCreateTableAsStmt(), src), true
	case n.GetCopyStmt() != nil:
		return c.copy(n.GetCopyStmt(), src), true
	case n.GetCallStmt() != nil:
		b := c.r.newBinder(src, c.path)
		b.expression(&node{Node: funcNode(n.GetCallStmt().GetFunccall())}, nil)
		b.facts.writing("CALL")
		b.facts.refuseCache("CALL")
		st := c.conclude(b)
		st.Verb, st.WritesUnknown = Call, true
		st.Frees |= freedByCode
		st.place.opens = "the procedure"
		return st, true
	}
	return Statement{}, false
}

// freedByCode is what code that the text does not show may free.
const freedByCode = HoldTempTable | HoldAdvisoryLock | HoldCursor

// uncache notes why a statement around a query has no result to keep.
func (st *Statement) uncache(why string) { st.Cacheable, st.WhyNotCacheable = false, why }

// explain analyses EXPLAIN. Only EXPLAIN ANALYZE runs its query.
func (c *compiler) explain(x *explainNode, src *source) Statement {
	st := c.statement(x.GetQuery(), src)
	analyze, route := false, false
	for _, n := range x.GetOptions() {
		switch d := n.GetDefElem(); d.GetDefname() {
		case "analyze":
			analyze = !isOff(d.GetArg())
		case "route":
			route = !isOff(d.GetArg())
		}
	}
	if route {
		inner := st
		return Statement{Verb: ExplainRoute, WhyNotCacheable: "EXPLAIN", inner: &inner, place: placement{control: true, local: true}}
	}
	st.Verb, st.Name = Explain, ""
	st.uncache("EXPLAIN")
	if !analyze {
		st.plans = true
		st.Writes, st.WritesUnknown, st.Notifies, st.changes, st.Hold, st.Frees = nil, false, false, nil, 0, 0
		if st.place.copies != nil {
			st.place.copies, st.place.reference = nil, true
		}
	}
	return st
}

// isOff reports an option that is written as off; a literal's value is not
// known here, and counts as on.
func isOff(n *node) bool {
	switch strings.ToLower(stringOf(n)) {
	case "off", "false":
		return true
	}
	return false
}
