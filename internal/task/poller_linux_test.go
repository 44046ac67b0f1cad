package task

import (
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestPollerNaps has a poller sleep after events, after it was interrupted, and after nothing.
func TestPollerNaps(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	p, err := newPoller()
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	p.ring()
	if n := p.wait(-1); n != 1 || p.naps != naps {
		t.Fatalf("%d events and %d naps to take, when the bell was rung", n, p.naps)
	}
	p.silence()
	interrupt(t, func() {
		if n := p.wait(-1); n != 0 || p.naps != naps-1 {
			t.Errorf("%d events and %d naps to take, after one that was interrupted", n, p.naps)
		}
	})
	for limit := time.Now().Add(patience); p.naps > 0; { // Go may interrupt it too
		if n := p.wait(-1); n != 0 || time.Now().After(limit) {
			t.Fatalf("%d events and %d naps to take, when nothing came", n, p.naps)
		}
	}
	p.ring()
	if n := p.wait(-1); n != 1 || p.naps != naps {
		t.Errorf("%d events and %d naps to take, when the bell was rung after a long sleep", n, p.naps)
	}
}

// interrupt sends the caller's thread what Go interrupts threads with, as long as f runs.
func interrupt(t *testing.T, f func()) {
	thread, over, ended := unix.Gettid(), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-over:
				return
			case <-time.After(time.Millisecond):
				if err := unix.Tgkill(os.Getpid(), thread, unix.SIGURG); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	f()
	close(over)
	<-ended
}
