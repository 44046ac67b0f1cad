package proxy

import (
	"errors"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/router"
)

// clientError is what the client is told of an error that PgDrover itself met.
func clientError(err error) *pgwire.Error {
	var wire *pgwire.Error
	if errors.As(err, &wire) {
		return wire
	}
	var routing *router.Error
	if errors.As(err, &routing) {
		return &pgwire.Error{Code: routing.Code, Message: routing.Message, Detail: routing.Detail, Hint: routing.Hint,
			Position: int32(routing.Position)}
	}
	var backend *pool.Error
	if errors.As(err, &backend) {
		return &pgwire.Error{Code: backend.Code, Message: backend.Message, Hint: backend.Hint}
	}
	return &pgwire.Error{Code: "XX000", Message: err.Error()}
}

var (
	errAborted = &pgwire.Error{Code: "25P02",
		Message: "current transaction is aborted, commands ignored until end of transaction block"}
	errCancelled = &pgwire.Error{Code: "57014", Message: "canceling statement due to user request"}
	errShutdown  = &pgwire.Error{Severity: pgwire.SeverityFatal, Code: "57P01",
		Message: "terminating connection due to administrator command"}
	errProtocol = &pgwire.Error{Severity: pgwire.SeverityFatal, Code: "08P01", Message: "invalid message format"}
)

// lostError says that the connection to a node broke while a statement was in flight.
func lostError(node string, cause error) *pgwire.Error {
	e := &pgwire.Error{Code: "08006", Message: "connection to node " + node + " was lost while a statement was in flight",
		Hint: "whether the statement took effect is not known; look before you repeat it"}
	if cause != nil {
		e.Detail = cause.Error()
	}
	return e
}
