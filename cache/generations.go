package cache

import (
	"math/bits"
	"sync/atomic"
)

const (
	minSlots = 1 << 12
	maxSlots = 1 << 18
)

// generations counts the writes that passed through this process, by scope.
//
// Scopes are hashed onto a fixed table, so memory is bounded and nothing is ever
// evicted. Scopes that share a slot invalidate each other's entries, which costs
// a miss; a write is never overlooked.
//
// Numbers come from one counter that only grows, so a slot's newest write has a
// number above all that were given out before it, and the largest number over
// the slots of a result (its stamp) moves whenever any of them moves.
type generations struct {
	last  atomic.Uint64
	mask  uint64
	slots []slot
}

// slot holds the newest write's number and how many writers are between sending
// a write and knowing its outcome.
type slot struct {
	gen   atomic.Uint64
	dirty atomic.Int64
}

// newGenerations sizes the table for an L1 of so many bytes.
func newGenerations(memory int64) *generations {
	n := uint64(minSlots)
	if want := uint64(memory / 1024); want > n {
		n = 1 << bits.Len64(want-1)
	}
	n = min(n, maxSlots)
	return &generations{mask: n - 1, slots: make([]slot, n)}
}

func (g *generations) slot(hash uint64) *slot {
	return &g.slots[hash&g.mask]
}

// stamp is the newest write that d depends on; clean is false while a write to
// any of it is under way. In each slot dirty is read before the number: a writer
// changes them in the other order, so a stamp that looks clean is either from
// before the write was announced or counts it.
func (g *generations) stamp(d *Deps) (stamp uint64, clean bool) {
	stamp, clean = g.see(0, hashEverything)
	if !clean {
		return 0, false
	}
	if d.owned {
		if stamp, clean = g.see(stamp, d.tenantHash); !clean {
			return 0, false
		}
	}
	for _, table := range d.hashes {
		if stamp, clean = g.see(stamp, table); !clean {
			return 0, false
		}
		if !d.owned {
			continue
		}
		if stamp, clean = g.see(stamp, pairHash(d.tenantHash, table)); !clean {
			return 0, false
		}
	}
	return stamp, true
}

func (g *generations) see(stamp, hash uint64) (uint64, bool) {
	s := g.slot(hash)
	if s.dirty.Load() != 0 {
		return 0, false
	}
	return max(stamp, s.gen.Load()), true
}

// mark makes a scope dirty until unmark; marks are counted.
func (g *generations) mark(hash uint64) { g.slot(hash).dirty.Add(1) }

func (g *generations) unmark(hash uint64) { g.slot(hash).dirty.Add(-1) }

// bump makes every stamp taken so far over this scope old. Call it after the
// write's outcome is known: the number it takes is then above that of every
// reader who may have seen the rows as they were before.
func (g *generations) bump(hash uint64) {
	n := g.last.Add(1)
	s := g.slot(hash)
	for {
		old := s.gen.Load()
		if old >= n || s.gen.CompareAndSwap(old, n) {
			return
		}
	}
}
