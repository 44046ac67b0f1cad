//go:build linux

package task

import (
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestAccept has a task accept connections on a loop, to a certain address and to any, until it is woken.
func TestAccept(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", ":0"} {
		t.Run(address, func(t *testing.T) {
			ln, err := net.Listen("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			g := Group{Loops: startLoops(t, 2, Watch{})}
			a, ok, err := g.Loops.Listen(ln)
			if !ok || err != nil {
				t.Fatal(ok, err)
			}
			var over atomic.Bool
			acceptor, accepted := make(chan *Task, 1), make(chan *Conn, 200)
			g.GoTurns(nil, nil, TurnFunc(func(tk *Task) bool {
				for len(acceptor) == 0 {
					acceptor <- tk
				}
				for !over.Load() {
					if c, err := a.Accept(tk); err != nil {
						t.Error(err)
					} else if c != nil {
						accepted <- c
						g.GoTurns(tk, c, closing(c, echoTurns(c, new(atomic.Int64))))
					} else if a.Rest(tk) {
						return true
					}
				}
				a.Close()
				return false
			}))
			_, port, _ := net.SplitHostPort(ln.Addr().String())
			for range cap(accepted) {
				visit(t, net.JoinHostPort("127.0.0.1", port), accepted)
			}
			over.Store(true)
			(<-acceptor).Wake()
			g.Wait()
		})
	}
}

// closing closes a task's connection at its end.
func closing(c *Conn, turns TurnFunc) TurnFunc {
	return func(tk *Task) bool {
		rests := turns(tk)
		if !rests {
			c.Close()
		}
		return rests
	}
}

// visit connects, compares the addresses at both ends and the socket's options, and has its words sent back.
func visit(t *testing.T, address string, accepted <-chan *Conn) {
	t.Helper()
	peer, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	_ = peer.SetDeadline(time.Now().Add(patience))
	if _, err := peer.Write([]byte("hello")); err != nil { // who says nothing is accepted after a second
		t.Fatal(err)
	}
	c := <-accepted
	if here, there := c.LocalAddr().String(), c.RemoteAddr().String(); here != peer.RemoteAddr().String() || there != peer.LocalAddr().String() {
		t.Errorf("%s from %s, and the client says %s from %s", here, there, peer.RemoteAddr(), peer.LocalAddr())
	}
	for name, at := range map[string][2]int{"TCP_NODELAY": {unix.IPPROTO_TCP, unix.TCP_NODELAY}, "SO_KEEPALIVE": {unix.SOL_SOCKET, unix.SO_KEEPALIVE}} {
		if on, err := unix.GetsockoptInt(c.wire.fd, at[0], at[1]); on == 0 || err != nil {
			t.Errorf("%s is %d (%v)", name, on, err)
		}
	}
	if _, err := io.ReadFull(peer, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
}

// listenHere is a Listener of a loop, and its address.
func listenHere(t *testing.T) (*Listener, *Loops, string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	loops := startLoops(t, 1, Watch{})
	a, ok, err := loops.Listen(ln)
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	return a, loops, ln.Addr().String()
}

// TestAcceptBarren has a listener's options not be inherited: those that are accepted have them nevertheless.
func TestAcceptBarren(t *testing.T) {
	a, loops, address := listenHere(t)
	for _, at := range [][2]int{{unix.IPPROTO_TCP, unix.TCP_NODELAY}, {unix.SOL_SOCKET, unix.SO_KEEPALIVE}} {
		if err := unix.SetsockoptInt(a.socket.wire.fd, at[0], at[1], 0); err != nil {
			t.Fatal(err)
		}
	}
	a.barren = true
	g := Group{Loops: loops}
	accepted := make(chan *Conn, 1)
	g.GoTurns(nil, nil, TurnFunc(func(tk *Task) bool {
		c, err := a.Accept(tk)
		switch {
		case err != nil:
			t.Error(err)
		case c != nil:
			accepted <- c
			g.GoTurns(tk, c, closing(c, echoTurns(c, new(atomic.Int64))))
		case a.Rest(tk):
			return true
		}
		a.Close()
		return false
	}))
	visit(t, address, accepted)
	g.Wait()
}

// TestAcceptAll has many wait already when a task begins to accept. None of them says anything.
func TestAcceptAll(t *testing.T) {
	a, loops, address := listenHere(t)
	const n = 50
	for range n {
		peer, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer peer.Close()
	}
	g := Group{Loops: loops}
	accepted := 0
	g.GoTurns(nil, nil, TurnFunc(func(tk *Task) bool {
		for accepted < n {
			c, err := a.Accept(tk)
			if err != nil {
				t.Error(err)
				break
			}
			if c != nil {
				c.Close()
				accepted++
			} else if a.Rest(tk) {
				return true
			}
		}
		a.Close()
		return false
	}))
	g.Wait()
}

// TestAcceptFails has no loop tell of a listening socket that nobody can be accepted from: that would be at each look, and it would not sleep.
func TestAcceptFails(t *testing.T) {
	a, loops, _ := listenHere(t)
	g := Group{Loops: loops}
	g.Go(func(tk *Task) {
		defer a.Close()
		fd := a.socket.wire.fd
		for range 2 {
			if err := a.socket.wire.attach(tk.loop); err != nil {
				t.Error(err)
			}
			a.socket.wire.ready.Or(canRead)
			_ = unix.Shutdown(fd, unix.SHUT_RDWR)
			if c, err := a.Accept(tk); c != nil || err == nil {
				t.Error("accepted")
			}
			if a.socket.wire.at != nil {
				t.Error("a loop tells of it")
			}
		}
	})
	g.Wait()
}

// TestListenElsewhere has no Listener where there are no loops, or the listener is not TCP's.
func TestListenElsewhere(t *testing.T) {
	ln, err := net.Listen("unix", t.TempDir()+"/socket")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for name, loops := range map[string]*Loops{"none": nil, "one": startLoops(t, 1, Watch{})} {
		if _, ok, err := loops.Listen(ln); ok || err != nil {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
	}
}
