package pgwire

import (
	"reflect"
	"strings"
	"testing"

	"github.com/jackc/pgproto3/v2"
)

// TestLoginMessages compares what a client sends with the messages of an independent implementation.
func TestLoginMessages(t *testing.T) {
	startup := AppendStartup(nil, []Param{{"user", "alice"}, {"database", "app"}})
	encode := func(m pgproto3.Message) []byte {
		b, err := m.(interface{ Encode([]byte) ([]byte, error) }).Encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	want := encode(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersionNumber, Parameters: map[string]string{"user": "alice"}})
	if got := AppendStartup(nil, []Param{{"user", "alice"}}); !reflect.DeepEqual(got, want) {
		t.Errorf("startup %q, want %q", got, want)
	}
	parsed, err := ParseStartup(startup)
	if name, _ := parsed.Param("database"); err != nil || parsed.Minor != 0 || name != "app" {
		t.Errorf("%+v, %v", parsed, err)
	}
	want = encode(&pgproto3.SASLInitialResponse{AuthMechanism: "SCRAM-SHA-256", Data: []byte("n,,n=,r=x")})
	if got := AppendSASLInitialResponse(nil, "SCRAM-SHA-256", []byte("n,,n=,r=x")); !reflect.DeepEqual(got, want) {
		t.Errorf("first response %q, want %q", got, want)
	}
	want = encode(&pgproto3.SASLResponse{Data: []byte("c=biws")})
	if got := AppendSASLResponse(nil, []byte("c=biws")); !reflect.DeepEqual(got, want) {
		t.Errorf("response %q, want %q", got, want)
	}
}

func TestAuthentication(t *testing.T) {
	for want, frame := range map[AuthenticationKind][]byte{
		AuthenticationOk: AppendAuthenticationOk(nil), AuthenticationCleartext: AppendAuthenticationCleartext(nil),
		AuthenticationMD5: AppendAuthenticationMD5(nil, [4]byte{1, 2, 3, 4}), AuthenticationSASLContinue: AppendAuthenticationSASLContinue(nil, []byte("r=")),
		AuthenticationSASLFinal: AppendAuthenticationSASLFinal(nil, []byte("v=")), AuthenticationSASL: AppendAuthenticationSASL(nil, []string{"A", "B"}),
	} {
		kind, _, err := Authentication(frame)
		if err != nil || kind != want {
			t.Errorf("%q: kind %d, %v", frame, kind, err)
		}
	}
	for _, bad := range []string{"", "R", "R\x00\x00\x00\x04", "R\x00\x00\x00\x07\x00\x00\x00", "S\x00\x00\x00\x08\x00\x00\x00\x00"} {
		if _, _, err := Authentication([]byte(bad)); err == nil {
			t.Errorf("%q is taken for an Authentication message", bad)
		}
	}
	for content, want := range map[string]string{"A\x00\x00": "A", "A\x00B\x00\x00": "A B", "": "", "\x00": "", "A": "", "A\x00": "", "A\x00\x00B\x00\x00": ""} {
		names, err := Mechanisms([]byte(content))
		if got := strings.Join(names, " "); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", content, got, err)
		}
	}
}
