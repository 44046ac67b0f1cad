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
		for ; untilRing(t, one.alarm) > 0; time.Sleep(time.Millisecond) {
			if time.Now().After(limit) {
				t.Fatal("an alarm is set again and again, though no task runs")
			}
		}
	}
}

// untilRing is how long it is until an alarm rings; 0: it is not set.
func untilRing(t *testing.T, a *alarm) time.Duration {
	t.Helper()
	var at unix.ItimerSpec
	if err := unix.TimerfdGettime(a.fd, &at); err != nil {
		t.Fatal(err)
	}
	return time.Duration(at.Value.Nano())
}

// TestAlarmIsPutOff keeps a loop at work: it puts off its alarm in the first turn, and again when a quarter of the limit has passed.
func TestAlarmIsPutOff(t *testing.T) {
	const limit = time.Hour
	loops := startLoops(t, 1, Watch{Limit: limit, Seen: func(Stall) {}})
	l, g := loops.all[0], Group{Loops: loops}
	var due []Moment
	g.Go(func(tk *Task) {
		for range 3 {
			due = append(due, l.due)
			if len(due) == 2 {
				l.alarm.set(2 * limit)
				l.due = l.moment // as if the quarter had passed
			}
			tk.Wait(time.Now().Add(10 * time.Millisecond))
		}
	})
	g.Wait()
	if first, second, third := due[0], due[1], due[2]; first < Moment(limit/4) || second != first || third <= second {
		t.Errorf("the alarm was to be put off again at %v, then %v and %v; the first and the third turn alone should have done so", first, second, third)
	}
	if left := untilRing(t, l.alarm); left == 0 || left > limit/2 {
		t.Errorf("the alarm rings in %v, want half of %v", left, limit)
	}
}
