package task

import (
	"io"
	"net"
)

// Buffered returns the bytes that have arrived and were not consumed. They are valid until the next Discard, Reserve or Wait.
func (c *Conn) Buffered() []byte {
	if c.in == nil {
		return nil
	}
	return c.in.b[c.r:c.w]
}

// Discard consumes the first n buffered bytes.
func (c *Conn) Discard(n int) {
	c.r += n
	if c.r == c.w {
		c.r, c.w = 0, 0
	}
}

// ReadErr is what ended the read side: io.EOF when the peer closed, nil while it is open. Buffered bytes come before it.
func (c *Conn) ReadErr() error { return c.readErr }

// WriteErr is what ended the write side.
func (c *Conn) WriteErr() error { return c.writeErr }

// Reserve makes room for n bytes, counted from the first buffered one, so that a message of n bytes can be buffered whole.
// The room grows with the bytes that really arrive: a length that was only announced costs nothing.
func (c *Conn) Reserve(n int) {
	if c.in != nil && (c.r > 0 || n > len(c.in.b)) {
		c.reserve(n)
	}
}

func (c *Conn) reserve(n int) {
	if n <= len(c.in.b) {
		c.compact()
		return
	}
	if c.w < len(c.in.b) {
		return // not full yet
	}
	if c.r > 0 {
		c.compact()
		return
	}
	bigger := &buffer{make([]byte, min(n, 2*len(c.in.b)))}
	copy(bigger.b, c.in.b[:c.w])
	(*loop)(nil).giveBack(c.in)
	c.in = bigger
}

func (c *Conn) compact() {
	c.w = copy(c.in.b, c.in.b[c.r:c.w])
	c.r = 0
}

// Fill reads what has arrived, without blocking, and reports whether that was anything: bytes, the end, or an error.
func (c *Conn) Fill() bool { return c.fill(nil) }

// silent reports that nothing has arrived, as the loop says that tells of it, and nothing else can be there.
func (c *Conn) silent() bool { return c.w == 0 && c.readErr == nil && c.tls == nil && c.wire.silent() }

// fill is Fill for a task that l runs; nil is for whoever else.
func (c *Conn) fill(l *loop) bool {
	w := c.wire
	switch ready := w.ready.Load(); {
	case c.tls != nil || c.readErr != nil:
		return c.fillElse(l)
	case ready&canRead != 0: // a loop has told so, or nobody has looked
	case ready&ended == 0 && w.at != nil:
		return c.full()
	default:
		return c.fillElse(l)
	}
	if c.in == nil {
		c.in = l.borrow()
	}
	room := c.in.b[c.w:]
	if len(room) == 0 {
		return c.fillElse(l)
	}
	w.ready.And(^canRead) // before it reads: what is heard meanwhile counts for the next time
	n, e := rawRead(w.fd, room)
	if e != 0 || n == 0 || n == len(room) {
		return c.filled(w.readMore(room, n, e))
	}
	c.w += n
	c.received += uint64(n)
	return true
}

// fillElse is fill for what no loop has told of: TLS may have bytes itself.
func (c *Conn) fillElse(l *loop) bool {
	switch {
	case c.readErr != nil:
		return true
	case c.tls != nil:
		return c.fillTLS(l)
	}
	room := c.room(l)
	if len(room) == 0 {
		return true
	}
	return c.filled(c.wire.tryRead(room))
}

// full reports whether there is no room for more.
func (c *Conn) full() bool { return c.w != 0 && c.r == 0 && c.w == len(c.in.b) }

func (c *Conn) fillTLS(l *loop) bool {
	room := c.room(l)
	if len(room) == 0 {
		return true
	}
	n, err := c.tls.Read(room)
	if e, ok := err.(net.Error); ok && e == errAgain {
		err = nil
	}
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	if len(c.wire.queue) > 0 { // a post-handshake message wants an answer
		_ = c.Flush()
	}
	return c.filled(n, err)
}

func (c *Conn) filled(n int, err error) bool {
	c.w += n
	c.received += uint64(n)
	c.readErr = err
	if n > 0 {
		return true
	}
	if c.wire.loops == nil { // else it is given back when the task parks
		c.restIn(nil)
	}
	return err != nil
}

// room is the free end of the in-buffer, which it borrows if there is none.
func (c *Conn) room(l *loop) []byte {
	if c.in == nil {
		c.in = l.borrow()
	}
	if c.w == len(c.in.b) && c.r > 0 {
		c.compact()
	}
	return c.in.b[c.w:]
}

// Rest gives back the buffers of a connection that will not be used for a while, if nothing is in them, as a task that parks does for those that it
// waits for.
func (c *Conn) Rest() { c.rest(nil) }

// rest is Rest for a task that l runs; nil is for whoever else.
func (c *Conn) rest(l *loop) {
	c.restIn(l)
	c.restOut(l)
}

func (c *Conn) restIn(l *loop) {
	if c.in != nil && c.r == c.w {
		l.giveBack(c.in)
		c.in, c.r, c.w = nil, 0, 0
	}
}

func (c *Conn) restOut(l *loop) {
	if c.out != nil && c.n == 0 {
		l.giveBack(c.out)
		c.out = nil
	}
}

// releaseIn gives back what has arrived.
func (c *Conn) releaseIn() {
	c.r, c.w = 0, 0
	c.restIn(nil)
}

// Queued is how many bytes QueueBuffer has.
func (c *Conn) Queued() int { return c.n }

// Queue appends p to what is to be written; Flush writes it.
func (c *Conn) Queue(p []byte) {
	c.SetQueue(append(c.QueueBuffer(), p...))
}

// QueueBuffer returns the queued bytes for appending to; SetQueue takes the result back. Nothing else may be called between.
func (c *Conn) QueueBuffer() []byte {
	if c.out == nil {
		c.out, c.n = c.home.borrow(), 0
	}
	return c.out.b[:c.n]
}

// SetQueue makes b, which began as QueueBuffer's result, the queued bytes.
func (c *Conn) SetQueue(b []byte) {
	c.out.b = b[:cap(b)]
	c.n = len(b)
}

// QueueOrWrite writes p at once as far as the socket takes it when nothing is queued, and queues the rest.
func (c *Conn) QueueOrWrite(p []byte) {
	n, err := 0, c.writeErr
	if c.n == 0 && c.tls == nil && err == nil {
		n, err = c.wire.tryWrite(p)
		c.sent += uint64(n)
	}
	if n < len(p) || err != nil {
		c.queueRest(p[n:], err)
	}
}

// queueRest queues what QueueOrWrite could not write of p, unless an error has ended the write side.
func (c *Conn) queueRest(p []byte, err error) {
	if c.writeErr = err; err == nil {
		c.Queue(p)
	}
}

// Pending is the number of queued bytes that are not written yet.
func (c *Conn) Pending() int { return c.n + len(c.wire.queue) }

// Flush writes what the socket takes of the queue, without blocking. An error ends the write side and empties the queue.
func (c *Conn) Flush() error {
	if c.writeErr == nil && c.n+len(c.wire.queue) > 0 {
		c.writeErr = c.flush()
	}
	if c.writeErr != nil {
		c.n = 0
		c.wire.queue = c.wire.queue[:0]
	}
	if c.wire.loops == nil { // else it is given back when the task parks
		c.restOut(nil)
	}
	return c.writeErr
}

func (c *Conn) flush() error {
	if c.tls == nil {
		n, err := c.wire.tryWrite(c.out.b[:c.n])
		c.sent += uint64(n)
		c.n = copy(c.out.b, c.out.b[n:c.n])
		return err
	}
	if c.n > 0 && len(c.wire.queue) < keepLimit {
		if _, err := c.tls.Write(c.out.b[:c.n]); err != nil {
			return err
		}
		c.sent += uint64(c.n)
		c.n = 0
	}
	n, err := c.wire.tryWrite(c.wire.queue)
	c.wire.queue = c.wire.queue[:copy(c.wire.queue, c.wire.queue[n:])]
	if len(c.wire.queue) == 0 {
		c.wire.queue = nil
	}
	return err
}
