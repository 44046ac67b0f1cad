package router

import (
	"bytes"
	"sync/atomic"
)

// stencil is a text that the lexer has read, with holes where its literals were. A text that is the same but for what is in the holes
// is of the same template, and has its literals in the holes: so much is known of it without the lexer.
//
// That is true because no token of the text looks into a hole for more than whether a digit or a quote stands there: see isHole. It is
// immutable but for used, and safe for concurrent use.
type stencil struct {
	key  uint64 // by which it is found
	tpl  *Template
	text []byte
	cuts []cut // in order
	piece
	used atomic.Bool // a text fitted since it was last asked whether one did
}

// cut is a literal or parameter of a stencil's text. One that is no hole has to be the same in another text.
type cut struct {
	slot
	hole bool
}

// Limits of what becomes a stencil.
const (
	maxStencil = 2 << 10 // bytes of text
	maxCuts    = 64
)

// newStencil makes a stencil of the text in q, whose template is known, and in which backslashes do not escape; nil if it has none: it
// holds several statements, rows of which the template has one only, or a hint. A statement that its template holds as it is has no holes.
func newStencil(q *Query, key uint64) *stencil {
	if len(q.text) > maxStencil || len(q.slots) > maxCuts || len(q.pieces) != 1 || len(q.runs) > 0 || q.hint.end != 0 {
		return nil
	}
	s := &stencil{key: key, tpl: q.tpl, text: bytes.Clone(q.text), piece: q.pieces[0]}
	s.cuts = make([]cut, len(q.slots))
	for i, at := range q.slots {
		s.cuts[i] = cut{at, !s.verbatim && isHole(s.text, at)}
	}
	return s
}

// isHole reports a literal in whose place another of its kind may stand, and nothing else in the text is read differently. It is written
// in the plainest way: 42, 4.2 or 'text', which no prefix opens and no line continues. Before it is a byte that belongs to no word,
// number or string, and that looks no further than to its own kind. So is the byte after a number, or the text ends.
func isHole(text []byte, at slot) bool {
	if at.off == 0 || !parts(text[at.off-1]) {
		return false
	}
	end := holeEnd(text, int(at.off), at.kind)
	return end == int(at.end) && (at.kind == slotString || end == len(text) || parts(text[end]))
}

// parts reports a byte that ends what stands before it, and does not belong to what stands after it.
func parts(c byte) bool {
	switch classes[c] {
	case classSpace, classSelf, classOp, classColon, classEnd:
		return true
	}
	return false
}

// holeEnd returns where the literal ends that begins at off and fills a hole of a kind; off or less if none does. Where a number ends,
// the byte after it is for the caller to look at.
func holeEnd(text []byte, off int, k slotKind) int {
	switch k {
	case slotInt:
		return digitsEnd(text, off)
	case slotDecimal:
		point := digitsEnd(text, off)
		if point == off || point >= len(text) || text[point] != '.' {
			return off
		}
		if end := digitsEnd(text, point+1); end > point+1 {
			return end
		}
	case slotString:
		if off >= len(text) || text[off] != '\'' {
			return off
		}
		if end, ok := closing(text, off+1, false); ok {
			return end
		}
	}
	return off
}

func digitsEnd(text []byte, i int) int {
	for i < len(text) && isDigit(text[i]) {
		i++
	}
	return i
}

// fit reads the text of q, which was just reset, if it is that of the stencil but for what is in its holes: then q is as normalise makes
// it, but for the template's bytes. If it is not, slots of q are undefined.
func (s *stencil) fit(q *Query) bool {
	text, cuts := q.text, s.cuts
	slots := q.roomFor(len(cuts))
	from, at := 0, 0 // what was compared last ends here: in the stencil's text, and in this one
	for i := range cuts {
		c := &cuts[i]
		if !c.hole {
			slots[i] = slot{c.off + int32(at-from), c.end + int32(at-from), c.number, c.kind}
			continue
		}
		same := s.text[from:c.off]
		off := at + len(same)
		if off > len(text) || !bytes.Equal(text[at:off], same) {
			return false
		}
		at, from = holeEnd(text, off, c.kind), int(c.end)
		if at <= off {
			return false
		}
		slots[i] = slot{off: int32(off), end: int32(at), kind: c.kind}
	}
	if !bytes.Equal(text[at:], s.text[from:]) {
		return false
	}
	if !s.used.Load() { // so that sessions which share it do not write to it
		s.used.Store(true)
	}
	p := s.piece
	p.end += int32(len(text) - len(s.text))
	q.slots, q.pieces, q.tpl = slots, append(q.pieces, p), s.tpl
	return true
}

// roomFor returns the memory of q's slots for n of them, whatever is there.
func (q *Query) roomFor(n int) []slot {
	if cap(q.slots) < n {
		q.slots = make([]slot, 0, 2*n)
	}
	return q.slots[:n]
}
