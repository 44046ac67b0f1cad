package shardmap

import (
	"encoding/binary"
	"math/bits"
	"unsafe"
)

// PostgreSQL's extended hashes are Bob Jenkins' lookup3 with PostgreSQL's own
// initial value and the length folded into it. They are written down here with
// seed 0, which adds nothing to the state, in the byte order of a little-endian
// server: on a big-endian one hashtextextended differs for long strings, and no
// such server may hold a shard.

// hashInit is the state's start before the length is added: lookup3's golden
// ratio and PostgreSQL's constant.
const hashInit uint32 = 0x9e3779b9 + 3923095

// hashInt8 is hashint8extended(v, 0). The upper half is folded into the lower
// so that a value hashes alike as int2, int4 and int8.
func hashInt8(v int64) uint64 {
	lo, hi := uint32(v), uint32(v>>32)
	if v < 0 {
		hi = ^hi
	}
	return hashUint32(lo ^ hi)
}

// hashUint32 is hash_bytes_uint32_extended(k, 0).
func hashUint32(k uint32) uint64 {
	start := hashInit + 4
	return lookupFinal(start+k, start, start)
}

// hashString is hashtextextended(s, 0) under a deterministic collation.
func hashString(s string) uint64 {
	return hashBytes(unsafe.Slice(unsafe.StringData(s), len(s)))
}

// hashBytes is hash_bytes_extended(k, len(k), 0), and so uuid_hash_extended of
// the 16 bytes of a uuid.
func hashBytes(k []byte) uint64 {
	a := hashInit + uint32(len(k))
	b, c := a, a
	for ; len(k) >= 12; k = k[12:] {
		a += binary.LittleEndian.Uint32(k)
		b += binary.LittleEndian.Uint32(k[4:])
		c += binary.LittleEndian.Uint32(k[8:])
		a, b, c = lookupMix(a, b, c)
	}
	// The lowest byte of c stands for the length, so the tail's third word
	// starts one byte higher.
	var tail [12]byte
	copy(tail[:], k)
	a += binary.LittleEndian.Uint32(tail[0:])
	b += binary.LittleEndian.Uint32(tail[4:])
	c += binary.LittleEndian.Uint32(tail[8:]) << 8
	return lookupFinal(a, b, c)
}

// lookupMix is lookup3's reversible mixing of three words.
func lookupMix(a, b, c uint32) (uint32, uint32, uint32) {
	a = (a - c) ^ bits.RotateLeft32(c, 4)
	c += b
	b = (b - a) ^ bits.RotateLeft32(a, 6)
	a += c
	c = (c - b) ^ bits.RotateLeft32(b, 8)
	b += a
	a = (a - c) ^ bits.RotateLeft32(c, 16)
	c += b
	b = (b - a) ^ bits.RotateLeft32(a, 19)
	a += c
	c = (c - b) ^ bits.RotateLeft32(b, 4)
	b += a
	return a, b, c
}

// lookupFinal is lookup3's final mixing; the two words it is trusted in make
// the 64-bit result.
func lookupFinal(a, b, c uint32) uint64 {
	c = (c ^ b) - bits.RotateLeft32(b, 14)
	a = (a ^ c) - bits.RotateLeft32(c, 11)
	b = (b ^ a) - bits.RotateLeft32(a, 25)
	c = (c ^ b) - bits.RotateLeft32(b, 16)
	a = (a ^ c) - bits.RotateLeft32(c, 4)
	b = (b ^ a) - bits.RotateLeft32(a, 14)
	c = (c ^ b) - bits.RotateLeft32(b, 24)
	return uint64(b)<<32 | uint64(c)
}
