package router

import (
	"bytes"
	"strconv"
	"unicode/utf8"
)

// neutral are the literals that the parser is given for those of the text.
var neutral = [...]string{
	slotInt: "1", slotDecimal: "1.5", slotString: "'s'", slotEscape: "'s'", slotUnicode: "'s'", slotDollar: "'s'",
	slotBit: "B'1'", slotHex: "X'1'", slotParam: "$1",
}

// source is the text that the parser is given for one statement, with the way
// back from its offsets to the template's slots and to the client's text.
type source struct {
	text   string
	slots  []mapped // in order
	tokens []mapped // in order; the slot is the token's offset in the client's text
}

// mapped is an offset in the parser's text and what it stands for.
type mapped struct{ off, slot int32 }

// rebuild makes the parser's text of piece i: the client's tokens without
// comments, which cost the parser's scanner the square of their depth. A query
// gets neutral literals and goes without the rows that are of the shape of the
// row before them. first is the template's index of the piece's first slot.
func (q *Query) rebuild(i int, first int32) (source, int32) {
	p := q.pieces[i]
	if p.bad {
		return source{text: string(q.text)}, first
	}
	l := lexer{src: q.text[:p.end], pos: int(p.off), plain: q.plain}
	b := builder{q: q, verbatim: p.verbatim, next: first}
	for t := l.next(); t.kind != tokEnd; t = l.next() {
		if !q.dropped(t.off) {
			b.token(t, l.slot)
		}
	}
	return source{text: string(b.text), slots: b.slots, tokens: b.tokens}, b.next
}

// dropped reports whether the text at off is of a row that the template left
// out.
func (q *Query) dropped(off int) bool {
	for _, r := range q.runs {
		if off >= int(r.off) && off < int(r.end) {
			return true
		}
	}
	return false
}

type builder struct {
	q        *Query
	verbatim bool
	text     []byte
	slots    []mapped
	tokens   []mapped
	next     int32 // the template's index of the next slot
	end      int   // of the token before, in the client's text
	unicode  bool  // the token before was U&'…'
	escape   bool  // the token before was UESCAPE
}

// token adds a token to the parser's text.
func (b *builder) token(t token, s slot) {
	literal := t.kind == tokLiteral
	if !b.verbatim && b.uescape(t, s) {
		return
	}
	if len(b.text) > 0 && (t.off > b.end || !b.verbatim) {
		b.text = append(b.text, ' ')
	}
	b.end = t.end
	at := int32(len(b.text))
	b.tokens = append(b.tokens, mapped{at, int32(t.off)})
	switch word := b.q.text[t.off:t.end]; {
	case literal && !b.verbatim:
		b.text = append(b.text, neutral[s.kind]...)
	case literal && b.q.plain && word[0] == '\'' && bytes.IndexByte(word, '\\') >= 0:
		b.text = append(append(b.text, 'E'), word...)
	default:
		b.text = append(b.text, word...)
	}
	if literal {
		b.slots = append(b.slots, mapped{at, b.next})
		b.next++
	}
}

// uescape reports UESCAPE 'c' after U&'…', which a neutral literal does not
// need.
func (b *builder) uescape(t token, s slot) bool {
	literal := t.kind == tokLiteral
	if t.kind == tokWord && b.unicode && lowerWord(b.q.text[t.off:t.end]) == "uescape" {
		b.unicode, b.escape = false, true
		return true
	}
	escape := b.escape
	b.unicode, b.escape = literal && s.kind == slotUnicode, false
	if literal && escape {
		b.next++
		return true
	}
	return false
}

// slotAt returns the template's slot that the constant at a place of the parser's
// text is written with. PostgreSQL folds -1 into one constant that begins at
// the sign, so it is the first slot from there on.
func (s *source) slotAt(off int32) (int32, bool) {
	lo, hi := 0, len(s.slots)
	for lo < hi {
		mid := (lo + hi) / 2
		if s.slots[mid].off < off {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if off < 0 || lo == len(s.slots) {
		return 0, false
	}
	return s.slots[lo].slot, true
}

// tokenAt returns the ordinal of the token at a character of the parser's text,
// counted from 1, or atNone or atEnd.
func (s *source) tokenAt(char int) int {
	if char <= 0 {
		return atNone
	}
	off := len(s.text)
	for i := range s.text {
		if char--; char == 0 {
			off = i
			break
		}
	}
	for k := range s.tokens {
		if int(s.tokens[k].off) >= off {
			return k
		}
	}
	return atEnd
}

// charAt returns the place of a byte of the text in characters, from 1.
func charAt(text []byte, off int) int { return utf8.RuneCount(text[:off]) + 1 }

func itoa(n int) string { return strconv.Itoa(n) }
