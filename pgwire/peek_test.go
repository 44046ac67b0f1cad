package pgwire

import (
	"errors"
	"math"
	"testing"
)

// TestPeek reads headers, whole and cut.
//
// Row 29: each length that cannot be is an error before anything is buffered.
func TestPeek(t *testing.T) {
	tests := []struct {
		name string
		in   []byte
		max  int
		size int
		err  bool
	}{
		{"nothing", nil, 100, 0, false},
		{"four bytes", []byte("Q\x00\x00\x00"), 100, 0, false},
		{"header only", []byte("S\x00\x00\x00\x04"), 100, 5, false},
		{"body to come", []byte("Q\x00\x00\x00\x0a"), 100, 11, false},
		{"more follows", []byte("S\x00\x00\x00\x04S\x00"), 100, 5, false},
		{"as large as allowed", []byte("d\x00\x00\x00\x63"), 100, 100, false},
		{"a byte larger", []byte("d\x00\x00\x00\x64"), 100, 0, true},
		{"length below four", []byte("Q\x00\x00\x00\x03"), 100, 0, true},
		{"length zero", []byte("Q\x00\x00\x00\x00"), 100, 0, true},
		{"negative length", []byte("Q\xff\xff\xff\xff"), math.MaxInt, 0, true},
		{"smallest length", []byte("Q\x80\x00\x00\x00"), math.MaxInt, 0, true},
		{"largest length", []byte("Q\x7f\xff\xff\xff"), math.MaxInt, math.MaxInt32 + 1, false},
		{"gibibyte", []byte("Q\x40\x00\x00\x00"), 1 << 20, 0, true},
		{"HTTP", []byte("GET / HTTP/1.1\r\n"), 1 << 24, 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			typ, size, err := Peek(tt.in, tt.max)
			var length *LengthError
			if errors.As(err, &length) != tt.err || size != tt.size {
				t.Fatalf("Peek = %q, %d, %v; want size %d, error %t", typ, size, err, tt.size, tt.err)
			}
			if len(tt.in) >= HeaderLen && typ != tt.in[0] {
				t.Errorf("type %q, want %q", typ, tt.in[0])
			}
		})
	}
}

func TestLengthErrorText(t *testing.T) {
	_, _, short := Peek([]byte("Q\x00\x00\x00\x03"), 100)
	_, _, long := Peek([]byte("Q\x00\x00\x01\x00"), 100)
	_, startup := PeekStartup([]byte{0, 0, 0, 7})
	for _, tt := range []struct {
		err  error
		want string
	}{
		{short, "a message of type 'Q' announced the length 3, which none can have"},
		{long, "a message of type 'Q' of 257 bytes was announced: at most 100 are accepted"},
		{startup, "a startup packet announced the length 7, which none can have"},
	} {
		if tt.err.Error() != tt.want {
			t.Errorf("got %q, want %q", tt.err, tt.want)
		}
	}
}

func TestPeekAllocatesNothing(t *testing.T) {
	frame := AppendQuery(nil, "SELECT 1")
	if n := testing.AllocsPerRun(100, func() { _, _, _ = Peek(frame, 100) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzPeek holds Peek to its contract on any bytes, and cuts the input into
// frames as a reader would: whatever they hold, every look-in and the trace
// must come back, and must not depend on what follows the frame.
//
// Row 29: any header.
func FuzzPeek(f *testing.F) {
	f.Add([]byte{}, 100)
	f.Add(AppendSync(AppendQuery(nil, "SELECT 1")), 1000)
	f.Add(AppendError(nil, &Error{Code: "42601", Message: "syntax error", Position: 3}), 1000)
	f.Add(AppendRowDescription(nil, []Column{{Name: "a", OID: 23, Size: 4}}), 1000)
	f.Add(AppendAuthenticationSASL(nil, []string{"SCRAM-SHA-256"}), 1000)
	f.Add(AppendNegotiateProtocolVersion(nil, 2, []string{"_pq_.x"}), 1000)
	f.Add([]byte("Q\xff\xff\xff\xff"), math.MaxInt)
	f.Fuzz(func(t *testing.T, b []byte, max int) {
		for {
			typ, size, err := Peek(b, max)
			if err != nil {
				if size != 0 {
					t.Fatalf("size %d with error %v", size, err)
				}
				return
			}
			if size == 0 {
				if len(b) >= HeaderLen {
					t.Fatal("size 0 of a complete header")
				}
				return
			}
			if size < HeaderLen || size > max || typ != b[0] {
				t.Fatalf("Peek = %q, %d with max %d", typ, size, max)
			}
			if size > len(b) {
				return
			}
			lookInto(b[:size:size])
			b = b[size:]
		}
	})
}

// lookInto calls everything that reads a frame.
func lookInto(frame []byte) {
	_, _ = QueryText(frame)
	var p Parse
	if DecodeParse(frame, &p) == nil {
		for i := range p.NumOIDs() {
			p.OID(i)
		}
	}
	var b Bind
	if DecodeBind(frame, &b) == nil {
		for i := range b.NumParams() {
			b.Param(i)
		}
	}
	_, _, _ = DecodeDescribe(frame)
	_, _, _ = DecodeClose(frame)
	_, _, _ = DecodeExecute(frame)
	_, _, _ = ParameterStatus(frame)
	_, _ = ReadyStatus(frame)
	_, _ = CommandTag(frame)
	_, _, _ = BackendKeyData(frame)
	_, _, _, _ = Notification(frame)
	_, _, _ = SASLInitialResponse(frame)
	_, _ = SASLResponse(frame)
	_, _ = PasswordMessage(frame)
	_ = ErrorField(frame, FieldCode)
	_, _ = DecodeError(frame)
	_ = Trace(nil, true, frame)
	_ = Trace(nil, false, frame)
}
