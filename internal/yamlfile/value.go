package yamlfile

import "reflect"

// Value is a T that knows where it was written. A Value that the file does not
// set keeps its V and has zero positions.
type Value[T any] struct {
	V   T
	Pos Position // of the value
	Key Position // of its key; zero in a list
}

// IsSet reports whether the file has the value.
func (v *Value[T]) IsSet() bool { return !v.Pos.IsZero() }

func (v *Value[T]) decode(d *decoder, n *node, at place) {
	v.Pos, v.Key = n.pos, at.key
	d.value(n, reflect.ValueOf(&v.V).Elem(), at)
}

// Map is a mapping with keys of the operator's choice, in the order of the file.
type Map[T any] []Entry[T]

// Entry is one key of a Map and its value.
type Entry[T any] struct {
	Name string
	Value[T]
}

func (m *Map[T]) decode(d *decoder, n *node, at place) {
	if !d.expect(n, Mapping, at) {
		return
	}
	*m = make(Map[T], len(n.items))
	for i, k := range n.keys {
		e := &(*m)[i]
		e.Name, e.Pos, e.Key = k.text, n.items[i].pos, k.pos
		d.made(reflect.ValueOf(&e.V).Elem(), n.items[i], at.under(k))
	}
}

// Unmarshaler is a type that reads its own node, for values with several forms.
// An *Error or Errors it returns is reported as it is, another error at the
// position of the node. It is not called for null.
type Unmarshaler interface {
	UnmarshalNode(n Node) error
}

// Node is a value of a document as an Unmarshaler sees it. It is valid during
// the call only.
type Node struct {
	d  *decoder
	n  *node
	at place
}

// Kind returns the form of the node.
func (n Node) Kind() Kind { return n.n.kind }

// Position returns where the node is written.
func (n Node) Position() Position { return n.n.pos }

// Text returns the text of a scalar with variables replaced.
func (n Node) Text() (string, error) {
	if n.n.kind != Scalar {
		return "", n.Errorf("expected text, found %s", n.n.kind)
	}
	text, err := expand(n.n.text, n.d.lookup)
	if err != nil {
		return "", n.Errorf("%v", err)
	}
	return text, nil
}

// Decode reads the node into a value that into points to, as the decoder would
// have. Its error holds the mistakes found, for the Unmarshaler to return.
func (n Node) Decode(into any) error {
	sub := decoder{lookup: n.d.lookup}
	sub.value(n.n, reflect.ValueOf(into).Elem(), n.at)
	return sub.errs.Err()
}

// Errorf returns an error at the node that begins with the node's name.
func (n Node) Errorf(format string, args ...any) *Error {
	e := n.n.pos.Errorf(format, args...)
	e.Message = n.at.String() + e.Message
	return e
}
