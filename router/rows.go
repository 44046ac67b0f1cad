package router

import (
	"bytes"
	"sort"
)

// valuesRows finds the rows of the VALUES that an INSERT inserts; false if it has
// none. VALUES stands outside of all parentheses, and what is called so there,
// as a table may be, follows INTO, AS or a dot.
func (q *Query) valuesRows() ([]span, bool) {
	p := q.pieces[0]
	l := lexer{src: q.text[:p.end], pos: int(p.off), plain: q.plain}
	depth, name, begins := 0, false, false
	for t := l.next(); t.kind != tokEnd; t = l.next() {
		word := q.text[t.off:t.end]
		if t.kind == tokSelf {
			if begins && word[0] == '(' {
				return rowsFrom(&l, t), true
			}
			depth += nesting(word[0])
		}
		begins = depth == 0 && !name && t.kind == tokWord && bytes.EqualFold(word, wordValues)
		name = t.kind == tokDot || t.kind == tokWord && (lowerWord(word) == "into" || lowerWord(word) == "as")
	}
	return nil, false
}

// rowsFrom are the rows of a list of which t opens the first.
func rowsFrom(l *lexer, t token) []span {
	var rows []span
	for t.kind == tokSelf && l.src[t.off] == '(' {
		row := span{off: int32(t.off)}
		for depth := 1; depth > 0 && t.kind != tokEnd; {
			if t = l.next(); t.kind == tokSelf {
				depth += nesting(l.src[t.off])
			}
		}
		row.end = int32(t.end)
		rows = append(rows, row)
		if t = l.next(); t.kind != tokSelf || l.src[t.off] != ',' {
			break
		}
		t = l.next()
	}
	return rows
}

// rowShares splits an INSERT of VALUES: a shard gets the rows of its tenants.
func (q *Query) rowShares(st *Statement, all []tenantAt, rows []span, paper bool) (*Gathering, *Error) {
	pl := &st.place
	switch {
	case pl.opens != "":
		return nil, refuse("", "%s may touch any table", pl.opens)
	case pl.opaque != "":
		return nil, refuse("", "%s is not understood", pl.opaque)
	case len(pl.on) > 0:
		return nil, refuse("", "%q lives on one shard", pl.on[0].table.Name)
	case st.Hold != 0 || len(st.changes) > 0:
		return nil, refuse("", "it changes the session")
	}
	shards := shardsOf(all)
	g := &Gathering{writes: true, order: make([]int32, len(rows))}
	for i := range g.order {
		g.order[i] = -1
	}
	for i := range all {
		n := &all[i]
		row := q.rowAt(rows, n)
		share := int32(sort.SearchInts(shards, n.shard))
		switch {
		case row < 0 && n.use == useSet:
			return nil, refuse("Delete the row and insert it for the other tenant.", "it may move rows to another shard")
		case row < 0:
			return nil, refuse("", "tenant %q is not that of a row of VALUES", n.key)
		case g.order[row] >= 0 && g.order[row] != share:
			return nil, refuse("", "row %d names tenants of several shards", row+1)
		}
		g.order[row] = share
	}
	for i, share := range g.order {
		if share < 0 && !paper {
			return nil, refuse("", "nothing says which shard row %d belongs to", i+1)
		}
	}
	for i, shard := range shards {
		g.shares = append(g.shares, q.rowShare(g.order, rows, int32(i), shard))
	}
	return g, nil
}

// rowAt is the row that a tenant is written in, -1 for none.
func (q *Query) rowAt(rows []span, n *tenantAt) int {
	if n.at == noSlot {
		return -1
	}
	off := q.slots[n.at].off
	at := sort.Search(len(rows), func(i int) bool { return rows[i].end > off })
	if at == len(rows) || rows[at].off > off {
		return -1
	}
	return at
}

// rowShare is the share of one shard: the INSERT with the rows that are its own.
func (q *Query) rowShare(of []int32, rows []span, share int32, shard int) Share {
	p := q.pieces[0]
	kept := []span{{p.off, rows[0].off}}
	text := append([]byte(nil), q.text[p.off:rows[0].off]...)
	for i, r := range rows {
		if of[i] != share {
			continue
		}
		if len(kept) > 1 {
			text = append(text, ", "...)
		}
		text = append(text, q.text[r.off:r.end]...)
		kept = append(kept, r)
	}
	tail := span{rows[len(rows)-1].end, p.end}
	text = append(text, q.text[tail.off:tail.end]...)
	return Share{Shard: shard, SQL: string(text), Idle: q.idle(append(kept, tail))}
}

// idle are the parameters of the statement that none of some parts of its text
// mentions.
func (q *Query) idle(parts []span) []int {
	most := int32(0)
	for _, s := range q.slots {
		if s.kind == slotParam {
			most = max(most, s.number)
		}
	}
	used := make([]bool, most)
	at := 0
	for _, s := range q.slots {
		for at < len(parts) && parts[at].end <= s.off {
			at++
		}
		if s.kind == slotParam && s.number > 0 && at < len(parts) && parts[at].off <= s.off {
			used[s.number-1] = true
		}
	}
	var list []int
	for i, u := range used {
		if !u {
			list = append(list, i)
		}
	}
	return list
}
