package router

import (
	"slices"
	"strings"
)

// maxHabit is how many different statements a habit is of. A power of two.
const maxHabit = 16

// habit is what stencils the texts of a Query fitted lately, and which came after which. Most clients send the same few statements over and
// over: then the one that a text fits is known before the text is looked at. It belongs to its Query.
type habit struct {
	r          *Router // that the stencils are of
	path, user string  // that they were analysed under, and for
	stencils   [maxHabit]*stencil
	after      [maxHabit]uint8 // for each of stencils the place of the one that came after it last
	known      int             // how many of them there are
	last       uint8           // the place of the one that came last
}

// habitOf returns the habit of q under a Router, a search path and a user. Another than before is a new one.
func (q *Query) habitOf(path, user string) *habit {
	h := q.habit
	if h == nil {
		h = &habit{}
		q.habit = h
	}
	if !h.is(q.r, path, user) {
		*h = habit{r: q.r, path: strings.Clone(path), user: strings.Clone(user)}
	}
	return h
}

// is reports a habit under a Router, a search path and a user.
func (h *habit) is(r *Router, path, user string) bool {
	return h.r == r && h.path == path && h.user == user
}

// foreseen returns the stencil that the text of q, which was just reset, fits by habit; nil: there is none.
func (q *Query) foreseen(env *Env) *stencil {
	if h := q.habit; h != nil && !q.plain && h.is(q.r, q.follow(env), q.user) {
		return h.expected()
	}
	return nil
}

// expected returns the stencil that the next text fits by habit; nil: there is none yet.
func (h *habit) expected() *stencil { return h.stencils[h.next()] }

func (h *habit) next() uint8 { return h.after[h.last%maxHabit] % maxHabit }

// step notes that what was expected came.
func (h *habit) step() { h.last = h.next() }

// note notes that another stencil came. If there is no place for it, the habit begins anew.
func (h *habit) note(st *stencil) {
	at := slices.Index(h.stencils[:h.known], st)
	if at < 0 && h.known == len(h.stencils) {
		*h = habit{r: h.r, path: h.path, user: h.user}
	}
	if at < 0 {
		at = h.known
		h.stencils[at] = st
		h.known++
	}
	h.after[h.last%maxHabit] = uint8(at)
	h.last = uint8(at)
}
