package router

import "bytes"

// literal ends a token that is a literal.
func (l *lexer) literal(off int, k slotKind) token {
	l.slot = slot{off: int32(off), end: int32(l.pos), kind: k}
	return token{tokLiteral, off, l.pos}
}

// quoted reads a string whose first quote is at open, with the parts that
// continue it on later lines.
func (l *lexer) quoted(off, open int, k slotKind) token {
	for {
		end, ok := closing(l.src, open+1, k == slotEscape)
		if !ok {
			return l.bad(off)
		}
		l.pos = end
		if open, ok = continued(l.src, end); !ok {
			return l.literal(off, k)
		}
	}
}

// closing returns the place after the quote that ends a string begun before i.
func closing(src []byte, i int, escapes bool) (int, bool) {
	for ; i < len(src); i++ {
		switch {
		case src[i] == 0:
			return 0, false
		case src[i] == '\\' && escapes:
			i++
		case src[i] != '\'':
		case i+1 < len(src) && src[i+1] == '\'':
			i++
		default:
			return i + 1, true
		}
	}
	return 0, false
}

// continued reports whether the string that ended at i goes on: a quote after
// blanks with a line end among them. Comments to the end of a line are blanks
// too.
func continued(src []byte, i int) (open int, ok bool) {
	line := false
	for ; i < len(src); i++ {
		switch c := src[i]; {
		case c == '\n' || c == '\r':
			line = true
		case classes[c] == classSpace:
		case c == '-' && i+1 < len(src) && src[i+1] == '-':
			i = lineEnd(src, i) - 1
		default:
			return i, line && c == '\''
		}
	}
	return 0, false
}

// lineEnd returns the place of the end of the line that holds i.
func lineEnd(src []byte, i int) int {
	for i < len(src) && src[i] != '\n' && src[i] != '\r' {
		i++
	}
	return i
}

// dollar reads $1 and $tag$text$tag$.
func (l *lexer) dollar(off int) token {
	if isDigit(l.peek(1)) {
		return l.parameter(off)
	}
	i := off + 1
	for i < len(l.src) && isWordByte(l.src[i]) && l.src[i] != '$' && (i > off+1 || !isDigit(l.src[i])) {
		i++
	}
	if i >= len(l.src) || l.src[i] != '$' {
		return l.bad(off)
	}
	tag := l.src[off : i+1]
	length := bytes.Index(l.src[i+1:], tag)
	if length < 0 {
		return l.bad(off)
	}
	l.pos = i + 1 + length + len(tag)
	return l.literal(off, slotDollar)
}

// maxParameter bounds a parameter's number, as the protocol does.
const maxParameter = 65535

func (l *lexer) parameter(off int) token {
	n, i := 0, off+1
	for ; i < len(l.src) && isDigit(l.src[i]); i++ {
		n = min(n*10+int(l.src[i]-'0'), maxParameter+1)
	}
	if i < len(l.src) && isLetter(l.src[i]) || n == 0 || n > maxParameter {
		return l.bad(off)
	}
	l.pos = i
	t := l.literal(off, slotParam)
	l.slot.number = int32(n)
	return t
}

// number reads an integer or a decimal; off is at a digit or at a dot before
// one.
func (l *lexer) number(off int) token {
	if k := radix(l.src[off:]); k != 0 {
		l.pos = off + 2
		for l.pos < len(l.src) && (l.src[l.pos] == '_' || isRadixDigit(l.src[l.pos], k)) {
			l.pos++
		}
		return l.numberEnd(off, slotInt)
	}
	k := slotInt
	l.digits()
	if l.peek(0) == '.' && l.peek(1) != '.' {
		k = slotDecimal
		l.pos++
		l.digits()
	}
	if c := l.peek(0); c == 'e' || c == 'E' {
		sign := 0
		if s := l.peek(1); s == '+' || s == '-' {
			sign = 1
		}
		if !isDigit(l.peek(1 + sign)) {
			return l.bad(off)
		}
		l.pos += 1 + sign
		l.digits()
		k = slotDecimal
	}
	return l.numberEnd(off, k)
}

// digits skips decimal digits and the underscores between them.
func (l *lexer) digits() {
	for l.pos < len(l.src) && (isDigit(l.src[l.pos]) || l.src[l.pos] == '_' && isDigit(l.peek(1))) {
		l.pos++
	}
}

// numberEnd ends a number, which no letter may follow.
func (l *lexer) numberEnd(off int, k slotKind) token {
	if isLetter(l.peek(0)) {
		return l.bad(off)
	}
	return l.literal(off, k)
}

// radix returns the letter of a number written to another base; 0: decimal.
func radix(b []byte) byte {
	if len(b) < 3 || b[0] != '0' {
		return 0
	}
	c := lower[b[1]]
	if (c == 'x' || c == 'o' || c == 'b') && (b[2] == '_' || isRadixDigit(b[2], c)) {
		return c
	}
	return 0
}

func isRadixDigit(c, radix byte) bool {
	switch radix {
	case 'b':
		return c == '0' || c == '1'
	case 'o':
		return c >= '0' && c <= '7'
	}
	c = lower[c]
	return isDigit(c) || c >= 'a' && c <= 'f'
}
