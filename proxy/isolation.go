package proxy

import (
	"strings"

	"github.com/pgdrover/pgdrover/pgwire"
)

// isolation is what a transaction has that does not say it; empty: the session has not set it.
func (s *session) isolation() string {
	set, _ := s.settings.lookup("default_transaction_isolation")
	return set.value
}

func (s *session) strictness(isolation string) {
	switch strings.ToLower(isolation) {
	case "repeatable read", "serializable":
		s.tx.strict = strings.ToUpper(isolation)
	case "read committed", "read uncommitted":
		s.tx.strict = ""
	}
}

// chain begins a transaction with the modes of the one before it (PostgreSQL, "COMMIT").
func (s *session) chain(before *transaction) {
	s.tx.open, s.tx.strict, s.tx.readOnly = true, before.strict, before.readOnly
	s.tx.prelude = before.prelude[:min(1, len(before.prelude))]
	if len(s.tx.prelude) == 0 {
		return
	}
	if before.strict != "" { // SET TRANSACTION may have said it
		s.tx.prelude = append(s.tx.prelude, early{sql: "SET TRANSACTION ISOLATION LEVEL " + before.strict})
	}
	if before.readOnly {
		s.tx.prelude = append(s.tx.prelude, early{sql: "SET TRANSACTION READ ONLY"})
	}
}

// spanning is the error for what would need one snapshot of several shards.
func spanning(isolation string) *pgwire.Error {
	return &pgwire.Error{Code: "0A000", Message: "a " + isolation + " transaction cannot span shards", Detail: "There is no common snapshot of all shards.",
		Hint: "use READ COMMITTED for statements on several shards"}
}
