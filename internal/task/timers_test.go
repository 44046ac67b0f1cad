package task

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// TestTimers compares with a list what a heap says whose tasks wait for ever other deadlines, or cease to.
func TestTimers(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	start := now()
	tasks := make([]*Task, 20)
	for i := range tasks {
		tasks[i] = &Task{}
	}
	var h timers
	for step := range 20_000 {
		now := start + Moment(step)*Moment(time.Second)
		switch one := tasks[r.IntN(len(tasks))]; r.IntN(5) {
		case 0:
			one.until = 0
		case 1:
			one.until = 0
			h.remove(one)
		default:
			one.until = now + Moment(1+r.IntN(100))*Moment(time.Second)
			h.set(one)
		}
		due := map[*Task]bool{}
		for _, one := range tasks {
			if one.until != 0 && one.until <= now {
				due[one] = true
			}
		}
		for one := h.expired(now); one != nil; one = h.expired(now) {
			if !due[one] {
				t.Fatalf("step %d: a task is told that has no deadline, or a later one", step)
			}
			delete(due, one)
			one.until = 0
		}
		if len(due) > 0 {
			t.Fatalf("step %d: %d tasks were not told", step, len(due))
		}
		if n := h.timeout(now); n == 0 {
			t.Fatalf("step %d: there is something to do still", step)
		}
	}
}

// TestFarDeadline: the kernel counts the milliseconds of a sleep in 32 bits, with a sign.
func TestFarDeadline(t *testing.T) {
	now := time.Now()
	for _, days := range []int{1, 25, 50, 100_000, 200_000} {
		var h timers
		h.set(&Task{coroutine: coroutine{until: untilMoment(now.AddDate(0, 0, days))}})
		if ms := h.timeout(MomentOf(now)); ms < 1000 || ms > math.MaxInt32 {
			t.Errorf("a loop with a deadline in %d days sleeps for %d ms", days, ms)
		}
	}
}
