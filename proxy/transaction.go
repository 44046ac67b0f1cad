package proxy

import (
	"cmp"
	"slices"
	"strings"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/router"
	"github.com/pgdrover/pgdrover/shardmap"
)

// transaction is what the client's open transaction is, as far as it is not on backends.
type transaction struct {
	condition
	locals  *settings      // SET LOCAL of what else routes depend on; nil: nothing
	told    *params        // what the client had been told when it began
	reason  *pgwire.Error  // why it is poisoned, until the client was told
	router  *router.Router // made from a catalog that sees the transaction's own DDL
	strict  string         // isolation level above READ COMMITTED, if any
	prelude prelude
	marks   []savepoint
	listens []listening  // LISTEN and UNLISTEN, in order: they are carried out when it is committed
	tenant  shardmap.Key // SET LOCAL pgdrover.tenant
}

// condition is what is to be said of a transaction with yes or no.
type condition struct {
	open      bool
	aborted   bool // by an error: only its end is accepted
	poisoned  bool // the error was PgDrover's own, or a backend was lost: backends may not know that it is aborted
	faulted   bool // an error was met since the settings were last committed
	readOnly  bool
	ofBatch   bool // it is that of a batch, and ends with the Sync
	severed   bool // a backend was lost with what it had of the transaction: no savepoint brings that back
	joint     bool // it may write on several shards, and is committed on all or none
	ddl       bool
	redefined bool // by DDL that router does not know of
	reshaped  bool // by DDL, be it in a tenant's schema, which router need not know of
	local     bool // it has settings of its own (SET LOCAL)
}

// savepoint is a savepoint of the open transaction and what was in force when it was made.
type savepoint struct {
	name     string
	settings *settings
	tenant   shardmap.Key
	locals   *settings
	prelude  prelude // before it
	sql      string
	listens  int         // how many there were
	inForce  []*settings // on the links that had joined, in their order
}

// status is what ReadyForQuery says.
func (t *transaction) status() byte {
	switch {
	case !t.open:
		return 'I'
	case t.aborted:
		return 'E'
	}
	return 'T'
}

// fault notes an error of a backend.
func (t *transaction) fault(l *link) {
	if l.sink != nil {
		return
	}
	t.faulted = true
	if t.open {
		t.aborted = true
		t.poisoned = t.poisoned || l.aside
	}
}

// lost notes that a backend is gone, and what it had of the transaction.
func (t *transaction) lost(l *link) {
	t.faulted = true
	if t.open && l.status != 'I' {
		t.aborted, t.poisoned, t.severed = true, true, true
	}
}

// begin opens a transaction that no backend has heard of yet.
func (s *session) begin(st *router.Statement, sql string) {
	s.tx.open = true
	s.tx.readOnly = st.ReadOnly
	s.strictness(cmp.Or(st.Isolation, s.isolation()))
	s.tx.told = s.reported
	s.tx.prelude = s.tx.prelude.begun(sql)
}

// beginAgain notes the modes that a second BEGIN sets, as PostgreSQL lets it.
func (s *session) beginAgain(st *router.Statement, sql string) {
	if len(s.inTransaction()) > 0 {
		return
	}
	s.tx.readOnly = s.tx.readOnly && !st.ReadWrite || st.ReadOnly
	if st.Isolation != "" {
		s.strictness(st.Isolation)
	}
	s.tx.prelude = append(s.tx.prelude, early{sql: sql})
}

// synced notes a ReadyForQuery that the client waits for.
func (s *session) synced(l *link, status byte) {
	s.answered(l)
	switch status {
	case 'I':
		if s.reported != s.reportedIdle {
			s.adopt(l)
		}
		s.endPortals()
		s.transactionEnded(l.wrote)
		l.wrote, l.owned = false, false
	case 'T':
		s.tx.open, s.tx.aborted = true, s.tx.poisoned
	case 'E':
		s.tx.open, s.tx.aborted = true, true
	}
}

// completed notes what a statement did, once the backend says that it did it.
func (s *session) completed(l *link, r *reply, tag []byte) {
	if r.do == skip || r.text == nil {
		return
	}
	sts := r.text.Statements()
	for r.at < len(sts)-1 && sts[r.at].Verb == router.Empty {
		r.at++
	}
	if r.at >= len(sts) {
		return
	}
	i := r.at
	r.at++
	s.effect(l, r.text, i, r.set, string(tag) == "ROLLBACK")
	l.owned = l.owned || s.tx.open && l.wrote && sts[i].Write
}

// effect carries over to the session what the i-th statement of q did on a backend. rolledBack says that its tag was ROLLBACK.
func (s *session) effect(l *link, q *router.Query, i int, set []router.Change, rolledBack bool) {
	st := &q.Statements()[i]
	if q.Plain() {
		l.wrote = l.wrote || st.Write && !l.isReplica()
		return
	}
	switch st.Verb {
	case router.Begin:
		if !s.tx.open {
			s.begin(st, string(q.Text(i)))
		}
		return
	case router.Commit, router.Rollback, router.PrepareTransaction:
		s.outcome(l, st, rolledBack)
		return
	case router.Savepoint, router.Release, router.RollbackTo:
		s.savepoint(st, string(q.Text(i)))
		return
	case router.Prepare:
		s.keepMade(l, q, i)
	case router.Execute:
		if s.ran(l, q, i, rolledBack) {
			return
		}
	case router.Deallocate, router.Discard:
		s.discarded(l, st)
	case router.Listen:
		l.unsure = l.unsure || !s.direct()
		s.noteListen(st)
	case router.Unlisten:
		s.noteListen(st)
	case router.Set:
		s.strictness(st.Isolation)
	}
	if st.Redefines {
		s.tx.ddl, s.tx.redefined = true, true
	}
	s.tx.reshaped = s.tx.reshaped || st.Reshapes || st.Redefines
	s.holdFor(l, st)
	if st.Runs != "" && st.WritesUnknown { // EXPLAIN ANALYZE, CREATE TABLE AS
		if run := s.statements[st.Runs]; run != nil {
			s.holdFor(l, &run.query.Statements()[0])
		}
	}
	l.wrote = l.wrote || st.Write && !l.isReplica()
	if set == nil {
		set, _ = q.Changes(i, nil)
	}
	s.keepEarly(q, i, set)
	for _, c := range set {
		s.change(l, c)
	}
}

// ran is effect for what the i-th statement of q, an EXECUTE, ran. It reports whether that is known.
func (s *session) ran(l *link, q *router.Query, i int, rolledBack bool) bool {
	p := s.statements[q.Statements()[i].Runs]
	if p == nil || len(p.query.Statements()) != 1 || p.query.Statements()[0].Verb == router.Execute {
		return false
	}
	p.proven = true
	args := q.Arguments(i, p.types)
	set, known := p.query.Changes(0, &args)
	l.unsure = l.unsure || !known
	s.effect(l, &p.query, 0, set, rolledBack)
	if p.query.Statements()[0].Verb == router.Prepare && p.names { // it prepares another one the next time
		p.words.text = p.words.text[:0]
	}
	return true
}

// carriedOut is the statement that st runs, if it is an EXECUTE of one that is known; else st.
func (s *session) carriedOut(st *router.Statement) *router.Statement {
	if st.Runs == "" || !st.WritesUnknown || st.Verb == router.DDL {
		return st
	}
	if p := s.statements[st.Runs]; p != nil && len(p.query.Statements()) == 1 {
		return &p.query.Statements()[0]
	}
	return st
}

// outcome settles a COMMIT or ROLLBACK that was carried out.
func (s *session) outcome(l *link, st *router.Statement, rolledBack bool) {
	wrote := l != nil && l.wrote
	for _, o := range s.links {
		wrote = wrote || o.wrote
		o.wrote, o.owned = false, false
	}
	if l == nil {
		s.endPortals()
	}
	before := s.tx
	s.tx.faulted = rolledBack || st.Verb == router.Rollback
	s.transactionEnded(wrote && !s.tx.faulted)
	if st.Chain {
		s.chain(&before)
	}
}

// savepoint keeps the savepoints of the open transaction.
func (s *session) savepoint(st *router.Statement, sql string) {
	t := &s.tx
	if st.Verb == router.Savepoint {
		t.marks = append(t.marks, savepoint{st.Name, s.settings, t.tenant, t.locals, slices.Clone(t.prelude), sql, len(t.listens), s.inForce()})
		t.prelude = t.prelude.mark(sql, st.Name)
		return
	}
	at := t.savepoint(st.Name)
	if at < 0 {
		return
	}
	m := t.marks[at]
	if st.Verb == router.Release {
		t.marks = t.marks[:at]
		t.prelude = t.prelude.released(st.Name)
		return
	}
	t.marks = t.marks[:at+1]
	t.prelude = slices.Clone(m.prelude).mark(m.sql, m.name)
	t.aborted, t.poisoned, t.faulted = false, false, false
	t.redefined = t.ddl
	s.doubtGained()
	t.listens = t.listens[:m.listens]
	s.settings, t.tenant, t.locals = m.settings, m.tenant, m.locals
	for i, l := range s.inTransaction() {
		l.notes.settings = l.before // it joined later, and has the savepoint from the prelude
		if i < len(m.inForce) {
			l.notes.settings = m.inForce[i]
		}
	}
	s.applyEnv()
}

// inForce are the settings in force on the links that have joined.
func (s *session) inForce() []*settings {
	var list []*settings
	for _, l := range s.inTransaction() {
		list = append(list, l.notes.settings)
	}
	return list
}

// savepoint is the index of the latest savepoint of a name, -1 if there is none.
func (t *transaction) savepoint(name string) int {
	for i := len(t.marks) - 1; i >= 0; i-- {
		if t.marks[i].name == name {
			return i
		}
	}
	return -1
}

// change notes a setting that was changed on a backend.
func (s *session) change(l *link, c router.Change) {
	l.noteCustom(c.Name)
	if c.Local {
		s.changeLocal(c)
		return
	}
	s.endLocal(c)
	s.settings = s.settings.apply(c, s.initial)
	s.lookup.settings = s.settings
	if l != nil {
		l.notes.settings = l.notes.settings.apply(c, l.resetsTo)
		l.resetsTo = noSettings
		if isOwn(c.Name) {
			l.notes.settings = nil // set_config put it on the backend, too
		}
	}
	s.applyEnv()
}

// discarded notes DEALLOCATE and DISCARD: what is gone on the backend, and what need not be held any more.
func (s *session) discarded(l *link, st *router.Statement) {
	all := st.Verb == router.Discard && strings.EqualFold(st.Name, "all")
	if !all && st.Verb != router.Deallocate {
		return
	}
	if p := s.statements[st.Name]; !all && st.Name != "" {
		if p != nil {
			l.notes.forget(p.shared)
			s.forgetStatement(p)
		}
		return
	}
	s.forgetStatements()
	l.notes.forgetAll()
	l.hold &^= router.HoldPrepare
	if all {
		s.noteListen(&router.Statement{Verb: router.Unlisten})
		l.hold &= holdSession
	}
}

// abortedError is what a statement of an aborted transaction is told: why, the first time, if the client does not know yet.
func (s *session) abortedError() *pgwire.Error {
	if e := s.tx.reason; e != nil {
		s.tx.reason = nil
		return e
	}
	return errAborted
}

// abortedOn is the backend that refuses a statement of a transaction that is aborted there; nil if the statement may end the
// transaction.
func (s *session) abortedOn(q *router.Query) *link {
	if !s.tx.aborted || s.tx.poisoned {
		return nil
	}
	sts := q.Statements()
	for i := range sts {
		if isTransactionVerb(sts[i].Verb) {
			return nil
		}
	}
	if joined := s.inTransaction(); len(joined) == 1 {
		return joined[0]
	}
	return nil
}
