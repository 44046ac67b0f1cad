package proxy

import "strings"

// text reads on in the text format, byte by byte.
func (sp *splitter) text(b []byte) (int, piece) {
	from := 0 // of the field in hand
	for i, c := range b {
		switch sp.state {
		case afterReturn:
			return sp.afterReturn(i, c)
		case afterBackslash:
			if sp.state = inRow; c == '.' {
				sp.state, sp.alone = inMark, sp.size+int64(i) == 1
			}
			continue
		case inMark, inMarkReturn:
			if what := sp.mark(c); what != part {
				sp.keep(b[from:i])
				sp.endMarked()
				return i + 1, what
			}
			continue
		}
		switch c {
		case '\\':
			sp.state = afterBackslash
		case '\n', '\r':
			sp.keep(b[from:i])
			if n, what := sp.endLine(i, c); what != part {
				return n, what
			}
			from = i + 1
		case sp.how.Delimiter:
			sp.keep(b[from:i])
			sp.endField()
			from = i + 1
		}
	}
	if from < len(b) {
		sp.keep(b[from:])
	}
	return len(b), part
}

// endLine is the end of a line at i, or the carriage return that may be the first half of it.
func (sp *splitter) endLine(i int, c byte) (int, piece) {
	switch {
	case c == '\n' && (sp.eol == eolCR || sp.eol == eolCRNL), c == '\r' && sp.eol == eolNL:
		return i + 1, bad
	case c == '\r' && sp.eol != eolCR:
		sp.endField()
		sp.state = afterReturn
		return 0, part
	case c == '\n':
		sp.eol = eolNL
	}
	sp.endField()
	return i + 1, row
}

// afterReturn reads the byte c at i, after a carriage return that may end lines alone or together with it.
func (sp *splitter) afterReturn(i int, c byte) (int, piece) {
	sp.state = inRow
	switch {
	case c == '\n':
		sp.eol = eolCRNL
		return i + 1, row
	case sp.eol == eolCRNL:
		return i, bad
	}
	sp.eol = eolCR
	return i, row
}

// mark reads a byte after \., which only the end of the line may follow.
func (sp *splitter) mark(c byte) piece {
	switch {
	case sp.state == inMark && sp.eol == eolCRNL && c == '\r':
		sp.state = inMarkReturn
		return part
	case sp.state == inMarkReturn && c == '\n':
		return end
	case sp.state == inMarkReturn || sp.eol == eolCRNL:
		return bad
	case c == '\n' && sp.eol != eolCR, c == '\r' && sp.eol != eolNL:
		return end
	}
	return bad
}

// endMarked ends the field that \. is in.
func (sp *splitter) endMarked() {
	if sp.field == sp.how.At && !sp.found && !sp.header {
		raw := strings.TrimSuffix(string(sp.raw), "\r")
		sp.raw = append(sp.raw[:0], strings.TrimSuffix(raw, `\.`)...)
	}
	sp.endField()
}

// unescaped appends a field of the text format without its escapes.
func unescaped(dst, raw []byte) []byte {
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c != '\\' {
			dst = append(dst, c)
			continue
		}
		if i++; i == len(raw) {
			break
		}
		const letters, values = "bfnrtv", "\b\f\n\r\t\v"
		switch c = raw[i]; {
		case c >= '0' && c <= '7':
			v, n := number(raw[i:], 8, 3)
			dst = append(dst, v)
			i += n - 1
		case c == 'x':
			v, n := number(raw[i+1:], 16, 2)
			if n == 0 {
				v = c
			}
			dst = append(dst, v)
			i += n
		case strings.IndexByte(letters, c) >= 0:
			dst = append(dst, values[strings.IndexByte(letters, c)])
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// number reads up to most digits of a radix, as a byte, and says how many there are.
func number(b []byte, radix, most int) (v byte, n int) {
	for n < most && n < len(b) {
		d := strings.IndexByte("0123456789abcdef", b[n]|0x20)
		if b[n] < '0' || d < 0 || d >= radix {
			break
		}
		v = byte(int(v)*radix + d)
		n++
	}
	return v, n
}
