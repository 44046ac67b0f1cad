package proxy

import "bytes"

// csv reads on in the CSV format, byte by byte outside quotes.
func (sp *splitter) csv(b []byte) (int, piece) {
	from := 0 // of the field in hand
	for i := 0; i < len(b); i++ {
		c := b[i]
		switch sp.state {
		case afterReturn:
			return sp.afterReturn(i, c)
		case afterBackslash:
			if sp.state = inRow; c == '.' {
				sp.state = inMark
				continue
			}
		case inMark, inMarkReturn:
			what := sp.mark(c)
			if what == bad && sp.state == inMark && c != '\n' && c != '\r' { // \. that more follows is data
				sp.state = inRow
				break
			}
			if what == part {
				continue
			}
			sp.alone = true
			return i + 1, what
		}
		if sp.quotes {
			i += sp.inQuotes(b[i:])
			continue
		}
		switch c {
		case sp.how.Quote:
			sp.quotes, sp.sawQuote = true, true
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
		case '\\':
			if sp.size+int64(i) == 0 && !sp.how.NoMarker {
				sp.state = afterBackslash
			}
		}
	}
	if from < len(b) {
		sp.keep(b[from:])
	}
	return len(b), part
}

// inQuotes reads b, which begins in quotes, up to the quote that ends them, and returns where that is: the index of the last byte
// that it read.
func (sp *splitter) inQuotes(b []byte) int {
	quote, escape := sp.how.Quote, sp.how.Escape
	if quote == escape {
		at := bytes.IndexByte(b, quote)
		if at >= 0 {
			sp.quotes = false
		} else {
			at = len(b) - 1
		}
		sp.count(b[:at+1])
		return at
	}
	for i, c := range b {
		if c == quote && !sp.escaped {
			sp.quotes = false
			sp.count(b[:i])
			return i
		}
		sp.escaped = c == escape && !sp.escaped
	}
	sp.count(b)
	return len(b) - 1
}

// count counts the ends of lines in quotes.
func (sp *splitter) count(b []byte) {
	sp.breaks += bytes.Count(b, []byte{'\n'})
	sp.returns += bytes.Count(b, []byte{'\r'})
}

// unquoted appends a field of CSV without its quotes and what escapes them.
func unquoted(dst, raw []byte, quote, escape byte) []byte {
	in := false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case in && c == escape && i+1 < len(raw) && (raw[i+1] == escape || raw[i+1] == quote):
			i++
			dst = append(dst, raw[i])
		case c == quote:
			in = !in
		default:
			dst = append(dst, c)
		}
	}
	return dst
}
