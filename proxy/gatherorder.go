package proxy

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
)

// ordering compares two values of a type, in binary form, as PostgreSQL's ORDER BY does: -1, 0 or 1. Neither is NULL.
type ordering func(a, b []byte) int

// orderingOf is the ordering of a type; nil if it takes a server to tell. bytewise reports that its collation compares bytes.
func orderingOf(oid uint32, bytewise bool) ordering {
	switch oid {
	case 20, 21, 23, 1082, 1083, 1114, 1184: // int8, int2, int4, date, time, timestamp, timestamptz: infinities are the ends of the range
		return func(a, b []byte) int { return cmp.Compare(signed(a), signed(b)) }
	case 16, 17, 26, 2950: // bool, bytea, oid, uuid
		return bytes.Compare
	case 700, 701: // float4, float8: NaN is above all (manual, "Floating-Point Types")
		return func(a, b []byte) int { return -cmp.Compare(-floating(a), -floating(b)) }
	case 1700:
		return compareNumeric
	case 25, 1043, 19: // text, varchar, name
		if bytewise {
			return bytes.Compare
		}
	}
	return nil
}

// isText reports the types that have a collation, among those with an ordering.
func isText(oid uint32) bool { return oid == 25 || oid == 1043 || oid == 19 }

func signed(v []byte) int64 {
	switch len(v) {
	case 2:
		return int64(int16(binary.BigEndian.Uint16(v)))
	case 4:
		return int64(int32(binary.BigEndian.Uint32(v)))
	case 8:
		return int64(binary.BigEndian.Uint64(v))
	}
	return 0
}

// floating is a float; that of NaN compares below all, as in package cmp.
func floating(v []byte) float64 {
	switch len(v) {
	case 4:
		return float64(math.Float32frombits(binary.BigEndian.Uint32(v)))
	case 8:
		return math.Float64frombits(binary.BigEndian.Uint64(v))
	}
	return 0
}

// Signs of numerics (numeric.c).
const (
	numericNegative = 0x4000
	numericNaN      = 0xC000
	numericPlusInf  = 0xD000
	numericMinusInf = 0xF000
)

// compareNumeric compares numerics as numeric_send writes them: digits, weight, sign, scale, and the digits to base 10000.
func compareNumeric(a, b []byte) int {
	if len(a) < 8 || len(b) < 8 {
		return 0
	}
	x, y := numericRank(a), numericRank(b)
	switch {
	case x != y:
		return cmp.Compare(x, y)
	case x == 1:
		return compareDigits(a, b)
	case x == -1:
		return compareDigits(b, a)
	}
	return 0
}

// numericRank tells apart, from below: -Infinity, negative, zero, positive, Infinity, NaN.
func numericRank(v []byte) int {
	switch binary.BigEndian.Uint16(v[4:]) {
	case numericNaN:
		return 3
	case numericPlusInf:
		return 2
	case numericMinusInf:
		return -2
	case numericNegative:
		return -1
	}
	return min(1, int(binary.BigEndian.Uint16(v))) // zero has no digits
}

// compareDigits compares the absolute values of numerics that are not zero. The first digit is none: PostgreSQL strips zeros.
func compareDigits(a, b []byte) int {
	if c := cmp.Compare(signed(a[2:4]), signed(b[2:4])); c != 0 {
		return c
	}
	return bytes.Compare(bytes.TrimRight(a[8:], "\x00"), bytes.TrimRight(b[8:], "\x00"))
}
