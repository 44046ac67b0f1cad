package shardmap

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// Type is the type of the tenant column, and so of every tenant key of a map.
type Type uint8

// The types a tenant column may have. The zero Type is none of them.
const (
	Bigint Type = iota + 1
	Text
	UUID
)

// typeNames are the words of shardmap.yaml and of the lock, by Type.
var typeNames = [...]string{"", "bigint", "text", "uuid"}

// String returns PostgreSQL's name of the type, which is also the word the
// files use.
func (t Type) String() string {
	if t < Bigint || t > UUID {
		return fmt.Sprintf("Type(%d)", uint8(t))
	}
	return typeNames[t]
}

// ParseType is the inverse of [Type.String].
func ParseType(name string) (Type, bool) {
	for t := Bigint; t <= UUID; t++ {
		if typeNames[t] == name {
			return t, true
		}
	}
	return 0, false
}

// Key is a tenant's canonical value: two texts that PostgreSQL reads as the
// same value of the tenant's type give equal Keys, also by ==. The zero Key is
// no tenant at all.
//
// A text Key may share memory with the bytes it was parsed from: it is valid
// while they are unchanged, and Clone makes it independent.
type Key struct {
	typ Type
	num int64
	uid [16]byte
	str string
}

// BigintKey returns the key of a bigint tenant.
func BigintKey(v int64) Key { return Key{typ: Bigint, num: v} }

// TextKey returns the key of a text tenant. The text must be UTF-8 without a
// zero byte, as PostgreSQL stores it.
func TextKey(s string) Key { return Key{typ: Text, str: s} }

// UUIDKey returns the key of a uuid tenant.
func UUIDKey(v [16]byte) Key { return Key{typ: UUID, uid: v} }

// Type returns the type of the key; 0 for the zero Key.
func (k Key) Type() Type { return k.typ }

// IsZero reports whether k is no tenant. The tenants 0, ” and the nil uuid are
// tenants. It is asked several times a statement, for which a Key is not copied.
func (k *Key) IsZero() bool { return k.typ == 0 }

// Equal reports whether two keys are the same tenant of the same type.
func (k Key) Equal(o Key) bool { return k == o }

// Clone returns a key that shares no memory with what k was parsed from.
func (k Key) Clone() Key {
	k.str = strings.Clone(k.str)
	return k
}

// String returns the key as PostgreSQL prints a value of its type; empty for
// the zero Key. The text of a text key shares the key's memory.
func (k Key) String() string {
	if k.typ == Text {
		return k.str
	}
	return string(k.Append(nil))
}

// Append appends what String returns to dst.
func (k Key) Append(dst []byte) []byte {
	switch k.typ {
	case Bigint:
		return strconv.AppendInt(dst, k.num, 10)
	case Text:
		return append(dst, k.str...)
	case UUID:
		return appendUUID(dst, k.uid)
	}
	return dst
}

// Hash returns PostgreSQL's extended hash of the key with seed 0:
// hashint8extended, hashtextextended under a deterministic collation in a UTF8
// database, or uuid_hash_extended. The zero Key hashes to 0.
func (k Key) Hash() uint64 {
	switch k.typ {
	case Bigint:
		return hashInt8(k.num)
	case Text:
		return hashString(k.str)
	case UUID:
		return hashBytes(k.uid[:])
	}
	return 0
}

// appendUUID appends the 8-4-4-4-12 lower-case form that uuid_out prints.
func appendUUID(dst []byte, u [16]byte) []byte {
	dst = hex.AppendEncode(dst, u[0:4])
	for i := 4; i < 10; i += 2 {
		dst = append(dst, '-')
		dst = hex.AppendEncode(dst, u[i:i+2])
	}
	dst = append(dst, '-')
	return hex.AppendEncode(dst, u[10:16])
}
