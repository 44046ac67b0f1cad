//go:build linux

package task

import (
	"io"
	"runtime"
	"testing"
	"time"
)

// TestProcessors is of loops that nap while Go wants everybody to stop.
func TestProcessors(t *testing.T) {
	before := Processors()
	loops := startLoops(t, 3, Watch{})
	if got := Processors(); got != before {
		t.Errorf("%d processors with three loops, %d before", got, before)
	}
	g := Group{Loops: loops}
	for range 6 {
		c, peer := pairOn(t, loops)
		go func() { _, _ = io.Copy(peer, peer) }() // until the test closes it
		g.Go(func(tk *Task) {
			for range 500 {
				c.Queue([]byte{1})
				for len(c.Buffered()) == 0 {
					tk.Wait(time.Time{}, Reading(c), Writing(c))
				}
				c.Discard(1)
			}
		})
	}
	done := make(chan struct{})
	go func() {
		g.Wait()
		close(done)
	}()
	for ended := false; !ended; {
		runtime.GC() // stops the world
		select {
		case <-done:
			ended = true
		case <-time.After(time.Millisecond):
		}
	}
}
