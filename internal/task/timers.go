package task

import (
	"container/heap"
	"time"
)

// timers are the deadlines of a loop's tasks, the next first: a heap. Nearly all waits end before their deadline, and the next wait's deadline is
// a later one. So a task's place stays when a wait ends, and holds for the next.
type timers []timer

type timer struct {
	at time.Time // not after the task's deadline
	t  *Task
}

// Len, Less, Swap, Push and Pop are for package heap.
func (h timers) Len() int           { return len(h) }
func (h timers) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h timers) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].t.timed, h[j].t.timed = i+1, j+1
}

// Push appends a task.
func (h *timers) Push(x any) {
	one := x.(timer)
	*h = append(*h, one)
	one.t.timed = len(*h)
}

// Pop takes the last task off.
func (h *timers) Pop() any {
	last := len(*h) - 1
	one := (*h)[last]
	(*h)[last] = timer{}
	*h = (*h)[:last]
	one.t.timed = 0
	return one
}

// set has the task's deadline looked at in time.
func (h *timers) set(t *Task) {
	switch {
	case t.timed == 0:
		heap.Push(h, timer{t.until, t})
	case t.until.Before((*h)[t.timed-1].at):
		(*h)[t.timed-1].at = t.until
		heap.Fix(h, t.timed-1)
	}
}

// remove takes out a task, if it is there.
func (h *timers) remove(t *Task) {
	if t.timed > 0 {
		heap.Remove(h, t.timed-1)
	}
}

// expired takes out the next task whose deadline has come; nil: there is none.
func (h *timers) expired(now time.Time) *Task {
	for len(*h) > 0 && !(*h)[0].at.After(now) {
		t := (*h)[0].t
		if t.until.After(now) { // of a later wait
			(*h)[0].at = t.until
			heap.Fix(h, 0)
			continue
		}
		h.remove(t)
		if !t.until.IsZero() {
			return t
		}
	}
	return nil
}

// longest is the longest sleep: epoll_wait(2) counts milliseconds in 32 bits.
const longest = 24 * time.Hour

// timeout is how long a loop may sleep that woke at a moment, in milliseconds rounded up, a day at most; -1 is any time.
func (h timers) timeout(now time.Time) int {
	if len(h) == 0 {
		return -1
	}
	left := max(0, min(h[0].at.Sub(now), longest))
	return int((left + time.Millisecond - 1) / time.Millisecond)
}
