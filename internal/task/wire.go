package task

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// errAgain is what a Wire's Read returns, once non-blocking, when nothing has arrived. It is a temporary net.Error, which
// crypto/tls passes on without spoiling the connection, so that a TLS record may arrive in pieces.
var errAgain net.Error = again{}

type again struct{}

func (again) Error() string   { return "nothing has arrived yet" }
func (again) Timeout() bool   { return false }
func (again) Temporary() bool { return true }

// Wire is a socket. As a net.Conn it blocks, which is what a dialler and a TLS handshake want; Adopt makes it non-blocking.
type Wire struct {
	told
	fd    int
	queue []byte // TLS records not written yet, when async

	net.Conn
	raw    syscall.RawConn
	until  time.Time // the read deadline in force
	mu     sync.Mutex
	ahead  []byte // bytes that were read before a TLS handshake and belong to it
	closed bool   // guarded by mu
	async  bool

	_ [24]byte // as wholeLines says
}

// told is what a wire has beside when it is loops that tell when it is ready, and not Go's own poller.
type told struct {
	at      *loop                // that tells
	waiter  atomic.Pointer[Task] // whom to tell
	ready   atomic.Uint32
	serial  uint32 // of its descriptor there
	loops   *Loops
	listens bool // it accepts connections, one each time that it is told of
}

// NewWire wraps a connected TCP or Unix socket and owns it from then on.
func NewWire(nc net.Conn) (*Wire, error) {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("%T is not a socket", nc)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("socket of %s: %w", nc.RemoteAddr(), err)
	}
	w := &Wire{Conn: nc, raw: raw}
	if err := raw.Control(func(fd uintptr) { w.fd = int(fd) }); err != nil {
		return nil, fmt.Errorf("socket of %s: %w", nc.RemoteAddr(), err)
	}
	return w, nil
}

// Read blocks as a net.Conn does until the wire is adopted; from then on it returns errAgain instead.
func (w *Wire) Read(p []byte) (int, error) {
	if len(w.ahead) > 0 {
		n := copy(p, w.ahead)
		w.ahead = w.ahead[n:]
		return n, nil
	}
	if !w.async {
		return w.blockRead(p)
	}
	n, err := w.tryRead(p)
	if err == nil && n == 0 {
		return 0, errAgain
	}
	return n, err
}

// Write blocks as a net.Conn does until the wire is adopted; from then on it queues a copy of p.
func (w *Wire) Write(p []byte) (int, error) {
	if !w.async {
		return w.blockWrite(p)
	}
	w.queue = append(w.queue, p...)
	return len(p), nil
}

// blockRead reads, waiting if it has to until the deadline of a handshake.
func (w *Wire) blockRead(p []byte) (int, error) {
	if w.loops == nil {
		return w.Conn.Read(p)
	}
	for {
		n, err := w.tryRead(p)
		if n > 0 || err != nil {
			return n, err
		}
		if err := w.awaitReady(canRead | ended); err != nil {
			return 0, err
		}
	}
}

// blockWrite writes all of p, waiting if it has to until the deadline of a handshake.
func (w *Wire) blockWrite(p []byte) (n int, err error) {
	if w.loops == nil {
		return w.Conn.Write(p)
	}
	for {
		m, err := w.tryWrite(p[n:])
		n += m
		if n == len(p) || err != nil {
			return n, err
		}
		if err := w.awaitReady(canWrite); err != nil {
			return n, err
		}
	}
}

// awaitReady blocks the goroutine of a handshake until a loop tells that the wire is ready, or the deadline has come.
func (w *Wire) awaitReady(what uint32) error {
	if w.at == nil { // it never had to wait so far
		if err := w.attach(w.loops.emptiest()); err != nil {
			return err
		}
	}
	t := New()
	w.waiter.Store(t)
	defer w.waiter.Store(nil)
	for w.ready.Load()&what == 0 {
		if !w.until.IsZero() && !time.Now().Before(w.until) {
			return os.ErrDeadlineExceeded
		}
		t.listen(w.until)
	}
	return nil
}

// setDeadline bounds the blocking reads and writes of a handshake; the zero time is none.
func (w *Wire) setDeadline(at time.Time) {
	w.until = at
	if w.loops == nil {
		_ = w.Conn.SetDeadline(at)
	}
}

// Close closes the socket.
func (w *Wire) Close() error {
	if w.loops == nil {
		return w.Conn.Close()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return net.ErrClosed
	}
	w.closed = true
	if w.at != nil {
		w.at.drop(w)
	}
	if e := rawClose(w.fd); e != 0 {
		return os.NewSyscallError("close", e)
	}
	return nil
}

// Sever ends both directions of the connection, so that its owner sees its end. Anyone may call it.
func (w *Wire) Sever() {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch s, ok := w.Conn.(interface {
		CloseRead() error
		CloseWrite() error
	}); {
	case w.loops != nil && !w.closed:
		_ = syscall.Shutdown(w.fd, syscall.SHUT_RDWR)
	case w.loops == nil && ok:
		_ = s.CloseRead()
		_ = s.CloseWrite()
	}
}

// tryRead reads what is there: n is 0 and err nil when that is nothing.
func (w *Wire) tryRead(p []byte) (n int, err error) {
	if w.loops != nil {
		return w.readReady(p)
	}
	return w.readNow(p)
}

// readNow is tryRead for a wire that no loop tells of.
func (w *Wire) readNow(p []byte) (n int, err error) {
	for {
		n, err = syscall.Read(w.fd, p)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return 0, nil
		case err != nil:
			return 0, os.NewSyscallError("read", err)
		case n == 0 && len(p) > 0:
			return 0, io.EOF
		}
		return n, nil
	}
}

// tryWrite writes what the socket takes: n is 0 and err nil when that is nothing.
func (w *Wire) tryWrite(p []byte) (n int, err error) {
	if w.ready.Load()&canWrite == 0 {
		return w.writeElse(p)
	}
	n, e := rawWrite(w.fd, p)
	if e != 0 || n < len(p) {
		return w.writeMore(p, n, e)
	}
	return n, nil
}

// writeElse is tryWrite for a wire that no loop tells of, or has told of nothing since there was no room.
func (w *Wire) writeElse(p []byte) (n int, err error) {
	if w.loops != nil {
		return 0, nil
	}
	return w.writeNow(p)
}

// writeNow is tryWrite for a wire that no loop tells of.
func (w *Wire) writeNow(p []byte) (n int, err error) {
	for n < len(p) {
		m, err := syscall.Write(w.fd, p[n:])
		if err == syscall.EINTR {
			continue
		}
		if err == syscall.EAGAIN {
			return n, nil
		}
		if err != nil {
			return n, os.NewSyscallError("write", err)
		}
		n += m
	}
	return n, nil
}

// poll reports whether the socket is ready for events (or has failed), without blocking.
func (w *Wire) poll(fd uintptr, events int16) bool {
	p := [1]unix.PollFd{{Fd: int32(fd), Events: events}}
	for {
		n, err := unix.Poll(p[:], 0)
		if err == unix.EINTR {
			continue
		}
		return n != 0 || err != nil
	}
}

// deadline sets the time at which a blocked read ends. Only the owner of the wire calls it.
func (w *Wire) deadline(at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.until.Equal(at) {
		return
	}
	w.until = at
	_ = w.Conn.SetReadDeadline(at) // fails on a closed socket only, as the read then does
}

// interrupt ends a blocked read at once. Anyone may call it.
func (w *Wire) interrupt() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.until = past()
	_ = w.Conn.SetReadDeadline(w.until)
}

// gone reports that the peer has closed or reset the connection and nothing it sent is unread. It reads nothing.
func (w *Wire) gone() bool {
	var one [1]byte
	n, _, err := unix.Recvfrom(w.fd, one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	switch err {
	case nil:
		return n == 0
	case unix.EAGAIN, unix.EINTR:
		return false
	}
	return true
}

func past() time.Time { return time.Unix(1, 0) }

// interrupted reports whether err is the end of a wait by interrupt or deadline, which leaves the socket as it was.
func interrupted(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
