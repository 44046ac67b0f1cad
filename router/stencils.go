package router

import (
	"encoding/binary"
	"math/bits"
	"sync/atomic"
)

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

// read has the text of q read by the stencil that it fits, of those analysed under a search path, for a user. It reports whether there
// is one; if not, q is as it was but for what normalise makes anew.
func (s *stencils) read(q *Query, key uint64, path, user string) bool {
	set := &s.sets[key%stencilSets]
	for i := range set.ways {
		st := set.ways[i].Load()
		if st == nil {
			break
		}
		if st.key != key || st.tpl.searchPath != path || st.tpl.user != user || !st.fit(q) {
			continue
		}
		if !st.used.Load() {
			st.used.Store(true)
		}
		return true
	}
	return false
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
	i := 0
	for ; i+8 <= len(text); i += 8 {
		w := binary.LittleEndian.Uint64(text[i:])
		for found := digitsIn(w) | zerosIn(w^'\''*eachByte); found != 0; found &= found - 1 {
			if n := i + bits.TrailingZeros64(found)/8; n > 0 && parts(text[n-1]) {
				return n
			}
		}
	}
	for ; i < len(text); i++ {
		if c := text[i]; (c == '\'' || isDigit(c)) && i > 0 && parts(text[i-1]) {
			return i
		}
	}
	return len(text)
}

// Eight bytes at a time: eachByte repeats a byte, highBits are the highest bits of all.
const (
	eachByte = 0x0101010101010101
	highBits = 0x80 * eachByte
)

// digitsIn sets the highest bit of each byte that is a decimal digit.
func digitsIn(w uint64) uint64 {
	w ^= '0' * eachByte // 0 to 9 are digits
	return ^((w&^highBits + (0x80-10)*eachByte) | w) & highBits
}

// zerosIn sets the highest bit of each byte that is zero.
func zerosIn(w uint64) uint64 {
	return ^((w&^highBits + (0x80-1)*eachByte) | w) & highBits
}
