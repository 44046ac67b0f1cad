package task

import (
	"fmt"
	"runtime"
	"strings"
	"time"
)

// Watch says what becomes of tasks that hold up their loop.
type Watch struct {
	Limit time.Duration // how long a task may go on without parking; more than 0
	Seen  func(Stall)   // is told of a task that went on for longer, once for each time; nil: nobody looks. It is called from any goroutine, at the same time for several loops
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

// putOff puts off the alarm that rings when no turn of the loop has begun for half of the limit. A quarter passes before it does so again: it costs a
// system call.
func (l *loop) putOff() {
	l.alarm.set(l.watch.Limit / 2)
	l.due = l.moment + Moment(l.watch.Limit/4)
}

// watchOver looks at the loop when the alarm rings, and goes on as long as the loop does not sleep, until it has ended.
func (l *loop) watchOver() {
	var was look
	for {
		l.alarm.wait()
		if l.stopping.Load() {
			return
		}
		if l.rest.Load() != asleep { // else the turn that it wakes to puts off the alarm
			l.alarm.set(l.watch.Limit / 2) // before the look, which takes its time
		}
		l.lookAt(l.steps.Load(), time.Now(), &was)
	}
}

// lookAt tells of a task that has gone on for too long.
func (l *loop) lookAt(step uint64, now time.Time, was *look) {
	if step%2 == 0 || step != was.step {
		*was = look{step: step, since: now}
		return
	}
	w := l.watch
	gone := now.Sub(was.since)
	if was.told || gone < w.Limit && !w.Exact {
		return
	}
	stack, at, blocked := running()
	if l.steps.Load() != step || stack == "" { // it has parked meanwhile
		return
	}
	if w.Exact {
		l.audit.note(stack, at)
	}
	if !w.Exact || blocked && was.blocked && gone >= w.Limit {
		was.told = true
		l.stalls.Add(1)
		w.Seen(Stall{Loop: l.number, For: gone, Stack: stack})
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
