package task

import (
	"container/heap"
	"time"
)

// timers are the waits of a loop's tasks that have a deadline, the next first: a heap.
type timers []*Task

// Len, Less, Swap, Push and Pop are for package heap.
func (h timers) Len() int           { return len(h) }
func (h timers) Less(i, j int) bool { return h[i].until.Before(h[j].until) }
func (h timers) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].timed, h[j].timed = i+1, j+1
}

// Push appends a task.
func (h *timers) Push(x any) {
	t := x.(*Task)
	*h = append(*h, t)
	t.timed = len(*h)
}

// Pop takes the last task off.
func (h *timers) Pop() any {
	last := len(*h) - 1
	t := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	t.timed = 0
	return t
}

func (h *timers) add(t *Task) { heap.Push(h, t) }

// remove takes out a task, if it is there.
func (h *timers) remove(t *Task) {
	if t.timed > 0 {
		heap.Remove(h, t.timed-1)
	}
}

// timeout is how long a loop may sleep that woke at a moment, in milliseconds rounded up; -1 is any time.
func (h timers) timeout(now time.Time) int {
	if len(h) == 0 {
		return -1
	}
	return max(0, int((h[0].until.Sub(now)+time.Millisecond-1)/time.Millisecond))
}
