package task

import "sync/atomic"

// audit counts the processor time that tasks of a loop take between two parks.
type audit struct {
	loop  int
	watch *Watch
	stack atomic.Pointer[string] // where a task was that took long on the clock
}

// run runs one step of a task. A step that ended in another thread than it began in is not counted.
func (a *audit) run(step func()) {
	a.stack.Store(nil)
	thread, before := threadTime()
	step()
	ended, after := threadTime()
	used := after - before
	if thread != ended || used < a.watch.Limit {
		return
	}
	stack := "not looked at"
	if s := a.stack.Load(); s != nil {
		stack = *s
	}
	a.watch.Seen(Stall{Loop: a.loop, For: used, Stack: stack})
}
