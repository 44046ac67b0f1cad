package router

import "bytes"

// Marks stand for literals in a template. None of these bytes occurs outside
// quotes in text that the lexer accepts.
const (
	markInt     = 0x01
	markDecimal = 0x02
	markString  = 0x03
	markBit     = 0x04
	markHex     = 0x05
	markParam   = 0x06
	markUQuoted = 0x07 // before U&"name", so that u & "name" differs
	markBad     = 0x0e // before text that the lexer rejected
)

var slotMarks = [...]byte{
	slotInt: markInt, slotDecimal: markDecimal, slotString: markString, slotEscape: markString,
	slotUnicode: markString, slotDollar: markString, slotBit: markBit, slotHex: markHex, slotParam: markParam,
}

// Limits of what the parser is given.
const (
	maxDepth    = 400     // nested parentheses
	maxTemplate = 1 << 18 // bytes of template
	maxRejected = 2 << 10 // bytes of text that the lexer rejected, for the parser's message
)

// normaliser turns a text into its template: words in lower case, no comments,
// blanks only where tokens would run together, marks for literals, and VALUES
// rows of one shape as one row. Statements that are not queries stay as they
// are, since their literals decide what they mean.
type normaliser struct {
	q     *Query
	lex   lexer
	norm  []byte
	depth int
	prev  kind
	vals  values
}

// normalise fills norm, slots, runs, pieces and hint of q.
func normalise(q *Query) {
	n := normaliser{q: q, lex: lexer{src: q.text, plain: q.plain}, norm: q.norm}
	for t := n.lex.next(); t.kind != tokEnd; t = n.lex.next() {
		if t.kind == tokSemi {
			continue
		}
		if !n.statement(t) {
			n.rejected()
			break
		}
	}
	q.norm = n.norm
	q.hint = hint{span: n.lex.hint}
	if n.lex.hint.end != 0 {
		q.readHint()
	}
}

// rejected makes one piece of the whole text.
func (n *normaliser) rejected() {
	q := n.q
	q.slots, q.runs = q.slots[:0], q.runs[:0]
	n.norm = append(append(n.norm[:0], markBad), q.text...)
	q.pieces = append(q.pieces[:0], piece{
		span: span{0, int32(len(q.text))}, norm: span{1, int32(len(n.norm))}, verbatim: true, bad: true,
		deep: len(q.text) > maxRejected,
	})
}

// statement reads the statement that begins with t. False means that the lexer
// rejects the text.
func (n *normaliser) statement(t token) bool {
	p := piece{slot: int32(len(n.q.slots)), verbatim: !isTemplated(n.q.text[t.off:t.end])}
	p.off, p.norm.off = int32(t.off), int32(len(n.norm))
	n.depth, n.prev, n.vals = 0, tokSemi, values{}
	var ok bool
	if p.verbatim {
		p.end, ok = n.verbatim(t)
	} else {
		p.end, p.deep, ok = n.templated(t)
	}
	p.norm.end = int32(len(n.norm))
	p.deep = p.deep || len(n.norm) > maxTemplate
	n.norm = append(n.norm, ';')
	n.q.pieces = append(n.q.pieces, p)
	return ok
}

// isTemplated reports whether the literals of statements that begin with word
// are lifted out.
func isTemplated(word []byte) bool {
	var b [8]byte
	if len(word) > len(b) {
		return false
	}
	for i, c := range word {
		b[i] = lower[c]
	}
	switch string(b[:len(word)]) {
	case "select", "insert", "update", "delete", "merge", "with", "values", "table", "explain", "copy", "declare", "execute", "(":
		return true
	}
	return false
}

// templated reads a statement whose literals are lifted out.
func (n *normaliser) templated(t token) (end int32, deep, ok bool) {
	for ; t.kind != tokEnd && (t.kind != tokSemi || n.depth > 0); t = n.lex.next() {
		end = int32(t.end)
		switch t.kind {
		case tokBad:
			return end, deep, false
		case tokWord:
			if !n.word(t) {
				return end, deep, false
			}
		case tokLiteral:
			n.q.slots = append(n.q.slots, n.lex.slot)
			n.norm = append(n.norm, slotMarks[n.lex.slot.kind])
			n.vals.other()
		case tokSelf:
			n.self(t)
			deep = deep || n.depth > maxDepth
		default:
			n.emit(t)
			n.vals.other()
		}
		n.prev = t.kind
	}
	return end, deep, true
}

// groups are the kinds of tokens that would run together with their like.
var groups = [...]uint8{
	tokWord: 1, tokQuoted: 2, tokUQuoted: 2, tokOp: 3, tokColon: 3, tokCast: 3, tokDot: 4, tokDotDot: 4, tokBad: 0,
}

// separate puts a blank between two tokens that need one.
func (n *normaliser) separate(k kind) {
	if g := groups[k]; g != 0 && g == groups[n.prev] {
		n.norm = append(n.norm, ' ')
	}
}

func (n *normaliser) emit(t token) {
	n.separate(t.kind)
	if t.kind == tokUQuoted {
		n.norm = append(n.norm, markUQuoted)
	}
	n.norm = append(n.norm, n.q.text[t.off:t.end]...)
}

var (
	wordValues  = []byte("values")
	wordUescape = []byte("uescape")
)

// word emits an identifier in lower case. False means a UESCAPE that changes
// what a name means.
func (n *normaliser) word(t token) bool {
	n.separate(tokWord)
	at := len(n.norm)
	for _, c := range n.q.text[t.off:t.end] {
		n.norm = append(n.norm, lower[c])
	}
	n.vals.other()
	switch w := n.norm[at:]; {
	case len(w) == len(wordValues) && bytes.Equal(w, wordValues):
		if n.prev != tokDot && !n.vals.active {
			n.vals = values{expect: true}
		}
	case len(w) == len(wordUescape) && bytes.Equal(w, wordUescape):
		return n.uescape()
	}
	return true
}

// uescape makes the literal before the word one that nothing is read from.
func (n *normaliser) uescape() bool {
	if n.prev == tokUQuoted {
		return false
	}
	if k := len(n.q.slots); n.prev == tokLiteral && k > 0 && n.q.slots[k-1].kind == slotUnicode {
		n.q.slots[k-1].kind = slotBit
	}
	return true
}

// self emits a parenthesis, bracket or comma, and follows VALUES rows.
func (n *normaliser) self(t token) {
	c := n.q.text[t.off]
	switch c {
	case '(':
		n.depth++
		n.vals.open(n)
	case '[':
		n.depth++
		n.vals.other()
	case ',':
		n.vals.comma(n)
	default:
		n.vals.other()
	}
	n.norm = append(n.norm, c)
	if c == ')' {
		n.vals.shut(n, t)
	}
	if c == ')' || c == ']' {
		n.depth = max(n.depth-1, 0)
	}
}

// verbatim reads a statement that the template holds as it is, but for what the
// parser would read differently: under PlainBackslash strings with a backslash
// become E'...'.
func (n *normaliser) verbatim(t token) (end int32, ok bool) {
	from := t.off
	var b body
	for ; t.kind != tokEnd && (t.kind != tokSemi || n.depth > 0 || b.depth > 0); t = n.lex.next() {
		end = int32(t.end)
		switch t.kind {
		case tokBad:
			return end, false
		case tokWord:
			b.word(n.q.text[t.off:t.end])
		case tokSelf:
			n.depth = max(n.depth+nesting(n.q.text[t.off]), 0)
		case tokLiteral:
			n.q.slots = append(n.q.slots, n.lex.slot)
			if n.q.plain && n.q.text[t.off] == '\'' && bytes.IndexByte(n.q.text[t.off:t.end], '\\') >= 0 {
				n.norm = append(append(n.norm, n.q.text[from:t.off]...), 'E')
				from = t.off
			}
		}
	}
	n.norm = append(n.norm, n.q.text[from:end]...)
	return end, true
}

// nesting is how a bracket changes the depth.
func nesting(c byte) int {
	switch c {
	case '(', '[':
		return 1
	case ')', ']':
		return -1
	}
	return 0
}
