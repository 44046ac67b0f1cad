package router

import "sync/atomic"

// How many stencils are kept: so many sets, each for as many that share a key. Powers of two.
const (
	stencilSets = 512
	stencilWays = 8
)

// replaceEach is how many texts that fit nothing a full set sees before it takes in one of them: so texts that do not come again neither
// drive out those that do, nor cost much.
const replaceEach = 64

// stencils are the texts that stand for others in front of the lexer. They take at most 4096 times the 4 KB that a stencil may be, next
// to the templates that they hold on to. They are safe for concurrent use, and read without a lock.
type stencils struct {
	sets [stencilSets]stencilSet
}

// stencilSet is filled from the front, and never emptied.
type stencilSet struct {
	ways   [stencilWays]atomic.Pointer[stencil]
	misses atomic.Uint32 // since it was full
}

// read has the text of q read by the stencil that it fits, of those analysed under a search path, for a user, and returns that; nil: none
// does, and q is to be reset.
func (s *stencils) read(q *Query, key uint64, path, user string) *stencil {
	set := &s.sets[key%stencilSets]
	for i := range set.ways {
		st := set.ways[i].Load()
		if st == nil {
			return nil
		}
		if st.key != key || st.tpl.searchPath != path || st.tpl.user != user || !st.fit(q) {
			continue
		}
		if !st.used.Load() {
			st.used.Store(true)
		}
		return st
	}
	return nil
}

// add keeps a stencil of the text in q, which fits none that is kept, if it has one and there is room.
func (s *stencils) add(q *Query, key uint64) {
	way := s.sets[key%stencilSets].room()
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
