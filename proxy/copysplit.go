package proxy

import (
	"bytes"

	"github.com/pgdrover/pgdrover/router"
)

// splitter finds where the rows in the data of a COPY FROM end, and what the tenant's field of each says. It reads the data as a
// server does (manual, "COPY", "File Formats"; the server's own reader is the source where that is silent), however it is cut into
// pieces, and does no I/O. It belongs to one COPY.
type splitter struct {
	how *router.Splitting

	// Of the row in hand, valid until the next one begins, value until the next call of next.
	found   bool   // the tenant's field was read
	null    bool   // it is NULL
	unsaid  bool   // it stands for the column's default
	value   []byte // what it says, without quotes and escapes
	alone   bool   // after end: nothing is before the mark in its line
	breaks  int    // line feeds in quotes
	returns int    // carriage returns in quotes

	header bool // the row in hand is the header
	begun  bool // a part of the row was read
	eol    eol
	state  reading
	field  int    // that is being read, from 0
	size   int64  // of the row before the piece in hand
	raw    []byte // the tenant's field as the data has it, of a row that is read in steps
	plain  []byte // memory of value

	quotes, sawQuote, escaped bool // CSV

	need   int   // binary: bytes of the number or field in hand that are still to come
	number int32 // binary: the number in hand, as far as it has come
	fields int32 // binary: of the row
}

// piece says what next has read.
type piece uint8

const (
	part   piece = iota // a part of a row, which goes on
	row                 // up to the end of a row
	header              // up to the end of the header, which is for every shard
	end                 // up to the mark that ends the data
	bad                 // up to what a server rejects whatever comes then
)

// eol is how lines end, which the first one says.
type eol uint8

const (
	eolUnknown eol = iota
	eolNL
	eolCR
	eolCRNL
)

// reading is where in a row the reader is.
type reading uint8

const (
	inRow reading = iota
	afterReturn
	afterBackslash
	inMark       // after \.
	inMarkReturn // after \. and a carriage return

	inSignature // binary
	inExtension
	inCount
	inLength
	inValue
)

func newSplitter(how *router.Splitting) splitter {
	sp := splitter{how: how, header: how.Header && how.Format != router.CopyBinary}
	if how.Format == router.CopyBinary {
		sp.state = inSignature
	}
	return sp
}

// next reads on in b, which follows what was read before, and returns how many of its bytes belong to the row in hand. That is 0 at
// the end of a row only, which only the byte after it shows. b is not empty.
func (sp *splitter) next(b []byte) (int, piece) {
	if !sp.begun {
		sp.found, sp.null, sp.unsaid, sp.alone = false, false, false, false
		sp.breaks, sp.returns = 0, 0
		if n := sp.whole(b); n > 0 {
			return n, row
		}
		sp.begun, sp.field, sp.size, sp.raw = true, 0, 0, sp.raw[:0]
		sp.quotes, sp.sawQuote, sp.escaped = false, false, false
	}
	n, what := 0, part
	switch sp.how.Format {
	case router.CopyBinary:
		n, what = sp.binary(b)
	case router.CopyCSV:
		n, what = sp.csv(b)
	default:
		n, what = sp.text(b)
	}
	sp.size += int64(n)
	if what == row && sp.header {
		sp.header, what = false, header
	}
	sp.begun = what == part
	return n, what
}

// finish says that the data ends in the row in hand: its last field ends there too.
func (sp *splitter) finish() {
	if sp.begun && !sp.found && !sp.quotes && sp.how.Format != router.CopyBinary && (sp.state == inRow || sp.state == afterBackslash) {
		sp.endField()
	}
}

// whole reads a row of text or CSV that b has all of, if that needs no look at each byte. It returns the row's size, 0 if it does.
func (sp *splitter) whole(b []byte) int {
	if sp.header || sp.eol != eolNL && sp.eol != eolCRNL || sp.how.Format == router.CopyBinary {
		return 0
	}
	size := bytes.IndexByte(b, '\n') + 1
	if size == 0 {
		return 0
	}
	line := b[:size-1]
	if sp.eol == eolCRNL {
		if len(line) == 0 || line[len(line)-1] != '\r' {
			return 0
		}
		line = line[:len(line)-1]
	}
	special, ok := len(line), true
	if sp.how.Format == router.CopyText {
		special, ok = escapes(line)
	} else {
		special, ok = sp.quotesIn(line)
	}
	if !ok || bytes.IndexByte(line, '\r') >= 0 {
		return 0
	}
	from, to := sp.fieldIn(line)
	if from < 0 || to > special {
		return 0
	}
	sp.set(line[from:to], line[from:to], false)
	return size
}

// escapes returns where the first backslash of a line is. It reports false if one of them is before a dot or the end of the line.
func escapes(line []byte) (int, bool) {
	first := len(line)
	for i := 0; ; i += 2 {
		at := bytes.IndexByte(line[i:], '\\')
		if at < 0 {
			return first, true
		}
		i += at
		first = min(first, i)
		if i+1 == len(line) || line[i+1] == '.' {
			return first, false
		}
	}
}

// quotesIn returns where the first quote of a line of CSV is. It reports false if the row may go on in the next line, or be none.
func (sp *splitter) quotesIn(line []byte) (int, bool) {
	if len(line) > 0 && line[0] == '\\' {
		return 0, false
	}
	quote := sp.how.Quote
	first := bytes.IndexByte(line, quote)
	if first < 0 {
		return len(line), true
	}
	return first, quote == sp.how.Escape && bytes.Count(line[first:], []byte{quote})%2 == 0
}

// fieldIn is where the tenant's field is in a line without quotes or escapes before its end; -1 if it has none.
func (sp *splitter) fieldIn(line []byte) (from, to int) {
	for range sp.how.At {
		at := bytes.IndexByte(line[from:], sp.how.Delimiter)
		if at < 0 {
			return -1, 0
		}
		from += at + 1
	}
	if at := bytes.IndexByte(line[from:], sp.how.Delimiter); at >= 0 {
		return from, from + at
	}
	return from, len(line)
}

// set notes the tenant's field.
func (sp *splitter) set(raw, value []byte, quoted bool) {
	sp.found, sp.value = true, value
	sp.null = sp.how.IsNull(raw, value, quoted)
	sp.unsaid = sp.how.IsDefault(raw, quoted)
}

// keep adds to the tenant's field, if that is the one in hand.
func (sp *splitter) keep(p []byte) {
	if sp.field == sp.how.At && !sp.found && !sp.header {
		sp.raw = append(sp.raw, p...)
	}
}

// endField ends the field in hand.
func (sp *splitter) endField() {
	if sp.field == sp.how.At && !sp.found && !sp.header {
		if sp.how.Format == router.CopyCSV {
			sp.plain = unquoted(sp.plain[:0], sp.raw, sp.how.Quote, sp.how.Escape)
		} else {
			sp.plain = unescaped(sp.plain[:0], sp.raw)
		}
		sp.set(sp.raw, sp.plain, sp.sawQuote)
	}
	sp.field++
	sp.sawQuote = false
}
