package yamlfile

import (
	"errors"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Kind is the form of a node.
type Kind uint8

// The forms a node can have.
const (
	Null Kind = iota
	Scalar
	Mapping
	List
)

// String returns what a message calls the form.
func (k Kind) String() string {
	return [...]string{"nothing", "a value", "a mapping", "a list"}[k]
}

// maxNodes bounds a document with its aliases written out, so that a few lines
// cannot stand for billions of values.
const maxNodes = 200_000

// node is one value of a document. Nodes are never changed once they are
// built, and may be shared by several documents.
type node struct {
	kind  Kind
	text  string
	tag   string // the scalar's type by YAML's rules: !!str, !!int, …
	plain bool   // not quoted, not a block scalar
	pos   Position
	keys  []key   // of a mapping, in step with items
	items []*node // values of a mapping or a list
	size  int     // nodes in the tree below, each alias counted again
}

// key is a key of a mapping.
type key struct {
	text string
	pos  Position
}

// child returns the index of a key in a mapping, or -1.
func (n *node) child(name string) int {
	for i, k := range n.keys {
		if k.text == name {
			return i
		}
	}
	return -1
}

// Document is one parsed document, or several merged. It is immutable.
type Document struct {
	root *node
}

// Parse reads the text of a file, whose name is for messages only. It refuses
// broken syntax, more than one document, duplicate keys, merge keys and tags.
func Parse(name string, text []byte) (*Document, error) {
	b := builder{file: name, built: map[*yaml.Node]*node{}, open: map[*yaml.Node]bool{}}
	loader, err := yaml.NewLoader(strings.NewReader(string(text)))
	if err != nil {
		return nil, b.syntax(err)
	}
	var first, second yaml.Node
	if err := loader.Load(&first); err != nil {
		if blank(text) {
			return &Document{&node{kind: Mapping, pos: Position{name, 1, 1}, size: 1}}, nil
		}
		return nil, b.syntax(err)
	}
	if loader.Load(&second) == nil {
		b.errs.Add(b.at(&second), "a second document: keep one, and remove the --- line")
	}
	root := b.build(first.Content[0])
	if root.kind == Null {
		root = &node{kind: Mapping, pos: root.pos, size: 1}
	}
	if root.size > maxNodes {
		b.errs.Add(root.pos, "more than %d values, aliases written out: use fewer aliases", maxNodes)
	}
	if err := b.errs.Err(); err != nil {
		return nil, err
	}
	return &Document{root}, nil
}

// blank reports whether a text holds nothing but comments and white space.
func blank(text []byte) bool {
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line != "" && line[0] != '#' {
			return false
		}
	}
	return true
}

// builder turns the library's tree into ours, and notes what we do not accept.
type builder struct {
	file  string
	errs  Errors
	built map[*yaml.Node]*node
	open  map[*yaml.Node]bool // being built, to find an alias to itself
}

// at returns the position of a node of the library.
func (b *builder) at(n *yaml.Node) Position { return Position{b.file, n.Line, n.Column} }

// syntax turns an error of the library into ours. An unknown anchor is put in
// our words, since the library quotes it, and it may be part of a password.
func (b *builder) syntax(err error) error {
	var load *yaml.LoadError
	if !errors.As(err, &load) {
		return Position{File: b.file}.Errorf("%v", err)
	}
	pos := Position{b.file, load.Mark.Line, load.Mark.Column}
	if load.Mark.Line == 0 {
		pos = Position{b.file, 1, 1}
	}
	switch {
	case strings.HasPrefix(load.Message, "unknown anchor"):
		return pos.Errorf("an alias to nothing: put a value that begins with * in quotes")
	case strings.Contains(load.Message, "cannot start any token"):
		return pos.Errorf("a tab, @, ` or %% cannot stand here: indent with spaces, put the value in quotes")
	case load.ContextMsg != "":
		return pos.Errorf("%s, from line %d: %s", load.ContextMsg, load.ContextMark.Line, load.Message)
	}
	return pos.Errorf("%s", load.Message)
}

// build returns our node for one of the library's.
func (b *builder) build(n *yaml.Node) *node {
	if n.Kind == yaml.AliasNode {
		return b.alias(n)
	}
	if done := b.built[n]; done != nil {
		return done
	}
	b.open[n] = true
	out := &node{pos: b.at(n), size: 1}
	if n.Style&yaml.TaggedStyle != 0 && n.ShortTag() != "!!str" {
		b.errs.Add(out.pos, "a tag (%s) has no meaning here: remove it", n.Tag)
	}
	switch n.Kind {
	case yaml.MappingNode:
		b.mapping(n, out)
	case yaml.SequenceNode:
		out.kind = List
		for _, item := range n.Content {
			out.add(b.build(item))
		}
	default:
		out.kind, out.text, out.tag = Scalar, n.Value, n.ShortTag()
		out.plain = n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle|yaml.TaggedStyle) == 0
		if out.plain && out.tag == "!!null" {
			out.kind = Null
		}
	}
	delete(b.open, n)
	b.built[n] = out
	return out
}

// add appends a value to a mapping or a list.
func (n *node) add(item *node) {
	n.items = append(n.items, item)
	n.size = min(n.size+item.size, maxNodes+1)
}

// alias returns what an alias stands for.
func (b *builder) alias(n *yaml.Node) *node {
	if b.open[n.Alias] {
		b.errs.Add(b.at(n), "an alias inside the value that it stands for")
		return &node{pos: b.at(n), size: 1}
	}
	return b.build(n.Alias)
}

// mapping fills a mapping and checks its keys.
func (b *builder) mapping(n *yaml.Node, out *node) {
	out.kind = Mapping
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := key{n.Content[i].Value, b.at(n.Content[i])}
		value := b.build(n.Content[i+1])
		switch tag := n.Content[i].ShortTag(); {
		case n.Content[i].Kind != yaml.ScalarNode:
			b.errs.Add(k.pos, "a key must be a plain word")
			continue
		case tag == "!!merge":
			b.errs.Add(k.pos, "merge keys (<<) are not supported: write the values out, or use an alias for the whole value")
			continue
		case tag == "!!null":
			b.errs.Add(k.pos, "an empty key: put it in quotes if it is meant")
			continue
		}
		if j := out.child(k.text); j >= 0 {
			b.errs.Add(k.pos, "key %q was already given on line %d: keep one of them", k.text, out.keys[j].pos.Line)
			continue
		}
		out.keys = append(out.keys, k)
		out.add(value)
	}
}
