package task

import (
	"sync"
	"sync/atomic"
	"time"
)

// loop is one event loop: it sleeps in its poller and resumes the tasks whose connections made progress, which were woken, or
// whose time is over. Its tasks run in its goroutine, one at a time.
type loop struct {
	poll   *poller
	number int           // among the loops, from 0
	tasks  atomic.Int64  // that it runs
	stalls atomic.Uint64 // how often a task held it up
	steps  atomic.Uint64 // how often a task began or ceased to run: odd while one runs

	now      time.Time // when it woke last
	moment   Moment    // the same
	runnable []*Task   // to resume in this turn
	fresh    []*Task   // to resume after them: their own turns begin
	begun    int       // how many of fresh were resumed
	strays   []*Task   // of other loops
	timers   timers
	spare    []*runner
	buffers  []*buffer // spare ones, for its tasks
	audit    *audit    // what looks at each step; nil: nothing
	watcher  *watcher  // of all loops

	sleeping atomic.Bool
	stopping atomic.Bool

	mu     sync.Mutex // guards what follows
	inbox  []*Task    // to resume, says somebody else
	wires  []*Wire    // by descriptor
	serial uint32     // tells a descriptor's uses apart
}

func newLoop(w *watcher) (*loop, error) {
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	l := &loop{poll: p, watcher: w, now: time.Now()}
	l.moment = MomentOf(l.now)
	return l, nil
}

// stop ends run. Anyone may call it.
func (l *loop) stop() {
	l.stopping.Store(true)
	l.ring()
}

// ring ends the loop's sleep, or keeps it from falling asleep.
func (l *loop) ring() {
	if l.sleeping.Swap(false) {
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

// run is the loop.
func (l *loop) run() {
	for !l.stopping.Load() {
		n := l.sleep()
		l.now = time.Now() // a look at the clock costs as much as a good part of what a task does between two waits
		l.moment = MomentOf(l.now)
		if l.poll.naps == 0 {
			l.giveBackAll()
		}
		l.hear(n)
		l.expire()
		l.collect()
		for _, t := range l.runnable {
			l.step(t)
		}
		for l.begun < len(l.fresh) {
			l.begun++
			l.step(l.fresh[l.begun-1])
		}
		clear(l.runnable)
		clear(l.fresh)
		l.runnable, l.fresh, l.begun = l.runnable[:0], l.fresh[:0], 0
	}
	l.dismissAll()
	l.giveBackAll()
}

// line has a task resumed in this turn of the loop.
func (l *loop) line(t *Task) {
	if t.runner == nil {
		l.fresh = append(l.fresh, t)
	} else {
		l.runnable = append(l.runnable, t)
	}
}

// step resumes a task until it parks.
func (l *loop) step(t *Task) {
	l.steps.Add(1)
	if l.watcher.sleeping.Load() {
		l.watcher.ring()
	}
	if l.audit != nil {
		l.audit.begin()
	}
	t.resume()
	l.steps.Add(1)
	if l.audit != nil {
		l.audit.end()
	}
}

// sleep waits for events and returns their number. It does not wait if somebody has posted a task.
func (l *loop) sleep() int {
	timeout := l.timers.timeout(l.now)
	l.sleeping.Store(true)
	defer l.sleeping.Store(false)
	l.mu.Lock()
	awake := len(l.inbox) > 0
	l.mu.Unlock()
	if awake || l.stopping.Load() {
		timeout = 0
	}
	return l.poll.wait(timeout)
}

// hear notes what n wires are ready for, and makes runnable who waits for them.
func (l *loop) hear(n int) {
	l.note(n)
	for i, t := range l.strays {
		t.loop.post(t)
		l.strays[i] = nil
	}
	l.strays = l.strays[:0]
}

func (l *loop) note(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range n {
		fd, serial, ready, ok := l.poll.event(i)
		if !ok || fd >= len(l.wires) {
			continue
		}
		w := l.wires[fd]
		if w == nil || w.serial != serial {
			continue // that was another use of the descriptor
		}
		before := w.ready.Or(ready)
		t := w.waiter.Load()
		switch {
		case t == nil, ready == canWrite && before&canWrite != 0: // as at the beginning: nobody waits for what is known
		case t.loop == l:
			l.line(t)
		case t.loop != nil: // the wire is on its way to another loop
			l.strays = append(l.strays, t)
		default:
			t.ring()
		}
	}
}

// expire makes runnable whose time is over.
func (l *loop) expire() {
	for t := l.timers.expired(l.now); t != nil; t = l.timers.expired(l.now) {
		l.line(t)
	}
}

// collect makes runnable whom others have posted.
func (l *loop) collect() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, t := range l.inbox {
		t.posted.Store(false)
		l.line(t)
		l.inbox[i] = nil
	}
	l.inbox = l.inbox[:0]
}

// register has the loop hear of a wire. Edges are reported, the first at once if there is something.
func (l *loop) register(w *Wire) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for w.fd >= len(l.wires) {
		l.wires = append(l.wires, make([]*Wire, max(64, len(l.wires)))...)
	}
	l.serial++
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
