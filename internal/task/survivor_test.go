package task

import (
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// frail is a task of turns that panics when it reads a message, and says goodbye in the turn after that.
type frail struct {
	c     *Conn
	turns int
	fault any
	stack string
}

func (f *frail) Turn(tk *Task) bool {
	f.turns++
	if f.fault != nil {
		f.c.QueueOrWrite([]byte("sorry"))
		f.c.Close()
		return false
	}
	for len(f.c.Buffered()) == 0 {
		if tk.Rest() {
			return true
		}
	}
	panic("a mistake")
}

func (f *frail) Failed(fault any, stack []byte) { f.fault, f.stack = fault, string(stack) }

// TestTaskSurvives has tasks panic, beside one that goes on, on a loop that has one coroutine for both, and as goroutines.
func TestTaskSurvives(t *testing.T) {
	for name, loops := range map[string]*Loops{"goroutine": nil, "loops": startLoops(t, 1, Watch{})} {
		t.Run(name, func(t *testing.T) {
			var rests atomic.Int64
			g := Group{Loops: loops}
			sound, peer := pairOn(t, loops)
			g.GoTurns(nil, sound, echoTurns(sound, &rests))
			_ = peer.SetDeadline(time.Now().Add(patience))
			for range 3 {
				c, its := pairOn(t, loops)
				f := &frail{c: c}
				failing := Group{Loops: loops}
				failing.GoTurns(nil, c, f)
				if _, err := its.Write([]byte("hello")); err != nil {
					t.Fatal(err)
				}
				_ = its.SetDeadline(time.Now().Add(patience))
				if said, err := io.ReadAll(its); err != nil || string(said) != "sorry" {
					t.Fatalf("it says %q, %v", said, err)
				}
				failing.Wait()
				if f.fault != "a mistake" || !strings.Contains(f.stack, "frail).Turn") {
					t.Errorf("it knows of %v at %s", f.fault, f.stack)
				}
				if _, err := peer.Write([]byte("hello")); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(peer, make([]byte, 5)); err != nil {
					t.Fatal("another task does not go on:", err)
				}
			}
			_ = peer.Close()
			g.Wait()
		})
	}
}
