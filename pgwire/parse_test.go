package pgwire

import (
	"bytes"
	"errors"
	"testing"

	peer "github.com/jackc/pgproto3/v2"
	"github.com/jackc/pgx/v5/pgproto3"
)

func checkParse(t *testing.T, frame []byte, want *pgproto3.Parse) {
	t.Helper()
	var p Parse
	if err := DecodeParse(frame, &p); err != nil {
		t.Fatalf("%x: %v", frame, err)
	}
	if string(p.Name) != want.Name || string(p.Text) != want.Query || p.NumOIDs() != len(want.ParameterOIDs) {
		t.Fatalf("decoded %q %q with %d types, want %+v", p.Name, p.Text, p.NumOIDs(), want)
	}
	for i, oid := range want.ParameterOIDs {
		if p.OID(i) != oid {
			t.Fatalf("type %d: %d, want %d", i, p.OID(i), oid)
		}
	}
	if got := AppendParse(nil, string(p.Name), string(p.Text), p.OIDs); !bytes.Equal(got, frame) {
		t.Fatalf("copied as %x, want %x", got, frame)
	}
}

func TestDecodeParse(t *testing.T) {
	for _, m := range []*pgproto3.Parse{
		{},
		{Name: "s", Query: "SELECT 1"},
		{Query: "SELECT $1, $2", ParameterOIDs: []uint32{20, 0}},
		{Name: "ż", Query: "SELECT 'ż'", ParameterOIDs: make([]uint32, 65535)},
	} {
		frame, err := m.Encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		checkParse(t, frame, m)
		frame, err = (&peer.Parse{Name: m.Name, Query: m.Query, ParameterOIDs: m.ParameterOIDs}).Encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		checkParse(t, frame, m)
	}
	if n := new(Parse).NumOIDs(); n != 0 {
		t.Errorf("an empty Parse has %d types", n)
	}
}

func TestDecodeParseRefusesCutFrames(t *testing.T) {
	whole := AppendParse(nil, "s", "SELECT $1", []byte{0, 1, 0, 0, 0, 20})
	var p Parse
	for n := range whole {
		var format *FormatError
		frame := reframe(MsgParse, whole[HeaderLen:max(n, HeaderLen)])
		if err := DecodeParse(frame, &p); !errors.As(err, &format) || format.Message != "Parse" {
			t.Errorf("%d bytes of %d: %v", n, len(whole), err)
		}
	}
}

func BenchmarkDecodeParse(b *testing.B) {
	frame := AppendParse(nil, "stmtcache_1", "SELECT * FROM orders WHERE tenant_id = $1 AND id = $2", []byte{0, 2, 0, 0, 0, 20, 0, 0, 0, 20})
	var p Parse
	b.ReportAllocs()
	for b.Loop() {
		if err := DecodeParse(frame, &p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPeek(b *testing.B) {
	frame := AppendQuery(nil, "SELECT 1")
	b.ReportAllocs()
	for b.Loop() {
		if _, size, err := Peek(frame, 1<<20); err != nil || size != len(frame) {
			b.Fatal(size, err)
		}
	}
}

// FuzzParse compares with pgproto3 on any body, as FuzzBind does.
func FuzzParse(f *testing.F) {
	f.Add([]byte("s\x00SELECT $1\x00\x00\x01\x00\x00\x00\x14"))
	f.Add([]byte("\x00\x00\xff\xff"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		frame := reframe(MsgParse, body)
		var p Parse
		ours := DecodeParse(frame[:len(frame):len(frame)], &p)
		var m pgproto3.Parse
		theirs := m.Decode(frame[HeaderLen:])
		switch {
		case ours == nil && theirs != nil:
			t.Fatalf("taken, but pgproto3 says %v", theirs)
		case ours == nil:
			checkParse(t, frame, &m)
		case theirs == nil:
			exact, err := m.Encode(nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(exact) >= len(frame) {
				t.Fatalf("refused (%v), but pgproto3 reads %+v", ours, m)
			}
		}
	})
}
