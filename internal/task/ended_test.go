//go:build linux

package task

import (
	"slices"
	"testing"
	"time"
)

// TestLoopForgetsTasks has many tasks begin at once and end, on a loop that has something to do from then on: it keeps none of them.
func TestLoopForgetsTasks(t *testing.T) {
	loops := startLoops(t, 1, Watch{})
	l, g := loops.all[0], Group{Loops: loops}
	hold := make(chan bool)
	g.Go(func(*Task) { <-hold })
	for range 500 {
		g.Go(func(*Task) {})
	}
	g.Go(func(tk *Task) {
		isTask := func(t *Task) bool { return t != nil }
		for limit := time.Now().Add(patience); slices.ContainsFunc(l.fresh[:cap(l.fresh)], isTask); tk.Wait(time.Now().Add(10 * time.Millisecond)) {
			if time.Now().After(limit) {
				t.Error("tasks that have ended are kept")
				return
			}
		}
	})
	close(hold)
	g.Wait()
}
