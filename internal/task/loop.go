package task

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// loop is one event loop: it sleeps in its poller and resumes the tasks whose connections made progress, which were woken, or
// whose time is over. Its tasks run in its goroutine, one at a time.
type loop struct {
	// What each step needs, first and side by side.
	steps   atomic.Uint64 // grows when a task begins to run, and when the loop goes to sleep: odd while it does not sleep, if one ran
	audit   *audit        // what looks at each step; nil: nothing
	current *runner       // that runs, or ran last
	fresh   []*Task       // whose turns begin, after those of runnable went on
	begun   int           // how many of fresh were taken out

	runnable []*Task // to resume: they have parked
	resumed  int     // how many of runnable were taken out
	moment   Moment  // when it woke last
	due      Moment  // when the alarm is to be put off again
	buffers  []*buffer
	number   int // among the loops, from 0

	poll    *poller
	timers  timers
	clock   time.Time // what the machine's clock said of late
	clockAt Moment    // when that was
	spare   []*runner
	strays  []*Task // of other loops, to post there

	alarm *alarm // rings for who watches over it; nil: nobody
	watch *Watch

	tasks    atomic.Int64  // that it runs
	stalls   atomic.Uint64 // how often a task held it up
	rest     atomic.Uint32 // whether it sleeps: awake, asleep or rung
	stopping atomic.Bool

	mu     sync.Mutex // guards what follows
	inbox  []*Task    // to resume, says somebody else
	wires  []*Wire    // by descriptor
	serial uint32     // tells a descriptor's uses apart
}

// How a loop is, as those see it who have something for it.
const (
	awake  uint32 = iota
	asleep        // or about to be
	rung          // there is something since it last slept
)

func newLoop(number int, w *Watch) (*loop, error) {
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	l := &loop{poll: p, number: number, watch: w, moment: now(), due: math.MaxInt64}
	l.lookAtClock()
	if w.Exact {
		l.audit = &audit{of: l, watch: w}
	}
	if w.Seen == nil {
		return l, nil
	}
	if l.alarm, err = newAlarm(); err != nil {
		p.close()
		return nil, err
	}
	l.due = 0
	return l, nil
}

// close is for a loop that has ended, and that nobody watches over any more.
func (l *loop) close() {
	l.poll.close()
	if l.alarm != nil {
		l.alarm.close()
	}
}

// stop ends run. Anyone may call it.
func (l *loop) stop() {
	l.stopping.Store(true)
	l.ring()
}

// ring ends the loop's sleep, or keeps it from falling asleep.
func (l *loop) ring() {
	if l.rest.Swap(rung) == asleep {
		l.poll.ring()
	}
}

// post has the loop resume a task. Anyone may call it.
func (l *loop) post(t *Task) {
	if t.posted.Swap(true) {
		return
	}
	l.mu.Lock()
	l.inbox = append(l.inbox, t)
	l.mu.Unlock()
	l.ring()
}

// serve is the loop's goroutine. It resumes the tasks that have parked, each in its runner. Turns begin in a runner that has none, which runs the loop
// itself for as long as nothing comes but turns that begin.
func (l *loop) serve() {
	for l.run() {
		if l.resumed == len(l.runnable) {
			l.switchTo(l.hire())
			continue
		}
		t := l.runnable[l.resumed]
		l.resumed++
		if t.runner != nil { // else it is there twice, and saw at the first time what there was to see
			l.begin()
			l.switchTo(t.runner)
		}
	}
	l.dismissAll()
	l.giveBackAll()
}

// run sleeps and finds out whose turn it is until there is a task to resume; false: the loop ends.
//
//go:noinline // one copy for both who call it: a processor's caches have room for few
func (l *loop) run() bool {
	for l.resumed == len(l.runnable) && l.begun == len(l.fresh) {
		if l.stopping.Load() {
			return false
		}
		l.runnable, l.fresh, l.resumed, l.begun = l.runnable[:0], l.fresh[:0], 0, 0
		n := l.sleep()
		l.moment = now() // a look at the clock costs as much as a good part of what a task does between two waits
		if l.moment >= l.due {
			l.putOff()
		}
		if l.moment-l.clockAt > Moment(time.Second) {
			l.lookAtClock()
			l.forgetTasks()
		}
		if l.poll.naps == 0 {
			l.giveBackAll()
		}
		l.hear(n)
		if l.timers.due(l.moment) {
			l.expire()
		}
	}
	return true
}

// lookAtClock looks at the machine's clock, which may have been set since.
func (l *loop) lookAtClock() {
	l.clock = time.Now()
	l.clockAt = MomentOf(l.clock)
}

// forgetTasks lets go of tasks that were resumed, and may have ended since.
func (l *loop) forgetTasks() {
	clear(l.runnable[len(l.runnable):cap(l.runnable)])
	clear(l.fresh[len(l.fresh):cap(l.fresh)])
}

// line has a task resumed before the loop sleeps again.
func (l *loop) line(t *Task) {
	if t.runner == nil {
		l.fresh = append(l.fresh, t)
	} else {
		l.runnable = append(l.runnable, t)
	}
}

// switchTo goes on in a runner until a task parks there, or it leaves the loop to who calls. Only the loop's goroutine calls it.
func (l *loop) switchTo(r *runner) {
	l.current = r
	r.next()
	if r.spare {
		l.dismiss(r)
	} else {
		l.end()
	}
}

// begin is the beginning of a step: a task runs until it parks, rests or ends.
func (l *loop) begin() {
	l.steps.Store(l.steps.Load() | 1 + 2)
	if l.audit != nil {
		l.audit.begin()
	}
}

// end is the end of a step.
func (l *loop) end() {
	if l.audit != nil {
		l.audit.end()
	}
}

// sleep waits for events and returns their number. It does not wait if somebody has rung since the last time.
func (l *loop) sleep() int {
	if steps := l.steps.Load(); steps%2 != 0 {
		l.steps.Store(steps + 1)
	}
	timeout := l.timers.timeout(l.moment)
	if !l.rest.CompareAndSwap(awake, asleep) {
		timeout = 0
	}
	n := l.poll.wait(timeout)
	l.rest.Store(awake) // before it looks at what those have left who rang
	return n
}

// hear notes what n wires are ready for, and makes runnable who waits for them, and whom others have posted.
func (l *loop) hear(n int) {
	l.mu.Lock()
	for i := range n {
		l.note(i)
	}
	if len(l.inbox) > 0 {
		l.collect()
	}
	l.mu.Unlock()
	if len(l.strays) > 0 {
		l.passOn()
	}
}

// collect is hear for whom others have posted, with l.mu held.
func (l *loop) collect() {
	for i, t := range l.inbox {
		t.posted.Store(false)
		l.line(t)
		l.inbox[i] = nil
	}
	l.inbox = l.inbox[:0]
}

// passOn has other loops resume their tasks.
func (l *loop) passOn() {
	for i, t := range l.strays {
		t.loop.post(t)
		l.strays[i] = nil
	}
	l.strays = l.strays[:0]
}

// note is hear for the event at a place, with l.mu held.
func (l *loop) note(i int) {
	fd, serial, ready := l.poll.event(i)
	if serial == bellSerial {
		l.poll.silence()
		return
	}
	w := l.wires[fd]
	if w == nil || w.serial != serial {
		return // that was another use of the descriptor
	}
	if ready == canWrite {
		if w.ready.Or(canWrite)&canWrite != 0 {
			return // as at the beginning: nobody waits for what is known
		}
	} else {
		w.ready.Or(ready)
	}
	t := w.waiter.Load()
	switch {
	case t == nil:
	case t.loop != l:
		l.tellOther(t)
	case !t.rests:
		l.line(t)
	case t.on != nil && t.on.wire == w: // else it has waited for this one before
		l.fresh = append(l.fresh, t)
	}
}

// tellOther is note for one who waits elsewhere: in another loop, to which the wire is on its way, or as a goroutine.
func (l *loop) tellOther(t *Task) {
	if t.loop == nil {
		t.ring()
		return
	}
	l.strays = append(l.strays, t)
}

// expire makes runnable whose time is over.
func (l *loop) expire() {
	for t := l.timers.expired(l.moment); t != nil; t = l.timers.expired(l.moment) {
		l.line(t)
	}
}

// register has the loop hear of a wire. Edges are reported, the first at once if there is something.
func (l *loop) register(w *Wire) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for w.fd >= len(l.wires) {
		l.wires = append(l.wires, make([]*Wire, max(64, len(l.wires)))...)
	}
	if l.serial++; l.serial == bellSerial {
		l.serial++
	}
	w.serial = l.serial
	l.wires[w.fd] = w
	if err := l.poll.add(w.fd, w.serial, w.listens); err != nil {
		l.wires[w.fd] = nil
		return err
	}
	return nil
}

// forget has the loop hear no more of a wire.
func (l *loop) forget(w *Wire) {
	l.drop(w)
	l.poll.remove(w.fd)
}

// drop is forget for a wire that is about to be closed, which ends what the poller does for it (epoll(7)).
func (l *loop) drop(w *Wire) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wires[w.fd] = nil
}
