package proxy

import (
	"bytes"
	"slices"

	"github.com/pgdrover/pgdrover/pgwire"
)

// Unnamed statements come and go with nearly every batch, most with a text that came before. Their memory is used again, with what is
// known of the text in it.

// unnamedSpaces is memory for unnamed statements.
type unnamedSpaces struct {
	taken []*prepared // by the batch in hand, and the statement that they replace
	free  []*prepared // nothing refers to them; those of the next batch, if it is like the last one, are at the end, its first one last
}

const (
	spacesKept = 16      // how many are kept free
	spaceText  = 8 << 10 // of how much text and how many types at most, in bytes
)

// unnamedSpace is memory for the statement of a Parse, and whether what is known in it is of such a statement. It is the batch's.
func (s *session) unnamedSpace(m *pgwire.Parse) (p *prepared, known bool) {
	w := &s.spaces
	if len(w.taken) == 0 && s.unnamed != nil {
		w.taken = append(w.taken, s.unnamed)
	}
	p, known = w.find(s, m)
	if len(w.taken) <= spacesKept { // what a long batch has beyond is not used again
		w.taken = append(w.taken, p)
	}
	return p, known
}

func (w *unnamedSpaces) find(s *session, m *pgwire.Parse) (p *prepared, known bool) {
	last := len(w.free) - 1
	for i := last; i >= 0; i-- {
		if p = w.free[i]; s.repeats(p, m) {
			return w.cut(i), true
		}
	}
	if last < spacesKept-1 {
		return &prepared{}, false
	}
	return w.cut(0), false
}

// cut takes the i-th free one out of the list.
func (w *unnamedSpaces) cut(i int) *prepared {
	p, last := w.free[i], len(w.free)-1
	if i < last {
		w.free = slices.Delete(w.free, i, i+1)
		return p
	}
	w.free[last] = nil
	w.free = w.free[:last]
	return p
}

// repeats reports whether a Parse would have the router conclude what it has concluded of p.
func (s *session) repeats(p *prepared, m *pgwire.Parse) bool {
	return len(p.text) == len(m.Text) && p.sense == s.settings.sense && p.query.Fits(s.router(), &s.env) &&
		bytes.Equal(p.text, m.Text) && bytes.Equal(p.oids, m.OIDs) && p.query.ReadAs(&s.env)
}

// freeSpaces ends the batch's use of its spaces.
func (s *session) freeSpaces() {
	w := &s.spaces
	for i, p := range slices.Backward(w.taken) {
		s.freeSpace(p)
		w.taken[i] = nil
	}
	w.taken = w.taken[:0]
}

// freeSpace keeps the memory of an unnamed statement for the next, unless it is still in use.
func (s *session) freeSpace(p *prepared) {
	w := &s.spaces
	if p == s.unnamed || p == s.portal.stmt || len(s.portals) > 0 || len(w.free) >= spacesKept || cap(p.text)+cap(p.oids) > spaceText {
		return
	}
	w.free = append(w.free, p)
}
