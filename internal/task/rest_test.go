//go:build linux

package task

import (
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// echoTurns is a task of turns that sends back what it reads, and counts what ends its rests.
func echoTurns(c *Conn, rests *atomic.Int64) TurnFunc {
	return func(tk *Task) bool {
		for c.ReadErr() == nil {
			if len(c.Buffered()) > 0 {
				c.QueueOrWrite(c.Buffered())
				c.Discard(len(c.Buffered()))
			} else if tk.Rest() {
				rests.Add(1)
				return true
			}
		}
		return false
	}
}

// TestRest has tasks rest between messages, on loops and as goroutines.
func TestRest(t *testing.T) {
	for name, loops := range map[string]*Loops{"goroutine": nil, "loops": startLoops(t, 2, Watch{})} {
		t.Run(name, func(t *testing.T) {
			c, peer := pairOn(t, loops)
			g := Group{Loops: loops}
			var rests atomic.Int64
			g.GoTurns(nil, c, echoTurns(c, &rests))
			_ = peer.SetDeadline(time.Now().Add(patience))
			for range 1000 {
				if _, err := peer.Write([]byte("hello")); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(peer, make([]byte, 5)); err != nil {
					t.Fatal(err)
				}
			}
			_ = peer.Close()
			g.Wait()
			if (rests.Load() > 0) != (loops != nil) {
				t.Errorf("it rested %d times", rests.Load())
			}
		})
	}
}

// TestWakeEndsRest wakes a resting task over and over, from another goroutine: each wake is followed by a turn.
func TestWakeEndsRest(t *testing.T) {
	loops := startLoops(t, 1, Watch{})
	c, _ := pairOn(t, loops)
	g := Group{Loops: loops}
	self := make(chan *Task, 1)
	var asked, seen atomic.Int64
	g.GoTurns(nil, c, TurnFunc(func(tk *Task) bool {
		select {
		case self <- tk:
		default:
		}
		for asked.Load() < 1000 {
			seen.Store(asked.Load())
			if tk.Rest() {
				return true
			}
		}
		return false
	}))
	tk := <-self
	for i := int64(1); i <= 1000; i++ {
		asked.Store(i)
		tk.Wake()
		for i < 1000 && seen.Load() < i {
			runtime.Gosched()
		}
	}
	g.Wait()
}

// TestRestHasNoStack lets many tasks rest: they share the coroutines of a few.
func TestRestHasNoStack(t *testing.T) {
	loops := startLoops(t, 1, Watch{})
	g := Group{Loops: loops}
	before := runtime.NumGoroutine()
	var rests atomic.Int64
	var peers []io.Closer
	for range 4 * spareRunners {
		c, peer := pairOn(t, loops)
		peers = append(peers, peer)
		g.GoTurns(nil, c, echoTurns(c, &rests))
	}
	for deadline := time.Now().Add(patience); rests.Load() < 4*spareRunners; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d tasks rest", rests.Load())
		}
	}
	if more := runtime.NumGoroutine() - before; more > spareRunners {
		t.Errorf("%d goroutines for tasks that rest", more)
	}
	for _, peer := range peers {
		_ = peer.Close()
	}
	g.Wait()
}

// TestRunnerGoesOn has a parked task and a rested one become ready at the same time: what was parked comes first, and its runner goes on with the other's
// turn.
func TestRunnerGoesOn(t *testing.T) {
	loops := startLoops(t, 1, Watch{})
	resting, first := pairOn(t, loops)
	parked, second := pairOn(t, loops)
	g := Group{Loops: loops}
	var runners []*runner // of the parked task's only turn, and the resting one's last
	rested := make(chan bool, 1)
	g.GoTurns(nil, resting, TurnFunc(func(tk *Task) bool {
		if tk.Rest() {
			rested <- true
			return true
		}
		runners = append(runners, tk.loop.current)
		return false
	}))
	<-rested
	waits, holds, held := make(chan bool), make(chan bool), make(chan bool)
	g.Go(func(tk *Task) {
		close(waits)
		for len(parked.Buffered()) == 0 {
			tk.Wait(time.Time{}, Reading(parked))
		}
		runners = append(runners, tk.loop.current)
	})
	<-waits
	g.Go(func(*Task) { // holds up the loop until both are ready
		close(holds)
		<-held
	})
	<-holds
	for _, peer := range []net.Conn{first, second} {
		if _, err := peer.Write([]byte("now")); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []*Conn{resting, parked} {
		awaitBytes(t, c.wire.fd)
	}
	close(held)
	g.Wait()
	if len(runners) != 2 || runners[0] != runners[1] {
		t.Errorf("%d turns by runners %p", len(runners), runners)
	}
}

// awaitBytes waits until a socket has something to read.
func awaitBytes(t *testing.T, fd int) {
	t.Helper()
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for limit := time.Now().Add(patience); time.Now().Before(limit); {
		if n, _ := unix.Poll(p, 1000); n == 1 {
			return
		}
	}
	t.Fatal("nothing arrived")
}

// turnsOn is what a task of turns has seen that rests on a connection which is not its own.
type turnsOn struct {
	mu   sync.Mutex
	wake int    // the number of the last wake that a turn came after
	said string // all that has come
}

// await waits until ready says so of what was seen.
func (s *turnsOn) await(ready func() bool) bool {
	for limit := time.Now().Add(patience); time.Now().Before(limit); runtime.Gosched() {
		s.mu.Lock()
		done := ready()
		s.mu.Unlock()
		if done {
			return true
		}
	}
	return false
}

// TestRestOn has a task rest on a connection that is not its own, and be woken: each time a turn begins. There may be more turns than reasons.
func TestRestOn(t *testing.T) {
	loops := startLoops(t, 1, Watch{})
	own, _ := pairOn(t, loops)
	other, peer := pairOn(t, loops)
	g := Group{Loops: loops}
	var asked atomic.Int64
	var seen turnsOn
	self := make(chan *Task, 1)
	g.GoTurns(nil, own, TurnFunc(func(tk *Task) bool {
		select {
		case self <- tk:
		default:
		}
		for other.ReadErr() == nil {
			wake := int(asked.Load())
			said := string(other.Buffered())
			other.Discard(len(said))
			seen.mu.Lock()
			seen.wake, seen.said = wake, seen.said+said
			seen.mu.Unlock()
			if tk.RestOn(other) {
				return true
			}
			_ = other.Fill()
		}
		return false
	}))
	defer g.Wait()
	defer peer.Close()
	tk := <-self
	want := ""
	for n, say := range []string{"one", "", "two", "", "", "end"} {
		if want += say; say == "" {
			asked.Store(int64(n))
			tk.Wake()
			if !seen.await(func() bool { return seen.wake == n }) {
				t.Fatalf("no turn begins for wake %d", n)
			}
		} else if _, err := peer.Write([]byte(say)); err != nil {
			t.Fatal(err)
		} else if !seen.await(func() bool { return seen.said == want }) {
			t.Fatalf("%q, want %q", seen.said, want)
		}
	}
}

// TestRestUntil has a task rest for a time, and for no time: then only a wake ends it.
func TestRestUntil(t *testing.T) {
	for name, loops := range map[string]*Loops{"goroutine": nil, "loops": startLoops(t, 1, Watch{})} {
		t.Run(name, func(t *testing.T) {
			c, _ := pairOn(t, loops)
			g := Group{Loops: loops}
			const nap = 20 * time.Millisecond
			began := time.Now()
			self, step := make(chan *Task, 1), 0
			g.GoTurns(nil, c, TurnFunc(func(tk *Task) bool {
				for step++; step == 1; step++ {
					if tk.RestUntil(began.Add(nap)) {
						return true
					}
				}
				for ; step == 2; step++ {
					if slept := time.Since(began); slept < nap {
						t.Errorf("it slept for %v", slept)
					}
					self <- tk
					if tk.RestUntil(time.Time{}) {
						return true
					}
				}
				return false
			}))
			select {
			case tk := <-self:
				tk.Wake()
			case <-time.After(patience):
				t.Fatal("its time is over, and no turn begins")
			}
			g.Wait()
		})
	}
}

// TestRestForgetsOther has bytes come for a connection that a task has rested for before: no turn begins for them, and they are there when it asks.
func TestRestForgetsOther(t *testing.T) {
	loops := startLoops(t, 1, Watch{})
	own, ownPeer := pairOn(t, loops)
	other, otherPeer := pairOn(t, loops)
	g := Group{Loops: loops}
	turns := make(chan int, 10)
	n := 0
	g.GoTurns(nil, own, TurnFunc(func(tk *Task) bool {
		n++
		defer func() { turns <- n }() // what is written from then on comes after the turn has looked
		switch n {
		case 1:
			return tk.RestOn(other)
		case 2:
			other.Fill()
			other.Discard(len(other.Buffered()))
			return tk.Rest()
		}
		if tk.RestOn(other) || string(other.Buffered()) != "b" {
			t.Errorf("%q has come meanwhile, by what the task was told", other.Buffered())
		}
		return false
	}))
	for i, write := range []func() (int, error){
		func() (int, error) { return otherPeer.Write([]byte("a")) },
		func() (int, error) { return otherPeer.Write([]byte("b")) },
		func() (int, error) { awaitBytes(t, other.wire.fd); return ownPeer.Write([]byte("c")) },
	} {
		if i < 2 {
			if got := <-turns; got != i+1 {
				t.Fatalf("turn %d, want %d", got, i+1)
			}
		}
		if _, err := write(); err != nil {
			t.Fatal(err)
		}
	}
	g.Wait()
	if n != 3 {
		t.Errorf("%d turns, want 3", n)
	}
}

// TestRunnerIsLoop has turns begin and end in a runner, which is the loop meanwhile, while another task has parked: that is resumed when its time is over, and when
// something has come for it, and a task that is new begins.
func TestRunnerIsLoop(t *testing.T) {
	loops := startLoops(t, 1, Watch{})
	var rests atomic.Int64
	echo, echoPeer := pairOn(t, loops)
	parked, parkedPeer := pairOn(t, loops)
	g := Group{Loops: loops}
	g.GoTurns(nil, echo, echoTurns(echo, &rests))
	const naps = 20
	over := make(chan bool)
	g.Go(func(tk *Task) {
		defer close(over)
		for range naps {
			if !tk.Wait(time.Now().Add(time.Millisecond)) {
				t.Error("it was woken before its time was over")
			}
		}
		for len(parked.Buffered()) == 0 {
			tk.Wait(time.Time{}, Reading(parked))
		}
	})
	said := make([]byte, 1)
	talk := func() {
		if _, err := echoPeer.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(echoPeer, said); err != nil {
			t.Fatal(err)
		}
	}
	for range 200 {
		talk()
	}
	if _, err := parkedPeer.Write([]byte("now")); err != nil {
		t.Fatal(err)
	}
	for ended := false; !ended; {
		talk()
		select {
		case <-over:
			ended = true
		default:
		}
	}
	begun := make(chan bool)
	g.Go(func(*Task) { close(begun) })
	<-begun
	talk()
	_ = echoPeer.Close()
	g.Wait()
}
