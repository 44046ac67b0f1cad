package proxy

import (
	"errors"
	"time"

	"github.com/pgdrover/pgdrover/pgwire"
)

// turns lets a number of logins compute at once; the others wait in the order in which they came. A turn is for the processor
// alone: nobody holds one while waiting for a client or a node.
type turns chan struct{}

// errNoTurn is what a login gets whose time is over before its turn.
var errNoTurn = errors.New("too many logins at once")

// take waits for a turn, works, and gives the turn back. It may block, until the deadline at most.
func (q turns) take(until time.Time, work func()) error {
	select {
	case q <- struct{}{}:
	default:
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		select {
		case q <- struct{}{}:
		case <-timer.C:
			return errNoTurn
		}
	}
	defer func() { <-q }()
	work()
	return nil
}

// compute does work of a login when it is its turn.
func (s *session) compute(until time.Time, work func()) *pgwire.Error {
	var err error
	s.t.Await(func() { err = s.cfg.turns.take(until, work) })
	if err != nil {
		return errAuthTimeout
	}
	return nil
}

// errAuthTimeout is PostgreSQL's error for a client that has not logged in in time.
var errAuthTimeout = &pgwire.Error{Code: "57014", Message: "canceling authentication due to timeout",
	Hint: "the limit is \"limits: auth_timeout\" in pgdrover.yaml"}
