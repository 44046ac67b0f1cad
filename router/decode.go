package router

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// decode returns the value of a literal: of a number its digits, of a string
// the characters it stands for. The value is a part of the text where nothing
// had to be rewritten, else of q's scratch. False means a literal that is not
// read here, as bit strings are.
func (q *Query) decode(s slot) ([]byte, bool) {
	raw := q.text[s.off:s.end]
	switch s.kind {
	case slotInt, slotDecimal:
		return raw, true
	case slotString, slotEscape, slotUnicode:
		return q.unquote(raw, s.kind)
	case slotDollar:
		tag := bytes.IndexByte(raw[1:], '$') + 2
		return raw[tag : len(raw)-tag], true
	}
	return nil, false
}

// unquote reads '…', E'…' and U&'…', with the parts that continue them.
func (q *Query) unquote(raw []byte, k slotKind) ([]byte, bool) {
	open := bytes.IndexByte(raw, '\'')
	body := raw[open+1 : len(raw)-1]
	if bytes.IndexByte(body, '\'') < 0 && (k == slotString || bytes.IndexByte(body, '\\') < 0) {
		return body, true
	}
	from := len(q.scratch)
	for ok := true; ok; {
		end, closed := closing(raw, open+1, k == slotEscape)
		if !closed {
			return nil, false
		}
		if !q.part(raw[open+1:end-1], k) {
			return nil, false
		}
		open, ok = continued(raw, end)
	}
	return q.scratch[from:len(q.scratch):len(q.scratch)], true
}

// part appends one quoted part to the scratch.
func (q *Query) part(body []byte, k slotKind) bool {
	for i := 0; i < len(body); {
		switch c := body[i]; {
		case c == '\'':
			q.scratch = append(q.scratch, c)
			i += 2
		case c != '\\' || k == slotString:
			q.scratch = append(q.scratch, c)
			i++
		default:
			n := 0
			if k == slotEscape {
				n = q.escape(body[i+1:])
			} else {
				n = q.unicode(body[i+1:])
			}
			if n == 0 {
				return false
			}
			i += 1 + n
		}
	}
	return true
}

// escape appends what a backslash of E'…' stands for, and returns how many
// bytes after it were read; 0: it cannot be read.
func (q *Query) escape(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	const letters, values = "bfnrtv", "\b\f\n\r\t\v"
	if at := bytes.IndexByte([]byte(letters), b[0]); at >= 0 {
		q.scratch = append(q.scratch, values[at])
		return 1
	}
	switch c := b[0]; {
	case c == 'x' && len(b) > 1 && isRadixDigit(b[1], 'x'):
		v, n := digits(b[1:], 16, 2)
		q.scratch = append(q.scratch, byte(v))
		return 1 + n
	case c >= '0' && c <= '7':
		v, n := digits(b, 8, 3)
		q.scratch = append(q.scratch, byte(v))
		return n
	case c == 'u', c == 'U':
		return q.codePoint(b, 1, map[byte]int{'u': 4, 'U': 8}[c])
	default:
		q.scratch = append(q.scratch, c)
	}
	return 1
}

// unicode appends what a backslash of U&'…' stands for.
func (q *Query) unicode(b []byte) int {
	switch {
	case len(b) > 0 && b[0] == '\\':
		q.scratch = append(q.scratch, '\\')
		return 1
	case len(b) > 0 && b[0] == '+':
		return q.codePoint(b, 1, 6)
	}
	return q.codePoint(b, 0, 4)
}

// codePoint appends the character whose number begins after skip bytes. A
// surrogate must be followed by its other half, which is not read here.
func (q *Query) codePoint(b []byte, skip, length int) int {
	if len(b) < skip+length {
		return 0
	}
	v, n := digits(b[skip:], 16, length)
	if n != length || v == 0 || v > utf8.MaxRune || utf16.IsSurrogate(rune(v)) {
		return 0
	}
	q.scratch = utf8.AppendRune(q.scratch, rune(v))
	return skip + length
}

// digits reads up to most digits of a radix.
func digits(b []byte, radix, most int) (v, n int) {
	for n < most && n < len(b) {
		d := digit(b[n])
		if d >= radix {
			break
		}
		v = v*radix + d
		n++
	}
	return v, n
}

func digit(c byte) int {
	switch c = lower[c]; {
	case isDigit(c):
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	}
	return 99
}
