package pgwire

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	peer "github.com/jackc/pgproto3/v2"
	"github.com/jackc/pgx/v5/pgproto3"
)

// show runs the look-in of a message's type and prints what it found.
func show(toServer bool, frame []byte) (string, error) {
	var out string
	var err error
	switch {
	case toServer && frame[0] == MsgQuery:
		var text []byte
		text, err = QueryText(frame)
		out = string(text)
	case toServer && frame[0] == MsgDescribe:
		out, err = showObject(DecodeDescribe(frame))
	case toServer && frame[0] == MsgClose:
		out, err = showObject(DecodeClose(frame))
	case toServer && frame[0] == MsgExecute:
		portal, rows, e := DecodeExecute(frame)
		out, err = fmt.Sprintf("%s %d", portal, rows), e
	case frame[0] == MsgParameterStatus:
		name, value, e := ParameterStatus(frame)
		out, err = fmt.Sprintf("%s %s", name, value), e
	case frame[0] == MsgReadyForQuery:
		status, e := ReadyStatus(frame)
		out, err = string(rune(status)), e
	case frame[0] == MsgCommandComplete:
		tag, e := CommandTag(frame)
		out, err = string(tag), e
	case frame[0] == MsgBackendKeyData:
		pid, secret, e := BackendKeyData(frame)
		out, err = fmt.Sprintf("%d %x", pid, secret), e
	case frame[0] == MsgNotification:
		pid, channel, payload, e := Notification(frame)
		out, err = fmt.Sprintf("%d %s %s", pid, channel, payload), e
	default:
		err = fmt.Errorf("no look-in for %q", frame[0])
	}
	return out, err
}

func showObject(kind byte, name []byte, err error) (string, error) {
	return fmt.Sprintf("%c %s", kind, name), err
}

func TestLookIns(t *testing.T) {
	long := bytes.Repeat([]byte{0xa5}, 32)
	for _, tt := range []struct {
		want     string
		toServer bool
		v5, v2   encoder
	}{
		{"SELECT 1", true, &pgproto3.Query{String: "SELECT 1"}, &peer.Query{String: "SELECT 1"}},
		{"", true, &pgproto3.Query{}, &peer.Query{}},
		{"S s", true, &pgproto3.Describe{ObjectType: 'S', Name: "s"}, &peer.Describe{ObjectType: 'S', Name: "s"}},
		{"P ", true, &pgproto3.Describe{ObjectType: 'P'}, &peer.Describe{ObjectType: 'P'}},
		{"S s", true, &pgproto3.Close{ObjectType: 'S', Name: "s"}, &peer.Close{ObjectType: 'S', Name: "s"}},
		{"p 4294967295", true, &pgproto3.Execute{Portal: "p", MaxRows: 1<<32 - 1}, &peer.Execute{Portal: "p", MaxRows: 1<<32 - 1}},
		{"TimeZone UTC", false, &pgproto3.ParameterStatus{Name: "TimeZone", Value: "UTC"}, &peer.ParameterStatus{Name: "TimeZone", Value: "UTC"}},
		{"application_name ", false, &pgproto3.ParameterStatus{Name: "application_name"}, &peer.ParameterStatus{Name: "application_name"}},
		{"I", false, &pgproto3.ReadyForQuery{TxStatus: 'I'}, &peer.ReadyForQuery{TxStatus: 'I'}},
		{"T", false, &pgproto3.ReadyForQuery{TxStatus: 'T'}, &peer.ReadyForQuery{TxStatus: 'T'}},
		{"E", false, &pgproto3.ReadyForQuery{TxStatus: 'E'}, &peer.ReadyForQuery{TxStatus: 'E'}},
		{"SELECT 5", false, &pgproto3.CommandComplete{CommandTag: []byte("SELECT 5")}, &peer.CommandComplete{CommandTag: []byte("SELECT 5")}},
		{"7 01020304", false, &pgproto3.BackendKeyData{ProcessID: 7, SecretKey: []byte{1, 2, 3, 4}}, &peer.BackendKeyData{ProcessID: 7, SecretKey: 0x01020304}},
		{fmt.Sprintf("7 %x", long), false, &pgproto3.BackendKeyData{ProcessID: 7, SecretKey: long}, nil},
		{"7 c p", false, &pgproto3.NotificationResponse{PID: 7, Channel: "c", Payload: "p"}, &peer.NotificationResponse{PID: 7, Channel: "c", Payload: "p"}},
		{"7 c ", false, &pgproto3.NotificationResponse{PID: 7, Channel: "c"}, &peer.NotificationResponse{PID: 7, Channel: "c"}},
	} {
		for _, m := range []encoder{tt.v5, tt.v2} {
			if m == nil {
				continue
			}
			frame, err := m.Encode(nil)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := show(tt.toServer, frame); err != nil || got != tt.want {
				t.Errorf("%T: got %q, %v; want %q", m, got, err, tt.want)
			}
			refusesCuts(t, tt.toServer, frame)
		}
	}
}

// refusesCuts checks that no beginning of the frame's body is taken for a
// whole one, and no body with a byte too many.
func refusesCuts(t *testing.T, toServer bool, whole []byte) {
	t.Helper()
	end := len(whole)
	if whole[0] == MsgBackendKeyData && !toServer {
		end = HeaderLen + 4 + MinSecretLen // shorter secrets than that sent are secrets, too
	}
	var format *FormatError
	for n := HeaderLen; n < end; n++ {
		if got, err := show(toServer, reframe(whole[0], whole[HeaderLen:n])); !errors.As(err, &format) {
			t.Errorf("%d bytes of %q: got %q, %v", n, whole, got, err)
		}
	}
	if whole[0] == MsgBackendKeyData && !toServer {
		return
	}
	if got, err := show(toServer, reframe(whole[0], append(bytes.Clone(whole[HeaderLen:]), 'x'))); !errors.As(err, &format) {
		t.Errorf("%q and a byte: got %q, %v", whole, got, err)
	}
}

func TestLookInsAllocateNothing(t *testing.T) {
	frames := [][]byte{
		AppendQuery(nil, "SELECT 1"), AppendParse(nil, "s", "SELECT 1", nil), AppendDescribeNamed(nil, "s"), AppendExecute(nil, "", 0),
		AppendReadyForQuery(nil, 'I'), AppendCommandComplete(nil, "SELECT 1"), AppendParameterStatus(nil, "a", "b"),
		reframe(MsgQuery, nil), reframe(MsgParse, nil), reframe(MsgExecute, nil), reframe(MsgReadyForQuery, nil),
	}
	var p Parse
	if n := testing.AllocsPerRun(100, func() {
		for _, frame := range frames {
			_, _ = QueryText(frame)
			_ = DecodeParse(frame, &p)
			_, _, _ = DecodeDescribe(frame)
			_, _, _ = DecodeClose(frame)
			_, _, _ = DecodeExecute(frame)
			_, _ = ReadyStatus(frame)
			_, _ = CommandTag(frame)
			_, _, _ = ParameterStatus(frame)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Views end where they end: appending to one must not write into the frame.
func TestViewsAreCut(t *testing.T) {
	frame := AppendParse(nil, "s", "SELECT 1", nil)
	want := bytes.Clone(frame)
	var p Parse
	if err := DecodeParse(frame, &p); err != nil {
		t.Fatal(err)
	}
	_ = append(p.Name, "longer"...)
	_ = append(p.Text, "longer"...)
	if !bytes.Equal(frame, want) {
		t.Errorf("the frame became %q", frame)
	}
}

func TestPasswordMessages(t *testing.T) {
	for _, m := range []encoder{
		&pgproto3.SASLInitialResponse{AuthMechanism: "SCRAM-SHA-256", Data: []byte("n,,n=,r=x")},
		&peer.SASLInitialResponse{AuthMechanism: "SCRAM-SHA-256", Data: []byte("n,,n=,r=x")},
	} {
		frame := encode(t, m)
		mechanism, response, err := SASLInitialResponse(frame)
		if err != nil || string(mechanism) != "SCRAM-SHA-256" || string(response) != "n,,n=,r=x" {
			t.Errorf("%T: %q %q %v", m, mechanism, response, err)
		}
	}
	if m, response, err := SASLInitialResponse(reframe(MsgPassword, []byte("X\x00\xff\xff\xff\xff"))); string(m) != "X" || response != nil || err != nil {
		t.Errorf("without a response: %q %q %v", m, response, err)
	}
	for _, m := range []encoder{&pgproto3.SASLResponse{Data: []byte("c=biws")}, &peer.SASLResponse{Data: []byte("c=biws")}} {
		if got, err := SASLResponse(encode(t, m)); err != nil || string(got) != "c=biws" {
			t.Errorf("%T: %q %v", m, got, err)
		}
	}
	for _, m := range []encoder{&pgproto3.PasswordMessage{Password: "secret"}, &peer.PasswordMessage{Password: "secret"}} {
		if got, err := PasswordMessage(encode(t, m)); err != nil || got != "secret" {
			t.Errorf("%T: %q %v", m, got, err)
		}
	}
	for _, body := range []string{"", "x", "SCRAM-SHA-256\x00", "SCRAM-SHA-256\x00\x00\x00\x00\x09n", "SCRAM-SHA-256\x00\x7f\xff\xff\xff", "X\x00\xff\xff\xff\xfex", "X\x00\xff\xff\xff\xff\x00", "X\x00\x00\x00\x00\x00\x00"} {
		if _, _, err := SASLInitialResponse(reframe(MsgPassword, []byte(body))); err == nil {
			t.Errorf("SASLInitialResponse took %q", body)
		}
	}
	for _, body := range []string{"", "x", "a\x00b\x00"} {
		if got, err := PasswordMessage(reframe(MsgPassword, []byte(body))); err == nil {
			t.Errorf("PasswordMessage took %q as %q", body, got)
		}
	}
	for _, frame := range [][]byte{nil, AppendSync(nil)} {
		_, _, err1 := SASLInitialResponse(frame)
		_, err2 := SASLResponse(frame)
		_, err3 := PasswordMessage(frame)
		if err1 == nil || err2 == nil || err3 == nil {
			t.Errorf("%q was taken: %v %v %v", frame, err1, err2, err3)
		}
	}
}

func encode(t *testing.T, m encoder) []byte {
	t.Helper()
	frame, err := m.Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	return frame
}
