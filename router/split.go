package router

import "iter"

// Part is one statement of a script: where its text begins, and where it ends
// without its semicolon. A Bad part is not a statement: PostgreSQL's scanner
// rejects the text from there on, as with a quote that does not end.
type Part struct {
	Off, End int
	Bad      bool
}

// Parts returns the statements of a script in order, a Bad part last where the
// text cannot be read to its end.
func Parts(text []byte) iter.Seq[Part] {
	return func(yield func(Part) bool) {
		l := lexer{src: text}
		for {
			p, more := l.part()
			if !more || !yield(p) || p.Bad {
				return
			}
		}
	}
}

// part reads one statement and its semicolon; false: there is none left.
func (l *lexer) part() (p Part, more bool) {
	t := l.next()
	for t.kind == tokSemi {
		t = l.next()
	}
	if t.kind == tokEnd {
		return Part{}, false
	}
	p.Off = t.off
	var b body
	for depth := 0; t.kind != tokEnd && (t.kind != tokSemi || depth > 0 || b.depth > 0); t = l.next() {
		p.End = t.end
		switch t.kind {
		case tokBad:
			return Part{t.off, t.end, true}, true
		case tokWord:
			b.word(l.src[t.off:t.end])
		case tokSelf:
			depth = max(depth+nesting(l.src[t.off]), 0)
		}
	}
	return p, true
}

// Split returns the statements of a script, each without its semicolon. Text
// that PostgreSQL's scanner rejects comes back as one. The parts share memory
// with text.
func Split(text []byte) [][]byte {
	var parts [][]byte
	for p := range Parts(text) {
		if p.Bad {
			return [][]byte{text}
		}
		parts = append(parts, text[p.Off:p.End:p.End])
	}
	return parts
}
