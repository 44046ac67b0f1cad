package yamlfile

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// found says in a message what a node is, with its text unless it is secret.
func found(n *node, at place) string {
	switch {
	case n.kind != Scalar:
		return n.kind.String()
	case at.secret:
		return "a value that is not shown"
	}
	return fmt.Sprintf("%q", n.text)
}

// scalarText returns the text of a scalar with variables replaced, or notes a
// mistake. wanted names what should have been there.
func (d *decoder) scalarText(n *node, wanted string, at place) (string, bool) {
	if n.kind != Scalar {
		d.errorf(n, at, "expected %s, found %s", wanted, found(n, at))
		return "", false
	}
	text, err := expand(n.text, d.lookup)
	if err != nil {
		d.errorf(n, at, "%v", err)
	}
	return text, err == nil
}

// literal is scalarText for what must not stand in quotes, unless it comes
// from a variable.
func (d *decoder) literal(n *node, wanted string, at place) (string, bool) {
	text, ok := d.scalarText(n, wanted, at)
	if ok && !n.plain && text == n.text {
		d.errorf(n, at, "expected %s, found text: remove the quotes", wanted)
		return "", false
	}
	return text, ok
}

// wrong notes that a scalar is not what was wanted.
func (d *decoder) wrong(n *node, wanted string, at place) {
	d.errorf(n, at, "expected %s, found %s", wanted, found(n, at))
}

// scalar decodes into one of Go's basic kinds.
func (d *decoder) scalar(n *node, v reflect.Value, at place) {
	switch v.Kind() {
	case reflect.String:
		d.str(n, v, at)
	case reflect.Bool:
		d.boolean(n, v, at)
	case reflect.Float32, reflect.Float64:
		const wanted = "a number"
		if text, ok := d.literal(n, wanted, at); ok {
			f, err := strconv.ParseFloat(text, v.Type().Bits())
			if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
				d.wrong(n, wanted, at)
				return
			}
			v.SetFloat(f)
		}
	default:
		d.integer(n, v, at)
	}
}

// str decodes text. A number is taken as it is written; a boolean is refused,
// since who writes true where text is wanted has mistaken the key.
func (d *decoder) str(n *node, v reflect.Value, at place) {
	text, ok := d.scalarText(n, "text", at)
	switch {
	case !ok:
	case n.plain && n.tag == "!!bool":
		d.errorf(n, at, "expected text, found true or false: put it in quotes if it is meant")
	default:
		v.SetString(text)
	}
}

// boolean decodes true and false and the other words YAML has had for them.
func (d *decoder) boolean(n *node, v reflect.Value, at place) {
	const wanted = "true or false"
	text, ok := d.literal(n, wanted, at)
	if !ok {
		return
	}
	switch strings.ToLower(text) {
	case "true", "yes", "on":
		v.SetBool(true)
	case "false", "no", "off":
		v.SetBool(false)
	default:
		d.wrong(n, wanted, at)
	}
}

// integer decodes a decimal number into a kind of integer.
func (d *decoder) integer(n *node, v reflect.Value, at place) {
	const wanted = "a whole number"
	text, ok := d.literal(n, wanted, at)
	if !ok {
		return
	}
	if v.CanInt() {
		i, err := strconv.ParseInt(text, 10, 64)
		switch {
		case err != nil:
			d.wrong(n, wanted, at)
		case v.OverflowInt(i):
			d.wrong(n, "a smaller number", at)
		default:
			v.SetInt(i)
		}
		return
	}
	u, err := strconv.ParseUint(text, 10, 64)
	switch {
	case err != nil:
		d.wrong(n, wanted+" that is not negative", at)
	case v.OverflowUint(u):
		d.wrong(n, "a smaller number", at)
	default:
		v.SetUint(u)
	}
}

// duration decodes a time.Duration in Go's notation.
func (d *decoder) duration(n *node, v *time.Duration, at place) {
	const wanted = "a time with its unit, such as 500ms, 10s, 5m or 1h"
	text, ok := d.scalarText(n, wanted, at)
	if !ok {
		return
	}
	t, err := time.ParseDuration(text)
	if err != nil || t < 0 {
		d.wrong(n, wanted, at)
		return
	}
	*v = t
}

// byteSize decodes a ByteSize.
func (d *decoder) byteSize(n *node, v *ByteSize, at place) {
	const wanted = "a size with its unit, such as 512kB, 64MB or 2GB"
	text, ok := d.scalarText(n, wanted, at)
	if !ok {
		return
	}
	size, err := ParseByteSize(text)
	if err != nil {
		d.wrong(n, wanted, at)
		return
	}
	*v = size
}

// text decodes a type that reads itself from text. Its own error is shown
// unless the value is secret.
func (d *decoder) text(n *node, v encoding.TextUnmarshaler, at place) {
	text, ok := d.scalarText(n, "text", at)
	if !ok {
		return
	}
	err := v.UnmarshalText([]byte(text))
	switch {
	case err != nil && at.secret:
		d.errorf(n, at, "the value, which is not shown, cannot be read")
	case err != nil:
		d.errorf(n, at, "%v", err)
	}
}

// ByteSize is a number of bytes, written with PostgreSQL's units: B, kB, MB, GB
// and TB, each 1024 of the one before.
type ByteSize int64

// byteUnits are the units from the largest, for printing.
var byteUnits = [...]struct {
	name string
	size int64
}{{"TB", 1 << 40}, {"GB", 1 << 30}, {"MB", 1 << 20}, {"kB", 1 << 10}, {"B", 1}}

// ParseByteSize reads a size. Units are taken in any case, also as KiB, MiB and
// so on; a number without a unit is bytes.
func ParseByteSize(s string) (ByteSize, error) {
	digits := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
	unit := strings.ToLower(strings.TrimSpace(s[len(digits):]))
	if len(unit) == 3 && unit[1] == 'i' {
		unit = unit[:1] + unit[2:]
	}
	if unit == "" {
		unit = "b"
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q is no size: write a number and a unit, such as 64MB", s)
	}
	for _, u := range byteUnits {
		if strings.ToLower(u.name) == unit && n <= math.MaxInt64/u.size {
			return ByteSize(n * u.size), nil
		}
	}
	return 0, fmt.Errorf("%q is no size: write a number and a unit, such as 64MB", s)
}

// String returns the size in the largest unit that divides it.
func (b ByteSize) String() string {
	for _, u := range byteUnits {
		if b != 0 && int64(b)%u.size == 0 {
			return strconv.FormatInt(int64(b)/u.size, 10) + u.name
		}
	}
	return "0B"
}
