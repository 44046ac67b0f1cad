package task

import "sync/atomic"

// audit counts the processor time that tasks of a loop take between two parks. Threads have a clock for that, and goroutines have not: a task is
// taken to have used what its thread used if it was seen in several places meanwhile, and ended where it began.
type audit struct {
	of    *loop
	watch *Watch
	place atomic.Pointer[place] // nil: nobody has looked yet
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

// run runs one step of a task.
func (a *audit) run(step func()) {
	a.place.Store(nil)
	thread, before := threadTime()
	step()
	ended, after := threadTime()
	p := a.place.Load()
	if used := after - before; thread == ended && used >= a.watch.Limit && p != nil && p.moves >= 2 {
		a.of.stalls.Add(1)
		a.watch.Seen(Stall{Loop: a.of.number, For: used, Stack: p.stack})
	}
}
