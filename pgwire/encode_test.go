package pgwire

import (
	"bytes"
	"math"
	"strings"
	"testing"

	peer "github.com/jackc/pgproto3/v2"
	"github.com/jackc/pgx/v5/pgproto3"
)

// encoder is any message of pgx's pgproto3 and of pgproto3/v2.
type encoder interface {
	Encode(dst []byte) ([]byte, error)
}

// TestEncode holds every encoder to what pgx's pgproto3 and, where it can,
// the independent pgproto3/v2 put on the wire for the same message.
func TestEncode(t *testing.T) {
	secret := []byte{1, 2, 3, 4}
	long := bytes.Repeat([]byte{0xa5}, 32)
	text := strings.Repeat("ż", 5000)
	oids := []byte{0, 2, 0, 0, 0, 20, 0, 0, 0, 25}
	tests := []struct {
		name string
		got  []byte
		v5   encoder
		v2   encoder
	}{
		{"Query", AppendQuery(nil, "SELECT 1"), &pgproto3.Query{String: "SELECT 1"}, &peer.Query{String: "SELECT 1"}},
		{"Query empty", AppendQuery(nil, ""), &pgproto3.Query{}, &peer.Query{}},
		{"Query long", AppendQuery(nil, text), &pgproto3.Query{String: text}, &peer.Query{String: text}},
		{"Parse", AppendParse(nil, "s", "SELECT $1", oids),
			&pgproto3.Parse{Name: "s", Query: "SELECT $1", ParameterOIDs: []uint32{20, 25}},
			&peer.Parse{Name: "s", Query: "SELECT $1", ParameterOIDs: []uint32{20, 25}}},
		{"Parse without types", AppendParse(nil, "", "SELECT 1", nil), &pgproto3.Parse{Query: "SELECT 1"}, &peer.Parse{Query: "SELECT 1"}},
		{"Describe statement", AppendDescribeNamed(nil, "s"), &pgproto3.Describe{ObjectType: 'S', Name: "s"}, &peer.Describe{ObjectType: 'S', Name: "s"}},
		{"Describe portal", AppendDescribe(nil, ObjectPortal, "p"), &pgproto3.Describe{ObjectType: 'P', Name: "p"}, &peer.Describe{ObjectType: 'P', Name: "p"}},
		{"Close statement", AppendCloseNamed(nil, "s"), &pgproto3.Close{ObjectType: 'S', Name: "s"}, &peer.Close{ObjectType: 'S', Name: "s"}},
		{"Close portal", AppendClose(nil, ObjectPortal, ""), &pgproto3.Close{ObjectType: 'P'}, &peer.Close{ObjectType: 'P'}},
		{"Execute", AppendExecute(nil, "p", 7), &pgproto3.Execute{Portal: "p", MaxRows: 7}, &peer.Execute{Portal: "p", MaxRows: 7}},
		{"Execute all", AppendExecute(nil, "", 0), &pgproto3.Execute{}, &peer.Execute{}},
		{"Sync", AppendSync(nil), &pgproto3.Sync{}, &peer.Sync{}},
		{"Flush", AppendFlush(nil), &pgproto3.Flush{}, &peer.Flush{}},
		{"Terminate", AppendTerminate(nil), &pgproto3.Terminate{}, &peer.Terminate{}},
		{"CopyFail", AppendCopyFail(nil, "no"), &pgproto3.CopyFail{Message: "no"}, &peer.CopyFail{Message: "no"}},
		{"CancelRequest", AppendCancelRequest(nil, 4711, secret),
			&pgproto3.CancelRequest{ProcessID: 4711, SecretKey: secret},
			&peer.CancelRequest{ProcessID: 4711, SecretKey: 0x01020304}},
		{"CancelRequest 3.2", AppendCancelRequest(nil, math.MaxUint32, long),
			&pgproto3.CancelRequest{ProcessID: math.MaxUint32, SecretKey: long}, nil},

		{"ParseComplete", AppendParseComplete(nil), &pgproto3.ParseComplete{}, &peer.ParseComplete{}},
		{"BindComplete", AppendBindComplete(nil), &pgproto3.BindComplete{}, &peer.BindComplete{}},
		{"CloseComplete", AppendCloseComplete(nil), &pgproto3.CloseComplete{}, &peer.CloseComplete{}},
		{"NoData", AppendNoData(nil), &pgproto3.NoData{}, &peer.NoData{}},
		{"PortalSuspended", AppendPortalSuspended(nil), &pgproto3.PortalSuspended{}, &peer.PortalSuspended{}},
		{"EmptyQuery", AppendEmptyQuery(nil), &pgproto3.EmptyQueryResponse{}, &peer.EmptyQueryResponse{}},
		{"ReadyForQuery", AppendReadyForQuery(nil, StatusFailed), &pgproto3.ReadyForQuery{TxStatus: 'E'}, &peer.ReadyForQuery{TxStatus: 'E'}},
		{"CommandComplete", AppendCommandComplete(nil, "INSERT 0 1"),
			&pgproto3.CommandComplete{CommandTag: []byte("INSERT 0 1")}, &peer.CommandComplete{CommandTag: []byte("INSERT 0 1")}},
		{"ParameterStatus", AppendParameterStatus(nil, "TimeZone", "UTC"),
			&pgproto3.ParameterStatus{Name: "TimeZone", Value: "UTC"}, &peer.ParameterStatus{Name: "TimeZone", Value: "UTC"}},
		{"BackendKeyData", AppendBackendKeyData(nil, 4711, secret),
			&pgproto3.BackendKeyData{ProcessID: 4711, SecretKey: secret}, &peer.BackendKeyData{ProcessID: 4711, SecretKey: 0x01020304}},
		{"BackendKeyData 3.2", AppendBackendKeyData(nil, 4711, long), &pgproto3.BackendKeyData{ProcessID: 4711, SecretKey: long}, nil},
		{"AuthenticationOk", AppendAuthenticationOk(nil), &pgproto3.AuthenticationOk{}, &peer.AuthenticationOk{}},
		{"AuthenticationCleartext", AppendAuthenticationCleartext(nil), &pgproto3.AuthenticationCleartextPassword{}, &peer.AuthenticationCleartextPassword{}},
		{"AuthenticationSASL", AppendAuthenticationSASL(nil, []string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"}),
			&pgproto3.AuthenticationSASL{AuthMechanisms: []string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"}},
			&peer.AuthenticationSASL{AuthMechanisms: []string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"}}},
		{"AuthenticationSASLContinue", AppendAuthenticationSASLContinue(nil, []byte("r=x")),
			&pgproto3.AuthenticationSASLContinue{Data: []byte("r=x")}, &peer.AuthenticationSASLContinue{Data: []byte("r=x")}},
		{"AuthenticationSASLFinal", AppendAuthenticationSASLFinal(nil, []byte("v=x")),
			&pgproto3.AuthenticationSASLFinal{Data: []byte("v=x")}, &peer.AuthenticationSASLFinal{Data: []byte("v=x")}},
		{"NegotiateProtocolVersion", AppendNegotiateProtocolVersion(nil, 2, []string{"_pq_.a", "_pq_.b"}),
			&pgproto3.NegotiateProtocolVersion{NewestMinorProtocol: pgproto3.ProtocolVersion32, UnrecognizedOptions: []string{"_pq_.a", "_pq_.b"}}, nil},
		{"RowDescription", AppendRowDescription(nil, []Column{{"a", 20, 8, 1}, {"ż", 25, -1, 0}}),
			&pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{
				{Name: []byte("a"), DataTypeOID: 20, DataTypeSize: 8, TypeModifier: -1, Format: 1},
				{Name: []byte("ż"), DataTypeOID: 25, DataTypeSize: -1, TypeModifier: -1}}},
			&peer.RowDescription{Fields: []peer.FieldDescription{
				{Name: []byte("a"), DataTypeOID: 20, DataTypeSize: 8, TypeModifier: -1, Format: 1},
				{Name: []byte("ż"), DataTypeOID: 25, DataTypeSize: -1, TypeModifier: -1}}}},
		{"RowDescription of nothing", AppendRowDescription(nil, nil), &pgproto3.RowDescription{}, &peer.RowDescription{}},
		{"DataRow", AppendDataRow(nil, [][]byte{nil, {}, []byte("x")}),
			&pgproto3.DataRow{Values: [][]byte{nil, {}, []byte("x")}}, &peer.DataRow{Values: [][]byte{nil, {}, []byte("x")}}},
		{"ParameterDescription", AppendParameterDescription(nil, []uint32{20, math.MaxUint32}),
			&pgproto3.ParameterDescription{ParameterOIDs: []uint32{20, math.MaxUint32}},
			&peer.ParameterDescription{ParameterOIDs: []uint32{20, math.MaxUint32}}},
		{"ErrorResponse", AppendError(nil, fullError()), &wantError, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			compare(t, "pgx/v5/pgproto3", tt.got, tt.v5)
			if tt.v2 != nil {
				compare(t, "pgproto3/v2", tt.got, tt.v2)
			}
		})
	}
}

func compare(t *testing.T, who string, got []byte, m encoder) {
	t.Helper()
	want, err := m.Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s encodes otherwise\n got %x\nwant %x", who, got, want)
	}
}

func TestAppendKeepsWhatIsThere(t *testing.T) {
	buf := AppendQuery([]byte("before"), "SELECT 1")
	buf = AppendCancelRequest(buf, 1, []byte{1, 2, 3, 4})
	buf = AppendNotice(buf, &Error{Message: "hi"})
	want := "before" + string(AppendQuery(nil, "SELECT 1")) + string(AppendCancelRequest(nil, 1, []byte{1, 2, 3, 4})) +
		string(AppendNotice(nil, &Error{Message: "hi"}))
	if string(buf) != want {
		t.Errorf("got %q, want %q", buf, want)
	}
}

// A NUL in a string must not move what follows it into another field.
func TestStringsEndAtNUL(t *testing.T) {
	for _, tt := range []struct {
		name      string
		got, want []byte
	}{
		{"Query", AppendQuery(nil, "SELECT 1\x00; DROP"), AppendQuery(nil, "SELECT 1")},
		{"Parse", AppendParse(nil, "a\x00b", "SELECT\x00 1", nil), AppendParse(nil, "a", "SELECT", nil)},
		{"Error", AppendError(nil, &Error{Message: "a\x00Cfalse"}), AppendError(nil, &Error{Message: "a"})},
		{"ParameterStatus", AppendParameterStatus(nil, "a\x00b", "c\x00d"), AppendParameterStatus(nil, "a", "c")},
	} {
		if !bytes.Equal(tt.got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.name, tt.got, tt.want)
		}
	}
}

func TestTooManyColumnsPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("65536 columns were encoded")
		}
	}()
	AppendDataRow(nil, make([][]byte, math.MaxUint16+1))
}
