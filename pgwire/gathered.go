package pgwire

import "encoding/binary"

var (
	errRowDescription = &FormatError{"RowDescription", "a column exceeds the message"}
	errDataRow        = &FormatError{"DataRow", "the values exceed the message"}
)

// Field describes a column of a result as a server does.
type Field struct {
	Name     string
	OID      uint32 // data type
	Modifier int32  // of the type; -1: none
}

// DecodeRowDescription returns the columns of a RowDescription frame.
func DecodeRowDescription(frame []byte) ([]Field, error) {
	rest, ok := body(frame, MsgRowDescription)
	if !ok {
		return nil, errRowDescription
	}
	n, rest, ok := cutUint16(rest)
	if !ok {
		return nil, errRowDescription
	}
	fields := make([]Field, n)
	for i := range fields {
		var name []byte
		if name, rest, ok = cutString(rest); !ok || len(rest) < 18 {
			return nil, errRowDescription
		}
		fields[i] = Field{string(name), binary.BigEndian.Uint32(rest[6:]), int32(binary.BigEndian.Uint32(rest[12:]))}
		rest = rest[18:]
	}
	return fields, nil
}

// AppendFirstFields adds the RowDescription in frame without the fields after
// the first n.
func AppendFirstFields(dst, frame []byte, n int) ([]byte, error) {
	rest, ok := body(frame, MsgRowDescription)
	if !ok {
		return dst, errRowDescription
	}
	has, rest, ok := cutUint16(rest)
	if !ok || int(has) < n {
		return dst, errRowDescription
	}
	fields := rest
	for range n {
		if _, rest, ok = cutString(rest); !ok || len(rest) < 18 {
			return dst, errRowDescription
		}
		rest = rest[18:]
	}
	dst, start := begin(dst, MsgRowDescription)
	dst = binary.BigEndian.AppendUint16(dst, uint16(n))
	return finish(append(dst, fields[:len(fields)-len(rest)]...), start), nil
}

// DecodeDataRow appends the values of a DataRow frame to values; NULL is nil.
// They are views of the frame.
func DecodeDataRow(frame []byte, values [][]byte) ([][]byte, error) {
	rest, ok := body(frame, MsgDataRow)
	if !ok {
		return nil, errDataRow
	}
	n, rest, ok := cutUint16(rest)
	if !ok {
		return nil, errDataRow
	}
	for range n {
		if len(rest) < 4 {
			return nil, errDataRow
		}
		size := int(int32(binary.BigEndian.Uint32(rest)))
		rest = rest[4:]
		if size == -1 {
			values = append(values, nil)
			continue
		}
		if size < 0 || size > len(rest) {
			return nil, errDataRow
		}
		values = append(values, rest[:size:size])
		rest = rest[size:]
	}
	return values, nil
}

// DecodeParameterDescription returns the types of a statement's parameters as a
// Parse message writes them: their count, then an OID each. They are a view of
// the frame.
func DecodeParameterDescription(frame []byte) ([]byte, bool) {
	rest, ok := body(frame, MsgParameterDescription)
	if !ok || len(rest) < 2 || len(rest) != 2+4*int(binary.BigEndian.Uint16(rest)) {
		return nil, false
	}
	return rest, true
}

// AppendBindWith adds a Bind message for a portal and a statement of the same
// name: with the parameters of b, unless it is nil, and more of them in text
// format behind. The result has the formats of formats, which is as in Bind.
func AppendBindWith(dst []byte, name string, b *Bind, more [][]byte, formats []byte) []byte {
	dst, start := begin(dst, MsgBind)
	dst = appendString(appendString(dst, name), name)
	params := 0
	if b != nil {
		params = b.params
	}
	dst = appendCount(dst, params+len(more))
	for i := range params {
		dst = binary.BigEndian.AppendUint16(dst, b.format(i))
	}
	for range more {
		dst = append(dst, 0, 0)
	}
	dst = appendCount(dst, params+len(more))
	if b != nil {
		dst = append(dst, b.Values...)
	}
	for _, v := range more {
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(v)))
		dst = append(dst, v...)
	}
	dst = appendCount(dst, len(formats)/2)
	return finish(append(dst, formats...), start)
}

// AppendBindOther adds a Bind message for a portal and a statement of the same
// name: with the parameters of b, but for those that other has values for, by
// their index from 0, which are in text format; nil is NULL. The result has the
// formats of formats, which is as in Bind.
func AppendBindOther(dst []byte, name string, b *Bind, other map[int][]byte, formats []byte) []byte {
	dst, start := begin(dst, MsgBind)
	dst = appendString(appendString(dst, name), name)
	dst = appendCount(dst, b.params)
	for i := range b.params {
		format := b.format(i)
		if _, ok := other[i]; ok {
			format = 0
		}
		dst = binary.BigEndian.AppendUint16(dst, format)
	}
	dst = appendCount(dst, b.params)
	for i := range b.params {
		value, _, null := b.Param(i)
		if v, ok := other[i]; ok {
			value, null = v, v == nil
		}
		if null {
			dst = binary.BigEndian.AppendUint32(dst, 1<<32-1)
			continue
		}
		dst = append(binary.BigEndian.AppendUint32(dst, uint32(len(value))), value...)
	}
	dst = appendCount(dst, len(formats)/2)
	return finish(append(dst, formats...), start)
}
