package task

import "iter"

// spareRunners is how many coroutines a loop keeps for tasks that come, or that had a rest. Their stacks have grown already.
const spareRunners = 64

// runner is a coroutine that runs the turns of a loop's tasks, one after the other. A task has one from the beginning of a turn to its end, and
// when it rests it has none, and so no stack.
type runner struct {
	loop  *loop
	next  func() (struct{}, bool)
	stop  func()
	yield func(struct{}) bool
	spare bool // it runs no turn, and the loop's goroutine goes on
}

func newRunner(l *loop) *runner {
	r := &runner{loop: l}
	r.next, r.stop = iter.Pull(r.work)
	return r
}

// work is the coroutine.
func (r *runner) work(yield func(struct{}) bool) {
	r.yield = yield
	for !r.run() {
	}
}

// run has tasks take their turns until the runner is stopped. It reports false if one has panicked, whose task has another. There is one recover for all of
// them, since one for each would be a good part of what a short turn costs.
func (r *runner) run() (stopped bool) {
	var t *Task
	defer func() {
		if t != nil && t.survives() {
			t.fail(recover())
			r.loop.line(t)
		}
	}()
	for {
		if t = r.loop.succeed(); t != nil {
			r.loop.begin()
			t.turn()
			r.loop.end()
			t = nil // what panics now is the loop's own
			continue
		}
		r.spare = true
		if !r.yield(struct{}{}) {
			return true
		}
		r.spare = false
	}
}

// succeed takes out the next task whose turn begins, and runs the loop until there is one: that saves the switches to the loop's goroutine and back. Nil: that
// goes on, as a task that has parked comes first, or the loop ends.
func (l *loop) succeed() *Task {
	for l.run() && l.resumed == len(l.runnable) {
		t := l.fresh[l.begun]
		l.begun++
		if t.runner == nil && !t.ended { // else it was there twice, and saw at the first time what there was to see
			return t
		}
	}
	return nil
}

// hire is a runner that has nothing to do.
func (l *loop) hire() *runner {
	last := len(l.spare) - 1
	if last < 0 {
		return newRunner(l)
	}
	r := l.spare[last]
	l.spare = l.spare[:last]
	return r
}

// dismiss keeps a runner that has nothing to do, or ends it.
func (l *loop) dismiss(r *runner) {
	if len(l.spare) < spareRunners {
		l.spare = append(l.spare, r)
	} else {
		r.stop()
	}
}

// dismissAll ends the spare runners.
func (l *loop) dismissAll() {
	for _, r := range l.spare {
		r.stop()
	}
	l.spare = nil
}
