package task

import (
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
)

// Watch says what becomes of tasks that hold up their loop.
type Watch struct {
	Limit time.Duration // how long a task may go on without parking; more than 0
	Seen  func(Stall)   // is told of a task that went on for longer, once for each time; nil: nobody looks. It is called from one goroutine or another
	// Exact counts a task's processor time, and the time that it waits for something other than a processor, instead of the time on the
	// clock: for tests, which run on machines that are busy. It costs each task a few system calls whenever it runs.
	Exact bool
}

// Stall is a task that held up its loop.
type Stall struct {
	Loop  int           // which, from 0
	For   time.Duration // how long it had gone on when it was seen
	Stack string        // where it was then; with several loops also where the tasks of others were
}

// look is what the watch saw of a loop.
type look struct {
	step  uint64
	since time.Time
	told  bool

	blocked bool // in a function that blocks
}

// watcher is what the goroutine that looks at loops has in common with them. It sleeps while no task runs, and who resumes one then wakes it.
type watcher struct {
	sleeping atomic.Bool
	bell     chan struct{} // rung to wake it
}

func newWatcher() *watcher { return &watcher{bell: make(chan struct{}, 1)} }

// ring ends the watcher's sleep. Anyone may call it.
func (w *watcher) ring() {
	if w.sleeping.Swap(false) {
		select {
		case w.bell <- struct{}{}:
		default:
		}
	}
}

// watch looks at the loops until Close, every half limit as long as tasks run.
func (l *Loops) watch(w *Watch) {
	looks := make([]look, len(l.all))
	tick := time.NewTicker(w.Limit / 2)
	defer tick.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-l.watcher.bell:
			tick.Reset(w.Limit / 2)
		case <-tick.C:
		}
		quiet := l.still(looks)
		for i, one := range l.all {
			l.lookAt(w, i, one.steps.Load(), time.Now(), &looks[i])
		}
		if !quiet {
			continue
		}
		tick.Stop()
		l.watcher.sleeping.Store(true) // before it looks once more: who begins a step looks at this after it has counted
		if !l.still(looks) {
			l.watcher.ring()
		}
	}
}

// still reports that no task runs, nor has run since the last looks.
func (l *Loops) still(looks []look) bool {
	for i, one := range l.all {
		if step := one.steps.Load(); step%2 != 0 || step != looks[i].step {
			return false
		}
	}
	return true
}

// lookAt tells of a loop's task that has gone on for too long.
func (l *Loops) lookAt(w *Watch, i int, step uint64, now time.Time, was *look) {
	if step%2 == 0 || step != was.step {
		*was = look{step: step, since: now}
		return
	}
	gone := now.Sub(was.since)
	if was.told || gone < w.Limit && !w.Exact {
		return
	}
	stack, at, blocked := running()
	if l.all[i].steps.Load() != step || stack == "" { // it has parked meanwhile
		return
	}
	if w.Exact {
		l.all[i].audit.note(stack, at)
	}
	if !w.Exact || blocked && was.blocked && gone >= w.Limit {
		was.told = true
		l.all[i].stalls.Add(1)
		w.Seen(Stall{Loop: i, For: gone, Stack: stack})
	}
	was.blocked = blocked
}

// running is where the tasks are that have not parked: in words, as a number that changes when they go on, and whether one of them is in something that blocks.
func running() (stack string, at uintptr, blocked bool) {
	records := make([]runtime.StackRecord, 64)
	for {
		n, ok := runtime.GoroutineProfile(records)
		if ok {
			records = records[:n]
			break
		}
		records = make([]runtime.StackRecord, n+n/8+16)
	}
	var b strings.Builder
	for i := range records {
		frames := framesOf(&records[i])
		if len(frames) == 0 || strings.HasPrefix(frames[0].Function, "runtime.coroswitch") || !isTask(frames) {
			continue
		}
		blocked = blocked || isBlocked(frames)
		for _, pc := range records[i].Stack0[:4] { // the first may be how it was interrupted
			at = 31*at + pc
		}
		for _, f := range frames {
			fmt.Fprintf(&b, "%s\n\t%s:%d\n", f.Function, f.File, f.Line)
		}
		b.WriteByte('\n')
	}
	return b.String(), at, blocked
}

func framesOf(r *runtime.StackRecord) []runtime.Frame {
	var frames []runtime.Frame
	all := runtime.CallersFrames(r.Stack())
	for {
		f, more := all.Next()
		if f.Function != "" {
			frames = append(frames, f)
		}
		if !more {
			return frames
		}
	}
}

// isTask reports whether a stack is a task's of a loop: a runner's, unless that sleeps as the loop.
func isTask(frames []runtime.Frame) bool {
	for _, f := range frames {
		switch {
		case strings.HasSuffix(f.Function, "/internal/task.(*loop).run"):
			return false
		case strings.HasSuffix(f.Function, "/internal/task.(*runner).run"):
			return true
		}
	}
	return false
}

// blocking are functions in which a goroutine waits for something that may take its time. A mutex is not among them: who has it does not
// wait for anything, and may be waiting for a processor.
var blocking = [...]string{"time.Sleep", "runtime.chanrecv", "runtime.chansend", "runtime.selectgo", "sync.(*WaitGroup).Wait", "sync.(*Cond).Wait",
	"internal/poll.runtime_pollWait", "runtime.cgocall"}

func isBlocked(frames []runtime.Frame) bool {
	for _, f := range frames[:min(4, len(frames))] {
		for _, name := range blocking {
			if f.Function == name {
				return true
			}
		}
	}
	return false
}
