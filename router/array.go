package router

import (
	"encoding/binary"

	"github.com/pgdrover/pgdrover/shardmap"
)

// elements adds each tenant of an array.
func (q *Query) elements(c *constRef, s slot, p Params, t *tally) *Error {
	if s.kind != slotParam {
		value, ok := q.decode(s)
		if !ok || s.kind == slotInt || s.kind == slotDecimal {
			return arrayError()
		}
		return q.textElements(value, c.cast == oidNumeric, t)
	}
	i := int(s.number) - 1
	if p == nil || i >= p.Len() {
		return noParameter(i)
	}
	if a, ok := p.(*Arguments); ok && !a.isKnown(i) {
		return a.unreadable(i)
	}
	value, isBinary, null := p.Param(i)
	switch {
	case null:
		return t.add(shardmap.Key{}, true)
	case isBinary:
		return q.binaryElements(value, t)
	case !comparesArray(q.r.m.TenantType(), p.OID(i)):
		return arrayError()
	}
	return q.textElements(value, c.cast == oidNumeric || p.OID(i) == oidNumericArray, t)
}

func arrayError() *Error {
	return refuse("Write the tenants as IN (…), or as an array of the tenant column's type.",
		"the array of tenants cannot be read")
}

// comparesArray is compares for the types of arrays.
func comparesArray(t shardmap.Type, oid uint32) bool {
	switch oid {
	case 0, oidUnknown:
		return true
	case oidInt2Array, oidInt4Array, oidInt8Array, oidNumericArray:
		return t == shardmap.Bigint
	case oidUUIDArray:
		return t == shardmap.UUID
	}
	return oid == oidTextArray || oid == oidVarcharArray
}

// binaryElements reads an array as array_send writes it: dimensions, whether
// there are NULLs, the type of the elements, then per dimension its length and
// lower bound, then each element after its length.
func (q *Query) binaryElements(b []byte, t *tally) *Error {
	const header, dimension = 12, 8
	if len(b) < header {
		return arrayError()
	}
	dimensions := binary.BigEndian.Uint32(b)
	oid := binary.BigEndian.Uint32(b[8:])
	if dimensions == 0 {
		return nil
	}
	if dimensions != 1 || len(b) < header+dimension || !compares(q.r.m.TenantType(), oid) {
		return arrayError()
	}
	count := binary.BigEndian.Uint32(b[header:])
	b = b[header+dimension:]
	for ; count > 0; count-- {
		if len(b) < 4 {
			return arrayError()
		}
		length := int32(binary.BigEndian.Uint32(b))
		b = b[4:]
		if length < 0 {
			if err := t.add(shardmap.Key{}, true); err != nil {
				return err
			}
			continue
		}
		if int64(length) > int64(len(b)) {
			return arrayError()
		}
		k, err := q.r.m.TenantType().ParseBinary(oid, b[:length])
		if err != nil {
			return keyError(err)
		}
		if e := t.add(k, false); e != nil {
			return e
		}
		b = b[length:]
	}
	return nil
}

// textElements reads an array of one dimension as array_in does.
func (q *Query) textElements(b []byte, numeric bool, t *tally) *Error {
	b = trimBlanks(b)
	if len(b) < 2 || b[0] != '{' || b[len(b)-1] != '}' {
		return arrayError()
	}
	b = trimBlanks(b[1 : len(b)-1])
	if len(b) == 0 {
		return nil
	}
	for {
		value, rest, null, ok := q.textElement(b)
		if !ok {
			return arrayError()
		}
		k := shardmap.Key{}
		if numeric {
			value = integral(value)
		}
		if !null {
			var err error
			if k, err = q.r.m.TenantType().ParseText(value); err != nil {
				return keyError(err)
			}
		}
		if e := t.add(k, null); e != nil {
			return e
		}
		if len(rest) == 0 {
			return nil
		}
		b = rest[1:]
	}
}

// textElement reads one element, up to a comma or the end.
func (q *Query) textElement(b []byte) (value, rest []byte, null, ok bool) {
	b = trimBlanks(b)
	if len(b) > 0 && b[0] == '"' {
		from := len(q.scratch)
		i := 1
		for ; i < len(b) && b[i] != '"'; i++ {
			if b[i] == '\\' {
				i++
			}
			if i < len(b) {
				q.scratch = append(q.scratch, b[i])
			}
		}
		if i >= len(b) {
			return nil, nil, false, false
		}
		rest = trimBlanks(b[i+1:])
		return q.scratch[from:len(q.scratch):len(q.scratch)], rest, false, len(rest) == 0 || rest[0] == ','
	}
	i := 0
	for i < len(b) && b[i] != ',' {
		if c := b[i]; c == '{' || c == '}' || c == '"' || c == '\\' {
			return nil, nil, false, false
		}
		i++
	}
	value = trimBlanks(b[:i])
	return value, b[i:], lowerWord(value) == "null", len(value) > 0
}

func trimBlanks(b []byte) []byte {
	for len(b) > 0 && classes[b[0]] == classSpace {
		b = b[1:]
	}
	for len(b) > 0 && classes[b[len(b)-1]] == classSpace {
		b = b[:len(b)-1]
	}
	return b
}
