package pgwire

import (
	"encoding/binary"
	"math"
	"strings"
)

// begin adds the header of a frame, its length still open.
func begin(dst []byte, typ byte) (extended []byte, start int) {
	return append(dst, typ, 0, 0, 0, 0), len(dst)
}

// finish closes the frame that begins at dst[start].
func finish(dst []byte, start int) []byte {
	setLength(dst[start+1:])
	return dst
}

// setLength writes the length of b, which is counted in it, to its first bytes.
func setLength(b []byte) {
	if len(b) > math.MaxInt32 {
		// A programmer's mistake: what is relayed is bounded by Peek's limit.
		panic("pgwire: a message longer than 2 GiB was built")
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)))
}

func appendString(dst []byte, s string) []byte {
	if i := strings.IndexByte(s, 0); i >= 0 {
		s = s[:i]
	}
	dst = append(dst, s...)
	return append(dst, 0)
}

func appendCount(dst []byte, n int) []byte {
	if n > math.MaxUint16 {
		// A programmer's mistake: no statement has so many columns.
		panic("pgwire: a message with more than 65535 elements was built")
	}
	return binary.BigEndian.AppendUint16(dst, uint16(n))
}

func appendEmpty(dst []byte, typ byte) []byte {
	return append(dst, typ, 0, 0, 0, 4)
}

// AppendSync adds a Sync message.
func AppendSync(dst []byte) []byte { return appendEmpty(dst, MsgSync) }

// AppendFlush adds a Flush message.
func AppendFlush(dst []byte) []byte { return appendEmpty(dst, MsgFlush) }

// AppendTerminate adds a Terminate message.
func AppendTerminate(dst []byte) []byte { return appendEmpty(dst, MsgTerminate) }

// AppendParseComplete adds a ParseComplete message.
func AppendParseComplete(dst []byte) []byte { return appendEmpty(dst, MsgParseComplete) }

// AppendBindComplete adds a BindComplete message.
func AppendBindComplete(dst []byte) []byte { return appendEmpty(dst, MsgBindComplete) }

// AppendCloseComplete adds a CloseComplete message.
func AppendCloseComplete(dst []byte) []byte { return appendEmpty(dst, MsgCloseComplete) }

// AppendNoData adds a NoData message.
func AppendNoData(dst []byte) []byte { return appendEmpty(dst, MsgNoData) }

// AppendPortalSuspended adds a PortalSuspended message.
func AppendPortalSuspended(dst []byte) []byte { return appendEmpty(dst, MsgPortalSuspended) }

// AppendEmptyQuery adds an EmptyQueryResponse message.
func AppendEmptyQuery(dst []byte) []byte { return appendEmpty(dst, MsgEmptyQuery) }
