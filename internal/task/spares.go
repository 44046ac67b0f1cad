package task

import "sync"

// shelfRoom is how many spare things of a kind a loop keeps. What is beyond that is left to the garbage collector.
const shelfRoom = 16

// Spares lends things to tasks that are worth using again, such as memory that has grown. A loop has a few of its own, for which its tasks need
// no lock. Tasks of any loops, and goroutines, may use it at the same time.
type Spares[T any] struct {
	shared  sync.Pool  // of *T
	shelves []shelf[T] // by loop
}

// shelf is what one loop has.
type shelf[T any] struct {
	spare []*T
	_     [40]byte // loops that write to shelves beside each other would slow each other down
}

// NewSpares returns Spares without anything, for tasks that the loops run; nil is for goroutines.
func NewSpares[T any](l *Loops) *Spares[T] {
	s := &Spares[T]{shared: sync.Pool{New: func() any { return new(T) }}}
	if l != nil {
		s.shelves = make([]shelf[T], len(l.all))
	}
	return s
}

// Take lends t, which calls it, a thing that is as somebody has given it, or new.
func (s *Spares[T]) Take(t *Task) *T {
	if t.loop == nil {
		return s.shared.Get().(*T)
	}
	spare := &s.shelves[t.loop.number].spare
	last := len(*spare) - 1
	if last < 0 {
		return s.shared.Get().(*T)
	}
	x := (*spare)[last]
	*spare = (*spare)[:last]
	return x
}

// Give takes a thing from t, which calls it.
func (s *Spares[T]) Give(t *Task, x *T) {
	if t.loop != nil {
		if spare := &s.shelves[t.loop.number].spare; len(*spare) < shelfRoom {
			*spare = append(*spare, x)
			return
		}
	}
	s.shared.Put(x)
}
