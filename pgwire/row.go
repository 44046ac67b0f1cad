package pgwire

import "encoding/binary"

// Column describes a column of a result that does not come from a table.
type Column struct {
	Name   string
	OID    uint32 // data type
	Size   int16  // of the type in bytes; -1 when it varies
	Format int16  // 0 text, 1 binary
}

// AppendRowDescription adds a RowDescription message.
func AppendRowDescription(dst []byte, cols []Column) []byte {
	dst, start := begin(dst, MsgRowDescription)
	dst = appendCount(dst, len(cols))
	for i := range cols {
		c := &cols[i]
		dst = appendString(dst, c.Name)
		dst = append(dst, 0, 0, 0, 0, 0, 0) // no table, no column of it
		dst = binary.BigEndian.AppendUint32(dst, c.OID)
		dst = binary.BigEndian.AppendUint16(dst, uint16(c.Size))
		dst = append(dst, 0xff, 0xff, 0xff, 0xff) // no type modifier
		dst = binary.BigEndian.AppendUint16(dst, uint16(c.Format))
	}
	return finish(dst, start)
}

// AppendDataRow adds a DataRow message; a nil value is NULL.
func AppendDataRow(dst []byte, values [][]byte) []byte {
	dst, start := begin(dst, MsgDataRow)
	dst = appendCount(dst, len(values))
	for _, v := range values {
		if v == nil {
			dst = append(dst, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(v)))
		dst = append(dst, v...)
	}
	return finish(dst, start)
}

// AppendParameterDescription adds a ParameterDescription message.
func AppendParameterDescription(dst []byte, oids []uint32) []byte {
	dst, start := begin(dst, MsgParameterDescription)
	dst = appendCount(dst, len(oids))
	for _, oid := range oids {
		dst = binary.BigEndian.AppendUint32(dst, oid)
	}
	return finish(dst, start)
}
