package proxy

import (
	"bytes"
	"encoding/binary"
)

// The header of the binary format: a signature, flags, and the size of an extension that follows.
var copySignature = []byte("PGCOPY\n\xff\r\n\x00")

const (
	copyHeader       = 11 + 4 + 4
	copyMaxExtension = 1 << 20 // no server writes any
)

// binary reads on in the binary format.
func (sp *splitter) binary(b []byte) (int, piece) {
	for i := 0; ; {
		var what piece
		switch sp.state {
		case inSignature:
			i, what = sp.signature(b, i)
		case inExtension:
			n := min(sp.need, len(b)-i)
			i, sp.need = i+n, sp.need-n
			if sp.need == 0 {
				sp.state, sp.number, sp.need = inCount, 0, 2
				return i, header
			}
		case inCount:
			i, what = sp.count16(b, i)
		case inLength:
			i, what = sp.length(b, i)
		case inValue:
			i, what = sp.fieldValue(b, i)
		}
		if what != part || i == len(b) {
			return i, what
		}
	}
}

// signature reads the header but for its extension.
func (sp *splitter) signature(b []byte, i int) (int, piece) {
	n := min(copyHeader-len(sp.raw), len(b)-i)
	sp.raw = append(sp.raw, b[i:i+n]...)
	i += n
	if len(sp.raw) < copyHeader {
		return i, part
	}
	size := binary.BigEndian.Uint32(sp.raw[15:])
	if !bytes.Equal(sp.raw[:11], copySignature) || size > copyMaxExtension {
		return i, bad
	}
	sp.state, sp.need = inExtension, int(size)
	if size == 0 {
		sp.state, sp.number, sp.need = inCount, 0, 2
		return i, header
	}
	return i, part
}

// integer reads on in a number and reports whether it has all of it.
func (sp *splitter) integer(b []byte, i int) (int, bool) {
	for sp.need > 0 && i < len(b) {
		sp.number = sp.number<<8 | int32(b[i])
		sp.need--
		i++
	}
	return i, sp.need == 0
}

// count16 reads how many fields a row has; -1 ends the data.
func (sp *splitter) count16(b []byte, i int) (int, piece) {
	i, ok := sp.integer(b, i)
	if !ok {
		return i, part
	}
	sp.fields = int32(int16(sp.number))
	switch {
	case sp.fields == -1:
		sp.alone = true
		return i, end
	case int(sp.fields) <= sp.how.At:
		return i, bad
	}
	sp.field, sp.state, sp.number, sp.need = 0, inLength, 0, 4
	return i, part
}

// length reads the size of a field; -1 is NULL.
func (sp *splitter) length(b []byte, i int) (int, piece) {
	i, ok := sp.integer(b, i)
	if !ok {
		return i, part
	}
	switch {
	case sp.number < -1:
		return i, bad
	case sp.number == -1:
		if sp.field == sp.how.At {
			sp.found, sp.null, sp.value = true, true, nil
		}
		return i, sp.endValue()
	}
	sp.state, sp.need, sp.raw = inValue, int(sp.number), sp.raw[:0]
	if sp.need == 0 {
		return sp.fieldValue(b, i)
	}
	return i, part
}

// fieldValue reads on in a field.
func (sp *splitter) fieldValue(b []byte, i int) (int, piece) {
	n := min(sp.need, len(b)-i)
	sp.need -= n
	own := sp.field == sp.how.At
	if own && (sp.need > 0 || len(sp.raw) > 0) {
		sp.raw = append(sp.raw, b[i:i+n]...)
	}
	if sp.need > 0 {
		return i + n, part
	}
	if own {
		if sp.found, sp.value = true, sp.raw; len(sp.raw) == 0 {
			sp.value = b[i : i+n]
		}
	}
	return i + n, sp.endValue()
}

// endValue ends a field.
func (sp *splitter) endValue() piece {
	sp.field++
	sp.state, sp.number, sp.need = inLength, 0, 4
	if sp.field == int(sp.fields) {
		sp.state, sp.number, sp.need = inCount, 0, 2
		return row
	}
	return part
}
