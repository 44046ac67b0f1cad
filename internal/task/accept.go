package task

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Listener is a listening socket that a task of turns on a loop waits for. The connections that it accepts are the loops' from the beginning, and Go's own
// poller never hears of them.
type Listener struct {
	socket *Conn
	here   *net.TCPAddr        // nil: connections may have come to any address of this machine
	peer   unix.RawSockaddrAny // of the connection that is being accepted
	barren bool                // its options are not inherited: each accepted socket is given them
}

// Listen makes a Listener of a TCP listener, which it closes: its socket goes on by another descriptor, of which Go's own poller does not hear, and which
// would wake a thread for each client else. There is none for the nil *Loops and for other listeners: they stay as they are, and ok is false.
func (l *Loops) Listen(ln net.Listener) (listener *Listener, ok bool, err error) {
	tcp, ok := ln.(*net.TCPListener)
	if l == nil || !ok {
		return nil, false, nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil, true, fmt.Errorf("socket of %s: %w", ln.Addr(), err)
	}
	fd, failure := -1, error(nil)
	err = raw.Control(func(old uintptr) { fd, failure = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) })
	if err == nil {
		err = failure
	}
	if err != nil {
		return nil, true, fmt.Errorf("socket of %s: %w", ln.Addr(), err)
	}
	_ = tcp.Close()
	listener = &Listener{socket: &Conn{wire: &Wire{fd: fd, told: told{loops: l, listens: true}}}}
	listener.barren = bequeath(fd) != nil // one of Multipath TCP, which Go's listeners are, takes few options before Linux 6.10
	if at, ok := ln.Addr().(*net.TCPAddr); ok && !at.IP.IsUnspecified() {
		listener.here = at
	}
	return listener, true, nil
}

// Accept accepts the next connection. It returns nil without an error when there is none: t, which calls, may Rest then.
func (a *Listener) Accept(t *Task) (*Conn, error) {
	c, err := a.try()
	if c == nil && err == nil {
		return nil, a.socket.readErr
	}
	t.breathe()
	return c, err
}

// Rest is RestOn for connections to accept, by the task that accepts them all. A Wake that begins its turn is forgotten then.
func (a *Listener) Rest(t *Task) (rests bool) {
	if t.wasWoken() {
		return false
	}
	t.spent, t.on = 0, a.socket
	return true
}

// Close ends the listener. Its task calls it.
func (a *Listener) Close() { _ = a.socket.wire.Close() }

// try accepts a connection if there is one. Whether there is another the loop tells at its next look.
func (a *Listener) try() (*Conn, error) {
	w := a.socket.wire
	for w.at == nil || w.ready.Load()&(canRead|ended) != 0 {
		w.ready.And(^canRead)
		fd, peer, e := a.accept()
		switch e {
		case 0:
			return a.welcome(fd, peer), nil
		case unix.EAGAIN:
			return nil, nil
		case unix.EINTR, unix.ECONNABORTED:
			w.ready.Or(canRead)
		default:
			w.leave() // else who waits to be accepted would let the loop not sleep until the task comes again
			return nil, os.NewSyscallError("accept4", e)
		}
	}
	return nil, nil
}

// accepted is the memory of an accepted connection.
type accepted struct {
	ends // first: behind the 8 bytes that Go puts before such a thing, the others begin with a line of the processor's cache

	conn Conn
	wire Wire
	task Task // that it becomes the own connection of
}

// welcome makes a Conn of an accepted socket. Its peer may have sent something: clients speak first.
func (a *Listener) welcome(fd int, peer netip.AddrPort) *Conn {
	if a.barren {
		_ = bequeath(fd) // without them it works, too
	}
	c := &accepted{}
	c.peer = peer
	if a.here != nil {
		c.here = a.here
	} else if here, err := syscall.Getsockname(fd); err == nil {
		c.here = net.TCPAddrFromAddrPort(addrPort(here))
	}
	c.wire.Conn, c.wire.fd, c.wire.async, c.wire.loops = c, fd, true, a.socket.wire.loops
	c.wire.ready.Store(canRead | canWrite)
	c.conn.wire = &c.wire
	return &c.conn
}

// ends are the addresses of an accepted socket, in the place of a net.Conn that knows more.
type ends struct {
	net.Conn // nil: the wire has all else
	peer     netip.AddrPort
	here     *net.TCPAddr
}

// newTask is a new task, whose own connection c is to be, if it is not nil.
func (c *Conn) newTask() *Task {
	if c != nil {
		if a, ok := c.wire.Conn.(*accepted); ok {
			return &a.task
		}
	}
	return &Task{}
}

// RemoteAddr is the peer's address.
func (e *ends) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(e.peer) }

// LocalAddr is the address at this end.
func (e *ends) LocalAddr() net.Addr { return e.here }

// SetWriteDeadline does nothing: no write blocks.
func (e *ends) SetWriteDeadline(time.Time) error { return nil }

func addrPort(at syscall.Sockaddr) netip.AddrPort {
	switch v := at.(type) {
	case *syscall.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(v.Addr), uint16(v.Port))
	case *syscall.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(v.Addr), uint16(v.Port))
	}
	return netip.AddrPort{}
}
