package router

import (
	"bytes"
	"slices"
)

// keepLists forgets which constants are of a list, unless only rows with the
// driver's tenant in the column that it is compared with can matter: then a
// shard may do without other shards' tenants in it.
func (b *binder) keepLists(n *node) {
	if len(b.lists) == 0 {
		return
	}
	same := func(int32) bool { return false }
	for _, d := range b.driversOf(n) {
		if !b.leaves(b.g.owner[d]) && b.follows(d) == nil {
			same = b.sameAs(d)
			break
		}
	}
	for _, set := range b.g.sets {
		for i := range set {
			if k := set[i].list; k != 0 && !same(b.lists[k-1]) {
				set[i].list = 0
			}
		}
	}
}

// narrowed is the share of a shard in a statement with lists of tenants. What
// stands in a list for another shard's tenant becomes one of the shard's own,
// which the list has then twice; of an array the shard gets its own elements.
// Lists that have none of the shard's own stay as they are, as does what is not
// compared with the column alone: a shard has no rows of other shards' tenants.
func (q *Query) narrowed(all []tenantAt, shard int) Share {
	s := Share{Shard: shard}
	edits := map[int32][]byte{}
	for i := range all {
		n := &all[i]
		switch {
		case n.ref.list == 0 || n.at == noSlot || n.shard == shard:
		case n.ref.array:
			q.narrowArray(all, n, &s, edits)
		default:
			if own := q.instead(all, n, shard); own != noSlot {
				edits[n.at] = q.literal(own)
			}
		}
	}
	s.SQL = q.edited(edits)
	return s
}

// instead is the place of a tenant of a shard that is written as n is, in the
// same list; noSlot if there is none.
func (q *Query) instead(all []tenantAt, n *tenantAt, shard int) int32 {
	for i := range all {
		o := &all[i]
		if o.shard != shard || o.at == noSlot || o.ref.list != n.ref.list || o.ref.array {
			continue
		}
		if q.slots[o.at].kind == q.slots[n.at].kind && o.ref.negate == n.ref.negate && o.ref.cast == n.ref.cast {
			return o.at
		}
	}
	return noSlot
}

// literal is a literal or parameter as it is written.
func (q *Query) literal(at int32) []byte { return q.text[q.slots[at].off:q.slots[at].end] }

// narrowArray leaves a shard its own elements of the array that n is of.
func (q *Query) narrowArray(all []tenantAt, n *tenantAt, s *Share, edits map[int32][]byte) {
	var own []byte
	for i := range all {
		if o := &all[i]; o.at == n.at && o.shard == s.Shard {
			own = appendElement(own, o.key.Append(nil))
		}
	}
	if own == nil {
		return
	}
	own = append(own, '}')
	slot := q.slots[n.at]
	switch {
	case slot.kind != slotParam:
		edits[n.at] = quoted(own)
	case q.mentions(slot.number) == 1:
		if s.Other == nil {
			s.Other = map[int][]byte{}
		}
		s.Other[int(slot.number)-1] = own
	}
}

// mentions is how often the text has a parameter.
func (q *Query) mentions(number int32) int {
	n := 0
	for _, s := range q.slots {
		if s.kind == slotParam && s.number == number {
			n++
		}
	}
	return n
}

// appendElement adds a value to the text of an array, without its end.
func appendElement(dst, value []byte) []byte {
	if len(dst) == 0 {
		dst = append(dst, '{', '"')
	} else {
		dst = append(dst, ',', '"')
	}
	for _, c := range value {
		if c == '"' || c == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, c)
	}
	return append(dst, '"')
}

// quoted is a value as a literal, however backslashes are read.
func quoted(value []byte) []byte {
	text := bytes.ReplaceAll(value, []byte("'"), []byte("''"))
	if bytes.IndexByte(text, '\\') < 0 {
		return slices.Concat([]byte("'"), text, []byte("'"))
	}
	return slices.Concat([]byte(" E'"), bytes.ReplaceAll(text, []byte(`\`), []byte(`\\`)), []byte("'"))
}

// edited is the text of the one statement with others in the place of some
// literals.
func (q *Query) edited(edits map[int32][]byte) string {
	p := q.pieces[0]
	var b []byte
	from := p.off
	for at, s := range q.slots {
		if other, ok := edits[int32(at)]; ok {
			b = append(append(b, q.text[from:s.off]...), other...)
			from = s.end
		}
	}
	return string(append(b, q.text[from:p.end]...))
}
