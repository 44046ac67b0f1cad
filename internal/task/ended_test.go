//go:build linux

package task

import (
	"io"
	"slices"
	"sync/atomic"
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

// TestEndedTaskLeavesConn has who owns a connection use it when the task has ended whose own it was, while others of its loop go on.
func TestEndedTaskLeavesConn(t *testing.T) {
	loops := startLoops(t, 1, Watch{})
	busy, busyPeer := pairOn(t, loops)
	var rests atomic.Int64
	others := Group{Loops: loops}
	others.GoTurns(nil, busy, echoTurns(busy, &rests))
	for range 20 {
		c, _ := pairOn(t, loops)
		g := Group{Loops: loops}
		g.GoTurns(nil, c, TurnFunc(func(*Task) bool {
			c.Queue([]byte("goodbye"))
			return false
		}))
		g.Wait()
		if _, err := busyPeer.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		c.Close()
		if _, err := io.ReadFull(busyPeer, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	_ = busyPeer.Close()
	others.Wait()
}
