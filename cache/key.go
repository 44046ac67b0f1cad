package cache

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// keepKeyBytes is the most memory a Key keeps across Reset.
const keepKeyBytes = 16 << 10

const (
	tagNull  = 0
	tagBytes = 1
	tagUint  = 2
)

// A Key builds the bytes that name one result: everything that can change the
// answer, in an order the caller fixes. Each part is written with its kind and
// length, so two different sequences of parts never give the same bytes.
//
// The zero Key is empty and ready. A Key belongs to one session, is reused with
// Reset, and is not safe for concurrent use. The cache copies what it keeps.
type Key struct {
	buf    []byte
	hash   uint64
	hashed bool
}

// Reset empties k and keeps its memory, unless an unusual key made it large.
func (k *Key) Reset() {
	if cap(k.buf) > keepKeyBytes {
		k.buf = nil
	}
	k.buf = k.buf[:0]
	k.hashed = false
}

// Bytes adds one part; an empty part differs from no part and from Null.
func (k *Key) Bytes(b []byte) {
	k.buf = append(k.buf, tagBytes)
	k.buf = binary.AppendUvarint(k.buf, uint64(len(b)))
	k.buf = append(k.buf, b...)
	k.hashed = false
}

// String adds one part, the same as Bytes of the same content.
func (k *Key) String(s string) {
	k.buf = append(k.buf, tagBytes)
	k.buf = binary.AppendUvarint(k.buf, uint64(len(s)))
	k.buf = append(k.buf, s...)
	k.hashed = false
}

// Uint adds a number: a format code, a count, an identifier.
func (k *Key) Uint(v uint64) {
	k.buf = append(k.buf, tagUint)
	k.buf = binary.AppendUvarint(k.buf, v)
	k.hashed = false
}

// Null adds a part that stands for SQL NULL.
func (k *Key) Null() {
	k.buf = append(k.buf, tagNull)
	k.hashed = false
}

// Len is the size of the key in bytes.
func (k *Key) Len() int { return len(k.buf) }

// sum is the hash of the key, computed once per content.
func (k *Key) sum() uint64 {
	if !k.hashed {
		k.hash = xxhash.Sum64(k.buf)
		k.hashed = true
	}
	return k.hash
}
