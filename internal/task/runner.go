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
		r.task.rests = r.task.turn(r.task)
		r.task = nil
		if !yield(struct{}{}) {
			return
		}
	}
}

// hire gives a task a runner.
func (l *loop) hire(t *Task) {
	if last := len(l.spare) - 1; last >= 0 {
		t.runner, l.spare[last] = l.spare[last], nil
		l.spare = l.spare[:last]
	} else {
		t.runner = newRunner()
	}
	t.runner.task = t
}

// dismiss takes it away at the end of a turn.
func (l *loop) dismiss(t *Task) {
	r := t.runner
	t.runner = nil
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
