package router

import "strings"

// utility analyses what is left: DDL and maintenance.
func (c *compiler) utility(n *node) Statement {
	st := Statement{Verb: DDL, WritesUnknown: true, Redefines: !keepsCatalog(n)}
	st.place.every = "DDL"
	st.place.forbidden = "DDL is every tenant's"
	st.writes("DDL")
	st.NoBlock = noBlock(n)
	st.concurrently(n)
	switch {
	case n.GetLockStmt() != nil:
		return c.lock(n.GetLockStmt().GetRelations())
	case n.GetTruncateStmt() != nil:
		return c.truncate(n.GetTruncateStmt().GetRelations())
	case n.GetDoStmt() != nil:
		st.Verb, st.WhyWrite, st.Frees, st.Redefines = Do, "DO", freedByCode, false
		st.place = placement{opens: "the DO block", forbidden: "a DO block may touch any row"}
		if mentionsPrepare(blockText(n)) {
			st.Hold |= HoldPrepare
		}
	case n.GetVacuumStmt() != nil, n.GetReindexStmt() != nil, n.GetClusterStmt() != nil, n.GetCheckPointStmt() != nil,
		n.GetRefreshMatViewStmt() != nil, n.GetLoadStmt() != nil:
		st.Verb, st.WhyWrite, st.Redefines = Utility, "maintenance", false
		st.place.every = "maintenance"
	case isTemporary(n):
		st.Hold |= HoldTempTable
		st.WritesUnknown, st.Redefines = false, false
		st.place = placement{}
		if n.GetCreateStmt().GetOncommit() == onCommitDrop {
			st.Frees = HoldTempTable
		}
	case n.GetDropStmt() != nil, n.GetDropOwnedStmt() != nil:
		st.Frees = HoldTempTable
	}
	st.place.temporary = st.place.every != "" && c.onTemporary(n)
	if st.place.every != "" {
		c.ofTenants(n, &st)
	}
	if x := n.GetAlterTableStmt(); x != nil && st.place.every != "" && st.place.doubtful == nil {
		st.place.doubtful = c.refills(x)
	}
	return st
}

// keepsCatalog reports DDL that changes nothing of what a Catalog holds.
func keepsCatalog(n *node) bool {
	return n.GetGrantStmt() != nil || n.GetGrantRoleStmt() != nil || n.GetAlterDefaultPrivilegesStmt() != nil ||
		n.GetCreateRoleStmt() != nil || n.GetAlterRoleStmt() != nil || n.GetAlterRoleSetStmt() != nil || n.GetDropRoleStmt() != nil ||
		n.GetCommentStmt() != nil || n.GetSecLabelStmt() != nil || n.GetCreateStatsStmt() != nil || n.GetAlterStatsStmt() != nil ||
		n.GetCreatedbStmt() != nil || n.GetDropdbStmt() != nil || n.GetAlterDatabaseSetStmt() != nil || n.GetAlterSystemStmt() != nil ||
		n.GetCreateTableSpaceStmt() != nil || n.GetDropTableSpaceStmt() != nil ||
		n.GetCreatePublicationStmt() != nil || n.GetAlterPublicationStmt() != nil ||
		n.GetCreateSubscriptionStmt() != nil || n.GetAlterSubscriptionStmt() != nil || n.GetDropSubscriptionStmt() != nil
}

// isTemporary reports CREATE of a temporary table, view or sequence, or of something else in the schema of those.
func isTemporary(n *node) bool {
	for _, r := range []*rangeNode{
		n.GetCreateStmt().GetRelation(), n.GetViewStmt().GetView(), n.GetCreateSeqStmt().GetSequence(), n.GetCompositeTypeStmt().GetTypevar(),
	} {
		if r != nil && isTemp(r) {
			return true
		}
	}
	for _, name := range [][]*node{
		n.GetCreateFunctionStmt().GetFuncname(), n.GetCreateDomainStmt().GetDomainname(), n.GetCreateEnumStmt().GetTypeName(),
		n.GetCreateRangeStmt().GetTypeName(), n.GetDefineStmt().GetDefnames(), n.GetCreateStatsStmt().GetDefnames(),
		n.GetCreateConversionStmt().GetConversionName(), n.GetCreateOpClassStmt().GetOpclassname(), n.GetCreateOpFamilyStmt().GetOpfamilyname(),
	} {
		if len(name) == 2 && strings.HasPrefix(stringOf(name[0]), "pg_temp") {
			return true
		}
	}
	return false
}

// noBlock reports statements that PostgreSQL does not run in a transaction
// block.
func noBlock(n *node) bool {
	switch {
	case n.GetVacuumStmt() != nil:
		return n.GetVacuumStmt().GetIsVacuumcmd()
	case n.GetIndexStmt() != nil:
		return n.GetIndexStmt().GetConcurrent()
	case n.GetDropStmt() != nil:
		return n.GetDropStmt().GetConcurrent()
	case n.GetReindexStmt() != nil:
		return reindexNoBlock(n.GetReindexStmt())
	case n.GetClusterStmt() != nil:
		return n.GetClusterStmt().GetRelation() == nil
	case n.GetAlterTableStmt() != nil:
		return detachesConcurrently(n.GetAlterTableStmt())
	case n.GetAlterDatabaseStmt() != nil:
		for _, o := range n.GetAlterDatabaseStmt().GetOptions() {
			if o.GetDefElem().GetDefname() == "tablespace" {
				return true
			}
		}
	}
	return n.GetCreatedbStmt() != nil || n.GetDropdbStmt() != nil || n.GetCreateTableSpaceStmt() != nil ||
		n.GetDropTableSpaceStmt() != nil || n.GetAlterSystemStmt() != nil || n.GetCreateSubscriptionStmt() != nil ||
		n.GetDropSubscriptionStmt() != nil || n.GetAlterSubscriptionStmt() != nil
}

// concurrently notes the index of CREATE INDEX CONCURRENTLY and DROP INDEX
// CONCURRENTLY.
func (st *Statement) concurrently(n *node) {
	if x := n.GetIndexStmt(); x.GetConcurrent() && x.GetIdxname() != "" {
		st.Index, st.IndexOn = quoteName(x.GetIdxname()), quoteName(x.GetRelation().GetRelname())
		if schema := x.GetRelation().GetSchemaname(); schema != "" {
			st.IndexOn = quoteName(schema) + "." + st.IndexOn
		}
	}
	if x := n.GetDropStmt(); x.GetConcurrent() && len(x.GetObjects()) == 1 {
		var parts []string
		for _, name := range x.GetObjects()[0].GetList().GetItems() {
			parts = append(parts, quoteName(stringOf(name)))
		}
		st.Index = strings.Join(parts, ".")
	}
}

func reindexNoBlock(x *reindexNode) bool {
	for _, p := range x.GetParams() {
		if d := p.GetDefElem(); d.GetDefname() == "concurrently" && !isOff(d.GetArg()) {
			return true
		}
	}
	return x.GetKind() != reindexIndex && x.GetKind() != reindexTable
}

func detachesConcurrently(x *alterTableNode) bool {
	for _, n := range x.GetCmds() {
		cmd := n.GetAlterTableCmd()
		if cmd.GetSubtype() == detachPart && cmd.GetDef().GetPartitionCmd().GetConcurrent() {
			return true
		}
	}
	return false
}

// lock analyses LOCK TABLE: its tables are not bound by anything it says.
func (c *compiler) lock(relations []*node) Statement {
	b := c.r.newBinder(nil, c.path)
	for _, n := range relations {
		b.relation(n.GetRangeVar(), useWrite)
	}
	b.facts.writing("LOCK")
	st := c.conclude(b)
	st.Verb, st.Cacheable = Lock, false
	st.Writes, st.WritesUnknown = nil, false
	st.place.forbidden = "a table lock is every tenant's"
	return st
}

// truncate analyses TRUNCATE, which removes the rows of all tenants: it runs
// everywhere, like DDL, and takes no tenant.
func (c *compiler) truncate(relations []*node) Statement {
	b := c.r.newBinder(nil, c.path)
	for _, n := range relations {
		b.relation(n.GetRangeVar(), useWrite)
	}
	b.facts.writing("TRUNCATE")
	b.facts.deletes = true
	st := c.conclude(b)
	st.Verb, st.Cacheable = DDL, false
	if c.r.m.BySchema() && st.place.tables > 0 {
		if st.place.shared {
			st.place.doubtful = refuse("Send them as statements of their own.", "TRUNCATE of tenants' tables and of others in one statement")
		}
		return st
	}
	sharded := st.place.tables > 0
	temp := len(st.Writes) == 0
	st.place = placement{every: "TRUNCATE", forbidden: "TRUNCATE removes the rows of every tenant"}
	if temp {
		st.place = placement{}
	}
	st.place.undeclared, st.place.truncates = b.facts.undeclared, sharded
	return st
}

// createAs analyses CREATE TABLE AS and CREATE MATERIALIZED VIEW.
func (c *compiler) createAs(x *createAsNode, src *source) Statement {
	st := c.statement(x.GetQuery(), src)
	st.uncache("CREATE TABLE AS")
	st.Verb, st.Name, st.along = DDL, "", st.along && isTemp(x.GetInto().GetRel())
	st.writes("CREATE TABLE AS")
	st.Redefines = !isTemp(x.GetInto().GetRel())
	switch {
	case isTemp(x.GetInto().GetRel()):
		st.Hold |= HoldTempTable
		if dropsAtCommit(x.GetInto()) {
			st.Frees |= HoldTempTable
		}
	case !c.r.m.BySchema() && (x.GetObjtype() == objectView || x.GetInto().GetSkipData()):
		st.place = placement{every: "DDL", forbidden: "DDL is every tenant's"}
		st.WritesUnknown = true
	default:
		c.madeFrom(&st, x.GetInto().GetRel())
		st.place.forbidden = "DDL is every tenant's"
		st.WritesUnknown = true
	}
	return st
}

// madeFrom places a statement that makes a table from a query.
func (c *compiler) madeFrom(st *Statement, table *rangeNode) {
	if !c.r.m.BySchema() {
		c.madeEverywhere(st, table)
		return
	}
	d := ddlName{schema: table.GetSchemaname(), name: table.GetRelname(), makes: true}
	ref, verdict, _ := c.whose(d)
	if verdict != ddlTenants {
		c.madeEverywhere(st, table)
		return
	}
	st.place.control, st.MadeByPath = false, d.schema == ""
	st.place.bind([]constRef{ref}, &Table{Schema: c.r.m.TenantSchema().String(), Name: d.name}, useWrite)
	st.place.tables++
}

// copy analyses COPY. The rows of COPY FROM name tenants that the text does
// not show, so the tenant is the session's.
func (c *compiler) copy(x *copyNode, src *source) Statement {
	if x.GetQuery() != nil {
		st := c.statement(x.GetQuery(), src)
		st.Verb, st.CopyOut = Copy, x.GetFilename() == ""
		st.uncache("COPY")
		return st
	}
	b := c.r.newBinder(src, c.path)
	u := useRead
	if x.GetIsFrom() {
		u = useWrite
		b.facts.writing("COPY FROM")
		b.facts.fills = true
		b.copyDefaults(x)
	}
	b.relation(x.GetRelation(), u)
	b.expression(x.GetWhereClause(), nil)
	st := c.conclude(b)
	st.Verb = Copy
	st.CopyIn = x.GetIsFrom() && x.GetFilename() == ""
	st.CopyOut = !x.GetIsFrom() && x.GetFilename() == ""
	st.uncache("COPY")
	if st.place.tables > 0 {
		st.place.forbidden = "COPY moves rows without saying whose they are"
	}
	if x.GetFilename() != "" {
		st.writes("COPY with a file of the server")
		st.place.home = "files are each server's own"
	}
	return st
}
