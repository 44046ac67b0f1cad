package router

import "sync/atomic"

// stencilWays is how many stencils are kept that share a key.
const stencilWays = 8

// maxStencilSets bounds how many times as many are kept. A power of two.
const maxStencilSets = 512

// replaceEach is how many texts that fit nothing a full set sees before it takes in one of them: so texts that do not come again neither
// drive out those that do, nor cost much.
const replaceEach = 64

// stencils are the texts that stand for others in front of the lexer: half as many as templates are kept, 8 at least and 4096 at most. One
// takes 4 KB at most, and may hold on to a template that is kept no more. They are safe for concurrent use, and read without a lock.
type stencils struct {
	sets []stencilSet // a power of two
}

// newStencils returns room for the stencils that go with so many templates.
func newStencils(templates int) *stencils {
	n := 1
	for n < maxStencilSets && 4*n*stencilWays <= templates {
		n *= 2
	}
	return &stencils{make([]stencilSet, n)}
}

// set returns the set of a key.
func (s *stencils) set(key uint64) *stencilSet { return &s.sets[key%uint64(len(s.sets))] }

// stencilSet is filled from the front, and never emptied.
type stencilSet struct {
	ways   [stencilWays]atomic.Pointer[stencil]
	misses atomic.Uint32 // since it was full
}

// read has the text of q read by the stencil that it fits, of those analysed under a search path, for a user, and returns that; nil: none
// does, and q is to be reset.
func (s *stencils) read(q *Query, key uint64, path, user string) *stencil {
	set := s.set(key)
	for i := range set.ways {
		st := set.ways[i].Load()
		if st == nil {
			return nil
		}
		if st.key == key && st.tpl.searchPath == path && st.tpl.user == user && st.fit(q) {
			return st
		}
	}
	return nil
}

// add keeps a stencil of the text in q, which fits none that is kept, if it has one and there is room.
func (s *stencils) add(q *Query, key uint64) {
	way := s.set(key).room()
	if way == nil {
		return
	}
	if st := newStencil(q, key); st != nil {
		way.Store(st)
	}
}

// room returns a place that is free, or now and then that of a stencil which was not used since it was last asked; nil: none.
func (set *stencilSet) room() *atomic.Pointer[stencil] {
	for i := range set.ways {
		if set.ways[i].Load() == nil {
			return &set.ways[i]
		}
	}
	n := set.misses.Add(1)
	if n%replaceEach != 0 {
		return nil
	}
	for i := range uint32(stencilWays) {
		way := &set.ways[(n/replaceEach+i)%stencilWays]
		if !way.Load().used.Swap(false) {
			return way
		}
	}
	return nil
}

// literalAt returns where the first literal of a text may begin: at a digit or quote that no word, number or string stands before; the
// end if there is none. Texts that fit one stencil are the same up to there.
func literalAt(text []byte) int {
	for i := 1; i < len(text); i++ {
		if k := classes[text[i]]; (k == classDigit || k == classQuote) && parts(text[i-1]) {
			return i
		}
	}
	return len(text)
}
