package pgwire

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	peer "github.com/jackc/pgproto3/v2"
	"github.com/jackc/pgx/v5/pgproto3"
)

// packet is a first packet with a code and a body.
func packet(code uint32, body string) []byte {
	b := []byte{0, 0, 0, 0, byte(code >> 24), byte(code >> 16), byte(code >> 8), byte(code)}
	b = append(b, body...)
	setLength(b)
	return b
}

func TestParseStartup(t *testing.T) {
	s, err := ParseStartup(packet(3<<16|9999, "user\x00app\x00_pq_.x\x001\x00DateStyle\x00ISO\x00database\x00d\x00DateStyle\x00German\x00_pq_.y\x00\x00\x00"))
	if err != nil {
		t.Fatal(err)
	}
	want := Startup{
		Kind: KindStartup, Major: 3, Minor: 9999,
		Params:  []Param{{"user", "app"}, {"DateStyle", "ISO"}, {"database", "d"}, {"DateStyle", "German"}},
		Options: []string{"_pq_.x", "_pq_.y"},
	}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("got %+v, want %+v", s, want)
	}
	if v, ok := s.Param("DateStyle"); v != "German" || !ok {
		t.Errorf("DateStyle is %q, %t", v, ok)
	}
	if v, ok := s.Param("TimeZone"); v != "" || ok {
		t.Errorf("TimeZone is %q, %t", v, ok)
	}
}

// What ParseStartup returns must survive the buffer it was read from.
func TestStartupOwnsItsMemory(t *testing.T) {
	start := packet(3<<16, "user\x00app\x00\x00")
	cancel := AppendCancelRequest(nil, 7, []byte{1, 2, 3, 4})
	s, err1 := ParseStartup(start)
	c, err2 := ParseStartup(cancel)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	clear(start)
	clear(cancel)
	if s.Params[0] != (Param{"user", "app"}) || !bytes.Equal(c.Secret, []byte{1, 2, 3, 4}) || c.PID != 7 {
		t.Errorf("got %+v and %+v", s, c)
	}
}

// TestNegotiate answers clients of every version.
//
// Row 36: what is answered to versions and options.
func TestNegotiate(t *testing.T) {
	for _, tt := range []struct {
		minor   uint16
		options []string
		want    uint16
		must    bool
	}{
		{0, nil, 0, false},
		{1, nil, 1, false},
		{2, nil, 2, false},
		{3, nil, 2, true},
		{9999, []string{"_pq_.test_protocol_negotiation"}, 2, true},
		{65535, nil, 2, true},
		{0, []string{"_pq_.a"}, 0, true},
		{2, []string{"_pq_.a"}, 2, true},
	} {
		s := Startup{Major: 3, Minor: tt.minor, Options: tt.options}
		if minor, must := s.Negotiate(); minor != tt.want || must != tt.must {
			t.Errorf("3.%d %q: 3.%d, %t", tt.minor, tt.options, minor, must)
		}
	}
}

// The client is told what PostgreSQL would tell it, and nothing where
// PostgreSQL is silent.
func TestParseStartupErrors(t *testing.T) {
	for _, tt := range []struct {
		name, code string // no code: nothing is sent
		in         []byte
	}{
		{"old protocol", "0A000", packet(2<<16, "user\x00app\x00\x00")},
		{"no user", "28000", packet(3<<16, "database\x00d\x00\x00")},
		{"no terminator", "08P01", packet(3<<16, "user\x00app\x00")},
		{"bytes after the terminator", "08P01", packet(3<<16, "user\x00app\x00\x00\x00")},
		{"user twice", "08P01", packet(3<<16, "user\x00app\x00user\x00root\x00\x00")},
		{"user twice, first empty", "08P01", packet(3<<16, "user\x00\x00user\x00root\x00\x00")},
		{"short cancel key", "", packet(codeCancel, "\x00\x00\x00\x01abc")},
		{"bytes after SSLRequest", "", packet(codeSSL, "x")},
		{"too long", "", packet(3<<16, string(make([]byte, 10000)))},
		{"incomplete", "", packet(3<<16, "user\x00app\x00\x00")[:12]},
		{"more than one", "", append(packet(codeSSL, ""), 0)},
		{"nothing", "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseStartup(tt.in)
			var told *Error
			switch {
			case err == nil:
				t.Fatal("taken")
			case errors.As(err, &told):
				if told.Code != tt.code || told.Severity != SeverityFatal {
					t.Errorf("told %v", told)
				}
			case tt.code != "":
				t.Errorf("told nothing: %v", err)
			}
		})
	}
}

func TestStartupOfPeers(t *testing.T) {
	params := map[string]string{"user": "app", "database": "d", "TimeZone": "UTC"}
	for _, m := range []encoder{
		&peer.StartupMessage{ProtocolVersion: peer.ProtocolVersionNumber, Parameters: params},
		&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: params},
		&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion32, Parameters: params},
	} {
		s := mustParse(t, m)
		got := map[string]string{}
		for _, p := range s.Params {
			got[p.Name] = p.Value
		}
		if s.Kind != KindStartup || !reflect.DeepEqual(got, params) {
			t.Errorf("%T: got %+v", m, s)
		}
	}
	long := bytes.Repeat([]byte{7}, 256)
	for _, tt := range []struct {
		m    encoder
		want Startup
	}{
		{&peer.SSLRequest{}, Startup{Kind: KindSSLRequest, Major: 1234, Minor: 5679}},
		{&peer.GSSEncRequest{}, Startup{Kind: KindGSSENCRequest, Major: 1234, Minor: 5680}},
		{&pgproto3.SSLRequest{}, Startup{Kind: KindSSLRequest, Major: 1234, Minor: 5679}},
		{&pgproto3.GSSEncRequest{}, Startup{Kind: KindGSSENCRequest, Major: 1234, Minor: 5680}},
		{&peer.CancelRequest{ProcessID: 9, SecretKey: 0x01020304}, Startup{Kind: KindCancel, Major: 1234, Minor: 5678, PID: 9, Secret: []byte{1, 2, 3, 4}}},
		{&pgproto3.CancelRequest{ProcessID: 9, SecretKey: long}, Startup{Kind: KindCancel, Major: 1234, Minor: 5678, PID: 9, Secret: long}},
	} {
		if s := mustParse(t, tt.m); !reflect.DeepEqual(s, tt.want) {
			t.Errorf("%T: got %+v", tt.m, s)
		}
	}
}

func mustParse(t *testing.T, m encoder) Startup {
	t.Helper()
	b, err := m.Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ParseStartup(b)
	if err != nil {
		t.Fatalf("%T: %v", m, err)
	}
	return s
}

// FuzzStartup: no input may panic, what is taken must read back the same when
// it is put together again, and pgproto3 must agree where it knows the version.
func FuzzStartup(f *testing.F) {
	f.Add(packet(3<<16, "user\x00app\x00database\x00d\x00\x00"))
	f.Add(packet(3<<16|9999, "user\x00app\x00_pq_.test_protocol_negotiation\x00\x00\x00"))
	f.Add(packet(codeSSL, ""))
	f.Add(packet(codeGSSENC, ""))
	f.Add(AppendCancelRequest(nil, 1, make([]byte, 32)))
	f.Add([]byte{0, 0, 0x27, 0x14})
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = TraceStartup(nil, b)
		size, err := PeekStartup(b)
		if err == nil && size != 0 && (size < minStartupLen || size > MaxStartupLen) {
			t.Fatalf("size %d", size)
		}
		if err != nil || size == 0 || size > len(b) {
			return
		}
		b = b[:size:size]
		s, err := ParseStartup(b)
		if err != nil {
			return
		}
		switch s.Kind {
		case KindCancel:
			if again := AppendCancelRequest(nil, s.PID, s.Secret); !bytes.Equal(again, b) {
				t.Fatalf("%x became %x", b, again)
			}
		case KindStartup:
			checkStartup(t, b, &s)
		}
	})
}

func checkStartup(t *testing.T, b []byte, s *Startup) {
	t.Helper()
	if minor, must := s.Negotiate(); minor > s.Minor || minor > newestMinor || !must && minor != s.Minor {
		t.Fatalf("3.%d negotiated to 3.%d, %t", s.Minor, minor, must)
	}
	if user, _ := s.Param("user"); user == "" {
		t.Fatal("no user")
	}
	if s.Minor != 0 && s.Minor != 2 {
		return
	}
	var m pgproto3.StartupMessage
	if err := m.Decode(b[4:]); err != nil {
		t.Fatalf("taken, but pgproto3 says %v", err)
	}
	for _, p := range s.Params {
		if v, _ := s.Param(p.Name); m.Parameters[p.Name] != v {
			t.Fatalf("%q is %q, pgproto3 has %q", p.Name, v, m.Parameters[p.Name])
		}
	}
	for _, o := range s.Options {
		if _, ok := m.Parameters[o]; !ok {
			t.Fatalf("pgproto3 has no %q", o)
		}
	}
}
