//go:build linux

package task

import (
	"testing"
	"time"
)

// TestSparesHaveOneUser has tasks of two loops, and a goroutine, take and give more than a loop keeps: what one has nobody else has.
func TestSparesHaveOneUser(t *testing.T) {
	type thing struct{ user *Task }
	loops := startLoops(t, 2, Watch{})
	spares := NewSpares[thing](loops)
	use := func(tk *Task) {
		for range 50 {
			x := spares.Take(tk)
			if x.user != nil {
				t.Error("somebody has it")
			}
			x.user = tk
			tk.Wait(time.Now().Add(time.Millisecond))
			if x.user != tk {
				t.Error("somebody took it")
			}
			x.user = nil
			spares.Give(tk, x)
		}
	}
	g, alone := Group{Loops: loops}, Group{}
	for range 3 * shelfRoom {
		g.Go(use)
	}
	alone.Go(use)
	g.Wait()
	alone.Wait()
	for i := range spares.shelves {
		if n := len(spares.shelves[i].spare); n != shelfRoom {
			t.Errorf("a loop keeps %d", n)
		}
	}
}
