//go:build linux

package task

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
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
	limit := time.Now().Add(patience)
	for _, one := range l.all {
		for ; isSet(t, one.alarm); time.Sleep(time.Millisecond) {
			if time.Now().After(limit) {
				t.Fatal("an alarm is set again and again, though no task runs")
			}
		}
	}
}

// isSet reports whether an alarm will ring.
func isSet(t *testing.T, a *alarm) bool {
	t.Helper()
	var at unix.ItimerSpec
	if err := unix.TimerfdGettime(a.fd, &at); err != nil {
		t.Fatal(err)
	}
	return at.Value != unix.Timespec{}
}

// TestAlarmIsPutOff keeps a loop at work with turns that are short: its alarm does not ring.
func TestAlarmIsPutOff(t *testing.T) {
	loops := startLoops(t, 1, Watch{Limit: time.Hour, Seen: func(Stall) {}})
	l, g := loops.all[0], Group{Loops: loops}
	var set []time.Duration
	g.Go(func(tk *Task) {
		for range 3 {
			var at unix.ItimerSpec
			if err := unix.TimerfdGettime(l.alarm.fd, &at); err != nil {
				t.Error(err)
			}
			set = append(set, time.Duration(at.Value.Nano()))
			if len(set) == 2 {
				l.due = l.moment // as if a quarter of the limit had passed
			}
			tk.Wait(time.Now().Add(10 * time.Millisecond))
		}
	})
	g.Wait()
	if first, second, third := set[0], set[1], set[2]; first > 30*time.Minute || first == 0 || second >= first || third <= second {
		t.Errorf("the alarm was to ring in %v, and turns later in %v and %v; the third turn alone should have put it off", first, second, third)
	}
}
