package pgtest

import (
	"encoding/binary"

	"github.com/pgdrover/pgdrover/pgwire"
)

// Frame is a frame of any type with any body.
func Frame(typ byte, body []byte) []byte {
	return append(FalseFrame(typ, uint32(len(body)+4)), body...)
}

// FalseFrame is a frame's header that announces a length, whatever follows:
// 0xffffffff and 3 cannot be, 0x40000000 is a gibibyte.
func FalseFrame(typ byte, length uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{typ}, length)
}

// Result is a server's whole answer to a simple query: columns of type text,
// rows, the tag and ReadyForQuery outside a transaction.
func Result(tag string, columns []string, rows ...[]string) []byte {
	cols := make([]pgwire.Column, len(columns))
	for i, name := range columns {
		cols[i] = pgwire.Column{Name: name, OID: 25, Size: -1}
	}
	b := pgwire.AppendRowDescription(nil, cols)
	for _, row := range rows {
		values := make([][]byte, len(row))
		for i, v := range row {
			values[i] = []byte(v)
		}
		b = pgwire.AppendDataRow(b, values)
	}
	b = pgwire.AppendCommandComplete(b, tag)
	return pgwire.AppendReadyForQuery(b, pgwire.StatusIdle)
}
