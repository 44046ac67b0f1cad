package pgwire

import (
	"bytes"
	"encoding/binary"
)

var (
	errParse     = &FormatError{"Parse", "the statement's name or text is not ended by a NUL byte"}
	errParseOIDs = &FormatError{"Parse", "the parameter types do not fill the rest of the message"}
)

// Parse is a view of a Parse frame.
type Parse struct {
	Name []byte // of the prepared statement; empty for the unnamed one
	Text []byte // SQL
	OIDs []byte // parameter types as sent: their count, then their OIDs
}

// DecodeParse makes p a view of a Parse frame. When it fails, p is undefined.
func DecodeParse(frame []byte, p *Parse) error {
	b, ok := body(frame, MsgParse)
	if !ok {
		return errParse
	}
	if p.Name, b, ok = cutString(b); !ok {
		return errParse
	}
	if p.Text, b, ok = cutString(b); !ok {
		return errParse
	}
	n, oids, ok := cutUint16(b)
	if !ok || len(oids) != 4*n {
		return errParseOIDs
	}
	p.OIDs = b
	return nil
}

// NumOIDs is the number of parameters whose type the client stated.
func (p *Parse) NumOIDs() int {
	return max(0, len(p.OIDs)-2) / 4
}

// OID is the stated type of parameter i, counted from 0; 0 leaves the choice
// to the server. It panics unless 0 <= i < NumOIDs().
func (p *Parse) OID(i int) uint32 {
	return binary.BigEndian.Uint32(p.OIDs[2+4*i:])
}

// AppendParse adds a Parse message. The types are raw, as in [Parse.OIDs]; nil
// states none.
func AppendParse[S string | []byte](dst []byte, name string, sql S, oids []byte) []byte {
	dst, start := begin(dst, MsgParse)
	dst = appendString(dst, name)
	at := len(dst)
	dst = append(dst, sql...)
	if end := bytes.IndexByte(dst[at:], 0); end >= 0 {
		dst = dst[:at+end]
	}
	dst = append(dst, 0)
	if len(oids) == 0 {
		dst = append(dst, 0, 0)
	}
	return finish(append(dst, oids...), start)
}
