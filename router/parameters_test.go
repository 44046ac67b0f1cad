package router

import (
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pgdrover/pgdrover/internal/casefile"
)

// parameters reads the params of a case: see TestRouting.
func parameters(t *testing.T, c *casefile.Case) Params {
	t.Helper()
	list, ok := c.Arg("params")
	if !ok {
		return nil
	}
	var p boundValues
	for _, s := range strings.Split(list, ";") {
		kind, rest, typed := strings.Cut(s, ":")
		oid, err := strconv.Atoi(kind)
		switch {
		case s == "null":
			p = append(p, boundValue{null: true})
		case typed && kind == "b":
			p = append(p, boundValue{value: binaryForm(t, 20, rest), binary: true})
		case typed && strings.HasPrefix(kind, "b") && isOID(kind[1:]):
			oid, _ := strconv.Atoi(kind[1:])
			p = append(p, boundValue{value: binaryForm(t, oid, rest), binary: true, oid: uint32(oid)})
		case typed && err == nil:
			p = append(p, boundValue{value: []byte(rest), oid: uint32(oid)})
		default:
			p = append(p, boundValue{value: []byte(s)})
		}
	}
	return p
}

func isOID(s string) bool {
	_, err := strconv.ParseUint(s, 10, 32)
	return err == nil
}

// binaryForm writes a value as its type's send function does, which pgx knows; bytes of a type that it does not know are the value's own.
func binaryForm(t *testing.T, oid int, text string) []byte {
	t.Helper()
	types := pgtype.NewMap()
	typ, known := types.TypeForOID(uint32(oid))
	if !known {
		return []byte(text)
	}
	value, err := typ.Codec.DecodeValue(types, uint32(oid), pgtype.TextFormatCode, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	b, err := types.Encode(uint32(oid), pgtype.BinaryFormatCode, value, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
