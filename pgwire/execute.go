package pgwire

import "encoding/binary"

var errExecute = &FormatError{"Execute", "it is not a portal's name and a row limit"}

// DecodeExecute reads an Execute frame: a view of the portal's name, and the
// number of rows after which the portal is suspended. 0 is no limit, and so is
// anything above 1<<31-1, which the server reads as a negative number.
func DecodeExecute(frame []byte) (portal []byte, maxRows uint32, err error) {
	b, ok := body(frame, MsgExecute)
	if !ok {
		return nil, 0, errExecute
	}
	portal, rest, ok := cutString(b)
	if !ok || len(rest) != 4 {
		return nil, 0, errExecute
	}
	return portal, binary.BigEndian.Uint32(rest), nil
}

// AppendExecute adds an Execute message; maxRows is as in [DecodeExecute].
func AppendExecute(dst []byte, portal string, maxRows uint32) []byte {
	dst, start := begin(dst, MsgExecute)
	dst = appendString(dst, portal)
	return finish(binary.BigEndian.AppendUint32(dst, maxRows), start)
}
