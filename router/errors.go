package router

import "fmt"

// The SQLSTATEs that routing answers with.
const (
	codeNotSupported = "0A000" // feature_not_supported
	codePrivilege    = "42501" // insufficient_privilege
	codeInvalid      = "22023" // invalid_parameter_value
	codeSyntax       = "42601" // syntax_error
	codeNoTable      = "42P01" // undefined_table
	codeNotNull      = "23502" // not_null_violation
	codeNoParameter  = "08P01" // protocol_violation
)

// Error is why a statement has no Route. Its parts are those of an
// ErrorResponse.
type Error struct {
	Code     string // SQLSTATE
	Message  string
	Detail   string
	Hint     string
	Position int // in characters from 1; 0: none

	unread bool // the statement names a tenant that only the server can compute
	spread bool // it names tenants of several shards, and may be split
	moves  bool // it gives rows another tenant
	nokey  bool // a value is no tenant
}

// ErrLong is what Route answers in the place of planning a statement for several
// shards, where it is to be brief: that runs the parser.
var ErrLong error = errLong

var errLong = &Error{Code: codeNotSupported, Message: "a statement for several shards was not planned, since that takes long"}

// Error implements error.
func (e *Error) Error() string {
	if e.Hint == "" {
		return fmt.Sprintf("%s (SQLSTATE %s)", e.Message, e.Code)
	}
	return fmt.Sprintf("%s (SQLSTATE %s; hint: %s)", e.Message, e.Code, e.Hint)
}

// refuse makes the error for a statement that cannot be routed.
func refuse(hint, format string, args ...any) *Error {
	return &Error{Code: codeNotSupported, Message: fmt.Sprintf(format, args...), Hint: hint}
}

// forbid makes the error for what a session bound to a tenant may not do.
func forbid(detail, format string, args ...any) *Error {
	return &Error{Code: codePrivilege, Message: fmt.Sprintf(format, args...), Detail: detail}
}
