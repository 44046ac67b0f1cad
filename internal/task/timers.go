package task

import "time"

// timers are the deadlines of a loop's tasks, the next first: a heap. Nearly all waits end before their deadline, and the next wait's deadline is
// a later one. So a task's place stays when a wait ends, and holds for the next.
type timers []timer

type timer struct {
	at Moment // not after the task's deadline
	t  *Task
}

// set has the task's deadline looked at in time.
func (h *timers) set(t *Task) {
	switch {
	case t.timed == 0:
		*h = append(*h, timer{t.until, t})
		t.timed = len(*h)
		h.up(t.timed - 1)
	case t.until < (*h)[t.timed-1].at:
		(*h)[t.timed-1].at = t.until
		h.up(t.timed - 1)
	}
}

// remove takes out a task, if it is there.
func (h *timers) remove(t *Task) {
	if t.timed == 0 {
		return
	}
	place, last := t.timed-1, len(*h)-1
	if place != last {
		h.swap(place, last)
	}
	(*h)[last] = timer{}
	*h = (*h)[:last]
	t.timed = 0
	if place != last {
		h.down(place)
		h.up(place)
	}
}

// due reports whether there may be something for expired.
func (h timers) due(now Moment) bool { return len(h) > 0 && h[0].at <= now }

// expired takes out the next task whose deadline has come; nil: there is none.
func (h *timers) expired(now Moment) *Task {
	for len(*h) > 0 && (*h)[0].at <= now {
		t := (*h)[0].t
		if t.until > now { // of a later wait
			(*h)[0].at = t.until
			h.down(0)
			continue
		}
		h.remove(t)
		if t.until != 0 {
			return t
		}
	}
	return nil
}

// up moves what is at a place before whatever is due later.
func (h timers) up(i int) {
	for i > 0 {
		above := (i - 1) / 2
		if h[i].at >= h[above].at {
			return
		}
		h.swap(i, above)
		i = above
	}
}

// down moves what is at a place behind whatever is due sooner.
func (h timers) down(i int) {
	for {
		next := 2*i + 1
		if next >= len(h) {
			return
		}
		if other := next + 1; other < len(h) && h[other].at < h[next].at {
			next = other
		}
		if h[next].at >= h[i].at {
			return
		}
		h.swap(i, next)
		i = next
	}
}

func (h timers) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].t.timed, h[j].t.timed = i+1, j+1
}

// longest is the longest sleep: epoll_wait(2) counts milliseconds in 32 bits.
const longest = 24 * time.Hour

// timeout is how long a loop may sleep that woke at a moment, in milliseconds rounded up, a day at most; -1 is any time.
func (h timers) timeout(now Moment) int {
	if len(h) == 0 {
		return -1
	}
	left := max(0, min(time.Duration(h[0].at-now), longest))
	return int((left + time.Millisecond - 1) / time.Millisecond)
}
