package shardmap

import (
	"encoding/binary"
	"fmt"
	"math"
)

// The types of PostgreSQL whose binary form can name a tenant, by OID.
const (
	oidInt8    = 20
	oidInt2    = 21
	oidInt4    = 23
	oidText    = 25
	oidUnknown = 705
	oidVarchar = 1043
	oidNumeric = 1700
	oidUUID    = 2950
)

// ParseBinary reads a parameter in PostgreSQL's binary form. The oid is the
// parameter's declared type; 0 and "unknown" are resolved by the server, and
// mean the tenant column's own. A bigint column takes int2, int4, int8 and a
// numeric without a fraction; a text column text and varchar; a uuid column
// uuid. Anything else is ErrKeyType: its comparison is not the column's own.
//
// It allocates nothing unless it fails. A text Key shares memory with b.
func (t Type) ParseBinary(oid uint32, b []byte) (Key, error) {
	if oid == 0 || oid == oidUnknown {
		oid = t.oid()
	}
	switch {
	case t == Bigint && oid == oidInt8 && len(b) == 8:
		return BigintKey(int64(binary.BigEndian.Uint64(b))), nil
	case t == Bigint && oid == oidInt4 && len(b) == 4:
		return BigintKey(int64(int32(binary.BigEndian.Uint32(b)))), nil
	case t == Bigint && oid == oidInt2 && len(b) == 2:
		return BigintKey(int64(int16(binary.BigEndian.Uint16(b)))), nil
	case t == Bigint && oid == oidNumeric:
		return parseNumeric(b)
	case t == Text && (oid == oidText || oid == oidVarchar):
		return parseTextKey(b)
	case t == UUID && oid == oidUUID && len(b) == 16:
		return UUIDKey([16]byte(b)), nil
	}
	return Key{}, binaryError(t, oid, b)
}

// oid returns the OID of the tenant column's type.
func (t Type) oid() uint32 {
	switch t {
	case Bigint:
		return oidInt8
	case Text:
		return oidText
	}
	return oidUUID
}

// binaryError tells a value of the wrong length from a type that cannot be
// compared with the tenant column.
func binaryError(t Type, oid uint32, b []byte) error {
	fits := t == UUID && oid == oidUUID ||
		t == Bigint && (oid == oidInt8 || oid == oidInt4 || oid == oidInt2)
	if fits {
		return keyError(t, fmt.Appendf(nil, "%d bytes in binary form", len(b)), ErrKeySyntax)
	}
	return keyError(t, fmt.Appendf(nil, "a parameter of the type with oid %d", oid), ErrKeyType)
}

// parseNumeric reads numeric_send's form: the count of base-10000 digits, the
// weight of the first, the sign, the display scale, the digits.
func parseNumeric(b []byte) (Key, error) {
	const header, positive, negative = 8, 0x0000, 0x4000
	if len(b) < header {
		return Key{}, keyError(Bigint, []byte("numeric cut short"), ErrKeySyntax)
	}
	count := int(binary.BigEndian.Uint16(b))
	weight := int(int16(binary.BigEndian.Uint16(b[2:])))
	sign := binary.BigEndian.Uint16(b[4:])
	digits := b[header:]
	if sign != positive && sign != negative {
		return Key{}, keyError(Bigint, []byte("numeric that is no finite number"), ErrKeyRange)
	}
	if len(digits) != 2*count {
		return Key{}, keyError(Bigint, []byte("numeric of a wrong length"), ErrKeySyntax)
	}
	most := uint64(math.MaxInt64)
	if sign == negative {
		most++
	}
	v, reason := numericValue(digits, weight, most)
	if reason != nil {
		return Key{}, keyError(Bigint, []byte("numeric parameter"), reason)
	}
	if sign == negative {
		v = -v
	}
	return BigintKey(int64(v)), nil
}

// numericValue adds up base-10000 digits. The digit at index i counts
// 10000^(weight-i), so those after index weight are the fraction.
func numericValue(digits []byte, weight int, most uint64) (uint64, error) {
	const radix = 10000
	var v uint64
	for i := 0; i <= weight || 2*i < len(digits); i++ {
		var d uint64
		if 2*i < len(digits) {
			d = uint64(binary.BigEndian.Uint16(digits[2*i:]))
		}
		switch {
		case d >= radix:
			return 0, ErrKeySyntax
		case i > weight && d != 0:
			return 0, ErrKeySyntax
		case i > weight:
			continue
		case v > (most-d)/radix:
			return 0, ErrKeyRange
		}
		v = v*radix + d
	}
	return v, nil
}
