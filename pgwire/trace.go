package pgwire

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// traceLimit is the number of bytes of one value that a trace shows.
const traceLimit = 200

// Trace adds one line, without a newline, that shows a whole frame: F or B for
// sent by the frontend (to the server) or the backend, the message's name, its
// length as announced, and its parts, in the spirit of libpq's PQtrace.
// Passwords, SASL responses and cancel keys are not shown, long values are cut.
// A frame that is malformed is shown as such.
func Trace(dst []byte, toServer bool, frame []byte) []byte {
	if len(frame) < HeaderLen {
		return fmt.Appendf(traceSide(dst, toServer), "incomplete header %x", frame)
	}
	dst = traceSide(dst, toServer)
	name := MessageName(toServer, frame[0])
	if name == "" {
		name = fmt.Sprintf("Unknown(%q)", frame[0])
	}
	length := int32(binary.BigEndian.Uint32(frame[1:]))
	dst = append(dst, name...)
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, int64(length), 10)
	if int64(length) != int64(len(frame))-1 {
		return fmt.Appendf(dst, " malformed: the frame has %d bytes", len(frame))
	}
	t := tracer{dst: dst, rest: frame[HeaderLen:]}
	if toServer {
		t.client(frame[0])
	} else {
		t.server(frame[0])
	}
	t.end()
	return t.dst
}

// TraceStartup adds one line, without a newline, that shows the first packet of
// a connection, as [Trace] shows a frame.
func TraceStartup(dst, packet []byte) []byte {
	s, err := ParseStartup(packet)
	dst = traceSide(dst, true)
	if err != nil {
		return fmt.Appendf(dst, "Startup %d refused: %v", len(packet), err)
	}
	switch s.Kind {
	case KindSSLRequest:
		return fmt.Appendf(dst, "SSLRequest %d", len(packet))
	case KindGSSENCRequest:
		return fmt.Appendf(dst, "GSSENCRequest %d", len(packet))
	case KindCancel:
		return fmt.Appendf(dst, "CancelRequest %d %d secret of %d bytes", len(packet), s.PID, len(s.Secret))
	}
	dst = fmt.Appendf(dst, "Startup %d %d.%d", len(packet), s.Major, s.Minor)
	for _, p := range s.Params {
		dst = traceText(append(dst, ' '), p.Name)
		dst = traceText(append(dst, '='), p.Value)
	}
	for _, o := range s.Options {
		dst = traceText(append(dst, " option "...), o)
	}
	return dst
}

func traceSide(dst []byte, toServer bool) []byte {
	if toServer {
		return append(dst, "F "...)
	}
	return append(dst, "B "...)
}

// tracer takes the parts off a frame's body and shows each. After the first
// part that is not there, bad is set and nothing more is shown.
type tracer struct {
	dst, rest []byte
	bad       bool
}

func (t *tracer) end() {
	switch {
	case t.bad:
		t.dst = append(t.dst, " malformed: the body is too short"...)
	case len(t.rest) > 0:
		t.dst = fmt.Appendf(t.dst, " malformed: %d bytes too many", len(t.rest))
	}
}

// take is the next n bytes of the body, or nil.
func (t *tracer) take(n int) []byte {
	if t.bad || n < 0 || n > len(t.rest) {
		t.bad = true
		return nil
	}
	b := t.rest[:n]
	t.rest = t.rest[n:]
	return b
}

// unsigned shows an integer of 2 or 4 bytes that has no sign, and returns it.
func (t *tracer) unsigned(size int) int64 {
	var n int64
	for _, c := range t.take(size) {
		n = n<<8 | int64(c)
	}
	if !t.bad {
		t.dst = strconv.AppendInt(append(t.dst, ' '), n, 10)
	}
	return n
}

// signed shows an integer of 2 or 4 bytes that has a sign.
func (t *tracer) signed(size int) {
	var n int64
	for _, c := range t.take(size) {
		n = n<<8 | int64(c)
	}
	if !t.bad {
		unused := 64 - 8*size
		t.dst = strconv.AppendInt(append(t.dst, ' '), n<<unused>>unused, 10)
	}
}

func (t *tracer) text() {
	if t.bad {
		return
	}
	s, rest, ok := cutString(t.rest)
	if !ok {
		t.bad = true
		return
	}
	t.rest = rest
	t.dst = traceText(append(t.dst, ' '), string(s))
}

func (t *tracer) char() {
	if b := t.take(1); !t.bad {
		t.dst = traceRune(append(t.dst, ' '), rune(b[0]))
	}
}

// value shows a length and as many bytes, or NULL.
func (t *tracer) value() {
	b := t.take(4)
	if t.bad {
		return
	}
	length := int(int32(binary.BigEndian.Uint32(b)))
	if length == -1 {
		t.dst = append(t.dst, " NULL"...)
		return
	}
	if v := t.take(length); !t.bad {
		t.dst = traceBytes(append(t.dst, ' '), v)
	}
}

// each shows a count of 2 bytes, then as many parts.
func (t *tracer) each(part func()) {
	n := t.unsigned(2)
	for i := int64(0); i < n && !t.bad; i++ {
		part()
	}
}

// bytes shows all that is left of the body.
func (t *tracer) bytes() {
	t.dst = traceBytes(append(t.dst, ' '), t.rest)
	t.rest = nil
}

// hide shows only how much is left of the body.
func (t *tracer) hide(what string) {
	t.dst = fmt.Appendf(t.dst, " %s of %d bytes", what, len(t.rest))
	t.rest = nil
}

func (t *tracer) field() { t.unsigned(2) }
func (t *tracer) oid()   { t.unsigned(4) }

// traceText quotes s as in Go.
func traceText(dst []byte, s string) []byte {
	cut := cutPoint(s)
	dst = strconv.AppendQuote(dst, s[:cut])
	if cut < len(s) {
		dst = fmt.Appendf(dst, "+%d", len(s)-cut)
	}
	return dst
}

// cutPoint is the number of bytes of s that are shown: all, or as many as are
// allowed without parting a character.
func cutPoint[T string | []byte](s T) int {
	if len(s) <= traceLimit {
		return len(s)
	}
	for cut := traceLimit; cut > traceLimit-utf8.UTFMax; cut-- {
		if utf8.RuneStart(s[cut]) {
			return cut
		}
	}
	return traceLimit
}

// traceBytes shows b as text in single quotes when it is readable, else in hex.
func traceBytes(dst, b []byte) []byte {
	cut := cutPoint(b)
	if text := string(b[:cut]); readable(text) {
		dst = append(dst, '\'')
		dst = append(dst, traceEscapes.Replace(text)...)
		dst = append(dst, '\'')
	} else {
		dst = fmt.Appendf(dst, `\x%x`, text)
	}
	if cut < len(b) {
		dst = fmt.Appendf(dst, "+%d", len(b)-cut)
	}
	return dst
}

var traceEscapes = strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", `\n`, "\r", `\r`, "\t", `\t`)

func readable(s string) bool {
	for _, r := range s {
		if r == utf8.RuneError || !unicode.IsPrint(r) && r != '\n' && r != '\r' && r != '\t' {
			return false
		}
	}
	return true
}

func traceRune(dst []byte, r rune) []byte {
	if unicode.IsPrint(r) {
		return utf8.AppendRune(dst, r)
	}
	return fmt.Appendf(dst, `\x%02x`, r)
}
