package pool

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgdrover/pgdrover/pgwire"
)

// SQLSTATEs of an Error.
const (
	CodeTooMany     = "53300" // nobody gave a backend back in time, or too many wait already
	CodeUnreachable = "08006" // the node cannot be reached
	CodeStarting    = "57P03" // the node is starting or stopping
	CodeShutdown    = "57P01" // this cluster is closing
)

// ErrNotHeld says that a backend is not held by the request that was named, or not any more.
var ErrNotHeld = errors.New("the backend is not held by this request")

// Error says why there is no backend. Nothing has been sent to a node on the request's behalf, so it is safe to try again.
type Error struct {
	Code    string // SQLSTATE: one of the Code constants, or the node's own when it refused the login
	Message string // what is wrong
	Hint    string // what to do
	Node    string // shard, role and address; empty when it is no node's fault

	cause error
}

// Error is the message and the SQLSTATE.
func (e *Error) Error() string { return e.Message + " (SQLSTATE " + e.Code + ")" }

// Unwrap is what the dialler or the node said; nil when nobody was asked.
func (e *Error) Unwrap() error { return e.cause }

func (n *Node) queueFull(limit int) *Error {
	return &Error{
		Code: CodeTooMany, Node: n.String(),
		Message: fmt.Sprintf("%d requests wait for a backend of %s already", limit, n),
		Hint:    "The node is overloaded: look at SHOW NODES, shorten transactions, or raise pool.size.",
	}
}

func (n *Node) waitedTooLong(r *Request, l *limits) *Error {
	waited, limit := r.patience(l), "pool.wait"
	if waited < l.wait {
		limit = "the user's query_wait_timeout"
	}
	return &Error{
		Code: CodeTooMany, Node: n.String(),
		Message: fmt.Sprintf("no backend of %s became free within %s", n, waited),
		Hint:    fmt.Sprintf("All %d are in use: look at SHOW NODES, shorten transactions, or raise pool.size or %s.", l.size, limit),
	}
}

func (n *Node) gone() *Error {
	return &Error{
		Code: CodeShutdown, Node: n.String(),
		Message: fmt.Sprintf("PgDrover has given up its backends of %s", n),
		Hint:    "PgDrover is stopping, or the shard map has changed: try again.",
	}
}

// fault is what a failure to log in, or to probe, means.
type fault struct {
	err     *Error
	patient bool // it may pass by itself
	down    bool // the node serves nobody
}

func (n *Node) faultOf(err error) fault {
	code, message := sqlState(err)
	e := &Error{Code: code, Node: n.String(), cause: err}
	if answer := (*pgwire.Error)(nil); errors.As(err, &answer) {
		e.cause = nil // a *pgwire.Error is the answer to somebody's statement, which this is not
	}
	switch {
	case code == "":
		e.Code = CodeUnreachable
		e.Message = fmt.Sprintf("%s cannot be reached: %s", n, message)
		e.Hint = "Check that the node runs and that its address in shardmap.yaml is right; then try again."
		return fault{e, true, true}
	case strings.HasPrefix(code, "57P"):
		e.Code = CodeStarting
		e.Message = fmt.Sprintf("%s does not take connections now: %s", n, message)
		e.Hint = "The node is starting or stopping: try again."
		return fault{e, true, true}
	case strings.HasPrefix(code, "53"):
		e.Message = fmt.Sprintf("%s has no room for another backend: %s", n, message)
		e.Hint = "Raise max_connections on the node, or lower pool.size."
		return fault{e, true, false}
	}
	e.Message = fmt.Sprintf("%s refused the login of user %s@%s: %s", n, n.user(), n.addr, message)
	e.Hint = "Look at `backend:` in pgdrover.yaml, and at the node's pg_hba.conf and log."
	if n.owner != nil {
		e.Hint = "The node has to keep the verifier that PgDrover knows of the user, and its pg_hba.conf to ask for scram-sha-256; then log in again."
	}
	return fault{e, false, false}
}

// sqlState is the SQLSTATE that a node answered with, empty if it did not answer, and what was said, on one line.
func sqlState(err error) (code, message string) {
	var login *pgconn.PgError
	if errors.As(err, &login) {
		return login.Code, login.Message
	}
	var answer *pgwire.Error
	if errors.As(err, &answer) {
		return answer.Code, answer.Message
	}
	var attempt *pgconn.ConnectError
	if errors.As(err, &attempt) && attempt.Unwrap() != nil {
		err = attempt.Unwrap()
	}
	return "", strings.Join(strings.Fields(strings.ReplaceAll(err.Error(), "\n", "; ")), " ")
}
