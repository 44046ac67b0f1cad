//go:build linux

package task

import (
	"io"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"
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

// TestLoopGivesUpBuffers has a connection's buffers go back to its loop when the task rests, and from there to everybody when the loop has
// nothing to do.
func TestLoopGivesUpBuffers(t *testing.T) {
	loops := startLoops(t, 1, Watch{})
	c, peer := pairOn(t, loops)
	g := Group{Loops: loops}
	var rests atomic.Int64
	g.GoTurns(nil, c, echoTurns(c, &rests))
	_ = peer.SetDeadline(time.Now().Add(patience))
	if _, err := peer.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(peer, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	others := Group{Loops: loops}
	others.Go(func(tk *Task) {
		b := tk.loop.borrow()
		tk.loop.giveBack(b)
		if len(tk.loop.buffers) == 0 {
			t.Error("the loop keeps no buffer while it is busy")
		}
		tk.Wait(time.Now().Add(2 * naps * nap * time.Millisecond))
		if len(tk.loop.buffers) > 0 || c.in != nil || c.out != nil {
			t.Error("a loop without anything to do holds buffers")
		}
	})
	others.Wait()
	_ = peer.Close()
	g.Wait()
}

// TestConnRest gives back what is empty, and keeps what is not.
func TestConnRest(t *testing.T) {
	c, peer := pairOn(t, startLoops(t, 1, Watch{}))
	if _, err := peer.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	for limit := time.Now().Add(patience); !c.Fill(); {
		if time.Now().After(limit) {
			t.Fatal("nothing came")
		}
	}
	c.Queue([]byte("world"))
	if c.Rest(); string(c.Buffered()) != "hello" || c.Queued() != 5 {
		t.Fatal("bytes were lost")
	}
	c.Discard(5)
	if err := c.Flush(); err != nil || c.Pending() > 0 {
		t.Fatal(err, c.Pending())
	}
	if c.Rest(); c.in != nil || c.out != nil {
		t.Error("it keeps empty buffers")
	}
}

// TestWholeLines: what every turn needs of a connection and its task is in as few lines of a processor's cache as can be.
func TestWholeLines(t *testing.T) {
	for name, at := range map[string]unsafe.Pointer{"Conn": unsafe.Pointer(new(Conn)), "Wire": unsafe.Pointer(new(Wire)), "Task": unsafe.Pointer(new(Task)),
		"accepted Conn": unsafe.Pointer(&new(accepted).conn)} {
		if uintptr(at)%wholeLines != 0 {
			t.Errorf("a %s begins %d bytes into a line", name, uintptr(at)%wholeLines)
		}
	}
}
