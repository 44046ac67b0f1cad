package shardmap

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
	"unsafe"
)

// The reasons why bytes are no tenant key. A [KeyError] wraps one of them.
var (
	ErrKeySyntax = errors.New("invalid input syntax")
	ErrKeyRange  = errors.New("value out of range")
	ErrKeyType   = errors.New("type cannot be compared with the tenant column")
)

// KeyError says which value was no key of which type. Its text follows
// PostgreSQL's own.
type KeyError struct {
	Type  Type
	Value string // as PostgreSQL would print it, cut to a readable length
	Err   error  // ErrKeySyntax, ErrKeyRange or ErrKeyType
}

// Error implements error.
func (e *KeyError) Error() string {
	switch e.Err {
	case ErrKeyRange:
		return fmt.Sprintf("value %q is out of range for type %s", e.Value, e.Type)
	case ErrKeyType:
		return fmt.Sprintf("%s cannot be a tenant key of type %s: cast it", e.Value, e.Type)
	}
	return fmt.Sprintf("invalid input syntax for type %s: %q", e.Type, e.Value)
}

// Unwrap returns the reason.
func (e *KeyError) Unwrap() error { return e.Err }

// SQLState returns the code PostgreSQL reports for the same mistake.
func (e *KeyError) SQLState() string {
	switch e.Err {
	case ErrKeyRange:
		return "22003"
	case ErrKeyType:
		return "42883"
	}
	return "22P02"
}

// keyError builds the error outside the parsers, so that they allocate only
// when they fail.
func keyError(t Type, value []byte, reason error) error {
	const most = 64
	if len(value) > most {
		value = append(bytes.Clone(value[:most]), "…"...)
	}
	return &KeyError{Type: t, Value: string(value), Err: reason}
}

// ParseText reads a value as PostgreSQL's input function of the type does:
//
//   - bigint: blanks around, a sign, decimal digits, and the hexadecimal, octal
//     and binary forms and underscores of PostgreSQL 16 (an older server answers
//     those with its own error);
//   - text: every byte counts, none may be zero, and they must be UTF-8;
//   - uuid: 32 hexadecimal digits in either case, a hyphen after any four of
//     them, braces around all; no blanks.
//
// It allocates nothing unless it fails. A text Key shares memory with b.
func (t Type) ParseText(b []byte) (Key, error) {
	switch t {
	case Bigint:
		return parseBigint(b)
	case Text:
		return parseTextKey(b)
	case UUID:
		return parseUUID(b)
	}
	return Key{}, keyError(t, b, ErrKeyType)
}

// parseTextKey checks what PostgreSQL checks of every text it receives.
func parseTextKey(b []byte) (Key, error) {
	if bytes.IndexByte(b, 0) >= 0 || !utf8.Valid(b) {
		return Key{}, keyError(Text, b, ErrKeySyntax)
	}
	return TextKey(unsafe.String(unsafe.SliceData(b), len(b))), nil
}

// isBlank is isspace() of the C locale, which int8in skips.
func isBlank(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// parseBigint is int8in.
func parseBigint(b []byte) (Key, error) {
	digits := b
	for len(digits) > 0 && isBlank(digits[0]) {
		digits = digits[1:]
	}
	for len(digits) > 0 && isBlank(digits[len(digits)-1]) {
		digits = digits[:len(digits)-1]
	}
	negative := false
	if len(digits) > 0 && (digits[0] == '-' || digits[0] == '+') {
		negative = digits[0] == '-'
		digits = digits[1:]
	}
	most := uint64(math.MaxInt64)
	if negative {
		most++
	}
	v, reason := parseDigits(digits, most)
	if reason != nil {
		return Key{}, keyError(Bigint, b, reason)
	}
	if negative {
		v = -v
	}
	return BigintKey(int64(v)), nil
}

// parseDigits reads an unsigned number of at most `most` in one of the four
// bases. An underscore must be followed by a digit, and may come first only
// after a base prefix.
func parseDigits(b []byte, most uint64) (uint64, error) {
	radix := uint64(10)
	if len(b) > 2 && b[0] == '0' {
		radix = prefixRadix(b[1])
	}
	if radix != 10 {
		b = b[2:]
	}
	if len(b) == 0 || radix == 10 && b[0] == '_' {
		return 0, ErrKeySyntax
	}
	var v uint64
	tooLarge := false
	for i, c := range b {
		if c == '_' {
			if i+1 == len(b) || b[i+1] == '_' {
				return 0, ErrKeySyntax
			}
			continue
		}
		d := digitValue(c)
		if d >= radix {
			return 0, ErrKeySyntax
		}
		tooLarge = tooLarge || v > (most-d)/radix
		v = v*radix + d
	}
	if tooLarge {
		return 0, ErrKeyRange
	}
	return v, nil
}

// prefixRadix returns the base that the letter after a leading 0 stands for.
func prefixRadix(c byte) uint64 {
	switch c {
	case 'x', 'X':
		return 16
	case 'o', 'O':
		return 8
	case 'b', 'B':
		return 2
	}
	return 10
}

// digitValue returns the value of a digit in bases up to 16; 255 for no digit.
func digitValue(c byte) uint64 {
	switch {
	case c >= '0' && c <= '9':
		return uint64(c - '0')
	case c >= 'a' && c <= 'f':
		return uint64(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return uint64(c-'A') + 10
	}
	return 255
}

// parseUUID is uuid_in.
func parseUUID(b []byte) (Key, error) {
	rest := b
	braces := len(rest) > 0 && rest[0] == '{'
	if braces {
		rest = rest[1:]
	}
	var u [16]byte
	for i := range u {
		if len(rest) < 2 {
			return Key{}, keyError(UUID, b, ErrKeySyntax)
		}
		hi, lo := digitValue(rest[0]), digitValue(rest[1])
		if hi > 15 || lo > 15 {
			return Key{}, keyError(UUID, b, ErrKeySyntax)
		}
		u[i] = byte(hi<<4 | lo)
		rest = rest[2:]
		if i%2 == 1 && i < 15 && len(rest) > 0 && rest[0] == '-' {
			rest = rest[1:]
		}
	}
	if braces != (len(rest) == 1 && rest[0] == '}') || !braces && len(rest) > 0 {
		return Key{}, keyError(UUID, b, ErrKeySyntax)
	}
	return UUIDKey(u), nil
}
