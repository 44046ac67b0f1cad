package router

import (
	"slices"
	"strings"
)

// habit is the order in which the texts of a Query fitted stencils. Most clients send the same few statements over and over: then the one
// that a text fits is known before the text is looked at. It belongs to its Query.
type habit struct {
	r          *Router // that the stencils are of
	path, user string  // that they were analysed under, and for
	order      [8]*stencil
	known      int // how many of order there are
	next       int // in order, the one that comes next; below known, or 0
}

// habitOf returns the habit of q under a Router, a search path and a user. Another than before is a new one.
func (q *Query) habitOf(path, user string) *habit {
	h := q.habit
	if h == nil {
		h = &habit{}
		q.habit = h
	}
	if h.r != q.r || h.path != path || h.user != user {
		*h = habit{r: q.r, path: strings.Clone(path), user: strings.Clone(user)}
	}
	return h
}

// expected returns the stencil that the next text fits by habit; nil: there is none yet.
func (h *habit) expected() *stencil { return h.order[h.next] }

// step notes that what was expected came.
func (h *habit) step() {
	if h.next++; h.next >= h.known {
		h.next = 0
	}
}

// note notes that another stencil came. One that is new has its place behind what is known; if there is none, the habit begins anew.
func (h *habit) note(st *stencil) {
	at := slices.Index(h.order[:h.known], st)
	if at < 0 && h.known == len(h.order) {
		h.known = 0
	}
	if at < 0 {
		at = h.known
		h.order[at] = st
		h.known++
	}
	h.next = at
	h.step()
}
