package pgwire

import (
	"strconv"

	"github.com/jackc/pgx/v5/pgproto3"
)

// Severities of an [Error]. After FATAL and PANIC the server closes the
// connection.
const (
	SeverityError   = "ERROR"
	SeverityFatal   = "FATAL"
	SeverityPanic   = "PANIC"
	SeverityWarning = "WARNING"
	SeverityNotice  = "NOTICE"
)

// Fields of an ErrorResponse or NoticeResponse, for [ErrorField].
const (
	FieldSeverity byte = 'V' // not translated
	FieldCode     byte = 'C' // SQLSTATE
	FieldMessage  byte = 'M'
	FieldDetail   byte = 'D'
	FieldHint     byte = 'H'
	FieldRoutine  byte = 'R' // of the server's source, not translated
)

var (
	errError  = &FormatError{"ErrorResponse", "it is not a list of fields ended by a NUL byte"}
	errNotice = &FormatError{"NoticeResponse", "it is not a list of fields ended by a NUL byte"}
)

// Error is an ErrorResponse or NoticeResponse. Empty and zero fields are not
// sent.
type Error struct {
	Severity         string // not translated; when empty, ERROR or NOTICE is sent
	Code             string // SQLSTATE
	Message          string
	Detail           string
	Hint             string
	Position         int32 // in the client's statement, in characters, counted from 1
	InternalPosition int32 // in InternalQuery
	InternalQuery    string
	Where            string
	Schema           string
	Table            string
	Column           string
	DataType         string
	Constraint       string
	File             string // of the server's source, as Line and Routine
	Line             int32
	Routine          string
}

// Error is the severity, message and SQLSTATE on one line.
func (e *Error) Error() string {
	severity := e.Severity
	if severity == "" {
		severity = SeverityError
	}
	return severity + ": " + e.Message + " (SQLSTATE " + e.Code + ")"
}

// AppendError adds an ErrorResponse message.
func AppendError(dst []byte, e *Error) []byte {
	dst, start := begin(dst, MsgErrorResponse)
	return finish(e.appendFields(dst, SeverityError), start)
}

// AppendNotice adds a NoticeResponse message.
func AppendNotice(dst []byte, e *Error) []byte {
	dst, start := begin(dst, MsgNoticeResponse)
	return finish(e.appendFields(dst, SeverityNotice), start)
}

func (e *Error) appendFields(dst []byte, severity string) []byte {
	if e.Severity != "" {
		severity = e.Severity
	}
	dst = appendField(dst, 'S', severity)
	dst = appendField(dst, FieldSeverity, severity)
	dst = appendField(dst, FieldCode, e.Code)
	dst = appendField(dst, FieldMessage, e.Message)
	dst = appendField(dst, FieldDetail, e.Detail)
	dst = appendField(dst, FieldHint, e.Hint)
	dst = appendNumber(dst, 'P', e.Position)
	dst = appendNumber(dst, 'p', e.InternalPosition)
	dst = appendField(dst, 'q', e.InternalQuery)
	dst = appendField(dst, 'W', e.Where)
	dst = appendField(dst, 's', e.Schema)
	dst = appendField(dst, 't', e.Table)
	dst = appendField(dst, 'c', e.Column)
	dst = appendField(dst, 'd', e.DataType)
	dst = appendField(dst, 'n', e.Constraint)
	dst = appendField(dst, 'F', e.File)
	dst = appendNumber(dst, 'L', e.Line)
	dst = appendField(dst, 'R', e.Routine)
	return append(dst, 0)
}

func appendField(dst []byte, field byte, value string) []byte {
	if value == "" {
		return dst
	}
	return appendString(append(dst, field), value)
}

func appendNumber(dst []byte, field byte, n int32) []byte {
	if n == 0 {
		return dst
	}
	dst = strconv.AppendInt(append(dst, field), int64(n), 10)
	return append(dst, 0)
}

// ErrorField is a view of one field of an ErrorResponse or NoticeResponse
// frame; nil when the frame does not have it. It allocates nothing, and is
// meant for deciding by SQLSTATE whether to look further.
func ErrorField(frame []byte, field byte) []byte {
	b, ok := body(frame, MsgErrorResponse)
	if !ok {
		b, ok = body(frame, MsgNoticeResponse)
	}
	for ok && len(b) > 0 && b[0] != 0 {
		var value []byte
		typ := b[0]
		value, b, ok = cutString(b[1:])
		if typ == field {
			return value
		}
	}
	return nil
}

// DecodeError reads an ErrorResponse or NoticeResponse frame. What it returns
// does not refer to the frame.
func DecodeError(frame []byte) (*Error, error) {
	malformed := errError
	b, ok := body(frame, MsgErrorResponse)
	if !ok {
		malformed = errNotice
		b, ok = body(frame, MsgNoticeResponse)
	}
	if !ok {
		return nil, errError
	}
	var m pgproto3.ErrorResponse
	if err := m.Decode(b); err != nil {
		return nil, malformed
	}
	e := &Error{
		Severity:         m.SeverityUnlocalized,
		Code:             m.Code,
		Message:          m.Message,
		Detail:           m.Detail,
		Hint:             m.Hint,
		Position:         m.Position,
		InternalPosition: m.InternalPosition,
		InternalQuery:    m.InternalQuery,
		Where:            m.Where,
		Schema:           m.SchemaName,
		Table:            m.TableName,
		Column:           m.ColumnName,
		DataType:         m.DataTypeName,
		Constraint:       m.ConstraintName,
		File:             m.File,
		Line:             m.Line,
		Routine:          m.Routine,
	}
	if e.Severity == "" {
		e.Severity = m.Severity
	}
	return e, nil
}
