package pgwire

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	peer "github.com/jackc/pgproto3/v2"
	"github.com/jackc/pgx/v5/pgproto3"
)

// checkBind holds our view of a Bind frame to pgproto3's.
func checkBind(t *testing.T, frame []byte, want *pgproto3.Bind) {
	t.Helper()
	var b Bind
	if err := DecodeBind(frame, &b); err != nil {
		t.Fatalf("%x: %v", frame, err)
	}
	if string(b.Portal) != want.DestinationPortal || string(b.Statement) != want.PreparedStatement {
		t.Fatalf("names %q %q, want %q %q", b.Portal, b.Statement, want.DestinationPortal, want.PreparedStatement)
	}
	if b.NumParams() != len(want.Parameters) || len(b.ParamFormats) != 2*len(want.ParameterFormatCodes) || len(b.ResultFormats) != 2*len(want.ResultFormatCodes) {
		t.Fatalf("%d parameters, %d and %d bytes of formats; want %+v", b.NumParams(), len(b.ParamFormats), len(b.ResultFormats), want)
	}
	for i, code := range want.ResultFormatCodes {
		if got := int16(b.ResultFormats[2*i])<<8 | int16(b.ResultFormats[2*i+1]); got != code {
			t.Fatalf("result format %d: %d, want %d", i, got, code)
		}
	}
	// Forwards, backwards, and at random: the place kept between calls must not show.
	for i := range want.Parameters {
		checkParam(t, &b, i, want)
	}
	for i := len(want.Parameters) - 1; i >= 0 && len(want.Parameters) < 100; i-- {
		checkParam(t, &b, i, want)
	}
	for range min(len(want.Parameters), 20) {
		checkParam(t, &b, rand.IntN(len(want.Parameters)), want)
	}
	if got := AppendBindNamed(nil, &b, string(b.Statement)); !bytes.Equal(got, frame) {
		t.Fatalf("copied as %x, want %x", got, frame)
	}
}

func checkParam(t *testing.T, b *Bind, i int, want *pgproto3.Bind) {
	t.Helper()
	value, binary, null := b.Param(i)
	if null != (want.Parameters[i] == nil) || null != (value == nil) || !bytes.Equal(value, want.Parameters[i]) {
		t.Fatalf("parameter %d: %x, null %t; want %x", i, value, null, want.Parameters[i])
	}
	codes := want.ParameterFormatCodes
	wantBinary := len(codes) == 1 && codes[0] == 1 || len(codes) > 1 && i < len(codes) && codes[i] == 1
	if binary != wantBinary {
		t.Fatalf("parameter %d of formats %v: binary %t", i, codes, binary)
	}
}

func TestDecodeBind(t *testing.T) {
	many := make([][]byte, 65535)
	for i := range many {
		many[i] = []byte{byte(i), byte(i >> 8)}
	}
	for _, m := range []*pgproto3.Bind{
		{},
		{DestinationPortal: "p", PreparedStatement: "s"},
		{Parameters: [][]byte{nil}},
		{Parameters: [][]byte{{}}},
		{Parameters: [][]byte{nil, {}, []byte("42"), nil}, ResultFormatCodes: []int16{1, 0}},
		{ParameterFormatCodes: []int16{1}, Parameters: [][]byte{{0, 1}, {0, 2}}},
		{ParameterFormatCodes: []int16{0, 1, 0}, Parameters: [][]byte{[]byte("1"), {1}, nil}},
		{ParameterFormatCodes: []int16{2}, Parameters: [][]byte{{1}}},
		{ParameterFormatCodes: []int16{1, 1}, Parameters: [][]byte{{1}, {2}, {3}}},
		{ParameterFormatCodes: []int16{1, 1}},
		{Parameters: many},
		{Parameters: [][]byte{bytes.Repeat([]byte("x"), 1<<20)}},
	} {
		frame, err := m.Encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		checkBind(t, frame, m)
		old := peer.Bind{
			DestinationPortal: m.DestinationPortal, PreparedStatement: m.PreparedStatement,
			ParameterFormatCodes: m.ParameterFormatCodes, Parameters: m.Parameters, ResultFormatCodes: m.ResultFormatCodes,
		}
		if frame, err = old.Encode(nil); err != nil {
			t.Fatal(err)
		}
		checkBind(t, frame, m)
	}
}

// The same Bind is decoded into again and again by a session.
func TestDecodeBindAgain(t *testing.T) {
	var b Bind
	for _, m := range []*pgproto3.Bind{
		{Parameters: [][]byte{[]byte("1"), []byte("2")}, ParameterFormatCodes: []int16{1}},
		{Parameters: [][]byte{[]byte("345")}},
		{},
	} {
		frame, err := m.Encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := DecodeBind(frame, &b); err != nil {
			t.Fatal(err)
		}
		for i := range m.Parameters {
			checkParam(t, &b, i, m)
		}
		if b.NumParams() != len(m.Parameters) {
			t.Errorf("%d parameters, want %d", b.NumParams(), len(m.Parameters))
		}
	}
}

func TestAppendBindNamed(t *testing.T) {
	m := pgproto3.Bind{DestinationPortal: "p", PreparedStatement: "client", Parameters: [][]byte{[]byte("1"), nil}, ResultFormatCodes: []int16{1}}
	frame, err := m.Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	var b Bind
	if err := DecodeBind(frame, &b); err != nil {
		t.Fatal(err)
	}
	m.PreparedStatement = "the_backend_name"
	compare(t, "pgx/v5/pgproto3", AppendBindNamed(nil, &b, "the_backend_name"), &m)
	m.PreparedStatement = ""
	compare(t, "pgx/v5/pgproto3", AppendBindNamed(nil, &b, ""), &m)
}

// Every frame that is cut short, at any byte, is refused, and so is one with
// a byte too many.
func TestDecodeBindRefusesCutFrames(t *testing.T) {
	m := pgproto3.Bind{
		DestinationPortal: "p", PreparedStatement: "s", ParameterFormatCodes: []int16{1, 0},
		Parameters: [][]byte{nil, {1, 2, 3, 4, 5}}, ResultFormatCodes: []int16{1, 1},
	}
	whole, err := m.Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	var b Bind
	for n := range whole {
		frame := reframe(MsgBind, whole[HeaderLen:max(n, HeaderLen)])
		var format *FormatError
		if err := DecodeBind(frame, &b); !errors.As(err, &format) || format.Message != "Bind" {
			t.Errorf("%d bytes of %d: %v", n, len(whole), err)
		}
		if err := DecodeBind(whole[:n], &b); err == nil {
			t.Errorf("%d bytes of a frame of %d were taken for it", n, len(whole))
		}
	}
	if err := DecodeBind(reframe(MsgBind, append(whole[HeaderLen:len(whole):len(whole)], 0)), &b); err == nil {
		t.Error("a byte too many was taken")
	}
}

// reframe makes a frame of a body that need not suit the type.
func reframe(typ byte, body []byte) []byte {
	frame, start := begin(nil, typ)
	return finish(append(frame, body...), start)
}

func TestBindAllocatesNothing(t *testing.T) {
	frame := benchBind(t)
	hostile := reframe(MsgBind, []byte("\x00\x00\xff\xff"))
	var b Bind
	dst := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() {
		_ = DecodeBind(frame, &b)
		b.Param(1)
		b.Param(0)
		dst = AppendBindNamed(dst[:0], &b, "s17")
		_ = DecodeBind(hostile, &b)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestParamOutOfRangePanics(t *testing.T) {
	var b Bind
	if err := DecodeBind(benchBind(t), &b); err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{-1, b.NumParams()} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("parameter %d was found", i)
				}
			}()
			b.Param(i)
		}()
	}
}

func benchBind(tb testing.TB) []byte {
	m := pgproto3.Bind{
		PreparedStatement: "stmtcache_1", ParameterFormatCodes: []int16{1, 0},
		Parameters: [][]byte{{0, 0, 0, 0, 0, 0, 0, 42}, []byte("hello")}, ResultFormatCodes: []int16{1},
	}
	frame, err := m.Encode(nil)
	if err != nil {
		tb.Fatal(err)
	}
	return frame
}

func BenchmarkDecodeBind(b *testing.B) {
	frame := benchBind(b)
	var m Bind
	b.ReportAllocs()
	for b.Loop() {
		if err := DecodeBind(frame, &m); err != nil {
			b.Fatal(err)
		}
		if _, _, null := m.Param(0); null {
			b.Fatal("parameter is null")
		}
	}
}

// BenchmarkBindNamed is a Bind on its way to a backend that knows the statement by another name.
func BenchmarkBindNamed(b *testing.B) {
	var m Bind
	if err := DecodeBind(benchBind(b), &m); err != nil {
		b.Fatal(err)
	}
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		out = AppendBindNamed(out[:0], &m, "pgdrover_17")
	}
	if len(out) == 0 {
		b.Fatal("nothing is bound")
	}
}

// FuzzBind compares with pgproto3 on any body: what we take, it must take and
// read alike; what it takes and we do not must have bytes after its end, which
// PostgreSQL refuses too.
func FuzzBind(f *testing.F) {
	f.Add(benchBind(f)[HeaderLen:])
	f.Add([]byte("\x00\x00\x00\x00\x00\x01\xff\xff\xff\xff\x00\x00"))
	f.Add([]byte("\x00\x00\xff\xff"))
	f.Add([]byte(strings.Repeat("\x00", 20)))
	f.Fuzz(func(t *testing.T, body []byte) {
		frame := reframe(MsgBind, body)
		var b Bind
		ours := DecodeBind(frame[:len(frame):len(frame)], &b)
		var m pgproto3.Bind
		theirs := m.Decode(frame[HeaderLen:])
		switch {
		case ours == nil && theirs != nil:
			t.Fatalf("taken, but pgproto3 says %v", theirs)
		case ours == nil:
			checkBind(t, frame, &m)
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
