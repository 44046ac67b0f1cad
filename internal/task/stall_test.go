//go:build linux

package task

import (
	"testing"
	"time"
)

// TestWatchSleeps has the watch over loops fall asleep when no task runs, be woken by the next, and fall asleep again.
func TestWatchSleeps(t *testing.T) {
	for _, exact := range []bool{false, true} {
		seen := make(chan Stall, 100)
		loops := startLoops(t, 2, Watch{Limit: 10 * time.Millisecond, Exact: exact, Seen: func(s Stall) { seen <- s }})
		g := Group{Loops: loops}
		for i := range 3 {
			awaitWatchSleeps(t, loops)
			g.Go(func(*Task) {
				select {
				case <-seen:
				case <-time.After(patience):
					t.Errorf("exact %v, time %d: nobody saw the stall", exact, i)
				}
			})
			g.Wait()
		}
		awaitWatchSleeps(t, loops)
	}
}

func awaitWatchSleeps(t *testing.T, l *Loops) {
	t.Helper()
	for limit := time.Now().Add(patience); !l.watcher.sleeping.Load(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("the watch over loops does not sleep, though no task runs")
		}
	}
}
