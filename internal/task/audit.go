package task

import (
	"sync/atomic"
	"time"
)

// audit counts the processor time that tasks of a loop take between two parks. Threads have a clock for that, and goroutines have not: a task is
// taken to have used what its thread used if it was seen in several places meanwhile, and ended where it began.
type audit struct {
	of    *loop
	watch *Watch
	place atomic.Pointer[place] // nil: nobody has looked yet

	thread int           // in which the step began
	before time.Duration // what that had used then
}

// place is where a task was seen.
type place struct {
	stack string
	at    uintptr
	moves int // how often it had moved since the look before
}

// note writes down where a task is that has not parked since the last look.
func (a *audit) note(stack string, at uintptr) {
	p := &place{stack: stack, at: at}
	if was := a.place.Load(); was != nil {
		p.moves = was.moves
		if was.at != at {
			p.moves++
		}
	}
	a.place.Store(p)
}

// begin is called before each step of a task.
func (a *audit) begin() {
	a.place.Store(nil)
	a.thread, a.before = threadTime()
}

// end is called after it.
func (a *audit) end() {
	thread, after := threadTime()
	p := a.place.Load()
	if used := after - a.before; thread == a.thread && used >= a.watch.Limit && p != nil && p.moves >= 2 {
		a.of.stalls.Add(1)
		a.watch.Seen(Stall{Loop: a.of.number, For: used, Stack: p.stack})
	}
}
