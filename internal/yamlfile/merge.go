package yamlfile

import "strconv"

// Merge lays documents over one another: mappings are merged key by key, and
// anything else in a later document replaces what the earlier ones say. A null
// takes a key back to its default. Every value keeps the position of the
// document it came from. It panics without a document.
func Merge(docs ...*Document) *Document {
	root := docs[0].root
	for _, d := range docs[1:] {
		root = mergeNodes(root, d.root)
	}
	return &Document{root}
}

// mergeNodes returns under with over laid on it.
func mergeNodes(under, over *node) *node {
	if under.kind != Mapping || over.kind != Mapping {
		return over
	}
	out := &node{kind: Mapping, pos: under.pos, size: 1}
	for i, k := range under.keys {
		value := under.items[i]
		if j := over.child(k.text); j >= 0 {
			k, value = over.keys[j], mergeNodes(value, over.items[j])
		}
		out.keys = append(out.keys, k)
		out.add(value)
	}
	for j, k := range over.keys {
		if under.child(k.text) < 0 {
			out.keys = append(out.keys, k)
			out.add(over.items[j])
		}
	}
	return out
}

// Position returns where the value at a path is written: keys, and indices of
// lists as decimal numbers. It reports whether the document has the value.
func (d *Document) Position(path ...string) (Position, bool) {
	_, n := d.find(path)
	if n == nil {
		return Position{}, false
	}
	return n.pos, true
}

// KeyPosition is Position for the last key of the path instead of its value.
// For the element of a list the two are the same.
func (d *Document) KeyPosition(path ...string) (Position, bool) {
	at, n := d.find(path)
	return at, n != nil
}

// find walks a path; the node is nil where the document has none.
func (d *Document) find(path []string) (Position, *node) {
	n, at := d.root, d.root.pos
	for _, step := range path {
		i := -1
		switch n.kind {
		case Mapping:
			i = n.child(step)
		case List:
			i = listIndex(step, len(n.items))
		}
		if i < 0 {
			return Position{}, nil
		}
		at = n.items[i].pos
		if n.kind == Mapping {
			at = n.keys[i].pos
		}
		n = n.items[i]
	}
	return at, n
}

// listIndex reads an index of a list of a length; -1 for none of them.
func listIndex(step string, length int) int {
	i, err := strconv.Atoi(step)
	if err != nil || i < 0 || i >= length {
		return -1
	}
	return i
}
