package router

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/pgdrover/pgdrover/shardmap"
)

// keys adds each tenant that a constant stands for, for each row of the run it
// is in.
func (q *Query) keys(c *constRef, p Params, t *tally) *Error {
	switch t.ref, t.at = c, noSlot; c.slot {
	case noSlot:
		return q.fixed(c, t)
	case pathSlot:
		return q.pathTenants(t)
	}
	at, run := q.locate(c.slot)
	rows, step := int32(1), int32(0)
	if run != nil {
		rows, step = run.rows, run.perRow
	}
	for ; rows > 0; rows-- {
		s := q.slots[at]
		t.at = at
		at += step
		if t.unvalued != nil && s.kind == slotParam {
			if err := t.unvalued.note(q, c, s); err != nil {
				return err
			}
			continue
		}
		if c.array {
			if err := q.elements(c, s, p, t); err != nil {
				return err
			}
			continue
		}
		k, null, err := q.key(c, s, p)
		if err == nil {
			err = t.add(k, null)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fixed is keys for a constant that the text does not hold.
func (q *Query) fixed(c *constRef, t *tally) *Error {
	if c.null {
		return t.add(shardmap.Key{}, true)
	}
	k, err := q.r.m.TenantType().ParseText([]byte(c.text))
	if err != nil {
		return keyError(err)
	}
	return t.add(k, false)
}

// key reads the tenant in one literal or parameter.
func (q *Query) key(c *constRef, s slot, p Params) (k shardmap.Key, null bool, err *Error) {
	if s.kind == slotParam {
		return q.parameter(c, int(s.number)-1, p)
	}
	typ := q.r.m.TenantType()
	value, ok := q.decode(s)
	if !ok || typ == shardmap.Text && (s.kind == slotInt || s.kind == slotDecimal) && (!isCanonical(value) || c.negate && value[0] == '0') {
		return k, false, refuse("Write the tenant as a plain literal or a parameter.",
			"the literal %s cannot be read as a tenant of type %s", q.text[s.off:s.end], typ)
	}
	if s.kind == slotDecimal {
		value = integral(value)
	}
	if c.negate {
		value = q.negative(value)
	}
	if c.cast == oidNumeric {
		value = integral(value)
	}
	k, parseErr := typ.ParseText(value)
	if parseErr != nil {
		return k, false, keyError(parseErr)
	}
	return k, false, nil
}

// integral is a number of type numeric without the zeros behind its point, if it
// has only those there.
func integral(number []byte) []byte {
	at := bytes.IndexByte(number, '.')
	if at < 1 || len(bytes.Trim(number[at+1:], "0")) > 0 {
		return number
	}
	return number[:at]
}

// negative returns a number with its sign turned.
func (q *Query) negative(digits []byte) []byte {
	from := len(q.scratch)
	if len(digits) > 0 && digits[0] == '-' {
		return digits[1:]
	}
	q.scratch = append(append(q.scratch, '-'), digits...)
	return q.scratch[from:]
}

// isCanonical reports a number that PostgreSQL prints as it is written, so that
// it is the same as text.
func isCanonical(digits []byte) bool {
	for _, c := range digits {
		if !isDigit(c) {
			return false
		}
	}
	return len(digits) == 1 || len(digits) > 1 && digits[0] != '0'
}

// parameter reads the tenant in parameter i, counted from 0.
func (q *Query) parameter(c *constRef, i int, p Params) (k shardmap.Key, null bool, err *Error) {
	if p == nil || i >= p.Len() {
		return k, false, noParameter(i)
	}
	if a, ok := p.(*Arguments); ok && !a.isKnown(i) {
		return k, false, a.unreadable(i)
	}
	value, binary, null := p.Param(i)
	if null {
		return k, true, nil
	}
	oid := p.OID(i)
	if oid == 0 {
		oid = c.cast
	}
	typ := q.r.m.TenantType()
	if !compares(typ, oid) {
		return k, false, incomparable(typ, oid, i)
	}
	if oid == oidNumeric && !binary {
		value = integral(value)
	}
	if c.negate {
		return q.negated(value, binary, oid, i)
	}
	var parseErr error
	if binary {
		k, parseErr = typ.ParseBinary(oid, value)
	} else {
		k, parseErr = typ.ParseText(value)
	}
	if parseErr != nil {
		return k, false, keyError(parseErr)
	}
	return k, false, nil
}

// negated reads a parameter with a minus sign before it.
func (q *Query) negated(value []byte, binary bool, oid uint32, i int) (shardmap.Key, bool, *Error) {
	typ := q.r.m.TenantType()
	if binary {
		k, err := typ.ParseBinary(oid, value)
		if err != nil {
			return k, false, keyError(err)
		}
		value = k.Append(nil)
	}
	k, err := typ.ParseText(q.negative(value))
	if err != nil {
		return k, false, keyError(err)
	}
	return k, false, nil
}

// noParameter is the error for a parameter without a value, as in the simple
// protocol.
func noParameter(i int) *Error {
	return &Error{Code: codeNoParameter, Message: fmt.Sprintf("the tenant is parameter $%d, which has no value", i+1)}
}

// incomparable is the error for parameter i, counted from 0, whose type is not
// that of tenants.
func incomparable(t shardmap.Type, oid uint32, i int) *Error {
	return refuse("Declare the parameter as the tenant column's type, or cast it.",
		"parameter $%d has the type with oid %d, which does not compare as type %s does", i+1, oid, t)
}

// compares reports whether values of a parameter's type compare with tenants
// exactly. PostgreSQL resolves 0 and unknown to the column's type.
func compares(t shardmap.Type, oid uint32) bool {
	switch oid {
	case 0, oidUnknown:
		return true
	case oidInt2, oidInt4, oidInt8, oidNumeric:
		return t == shardmap.Bigint
	case oidUUID:
		return t == shardmap.UUID
	}
	return oid == oidText || oid == oidVarchar
}

// keyError is the error for a value that is no tenant.
func keyError(err error) *Error {
	e := &Error{Code: codeInvalid, Message: err.Error(), nokey: true}
	var key *shardmap.KeyError
	if errors.As(err, &key) {
		e.Code = key.SQLState()
	}
	return e
}
