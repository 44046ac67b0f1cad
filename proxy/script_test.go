package proxy

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/pgdrover/pgdrover/pgwire"
)

// A script is what clients send and when they read, one line each:
//
//	a: Query select 1                 a message of client a, which logs in with its first line
//	a: Parse name (23,25) select $1   the types are optional; - is the unnamed statement or portal
//	a: Bind portal statement 7 "two words" NULL x'0000002a' => 1
//	a: Describe S name                also Close; S statement, P portal
//	a: Execute portal 10              10 rows at most
//	a: Sync                           also Flush, CopyDone, Terminate
//	a: CopyData "1\tx\n"              also CopyFail "why", and Raw "any bytes"
//	a: FunctionCall 1598 1 2 => 0
//	a: login TimeZone=UTC options="-c x=y"
//
// Messages wait until the client reads, and go out in one write then:
//
//	a: ready 2                        reads up to the second ReadyForQuery
//	a: until PortalSuspended          reads up to a message of that name
//	a: send                           reads nothing
//	a: closed                         reads up to the server's close
//	a: cancel                         sends a cancel request and waits until it was taken
//	a: abort                          closes the connection without a word
//	await select true                 asks the node itself until the answer is t
//	look select 1                     notes what the node itself answers
//
// Values are quoted as in Go, NULL or x'hex' (in binary format). What follows => are result formats.
type step struct {
	line   string
	client string // empty: the node itself
	verb   string
	rest   string
}

func parseScript(text string) ([]step, error) {
	var steps []step
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if strings.TrimSpace(line) == "" {
			continue
		}
		st := step{line: line}
		who, what, ok := strings.Cut(line, ": ")
		if ok && !strings.Contains(who, " ") {
			st.client = who
		} else {
			what = line
		}
		st.verb, st.rest, _ = strings.Cut(what, " ")
		steps = append(steps, st)
	}
	return steps, nil
}

// message encodes the message of a step; ok is false when it is none.
func (st *step) message() (frame []byte, ok bool, err error) {
	switch st.verb {
	case "Query":
		return pgwire.AppendQuery(nil, st.rest), true, nil
	case "Parse":
		frame, err = st.parse()
	case "Bind":
		frame, err = st.bind()
	case "Describe", "Close":
		kind, name, _ := strings.Cut(st.rest, " ")
		if len(kind) != 1 {
			return nil, true, fmt.Errorf("%s: S or P and a name", st.line)
		}
		frame = pgwire.AppendDescribe(nil, kind[0], unnamed(name))
		if st.verb == "Close" {
			frame = pgwire.AppendClose(nil, kind[0], unnamed(name))
		}
	case "Execute":
		name, rows, _ := strings.Cut(st.rest, " ")
		n, _ := strconv.ParseUint(rows, 10, 32)
		frame = pgwire.AppendExecute(nil, unnamed(name), uint32(n))
	case "Sync":
		frame = pgwire.AppendSync(nil)
	case "Flush":
		frame = pgwire.AppendFlush(nil)
	case "Terminate":
		frame = pgwire.AppendTerminate(nil)
	case "CopyDone":
		frame = framed(pgwire.MsgCopyDone, nil)
	case "CopyData", "CopyFail", "Raw":
		frame, err = st.text()
	case "FunctionCall":
		frame, err = st.call()
	default:
		return nil, false, nil
	}
	return frame, true, err
}

func framed(typ byte, body []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{typ}, uint32(len(body)+4)), body...)
}

func unnamed(name string) string {
	if name == "-" {
		return ""
	}
	return name
}

func (st *step) parse() ([]byte, error) {
	name, sql, _ := strings.Cut(st.rest, " ")
	var oids []byte
	if strings.HasPrefix(sql, "(") && len(sql) > 1 && sql[1] >= '0' && sql[1] <= '9' {
		list, rest, _ := strings.Cut(sql[1:], ") ")
		sql = rest
		words := strings.Split(list, ",")
		oids = binary.BigEndian.AppendUint16(nil, uint16(len(words)))
		for _, w := range words {
			n, err := strconv.ParseUint(w, 10, 32)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", st.line, err)
			}
			oids = binary.BigEndian.AppendUint32(oids, uint32(n))
		}
	}
	return pgwire.AppendParse(nil, unnamed(name), sql, oids), nil
}

func (st *step) bind() ([]byte, error) {
	portal, rest, _ := strings.Cut(st.rest, " ")
	statement, rest, _ := strings.Cut(rest, " ")
	body := append(append([]byte(unnamed(portal)), 0), append([]byte(unnamed(statement)), 0)...)
	values, results, err := arguments(rest)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", st.line, err)
	}
	body = append(body, values...)
	body = binary.BigEndian.AppendUint16(body, uint16(len(results)))
	for _, f := range results {
		body = binary.BigEndian.AppendUint16(body, f)
	}
	return framed(pgwire.MsgBind, body), nil
}

func (st *step) call() ([]byte, error) {
	oid, rest, _ := strings.Cut(st.rest, " ")
	n, err := strconv.ParseUint(oid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", st.line, err)
	}
	values, results, err := arguments(rest)
	if err != nil || len(results) != 1 {
		return nil, fmt.Errorf("%s: one result format after =>: %v", st.line, err)
	}
	body := append(binary.BigEndian.AppendUint32(nil, uint32(n)), values...)
	return framed(pgwire.MsgFunctionCall, binary.BigEndian.AppendUint16(body, results[0])), nil
}

func (st *step) text() ([]byte, error) {
	s, err := strconv.Unquote(st.rest)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", st.line, err)
	}
	switch st.verb {
	case "CopyData":
		return framed(pgwire.MsgCopyData, []byte(s)), nil
	case "CopyFail":
		return framed(pgwire.MsgCopyFail, append([]byte(s), 0)), nil
	}
	return []byte(s), nil
}

// arguments encodes formats and values, and reads result formats.
func arguments(rest string) (encoded []byte, results []uint16, err error) {
	words, err := words(rest)
	if err != nil {
		return nil, nil, err
	}
	var formats, values []byte
	count := uint16(0)
	for i, w := range words {
		if w == "=>" {
			for _, f := range words[i+1:] {
				n, err := strconv.ParseUint(f, 10, 16)
				if err != nil {
					return nil, nil, err
				}
				results = append(results, uint16(n))
			}
			break
		}
		value, format, err := argument(w)
		if err != nil {
			return nil, nil, err
		}
		count++
		formats = binary.BigEndian.AppendUint16(formats, format)
		if value == nil {
			values = append(values, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		values = append(binary.BigEndian.AppendUint32(values, uint32(len(value))), value...)
	}
	encoded = append(binary.BigEndian.AppendUint16(nil, count), formats...)
	return append(binary.BigEndian.AppendUint16(encoded, count), values...), results, nil
}

func argument(w string) (value []byte, format uint16, err error) {
	switch {
	case w == "NULL":
		return nil, 0, nil
	case strings.HasPrefix(w, "x'"):
		value, err = hex.DecodeString(strings.Trim(w[1:], "'"))
		return append([]byte{}, value...), 1, err
	case strings.HasPrefix(w, `"`):
		s, err := strconv.Unquote(w)
		return []byte(s), 0, err
	}
	return []byte(w), 0, nil
}

// words splits at blanks outside of Go's double quotes.
func words(s string) ([]string, error) {
	var list []string
	for s = strings.TrimLeft(s, " "); s != ""; s = strings.TrimLeft(s, " ") {
		if s[0] == '"' {
			quoted, err := strconv.QuotedPrefix(s)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s, err)
			}
			list, s = append(list, quoted), s[len(quoted):]
			continue
		}
		w, rest, _ := strings.Cut(s, " ")
		list, s = append(list, w), rest
	}
	return list, nil
}
