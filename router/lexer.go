package router

import "bytes"

// kind is the kind of a token.
type kind uint8

const (
	tokEnd     kind = iota // the end of the text
	tokWord                // an identifier or keyword
	tokQuoted              // "name"
	tokUQuoted             // U&"name"
	tokLiteral             // a literal or parameter: see lexer.slot
	tokOp                  // an operator
	tokSelf                // ( ) [ ] ,
	tokDot                 // .
	tokDotDot              // ..
	tokCast                // ::
	tokColon               // : or :=
	tokSemi                // ;
	tokBad                 // what PostgreSQL's scanner rejects, to the end of the text
)

// token is a piece of the text; what lies between tokens is blanks and
// comments.
type token struct {
	kind     kind
	off, end int
}

// lexer splits a text into tokens as PostgreSQL's scanner does. It never fails:
// text that the scanner rejects is one tokBad to the end.
type lexer struct {
	src   []byte
	pos   int
	plain bool // backslashes escape in '...'

	slot slot // of the last tokLiteral
	hint span // the first comment that speaks to PgDrover, without its marks
}

// next returns the next token.
func (l *lexer) next() token {
	if !l.blanks() {
		return l.bad(l.pos)
	}
	if l.pos >= len(l.src) {
		return token{tokEnd, len(l.src), len(l.src)}
	}
	off := l.pos
	c := l.src[off]
	switch classes[c] {
	case classLetter:
		return l.word(off)
	case classLiteral:
		return l.prefixed(off, c)
	case classDigit:
		return l.number(off)
	case classQuote:
		if l.plain {
			return l.quoted(off, off, slotEscape)
		}
		return l.quoted(off, off, slotString)
	case classDollar:
		return l.dollar(off)
	case classDouble:
		return l.name(off, off, tokQuoted)
	case classSelf:
		l.pos++
		return token{tokSelf, off, l.pos}
	case classOp:
		return l.operator(off)
	}
	return l.mark(off, c)
}

// mark reads the punctuation that depends on what follows it.
func (l *lexer) mark(off int, c byte) token {
	switch {
	case c == ';':
		l.pos++
		return token{tokSemi, off, l.pos}
	case c == '.':
		return l.dot(off)
	case c != ':':
		return l.bad(off)
	}
	l.pos++
	switch l.peek(0) {
	case ':':
		l.pos++
		return token{tokCast, off, l.pos}
	case '=':
		l.pos++
	}
	return token{tokColon, off, l.pos}
}

func (l *lexer) dot(off int) token {
	if isDigit(l.peek(1)) {
		return l.number(off)
	}
	if l.peek(1) == '.' {
		l.pos += 2
		return token{tokDotDot, off, l.pos}
	}
	l.pos++
	return token{tokDot, off, l.pos}
}

// peek returns the byte n places on, or 0 at the end of the text.
func (l *lexer) peek(n int) byte {
	if l.pos+n < len(l.src) {
		return l.src[l.pos+n]
	}
	return 0
}

func (l *lexer) bad(off int) token {
	l.pos = len(l.src)
	return token{tokBad, off, l.pos}
}

// blanks skips blanks and comments; false means a comment that does not end.
func (l *lexer) blanks() bool {
	for l.pos < len(l.src) {
		c := l.src[l.pos]
		switch {
		case classes[c] == classSpace:
			l.pos++
		case c == '-' && l.peek(1) == '-':
			l.lineComment()
		case c == '/' && l.peek(1) == '*':
			if !l.blockComment() {
				return false
			}
		default:
			return true
		}
	}
	return true
}

func (l *lexer) lineComment() {
	off := l.pos + 2
	for l.pos < len(l.src) && l.src[l.pos] != '\n' && l.src[l.pos] != '\r' {
		l.pos++
	}
	l.noteHint(off, l.pos)
}

// blockComment skips a comment with the comments nested in it. One that does
// not end leaves the lexer at its start.
func (l *lexer) blockComment() bool {
	start, depth := l.pos, 0
	for i := start; i+1 < len(l.src); i++ {
		switch {
		case l.src[i] == '/' && l.src[i+1] == '*':
			depth++
			i++
		case l.src[i] == '*' && l.src[i+1] == '/':
			depth--
			i++
		}
		if depth == 0 {
			l.pos = i + 1
			l.noteHint(start+2, i-1)
			return true
		}
	}
	return false
}

// hintMark opens a comment that speaks to PgDrover.
var hintMark = []byte("pgdrover:")

func (l *lexer) noteHint(off, end int) {
	if l.hint.end != 0 {
		return
	}
	for off < end && classes[l.src[off]] == classSpace {
		off++
	}
	if bytes.HasPrefix(l.src[off:end], hintMark) {
		l.hint = span{int32(off + len(hintMark)), int32(end)}
	}
}

func (l *lexer) word(off int) token {
	i := off + 1
	for i < len(l.src) && isWordByte(l.src[i]) {
		i++
	}
	l.pos = i
	return token{tokWord, off, i}
}

// prefixed reads a token that begins with a letter which may open a literal.
func (l *lexer) prefixed(off int, c byte) token {
	if c |= 0x20; l.peek(1) == '\'' {
		switch c {
		case 'e':
			return l.quoted(off, off+1, slotEscape)
		case 'b':
			return l.quoted(off, off+1, slotBit)
		case 'x':
			return l.quoted(off, off+1, slotHex)
		}
	}
	if c == 'u' && l.peek(1) == '&' {
		switch l.peek(2) {
		case '\'':
			return l.quoted(off, off+2, slotUnicode)
		case '"':
			return l.name(off, off+2, tokUQuoted)
		}
	}
	return l.word(off)
}

// name reads a quoted identifier whose quote is at open.
func (l *lexer) name(off, open int, k kind) token {
	for i := open + 1; i < len(l.src); i++ {
		if l.src[i] == 0 {
			break
		}
		if l.src[i] != '"' {
			continue
		}
		if i+1 < len(l.src) && l.src[i+1] == '"' {
			i++
			continue
		}
		if i == open+1 {
			break // a name of no characters
		}
		l.pos = i + 1
		return token{k, off, l.pos}
	}
	return l.bad(off)
}

// operatorMarks are the characters that let an operator end in + or -.
func isOperatorMark(c byte) bool {
	switch c {
	case '~', '!', '@', '#', '^', '&', '|', '`', '?', '%':
		return true
	}
	return false
}

func (l *lexer) operator(off int) token {
	i, marked := off, false
	for i < len(l.src) && classes[l.src[i]] == classOp && !opensComment(l.src[i:]) {
		marked = marked || isOperatorMark(l.src[i])
		i++
	}
	for i > off+1 && !marked && (l.src[i-1] == '+' || l.src[i-1] == '-') {
		i--
	}
	l.pos = i
	return token{tokOp, off, i}
}

// opensComment reports whether a comment begins here; an operator ends there.
func opensComment(b []byte) bool {
	return len(b) > 1 && (b[0] == '-' && b[1] == '-' || b[0] == '/' && b[1] == '*')
}
