package pgwire

import (
	"errors"
	"testing"

	peer "github.com/jackc/pgproto3/v2"
	"github.com/jackc/pgx/v5/pgproto3"
)

// wantError is fullError as pgproto3 has it.
var wantError = pgproto3.ErrorResponse{
	Severity: "ERROR", SeverityUnlocalized: "ERROR", Code: "23505", Message: "duplicate key", Detail: "Key (id)=(1).", Hint: "Try 2.",
	Position: 3, InternalPosition: 4, InternalQuery: "SELECT", Where: "function f", SchemaName: "public", TableName: "t",
	ColumnName: "id", DataTypeName: "int8", ConstraintName: "t_pkey", File: "nbtinsert.c", Line: 664, Routine: "_bt_check_unique",
}

func fullError() *Error {
	return &Error{
		Severity: "ERROR", Code: "23505", Message: "duplicate key", Detail: "Key (id)=(1).", Hint: "Try 2.",
		Position: 3, InternalPosition: 4, InternalQuery: "SELECT", Where: "function f", Schema: "public", Table: "t",
		Column: "id", DataType: "int8", Constraint: "t_pkey", File: "nbtinsert.c", Line: 664, Routine: "_bt_check_unique",
	}
}

func TestErrorRoundTrip(t *testing.T) {
	for _, frame := range [][]byte{AppendError(nil, fullError()), AppendNotice(nil, fullError())} {
		e, err := DecodeError(frame)
		if err != nil || *e != *fullError() {
			t.Errorf("decoded %+v, %v", e, err)
		}
	}
}

// An old server sends no untranslated severity; a field we do not know is
// passed over.
func TestErrorFromOldServer(t *testing.T) {
	frame, err := (&peer.ErrorResponse{Severity: "FEHLER", Code: "42601", Message: "Syntaxfehler", UnknownFields: map[byte]string{'!': "x"}}).Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	e, err := DecodeError(frame)
	if want := (Error{Severity: "FEHLER", Code: "42601", Message: "Syntaxfehler"}); err != nil || *e != want {
		t.Errorf("decoded %+v, %v", e, err)
	}
	if got := e.Error(); got != "FEHLER: Syntaxfehler (SQLSTATE 42601)" {
		t.Errorf("text %q", got)
	}
}

func TestErrorDefaults(t *testing.T) {
	e, err := DecodeError(AppendError(nil, &Error{Code: "0A000", Message: "no"}))
	if err != nil || e.Severity != SeverityError {
		t.Errorf("error: %+v, %v", e, err)
	}
	e, err = DecodeError(AppendNotice(nil, &Error{Code: "00000", Message: "no"}))
	if err != nil || e.Severity != SeverityNotice {
		t.Errorf("notice: %+v, %v", e, err)
	}
}

func TestErrorField(t *testing.T) {
	frame := AppendError(nil, fullError())
	for _, tt := range []struct {
		field byte
		want  string
	}{
		{FieldSeverity, "ERROR"}, {FieldCode, "23505"}, {FieldMessage, "duplicate key"}, {FieldDetail, "Key (id)=(1)."}, {FieldHint, "Try 2."}, {'R', "_bt_check_unique"},
	} {
		if got := ErrorField(frame, tt.field); string(got) != tt.want {
			t.Errorf("%c: %q, want %q", tt.field, got, tt.want)
		}
	}
	if got := ErrorField(AppendNotice(nil, fullError()), FieldCode); string(got) != "23505" {
		t.Errorf("notice: %q", got)
	}
	for _, bad := range [][]byte{nil, AppendSync(nil), frame[:len(frame)-1], []byte("E\x00\x00\x00\x06CX"), []byte("E\x00\x00\x00\x04")} {
		if got := ErrorField(bad, FieldCode); got != nil {
			t.Errorf("%x: %q", bad, got)
		}
	}
	if n := testing.AllocsPerRun(100, func() { ErrorField(frame, FieldHint) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestDecodeErrorRefuses(t *testing.T) {
	for _, frame := range [][]byte{nil, AppendSync(nil), []byte("E\x00\x00\x00\x04"), []byte("N\x00\x00\x00\x06CX")} {
		_, err := DecodeError(frame)
		var format *FormatError
		if !errors.As(err, &format) {
			t.Errorf("%q: %v", frame, err)
		}
	}
}
