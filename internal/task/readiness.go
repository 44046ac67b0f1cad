package task

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// What a wire may be ready for, as its loop was told.
const (
	canRead  uint32 = 1 << iota
	canWrite        //
	ended           // its peer has closed: it stays readable
)

// bellSerial is the serial number of a poller's own bell, which no wire has.
const bellSerial = 0

// takeOver takes a wire's socket out of Go's own poller: a loop tells from now on when it is ready.
func (w *Wire) takeOver(l *Loops) error {
	fd := -1
	var failure error
	err := w.raw.Control(func(old uintptr) { fd, failure = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) })
	if err == nil {
		err = failure
	}
	if err != nil {
		return fmt.Errorf("socket of %s: %w", w.RemoteAddr(), err)
	}
	_ = w.Conn.Close() // its descriptor: the socket stays open by ours
	w.fd, w.raw, w.loops = fd, nil, l
	w.ready.Store(canWrite)
	return nil
}

// attach has a loop tell when the wire is ready, instead of another one. Only the owner of the wire calls it.
func (w *Wire) attach(l *loop) error {
	if w.at == l {
		return nil
	}
	w.leave()
	if err := l.register(w); err != nil {
		return err
	}
	w.at = l
	return nil
}

// leave has no loop tell any more.
func (w *Wire) leave() {
	if w.at != nil {
		w.at.forget(w)
		w.at = nil
	}
}

// silent reports that a loop tells of the wire, and has not told of anything to read.
func (w *Wire) silent() bool { return w.at != nil && w.ready.Load()&(canRead|ended) == 0 }

// readReady is tryRead for a wire that is told of: it asks the kernel only if something may be there, or no loop tells of it yet. What is heard while it
// reads counts for the next time.
func (w *Wire) readReady(p []byte) (int, error) {
	if w.silent() {
		return 0, nil
	}
	w.ready.And(^canRead)
	n, e := rawRead(w.fd, p)
	return w.readMore(p, n, e)
}

// readMore goes on with readReady after a read that found n bytes, or failed.
func (w *Wire) readMore(p []byte, n int, e unix.Errno) (int, error) {
	for e == unix.EINTR {
		n, e = rawRead(w.fd, p)
	}
	switch {
	case e == unix.EAGAIN:
		return 0, nil
	case e != 0:
		return 0, os.NewSyscallError("read", e)
	case n == 0 && len(p) > 0:
		return 0, io.EOF
	case n == len(p):
		w.ready.Or(canRead)
	}
	return n, nil
}

// writeMore goes on with tryWrite, for a wire that a loop tells of, after a write that took n bytes, or failed.
func (w *Wire) writeMore(p []byte, n int, e unix.Errno) (written int, err error) {
	for {
		if e == unix.EAGAIN {
			w.ready.And(^canWrite)
			if n, e = rawWrite(w.fd, p[written:]); e == unix.EAGAIN {
				return written, nil
			}
			w.ready.Or(canWrite) // the room was heard of before
		}
		switch e {
		case 0:
			written += n
		case unix.EINTR, unix.EAGAIN:
		default:
			return written, os.NewSyscallError("write", e)
		}
		if written == len(p) {
			return written, nil
		}
		n, e = rawWrite(w.fd, p[written:])
	}
}

// isReady reports whether an interest may find something.
func (c *Conn) isReady(i *Interest) bool {
	if c.wire.at == nil {
		return true // it could not join a loop
	}
	ready := c.wire.ready.Load()
	return i.Read && ready&(canRead|ended) != 0 || i.Write && ready&canWrite != 0 && c.Pending() > 0
}
