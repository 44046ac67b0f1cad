package task

import "iter"

// spareRunners is how many coroutines a loop keeps for tasks that come, or that had a rest. Their stacks have grown already.
const spareRunners = 64

// runner is a coroutine that runs the turns of a loop's tasks, one after the other. A task has one from the beginning of a turn to its end, and
// when it rests it has none, and so no stack.
type runner struct {
	next  func() (struct{}, bool)
	stop  func()
	yield func(struct{}) bool
	task  *Task // whose turn it is; nil: it is spare
}

func newRunner() *runner {
	r := &runner{}
	r.next, r.stop = iter.Pull(r.run)
	return r
}

// run is the coroutine.
func (r *runner) run(yield func(struct{}) bool) {
	r.yield = yield
	for {
		t := r.task
		t.finish(t.does.Turn(t))
		r.task = nil
		if next := t.loop.succeed(); next != nil {
			next.begin(r)
			continue
		}
		if !yield(struct{}{}) {
			return
		}
	}
}

// succeed takes out the next task whose turn begins, for a runner that has come to the end of one, and runs the loop until there is one: that saves the
// switches to the loop's goroutine and back. Nil: that goes on, as a task that has a runner comes first, or the loop ends.
func (l *loop) succeed() *Task {
	l.end()
	if l.begun == len(l.fresh) && !l.run() || l.resumed < len(l.runnable) {
		return nil
	}
	t := l.fresh[l.begun]
	if t.runner != nil || t.ended { // it is there twice
		return nil
	}
	take(l.fresh, &l.begun)
	l.begin()
	return t
}

// hire is a runner that has nothing to do.
func (l *loop) hire() *runner {
	last := len(l.spare) - 1
	if last < 0 {
		return newRunner()
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
