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

// spanning is the error for what would need one snapshot of several shards.
func spanning(isolation string) *pgwire.Error {
	return &pgwire.Error{Code: "0A000", Message: "a " + isolation + " transaction cannot span shards", Detail: "There is no common snapshot of all shards.",
		Hint: "use READ COMMITTED for statements on several shards"}
}
