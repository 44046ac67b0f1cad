package pgwire

import "bytes"

var errQuery = &FormatError{"Query", "the text is not ended by the only NUL byte"}

// AppendQuery adds a Query message (simple protocol).
func AppendQuery(dst []byte, sql string) []byte {
	dst, start := begin(dst, MsgQuery)
	return finish(appendString(dst, sql), start)
}

// QueryText is a view of the SQL text of a Query frame.
func QueryText(frame []byte) ([]byte, error) {
	b, ok := body(frame, MsgQuery)
	end := bytes.IndexByte(b, 0)
	if !ok || end < 0 || end != len(b)-1 {
		return nil, errQuery
	}
	return b[:end:end], nil
}
