package proxy

import (
	"fmt"
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
		if t.open {
			s.warn("25001", "there is already a transaction in progress")
			return "BEGIN", nil
		}
		s.begin(st, sql)
		return "BEGIN", nil
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
	if !s.tx.open {
		s.warn("25P01", "there is no transaction in progress")
		return strings.ToUpper(st.Verb.String()), nil
	}
	commit := st.Verb == router.Commit && !s.tx.aborted
	verb, chain := "ROLLBACK", ""
	if commit {
		verb = "COMMIT"
	}
	if st.Chain {
		chain = " AND CHAIN"
	}
	joined := s.inTransaction()
	done := 0
	var fault *pgwire.Error
	for _, l := range joined {
		if fault != nil && done == 0 {
			verb = "ROLLBACK" // nothing is committed yet: nothing will be
		}
		if e := s.run1(l, verb+chain); e != nil {
			if fault == nil {
				fault = s.commitFault(l, e, done, len(joined))
			}
			continue
		}
		done++
	}
	if fault != nil && commit {
		st = &router.Statement{Verb: router.Rollback}
		s.outcome(nil, st, done == 0)
		return "", fault
	}
	s.outcome(nil, st, !commit)
	if commit {
		return "COMMIT", nil
	}
	return "ROLLBACK", nil
}

// commitFault says what became of a commit that failed on one shard.
func (s *session) commitFault(l *link, e *pgwire.Error, done, all int) *pgwire.Error {
	if done == 0 {
		return e
	}
	s.log().Error("a transaction was committed on some shards only", "database", s.db.Name(), "committed", done, "of", all,
		"failed_on", s.place.shards.Shard(l.shard).Name, "error", e.Message)
	return &pgwire.Error{Code: "40003",
		Message: fmt.Sprintf("the transaction was committed on %d of %d shards", done, all),
		Detail:  "shard " + s.place.shards.Shard(l.shard).Name + ": " + e.Message,
		Hint:    "run \"pgdrover check --schema\" to compare the shards, and repeat what is missing there"}
}

// warn sends a warning ahead of the answer.
func (s *session) warn(code, message string) {
	s.client.SetQueue(pgwire.AppendNotice(s.client.QueueBuffer(),
		&pgwire.Error{Severity: pgwire.SeverityWarning, Code: code, Message: message}))
}
