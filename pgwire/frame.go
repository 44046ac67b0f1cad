package pgwire

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// HeaderLen is the size of a frame's header: the type byte and the length.
const HeaderLen = 5

// Peek reads the header of the frame that begins at b[0]. The size counts the
// whole frame: type byte, length and body; it may exceed len(b). It is 0 when b
// holds less than a header. A length that no frame can have, or a frame larger
// than max bytes, is a *[LengthError]: the stream cannot be followed further.
// Peek does not look at the type.
func Peek(b []byte, max int) (typ byte, size int, err error) {
	if len(b) < HeaderLen {
		return 0, 0, nil
	}
	length := int64(int32(binary.BigEndian.Uint32(b[1:])))
	if length < 4 || length+1 > int64(max) {
		return b[0], 0, &LengthError{Type: b[0], Length: length, Max: max}
	}
	return b[0], int(length) + 1, nil
}

// LengthError says that a peer announced a frame or a startup packet of a
// length that is impossible, or larger than the receiver takes. What follows
// on the connection cannot be understood: it must be closed.
type LengthError struct {
	Type   byte  // of the frame; 0 for a startup packet
	Length int64 // as announced: without the type byte
	Max    int   // the largest frame or packet taken, in bytes
}

// Error says which length was announced, and the limit if it was too large.
func (e *LengthError) Error() string {
	what, size := "startup packet", e.Length
	if e.Type != 0 {
		what, size = fmt.Sprintf("message of type %q", e.Type), e.Length+1
	}
	if size > int64(e.Max) {
		return fmt.Sprintf("a %s of %d bytes was announced: at most %d are accepted", what, size, e.Max)
	}
	return fmt.Sprintf("a %s announced the length %d, which none can have", what, e.Length)
}

// FormatError says that the body of a frame is not what its type calls for.
// The frame's length is sound, so the stream can be followed further.
type FormatError struct {
	Message string // the message's name
	Reason  string
}

// Error names the message and what is wrong with it.
func (e *FormatError) Error() string {
	return "malformed " + e.Message + " message: " + e.Reason
}

// body is what follows the header of a whole frame of type typ.
func body(frame []byte, typ byte) ([]byte, bool) {
	if len(frame) < HeaderLen || frame[0] != typ ||
		int64(binary.BigEndian.Uint32(frame[1:])) != int64(len(frame)-1) {
		return nil, false
	}
	return frame[HeaderLen:], true
}

// cutString splits b after its first NUL byte, and drops the NUL.
func cutString(b []byte) (s, rest []byte, ok bool) {
	if len(b) > 0 && b[0] == 0 { // most names are empty
		return b[:0:0], b[1:], true
	}
	return cutLongString(b)
}

func cutLongString(b []byte) (s, rest []byte, ok bool) {
	i := bytes.IndexByte(b, 0)
	if i < 0 {
		return nil, nil, false
	}
	return b[:i:i], b[i+1:], true
}

// cutUint16 splits the first two bytes off b.
func cutUint16(b []byte) (n int, rest []byte, ok bool) {
	if len(b) < 2 {
		return 0, nil, false
	}
	return int(binary.BigEndian.Uint16(b)), b[2:], true
}
