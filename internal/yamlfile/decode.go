package yamlfile

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Options say how a document is decoded.
type Options struct {
	// Lookup returns the value of a variable, as os.LookupEnv does. Without
	// it no variable is set.
	Lookup func(name string) (string, bool)
}

// Decode reads the document into the struct that into points to. It reports
// all mistakes, as Errors; what could be read is set nevertheless.
func (d *Document) Decode(into any, opts Options) error {
	dec := decoder{lookup: opts.Lookup}
	dec.value(d.root, reflect.ValueOf(into).Elem(), place{})
	return dec.errs.Err()
}

// decoder collects mistakes while it walks a document and a Go value together.
type decoder struct {
	lookup func(string) (string, bool)
	errs   Errors
}

// place says what a value is called in messages, and how it may be shown.
type place struct {
	path   string
	key    Position
	secret bool
}

// String returns the beginning of a message about the value.
func (p place) String() string {
	if p.path == "" {
		return ""
	}
	return p.path + ": "
}

// under returns the place of a key's value.
func (p place) under(k key) place {
	path := k.text
	if p.path != "" {
		path = p.path + "." + k.text
	}
	return place{path, k.pos, p.secret}
}

// errorf notes a mistake at a node.
func (d *decoder) errorf(n *node, at place, format string, args ...any) {
	d.errs.Add(n.pos, "%s%s", at, fmt.Sprintf(format, args...))
}

// expect notes a mistake unless the node has a form.
func (d *decoder) expect(n *node, want Kind, at place) bool {
	if n.kind != want {
		d.errorf(n, at, "expected %s, found %s", want, found(n, at))
	}
	return n.kind == want
}

// special decodes types that are not what their kind says. It reports whether
// v is one of them.
func (d *decoder) special(n *node, v reflect.Value, at place) bool {
	switch target := v.Addr().Interface().(type) {
	case interface{ decode(*decoder, *node, place) }:
		target.decode(d, n, at)
	case Unmarshaler:
		if err := target.UnmarshalNode(Node{d, n, at}); err != nil {
			d.errs.Append(n.pos, err)
		}
	case *time.Duration:
		d.duration(n, target, at)
	case *ByteSize:
		d.byteSize(n, target, at)
	case encoding.TextUnmarshaler:
		d.text(n, target, at)
	default:
		return false
	}
	return true
}

// value decodes a node into v, which must be addressable.
func (d *decoder) value(n *node, v reflect.Value, at place) {
	if n.kind == Null || d.special(n, v, at) {
		return
	}
	switch v.Kind() {
	case reflect.String, reflect.Bool, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		d.scalar(n, v, at)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.made(v.Elem(), n, at)
	case reflect.Slice:
		d.list(n, v, at)
	case reflect.Map:
		d.goMap(n, v, at)
	case reflect.Struct:
		d.structure(n, v, at)
	default:
		// A field of a type that cannot be read is a programmer's mistake.
		panic("yamlfile: cannot decode into a " + v.Type().String())
	}
}

// made decodes into a value that the decoder has made, so that its defaults
// come first.
func (d *decoder) made(v reflect.Value, n *node, at place) {
	if target, ok := v.Addr().Interface().(interface{ SetDefaults() }); ok {
		target.SetDefaults()
	}
	d.value(n, v, at)
}

// list decodes a list into a slice.
func (d *decoder) list(n *node, v reflect.Value, at place) {
	if !d.expect(n, List, at) {
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.items), len(n.items)))
	for i, item := range n.items {
		inner := place{fmt.Sprintf("%s[%d]", at.path, i), Position{}, at.secret}
		if item.kind == Null {
			d.errorf(item, inner, "an empty element: fill it or remove it")
		}
		d.made(v.Index(i), item, inner)
	}
}

// goMap decodes a mapping into a Go map with string keys.
func (d *decoder) goMap(n *node, v reflect.Value, at place) {
	if v.Type().Key().Kind() != reflect.String {
		// A field of a type that cannot be read is a programmer's mistake.
		panic("yamlfile: cannot decode into a " + v.Type().String())
	}
	if !d.expect(n, Mapping, at) {
		return
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(n.items)))
	for i, k := range n.keys {
		element := reflect.New(v.Type().Elem()).Elem()
		d.made(element, n.items[i], at.under(k))
		v.SetMapIndex(reflect.ValueOf(k.text).Convert(v.Type().Key()), element)
	}
}

// field is one field of a struct that the file may set.
type field struct {
	name             string
	index            []int
	required, secret bool
}

// fields lists what the tags of a struct say.
func fields(t reflect.Type) []field {
	var list []field
	for i := range t.NumField() {
		tag, ok := t.Field(i).Tag.Lookup("yaml")
		if !ok {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		if options == "inline" {
			for _, inner := range fields(t.Field(i).Type) {
				inner.index = append([]int{i}, inner.index...)
				list = append(list, inner)
			}
			continue
		}
		f := field{name: name, index: []int{i}}
		for option := range strings.SplitSeq(options, ",") {
			f.required = f.required || option == "required"
			f.secret = f.secret || option == "secret"
		}
		list = append(list, f)
	}
	return list
}

// structure decodes a mapping into a struct.
func (d *decoder) structure(n *node, v reflect.Value, at place) {
	if !d.expect(n, Mapping, at) {
		return
	}
	list := fields(v.Type())
	for _, k := range n.keys {
		if !knows(list, k.text) {
			d.unknown(k, list, at)
		}
	}
	for _, f := range list {
		i := n.child(f.name)
		if f.required && (i < 0 || n.items[i].kind == Null) {
			d.errorf(n, at, "%s is missing", f.name)
		}
		if i < 0 {
			continue
		}
		inner := at.under(n.keys[i])
		inner.secret = inner.secret || f.secret
		d.value(n.items[i], v.FieldByIndex(f.index), inner)
	}
}

// knows reports whether a struct has a key.
func knows(list []field, name string) bool {
	for _, f := range list {
		if f.name == name {
			return true
		}
	}
	return false
}

// unknown notes a key that a struct does not have. What follows a colon in it
// is a value that lost its blank, perhaps a secret, and is not shown.
func (d *decoder) unknown(k key, list []field, at place) {
	word, _, missingBlank := strings.Cut(k.text, ":")
	if missingBlank {
		d.errs.Add(k.pos, "%sunknown key %q with a colon in it: write a blank after the colon", at, word)
		return
	}
	names := make([]string, len(list))
	for i, f := range list {
		names[i] = f.name
	}
	d.errs.Add(k.pos, "%sunknown key %q%s", at, word,
		DidYouMean(word, names, ": the keys here are "+strings.Join(names, ", ")))
}
