package task

import (
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// Group owns tasks: it starts them and waits for them. The zero Group is ready.
type Group struct {
	Loops *Loops // what runs them; nil: they are goroutines. Not changed once a task has begun

	wg sync.WaitGroup
}

// Go runs f as a task of the group. It returns at once.
func (g *Group) Go(f func(*Task)) {
	g.start(nil, nil, TurnFunc(func(t *Task) bool {
		f(t)
		return false
	}))
}

// Turner is what a task of turns does.
type Turner interface {
	// Turn runs as the task, from the beginning or a rest to the next one or the end. It reports whether that is a rest.
	Turn(t *Task) (rests bool)
}

// Survivor is a Turner that can do something about its own failure. The panic of any other ends the program.
type Survivor interface {
	Turner
	// Failed is called in the place of what was left of a turn that has panicked, with what recover says and the stack. The turn begins anew then,
	// as the last of the task. It survives one panic: another ends the program.
	Failed(fault any, stack []byte)
}

// survives reports whether the task is to go on if its turn panics.
func (t *Task) survives() bool {
	_, can := t.does.(Survivor)
	return can && !t.failed
}

// fail has the task know that its turn has panicked, with what recover says; nil: it has not.
func (t *Task) fail(fault any) {
	if fault != nil {
		t.failed = true
		t.does.(Survivor).Failed(fault, debug.Stack())
	}
}

// TurnFunc is a Turner.
type TurnFunc func(t *Task) (rests bool)

// Turn calls f.
func (f TurnFunc) Turn(t *Task) (rests bool) { return f(t) }

// GoTurns runs a turn of what does as a task of the group, and another after each rest, which a turn begins by returning true when Rest has said so.
// It rests for c, which is the task's from now on; nil: it has none. GoTurns returns at once. by is the task that calls, nil for other goroutines.
func (g *Group) GoTurns(by *Task, c *Conn, does Turner) { g.start(by, c, does) }

func (g *Group) start(by *Task, c *Conn, does Turner) {
	g.wg.Add(1)
	if g.Loops != nil {
		g.Loops.start(g, by, c, does)
		return
	}
	go func() {
		defer g.wg.Done()
		t := New()
		t.of, t.does = c, does
		for !t.live() {
		}
	}()
}

// live is the life of a task that is a goroutine. It reports false if it has failed, and is to go on all the same.
func (t *Task) live() (over bool) {
	defer func() {
		if t.survives() {
			t.fail(recover())
		}
	}()
	t.does.Turn(t)
	return true
}

// Wait blocks until every task of the group has returned. It is for the owner of the group, never for a task.
func (g *Group) Wait() { g.wg.Wait() }

// Task is one run of straight-line code that parks only in Wait.
//
// Wait and Await are for the code that runs as the task; Wake may be called by anyone at any time.
type Task struct {
	woken atomic.Bool
	coroutine

	parked atomic.Pointer[Conn] // the connection in whose read the task is parked, when it waits for that alone
	bell   chan struct{}        // rung when the task waits for more than one thing; nil on a loop
	timer  *time.Timer          // of waits with a deadline; made on first use

	_ [16]byte // as wholeLines says
}

// New returns a task for code that is already running in a goroutine of its owner, such as a pool's dialler or a test.
func New() *Task { return &Task{bell: make(chan struct{}, 1)} }

// Interest is one thing to wait for: that bytes arrive on Conn (Read), that the bytes queued on it are written (Write), or both.
type Interest struct {
	Conn  *Conn
	Read  bool
	Write bool
}

// Reading is the interest in bytes, the end or an error from c.
func Reading(c *Conn) Interest { return Interest{Conn: c, Read: true} }

// Writing is the interest in c's queue becoming empty, or in an error of its write side.
func Writing(c *Conn) Interest { return Interest{Conn: c, Write: true} }

// Now is the Moment as a time: what the task was resumed for had come by then. It is for the code that runs as the task, and costs no look at the
// clock, but for a goroutine.
func (t *Task) Now() time.Time {
	if t.loop != nil {
		return t.loop.clock.Add(time.Duration(t.loop.moment - t.loop.clockAt))
	}
	return time.Now()
}

// Wake makes the running or the next Wait return. It never blocks and may be called from anywhere.
func (t *Task) Wake() {
	t.woken.Store(true)
	if t.loop != nil {
		t.loop.post(t)
		return
	}
	if c := t.parked.Load(); c != nil {
		c.wire.interrupt()
		return
	}
	t.ring()
}

func (t *Task) ring() {
	select {
	case t.bell <- struct{}{}:
	default:
	}
}

// Await runs f, which may block, and returns when it is done. Nothing that f touches may be touched by others meanwhile, and f does
// not call Wait.
func (t *Task) Await(f func()) {
	if t.loop != nil {
		t.awaitOnLoop(f)
		return
	}
	f()
}

// Wait parks the task until an interest made progress (bytes were read into the connection's buffer, its queue was written,
// or it failed), until Wake, or until deadline, if that is not zero. It reports whether it was the deadline that ended it.
// It may return early for no reason: callers look at the state they waited for and wait again.
func (t *Task) Wait(deadline time.Time, on ...Interest) (timedOut bool) {
	switch {
	case t.loop != nil:
		return t.waitOnLoop(deadline, on)
	case len(on) > 0 && on[0].Conn.wire.loops != nil:
		return t.waitBeside(deadline, on)
	}
	for {
		if t.woken.Swap(false) {
			return false
		}
		alone := len(on) == 1 && !on[0].Write && on[0].Conn.parkable()
		if !(alone && on[0].Conn.readsInPark()) && progressed(on, nil) {
			return false
		}
		if !deadline.IsZero() && !time.Now().Before(deadline) {
			return true
		}
		if alone {
			if t.parkReading(on[0].Conn, deadline) {
				return false
			}
			continue
		}
		t.parkMany(on, deadline)
	}
}

// Rest is RestOn for the task's own connection.
func (t *Task) Rest() (rests bool) { return t.RestOn(t.of) }

// RestOn is Wait for bytes of a connection, or for Wake, by a task of turns. If it reports true nothing has come yet, and the turn must end now:
// the next one begins when something has, or for no reason. Between turns the task has no stack. False is what Wait's return is.
// A Wake that begins a turn is forgotten then, but after a rest for the task's own connection: the next Rest or Wait returns for it once more.
func (t *Task) RestOn(c *Conn) (rests bool) {
	if t.loop == nil {
		t.Wait(time.Time{}, Reading(c))
		return false
	}
	if t.wasWoken() {
		return false
	}
	if !c.silent() && c.fill(t.loop) {
		t.breathe()
		return false
	}
	t.spent, t.on = 0, c
	return true
}

// RestUntil is RestOn for no connection: the next turn begins when somebody wakes the task, or at the deadline, if that is not zero.
func (t *Task) RestUntil(deadline time.Time) (rests bool) {
	if t.loop == nil {
		t.Wait(deadline)
		return false
	}
	if t.wasWoken() {
		return false
	}
	t.spent, t.on, t.until = 0, nil, untilMoment(deadline)
	return true
}

// progressed tries every interest once, without blocking, for a task that l runs; nil is for a goroutine.
func progressed(on []Interest, l *loop) bool {
	some := false
	for n := range on {
		i := &on[n]
		if i.Write && i.Conn.Pending() > 0 {
			if i.Conn.Flush() != nil || i.Conn.Pending() == 0 {
				some = true
			}
		}
		if i.Read && i.Conn.fill(l) {
			some = true
		}
	}
	return some
}

// parkReading parks in the read of one connection and reports whether it made progress.
func (t *Task) parkReading(c *Conn, deadline time.Time) bool {
	c.wire.deadline(deadline)
	t.parked.Store(c)
	defer t.parked.Store(nil)
	if t.woken.Load() {
		return false
	}
	return c.awaitRead()
}

// parkMany arms a watcher for each interest that has none and waits for one of them, a wake or the deadline.
func (t *Task) parkMany(on []Interest, deadline time.Time) {
	for _, i := range on {
		if i.Read {
			i.Conn.watchRead(t)
		}
		if i.Write && i.Conn.Pending() > 0 {
			i.Conn.watchWrite(t)
		}
	}
	t.listen(deadline)
}

// listen waits for the bell or the deadline.
func (t *Task) listen(deadline time.Time) {
	if deadline.IsZero() {
		<-t.bell
		return
	}
	if t.timer == nil {
		t.timer = time.NewTimer(time.Until(deadline))
	} else {
		t.timer.Reset(time.Until(deadline))
	}
	select {
	case <-t.bell:
	case <-t.timer.C:
	}
	t.timer.Stop()
}
