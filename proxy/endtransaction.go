package proxy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/router"
)

// commitTime bounds how long a COMMIT, ROLLBACK or savepoint may take on a backend when several take part.
const commitTime = 30 * time.Second

// isTransactionVerb reports whether a statement is about the transaction itself.
func isTransactionVerb(v router.Verb) bool {
	switch v {
	case router.Begin, router.Commit, router.Rollback, router.Savepoint, router.Release, router.RollbackTo:
		return true
	}
	return false
}

// control carries out a transaction statement that no single backend can answer: none has joined yet, several have, or the
// transaction was aborted by PgDrover. It returns the command tag, or what is wrong.
func (s *session) control(st *router.Statement, sql string) (string, *pgwire.Error) {
	t := &s.tx
	switch st.Verb {
	case router.Begin:
		switch {
		case t.aborted:
			return "", s.abortedError()
		case t.open:
			s.warn("25001", "there is already a transaction in progress")
			s.beginAgain(st, sql)
		default:
			s.begin(st, sql)
		}
		return beginTag(sql), nil
	case router.Commit, router.Rollback:
		return s.endTransaction(st)
	}
	word := strings.ToUpper(st.Verb.String())
	if !t.open {
		if st.Verb == router.RollbackTo {
			word = "ROLLBACK TO SAVEPOINT"
		} else if st.Verb == router.Release {
			word = "RELEASE SAVEPOINT"
		}
		return "", &pgwire.Error{Code: "25P01", Message: word + " can only be used in transaction blocks"}
	}
	if t.aborted && st.Verb != router.RollbackTo {
		return "", errAborted
	}
	if t.severed {
		return "", &pgwire.Error{Code: "25P02", Message: errAborted.Message,
			Hint: "A backend of this transaction was lost, and what it had done with it: ROLLBACK, and begin again."}
	}
	if st.Verb != router.Savepoint && t.savepoint(st.Name) < 0 {
		return "", &pgwire.Error{Code: "3B001", Message: "savepoint \"" + st.Name + "\" does not exist"}
	}
	for _, l := range s.inTransaction() {
		if e := s.run1(l, sql); e != nil {
			t.aborted, t.poisoned = true, true
			return "", e
		}
	}
	s.savepoint(st, sql)
	if st.Verb == router.RollbackTo {
		return "ROLLBACK", nil
	}
	return word, nil
}

// beginTag is the tag of the statement that begins a transaction, which PostgreSQL names by its first word.
func beginTag(sql string) string {
	for rest := sql; rest != ""; rest = rest[1:] {
		switch c := rest[0]; {
		case strings.HasPrefix(rest, "--"):
			_, after, _ := strings.Cut(rest, "\n")
			rest = " " + after
		case strings.HasPrefix(rest, "/*"):
			rest = afterComment(rest)
		case c == 's' || c == 'S':
			return "START TRANSACTION"
		case c == 'b' || c == 'B':
			return "BEGIN"
		}
	}
	return "BEGIN"
}

// afterComment is what follows the comment at the head of sql, comments in it included, after a byte that stands for it.
func afterComment(sql string) string {
	depth := 0
	for i := 0; i+1 < len(sql); i++ {
		switch sql[i : i+2] {
		case "/*":
			depth++
			i++
		case "*/":
			depth--
			i++
		}
		if depth == 0 {
			return sql[i:]
		}
	}
	return " "
}

// inTransaction are the links that have joined the open transaction.
func (s *session) inTransaction() []*link {
	joined := make([]*link, 0, len(s.links))
	for _, l := range s.links {
		if l.status != 'I' && l.lost == nil {
			joined = append(joined, l)
		}
	}
	return joined
}

// run1 runs a statement of the session's own on a backend and returns its error.
func (s *session) run1(l *link, sql string) *pgwire.Error {
	var out sink
	l.sendQuery(sql)
	s.command(l, &out, time.Now().Add(commitTime))
	return out.fault
}

// endTransaction commits or rolls back on every backend that has joined.
func (s *session) endTransaction(st *router.Statement) (string, *pgwire.Error) {
	if word := strings.ToUpper(st.Verb.String()); !s.tx.open {
		if st.Chain {
			return "", &pgwire.Error{Code: "25P01", Message: word + " AND CHAIN can only be used in transaction blocks"}
		}
		s.warn("25P01", "there is no transaction in progress")
		return word, nil
	}
	joined := s.inTransaction()
	s.tx.joint = s.tx.joint || s.db.options().TwoPhase
	if st.Verb != router.Commit || s.tx.aborted {
		for _, l := range joined {
			s.endOn(l, "ROLLBACK")
		}
		told := s.tx.told
		s.outcome(nil, st, true)
		if told != nil {
			s.report(told) // what it was told of settings that are rolled back
		}
		return "ROLLBACK", nil
	}
	slices.SortStableFunc(joined, func(a, b *link) int { return order(a.wrote) - order(b.wrote) })
	if e := s.commitAll(joined); e != nil {
		s.outcome(nil, &router.Statement{Verb: router.Rollback}, true)
		return "", e
	}
	s.outcome(nil, st, false)
	return "COMMIT", nil
}

// order puts writers before readers.
func order(wrote bool) int {
	if wrote {
		return 0
	}
	return 1
}

// endOn ends the transaction on one backend, which is given up if that fails without an answer.
func (s *session) endOn(l *link, verb string) *pgwire.Error {
	e := s.run1(l, verb)
	if e == nil && l.status != 'I' && l.lost == nil {
		l.lost = errNotReset
	}
	return e
}

// commitAll commits on all backends that have joined, the writers first. Once one has committed there is no way back; before, a
// failure rolls back the others.
func (s *session) commitAll(joined []*link) *pgwire.Error {
	var end commitment
	for _, l := range joined {
		if l.wrote {
			end.writers++
		}
	}
	if end.writers > 1 && s.tx.joint {
		return s.commitJoint(joined[:end.writers], joined[end.writers:])
	}
	if end.writers > 1 {
		end.fault = s.readyToCommit(joined[:end.writers])
	}
	for _, l := range joined {
		shard, wrote := s.place.shards.Shard(l.shard).Name, l.wrote
		if end.fault != nil && len(end.done) == 0 {
			s.endOn(l, "ROLLBACK")
			continue
		}
		e := s.endOn(l, "COMMIT")
		switch {
		case e == nil && wrote:
			end.done = append(end.done, shard)
		case e == nil || !wrote && end.writers > 0: // a reader has nothing to lose
		default:
			end.failed = append(end.failed, shard+": "+e.Message)
			end.unknown = end.unknown || wrote && l.lost != nil
			if end.fault == nil {
				end.fault = e
			}
		}
	}
	if end.fault == nil {
		return nil
	}
	if len(end.done) == 0 && !(end.unknown && end.writers > 1) {
		return end.fault
	}
	s.settle(false) // something was written
	s.log().Error("a transaction was not committed on all shards", "database", s.db.Name(), "committed", end.done, "failed", end.failed)
	return end.report()
}

// commitment is what became of a commit on several shards.
type commitment struct {
	writers int
	done    []string      // shards that committed
	failed  []string      // shards that did not, or of which nobody knows, and why
	unknown bool          // of some nobody knows
	fault   *pgwire.Error // the first
}

func (c *commitment) report() *pgwire.Error {
	e := &pgwire.Error{Code: "40003", Message: fmt.Sprintf("the transaction was committed on %d of %d shards", len(c.done), c.writers),
		Detail: "Not on " + strings.Join(c.failed, "; ") + ".",
		Hint:   "Run \"pgdrover check --schema\" to compare the shards, and repeat what is missing."}
	if len(c.done) > 0 {
		e.Detail = "Committed on " + strings.Join(c.done, ", ") + ". " + e.Detail
	} else {
		e.Message = "it is not known whether a shard committed the transaction, which the other shards rolled back"
	}
	return e
}

// readyToCommit has the writers check what they would check at COMMIT: a constraint that fails on one must not be found when others
// have committed.
func (s *session) readyToCommit(writers []*link) *pgwire.Error {
	_, e := s.runOn(writers, sender{send: func(l *link, do action) {
		l.notes.unnamed = 0
		l.send(pgwire.AppendQuery(l.conn.QueueBuffer(), "SET CONSTRAINTS ALL IMMEDIATE"), reply{kind: pgwire.MsgQuery, do: do})
	}})
	return e
}

// warn sends a warning ahead of the answer.
func (s *session) warn(code, message string) {
	s.client.SetQueue(pgwire.AppendNotice(s.client.QueueBuffer(),
		&pgwire.Error{Severity: pgwire.SeverityWarning, Code: code, Message: message}))
}

// transactionEnded settles the session's state once a transaction, or a statement outside one, is over.
func (s *session) transactionEnded(wrote bool) {
	if s.tx.isZero() && !s.changed() {
		s.settleLinks(false)
	} else {
		s.settleTransaction()
	}
	if wrote {
		s.stickyUntil = time.Now().Add(s.db.options().Sticky)
	}
}

// changed reports whether a statement outside a transaction may have left the session another than it was, or others are to hear of its end.
func (s *session) changed() bool {
	return s.settings != s.committed || s.settings != s.lookup.settings || s.ear != nil || s.unsure || !s.mark.Empty()
}

// settleTransaction is transactionEnded for what has been more than one statement, or has changed the session.
func (s *session) settleTransaction() {
	s.settle(s.tx.faulted)
	if s.tx.faulted {
		s.settings = s.committed
	}
	s.committed = s.settings
	s.settleLinks(s.tx.faulted)
	s.settleListens()
	hadOwn := false
	if !s.tx.isZero() {
		hadOwn = s.closeTransaction()
	}
	if hadOwn || s.settings != s.lookup.settings {
		s.lookup.settings = s.settings
		s.applyEnv()
	}
}

// closeTransaction forgets the transaction that is over, and has others know what it did to the catalog. It reports whether routing went
// by settings of its own.
func (s *session) closeTransaction() (hadOwn bool) {
	hadOwn = !s.tx.tenant.IsZero() || s.tx.locals != nil
	if s.tx.reshaped && !s.tx.faulted {
		s.db.reshaped()
	}
	if s.tx.ddl && !s.tx.faulted {
		s.lookup.ddl = true
		s.db.catalog.changed()
	}
	s.tx = transaction{prelude: s.tx.prelude[:0], marks: s.tx.marks[:0], listens: s.tx.listens[:0]}
	return hadOwn
}

// settleLinks notes that backends have for good the settings that they have, or went back to those they had when the transaction began, and that what
// the transaction has added to what they are held for stays, or is in doubt.
func (s *session) settleLinks(rolledBack bool) {
	for _, l := range s.links {
		if rolledBack {
			l.notes.settings = l.before
			l.mayEnd |= l.gained
		}
		l.before, l.gained = l.notes.settings, 0
	}
}
