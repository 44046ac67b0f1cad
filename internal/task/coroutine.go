package task

import (
	"sync/atomic"
	"time"
)

// spell is how many waits a task may pass without parking before the other tasks of its loop get their turn.
const spell = 64

// coroutine is what a task has that runs on a loop.
type coroutine struct {
	posted atomic.Bool // it is in the loop's inbox
	rests  bool        // the turn ended in a rest
	ended  bool
	failed bool    // a turn has panicked
	spent  uint8   // waits since it parked last
	loop   *loop   // nil: the task is a goroutine
	runner *runner // in which it has parked; nil: it has not
	on     *Conn   // what it waits for when it rests, if that is a connection
	of     *Conn   // its own connection
	does   Turner
	until  Moment // when the wait is over; 0 while there is no wait with a deadline
	timed  int    // its place among the loop's timers, plus one; 0: none
	group  *Group
}

// turn is the task's next turn. Its runner calls it.
func (t *Task) turn() {
	if t.rests && t.on != t.of {
		if t.on == nil {
			t.until = 0
		}
		t.wasWoken() // that the turn begins is all that waking is for; whoever rests for the task's own connection looks at what Rest says
	}
	t.rests = false
	t.rests = t.does.Turn(t)
	switch {
	case !t.rests:
		t.end()
	case t.on == nil:
		if t.until != 0 {
			t.loop.timers.set(t)
		}
	default:
		if t.on == t.of { // else it is a backend, which will have an answer soon
			t.on.rest(t.loop)
		}
		t.on.follow(t, t.loop)
		if !t.on.wire.silent() {
			t.loop.post(t)
		}
	}
}

// end is the end of the last turn. Connections that the task has waited for may know it for longer.
func (t *Task) end() {
	if t.of != nil {
		t.of.home = nil
	}
	t.ended, t.does, t.on, t.of = true, nil, nil, nil
	t.loop.timers.remove(t)
	t.loop.tasks.Add(-1)
	t.group.wg.Done()
}

// wasWoken reports whether the task was woken, once.
func (t *Task) wasWoken() bool { return t.woken.Load() && t.woken.Swap(false) }

// passed reports that a wait is over before the task has parked.
func (t *Task) passed(on []Interest) bool {
	if t.wasWoken() {
		return true
	}
	if !progressed(on, t.loop) {
		return false
	}
	t.breathe()
	return true
}

// breathe lets the other tasks of the loop go first if this one has not parked for long.
func (t *Task) breathe() {
	if t.spent++; t.spent >= spell {
		t.Yield()
	}
}

// waitOnLoop is Wait for a coroutine.
func (t *Task) waitOnLoop(deadline time.Time, on []Interest) (timedOut bool) {
	until := untilMoment(deadline)
	for {
		if t.passed(on) {
			return false
		}
		if until != 0 && t.loop.moment >= until {
			return true
		}
		t.spent = 0
		if heed(on, t, t.loop) {
			t.park(until)
		}
		ignore(on)
	}
}

// Yield lets the other tasks of the task's event loop have a turn. It is for what goes on for longer than a few milliseconds with no wait
// that parks.
func (t *Task) Yield() {
	if t.loop == nil {
		return
	}
	t.spent = 0
	t.loop.post(t)
	t.yield()
}

// yield leaves the loop to others until that resumes the task.
func (t *Task) yield() {
	t.runner = t.loop.current
	t.runner.yield(struct{}{})
	t.runner = nil
}

// park yields to the loop until it resumes the task: for an event, a post, or the deadline.
func (t *Task) park(until Moment) {
	if until != 0 {
		t.until = until
		t.loop.timers.set(t)
	}
	t.yield()
	t.until = 0
}

// heed has loops resume or ring t for what it is interested in. It reports whether t may park: not if something is ready by now.
// Wires that no loop tells of, or another than l, are told of by l; nil leaves those that have one.
func heed(on []Interest, t *Task, l *loop) bool {
	quiet := true
	idle := t.of == nil || len(on) != 1 || on[0].Conn == t.of // else it is a backend that t waits for, which will have an answer soon
	for n := range on {
		i := &on[n]
		if idle {
			i.Conn.rest(t.loop)
		}
		i.Conn.follow(t, l)
		if i.Conn.isReady(i) {
			quiet = false
		}
	}
	return quiet
}

// follow has a loop, as heed says which, tell t of c. That this fails is the end of c.
func (c *Conn) follow(t *Task, l *loop) {
	w := c.wire
	if w.waiter.Load() != t {
		w.waiter.Store(t)
	}
	if w.at != l && (w.at == nil || l != nil) {
		c.join(l)
	}
}

// join is follow for a loop that does not tell of c yet.
func (c *Conn) join(l *loop) {
	w := c.wire
	if err := w.attach(w.loops.orAny(l)); err != nil {
		c.readErr, c.writeErr = err, err
	}
}

// ignore undoes heed. A task that rests, and does not look at what it is told of for, leaves it to the next one that waits to undo that.
func ignore(on []Interest) {
	for _, i := range on {
		i.Conn.wire.waiter.Store(nil)
	}
}

// waitBeside is Wait for a goroutine and connections that loops tell of.
func (t *Task) waitBeside(deadline time.Time, on []Interest) (timedOut bool) {
	for {
		if t.woken.Swap(false) || progressed(on, nil) {
			return false
		}
		if !deadline.IsZero() && !time.Now().Before(deadline) {
			return true
		}
		if heed(on, t, nil) {
			t.listen(deadline)
		}
		ignore(on)
	}
}

// awaitOnLoop is Await for a coroutine.
func (t *Task) awaitOnLoop(f func()) {
	var done atomic.Bool
	var failure any
	if t.of != nil { // f may use it
		t.of.home = nil
		defer func() { t.of.home = t.loop }()
	}
	go func() { // Await waits for it
		defer func() {
			failure = recover()
			done.Store(true)
			t.loop.post(t)
		}()
		f()
	}()
	for !done.Load() {
		t.yield()
	}
	if failure != nil {
		panic(failure) // a programmer's mistake in f, as if the task had run it itself
	}
}
