//go:build linux

package task

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// patience is how long a test waits for what must come.
const patience = time.Minute

func startLoops(t testing.TB, n int, w Watch) *Loops {
	t.Helper()
	l, err := NewLoops(n, w)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// TestCoroutine has a task on a loop read, write, time out, be woken and await.
func TestCoroutine(t *testing.T) {
	loops := startLoops(t, 1, Watch{})
	c, peer := pairOn(t, loops)
	g := Group{Loops: loops}
	waiting := make(chan *Task, 1)
	g.Go(func(tk *Task) {
		for len(c.Buffered()) < 5 {
			if tk.Wait(time.Time{}, Reading(c)) {
				t.Error("timed out without a deadline")
			}
		}
		c.QueueOrWrite(c.Buffered())
		c.Discard(5)
		if !tk.Wait(time.Now().Add(3*time.Millisecond), Reading(c)) {
			t.Error("no timeout")
		}
		waiting <- tk
		if tk.Wait(time.Now().Add(patience), Reading(c)) {
			t.Error("the wake was lost")
		}
		slept := false
		tk.Await(func() { time.Sleep(5 * time.Millisecond); slept = true })
		if !slept {
			t.Error("Await came back before its function")
		}
		if c.in != nil || c.out != nil {
			t.Error("an idle connection holds a buffer")
		}
		for c.ReadErr() == nil {
			tk.Wait(time.Now().Add(patience), Reading(c))
		}
	})
	peer.Write([]byte("hello"))
	echo := make([]byte, 5)
	if _, err := io.ReadFull(peer, echo); err != nil || string(echo) != "hello" {
		t.Fatal(string(echo), err)
	}
	(<-waiting).Wake()
	time.AfterFunc(10*time.Millisecond, func() { peer.Close() })
	g.Wait()
	if c.ReadErr() != io.EOF {
		t.Fatal(c.ReadErr())
	}
}

// TestAwaitPanics has what Await runs fail: the task fails, and can recover.
func TestAwaitPanics(t *testing.T) {
	g := Group{Loops: startLoops(t, 1, Watch{})}
	var got any
	g.Go(func(tk *Task) {
		defer func() { got = recover() }()
		tk.Await(func() { panic("no") })
	})
	g.Wait()
	if got != "no" {
		t.Fatal(got)
	}
}

// TestTasksSpread starts tasks on loops of which some have lost theirs.
func TestTasksSpread(t *testing.T) {
	loops := startLoops(t, 3, Watch{})
	g := Group{Loops: loops}
	var over atomic.Bool
	stay := func(tk *Task) {
		for !over.Load() {
			tk.Wait(time.Now().Add(2 * time.Millisecond))
		}
	}
	for range 30 {
		g.Go(stay)
	}
	for _, l := range loops.Load() {
		if l.Tasks != 10 {
			t.Errorf("%d tasks of 30 on a loop of three", l.Tasks)
		}
	}
	over.Store(true)
	g.Wait()
	for i, l := range loops.Load() {
		if l.Tasks != 0 {
			t.Errorf("loop %d has %d tasks left", i, l.Tasks)
		}
	}
}

// TestStallIsSeen has a task sleep on its loop, and one that works for long.
func TestStallIsSeen(t *testing.T) {
	for name, hold := range map[string]func(until time.Time){
		"sleeps": func(until time.Time) { time.Sleep(time.Until(until)) },
		"works": func(until time.Time) {
			for time.Now().Before(until) {
			}
		},
	} {
		for _, exact := range []bool{false, true} {
			seen := make(chan Stall, 100)
			loops := startLoops(t, 2, Watch{Limit: 10 * time.Millisecond, Exact: exact, Seen: func(s Stall) { seen <- s }})
			g := Group{Loops: loops}
			var over atomic.Bool
			g.Go(func(tk *Task) {
				for !over.Load() {
					hold(time.Now().Add(50 * time.Millisecond))
					tk.Wait(time.Now().Add(time.Millisecond))
				}
			})
			select {
			case s := <-seen:
				if s.For < 10*time.Millisecond || !strings.Contains(s.Stack, "TestStallIsSeen") {
					t.Errorf("%s, exact %v: %v at\n%s", name, exact, s.For, s.Stack)
				}
			case <-time.After(patience):
				t.Errorf("%s, exact %v: nobody saw it", name, exact)
			}
			over.Store(true)
			g.Wait()
			if n := loops.Load()[0].Stalls + loops.Load()[1].Stalls; n == 0 {
				t.Errorf("%s, exact %v: it was not counted", name, exact)
			}
		}
	}
}

// TestLoopsMoveConnections has connections go from task to task of several loops, as a pool's backends do, and answer each.
func TestLoopsMoveConnections(t *testing.T) {
	loops := startLoops(t, 3, Watch{})
	const connections, tasks, rounds = 4, 24, 150
	idle := make(chan *Conn, connections)
	for range connections {
		c, peer := pairOn(t, loops)
		go func() { _, _ = io.Copy(peer, peer) }()
		idle <- c
	}
	g := Group{Loops: loops}
	for i := range tasks {
		g.Go(func(tk *Task) {
			msg := bytes.Repeat([]byte{byte(i)}, 100)
			for range rounds {
				var c *Conn
				tk.Await(func() { c = <-idle })
				c.QueueOrWrite(msg)
				for until := time.Now().Add(patience); len(c.Buffered()) < len(msg); {
					if tk.Wait(until, Interest{Conn: c, Read: true, Write: true}) {
						t.Error("an answer was lost")
						break
					}
				}
				if !bytes.Equal(c.Buffered(), msg) {
					t.Error("the answer of another")
				}
				c.Discard(len(c.Buffered()))
				idle <- c
			}
		})
	}
	g.Wait()
}

// TestLoopsUnderFaults has clients that reset, close half, stop in the middle and are slow, while tasks are woken and have deadlines. Every task
// has to end, and no descriptor stays.
func TestLoopsUnderFaults(t *testing.T) {
	before := descriptors(t)
	loops := startLoops(t, 2, Watch{})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := serverTLS(t)
	g := Group{Loops: loops}
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			c, err := loops.Adopt(nc)
			if err != nil {
				t.Error(err)
				continue
			}
			g.Go(func(tk *Task) { serveFaults(tk, c, cfg) })
		}
	})
	var clients sync.WaitGroup
	for i := range 150 {
		clients.Go(func() { beFaulty(t, ln.Addr().String(), rand.New(rand.NewPCG(1, uint64(i)))) })
	}
	clients.Wait()
	ln.Close()
	accepting.Wait()
	done := make(chan bool)
	go func() { g.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("tasks are left: %v", loops.Load())
	}
	loops.Close()
	loops.all = nil
	for limit := time.Now().Add(patience); descriptors(t) > before; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("%d descriptors, %d before", descriptors(t), before)
		}
	}
}

// serveFaults echoes, after a handshake if the first byte is an S, until the peer ends.
func serveFaults(tk *Task, c *Conn, cfg *tls.Config) {
	defer c.Close()
	first := true
	for {
		if rand.IntN(8) == 0 {
			go tk.Wake() // does no harm at any time, even after the end
		}
		var until time.Time
		if rand.IntN(4) == 0 {
			until = time.Now().Add(time.Duration(rand.IntN(2000)) * time.Microsecond)
		}
		tk.Wait(until, Interest{Conn: c, Read: true, Write: true})
		b := c.Buffered()
		if first && len(b) > 0 && b[0] == 'S' {
			c.QueueOrWrite(b[:1])
			c.Discard(1)
			var err error
			tk.Await(func() { err = c.ServerTLS(cfg, time.Now().Add(patience)) })
			if err != nil {
				return
			}
			first = false
			continue
		}
		first = first && len(b) == 0
		c.QueueOrWrite(b)
		c.Discard(len(b))
		if c.ReadErr() != nil || c.WriteErr() != nil {
			return
		}
	}
}

// beFaulty is a client of serveFaults.
func beFaulty(t *testing.T, addr string, r *rand.Rand) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(patience))
	if r.IntN(2) == 0 {
		if _, err := nc.Write([]byte("S")); err != nil {
			t.Error(err)
			return
		}
		if _, err := io.ReadFull(nc, make([]byte, 1)); err != nil {
			t.Error(err)
			return
		}
		if r.IntN(5) == 0 {
			return // in the middle of the handshake
		}
		nc = tls.Client(nc, &tls.Config{InsecureSkipVerify: true})
	}
	msg := bytes.Repeat([]byte("0123456789"), 1+r.IntN(20000))
	var writing sync.WaitGroup
	defer writing.Wait()
	writing.Go(func() { _, _ = nc.Write(msg) })
	switch r.IntN(4) {
	case 0: // leaves in the middle
		_, _ = io.CopyN(io.Discard, nc, int64(r.IntN(len(msg))))
		_ = nc.Close()
		return
	case 1: // resets
		if tc, ok := nc.(*net.TCPConn); ok {
			_ = tc.SetLinger(0)
		}
		_ = nc.Close()
		return
	}
	got, err := io.ReadAll(io.LimitReader(nc, int64(len(msg))))
	if err != nil || !bytes.Equal(got, msg) {
		t.Errorf("%d bytes of %d came back: %v", len(got), len(msg), err)
		return
	}
	if h, ok := nc.(interface{ CloseWrite() error }); ok && r.IntN(2) == 0 {
		_ = h.CloseWrite()
		if _, err := nc.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("after the end: %v", err)
		}
	}
}

// descriptors is the number of open descriptors.
func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func BenchmarkPingPongOnLoop(b *testing.B) {
	loops := startLoops(b, 1, Watch{})
	c, peer := pairOn(b, loops)
	go func() { _, _ = io.Copy(peer, peer) }()
	g := Group{Loops: loops}
	b.ReportAllocs()
	g.Go(func(tk *Task) {
		msg := make([]byte, 64)
		for b.Loop() {
			c.QueueOrWrite(msg)
			for len(c.Buffered()) < 64 {
				tk.Wait(time.Time{}, Reading(c))
			}
			c.Discard(64)
		}
	})
	g.Wait()
}
