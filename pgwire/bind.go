package pgwire

import "encoding/binary"

var (
	errBind        = &FormatError{"Bind", "the portal's or the statement's name is not ended by a NUL byte"}
	errBindFormats = &FormatError{"Bind", "the parameter formats exceed the message"}
	errBindValues  = &FormatError{"Bind", "the parameter values exceed the message"}
	errBindResults = &FormatError{"Bind", "the result formats do not fill the rest of the message"}
)

// Bind is a view of a Bind frame. Its methods are not safe for concurrent use.
type Bind struct {
	Portal        []byte // empty for the unnamed portal
	Statement     []byte // empty for the unnamed statement
	ParamFormats  []byte // as sent, without their count: two bytes each
	Values        []byte // as sent, without their count: four bytes of length (-1: NULL), then the value
	ResultFormats []byte // as sent, without their count: two bytes each

	tail   []byte // all that follows the statement's name
	params int
	// The parameter that begins at Values[offset], so that reading parameters
	// in order walks over each once.
	next, offset int
}

// Holds reports whether b is a view of a frame.
func (b *Bind) Holds() bool { return b.tail != nil }

// DecodeBind makes b a view of a Bind frame. It does not require that the
// number of formats suits the number of parameters: the server checks that.
// When it fails, b is undefined.
func DecodeBind(frame []byte, b *Bind) error {
	rest, ok := body(frame, MsgBind)
	if !ok {
		return errBind
	}
	if b.Portal, rest, ok = cutString(rest); !ok {
		return errBind
	}
	if b.Statement, rest, ok = cutString(rest); !ok {
		return errBind
	}
	b.tail = rest
	n, rest, ok := cutUint16(rest)
	if !ok || len(rest) < 2*n {
		return errBindFormats
	}
	b.ParamFormats, rest = rest[:2*n:2*n], rest[2*n:]
	if b.params, rest, ok = cutUint16(rest); !ok {
		return errBindValues
	}
	size, ok := valuesSize(rest, b.params)
	if !ok {
		return errBindValues
	}
	b.Values, rest = rest[:size:size], rest[size:]
	b.next, b.offset = 0, 0
	n, rest, ok = cutUint16(rest)
	if !ok || len(rest) != 2*n {
		return errBindResults
	}
	b.ResultFormats = rest
	return nil
}

// valuesSize is the number of bytes that n values with their lengths take.
func valuesSize(b []byte, n int) (size int, ok bool) {
	for range n {
		if len(b)-size < 4 {
			return 0, false
		}
		length := int(int32(binary.BigEndian.Uint32(b[size:])))
		size += 4
		if length == -1 {
			continue
		}
		if length < 0 || length > len(b)-size {
			return 0, false
		}
		size += length
	}
	return size, true
}

// NumParams is the number of parameters.
func (b *Bind) NumParams() int { return b.params }

// Param is parameter i, counted from 0. The value of NULL is nil, and that of
// an empty string is not. A parameter without a format of its own is in text
// format, unless one format was given for all. Reading parameters in ascending
// order costs the same for each; going back starts over. It panics unless
// 0 <= i < NumParams().
func (b *Bind) Param(i int) (value []byte, binary, null bool) {
	if i < 0 || i >= b.params {
		// A programmer's mistake, as with an index of a slice.
		panic("pgwire: a parameter was asked for that the Bind message does not have")
	}
	if i < b.next {
		b.next, b.offset = 0, 0
	}
	for {
		value, null = b.take()
		if b.next > i {
			return value, b.format(i) == 1, null
		}
	}
}

// take reads the parameter at b.offset and steps over it.
func (b *Bind) take() (value []byte, null bool) {
	length := int(int32(binary.BigEndian.Uint32(b.Values[b.offset:])))
	b.next++
	b.offset += 4
	if length < 0 {
		return nil, true
	}
	end := b.offset + length
	value = b.Values[b.offset:end:end]
	b.offset = end
	return value, false
}

func (b *Bind) format(i int) uint16 {
	switch n := len(b.ParamFormats) / 2; {
	case n == 1:
		i = 0
	case i >= n:
		return 0
	}
	return binary.BigEndian.Uint16(b.ParamFormats[2*i:])
}

// AppendBindNamed adds a copy of the Bind message that b is a view of, for
// another prepared statement, whose name has no NUL byte.
func AppendBindNamed(dst []byte, b *Bind, statement string) []byte {
	dst, start := begin(dst, MsgBind)
	dst = append(dst, b.Portal...)
	dst = append(dst, 0)
	dst = append(append(dst, statement...), 0)
	return finish(append(dst, b.tail...), start)
}
