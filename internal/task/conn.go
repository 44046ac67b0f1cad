package task

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Conn is a buffered, non-blocking stream over a socket, with or without TLS.
type Conn struct {
	wire *Wire
	tls  *tls.Conn // nil in plaintext

	in       *buffer // borrowed while bytes are in it
	r, w     int     // in.b[r:w] has arrived and was not consumed
	readErr  error   // what ended the read side
	received uint64  // bytes, without TLS's own

	out      *buffer // borrowed while bytes are in it, or will be soon
	n        int     // out.b[:n] is queued
	writeErr error   // what ended the write side
	sent     uint64  // bytes, without TLS's own
	home     *loop   // of the task whose own it is, and which nobody else uses it beside; nil: there is none, or not at present

	readFn   func(fd uintptr) bool // reads, for a task that parks in this connection alone
	progress bool                  // what readFn achieved

	owner    atomic.Pointer[Task] // whom the watchers ring
	reading  atomic.Bool          // a watcher waits for bytes
	writing  atomic.Bool          // a watcher waits for room
	watchers sync.WaitGroup
	closed   bool

	_ [24]byte // as wholeLines says
}

// wholeLines is what Conn, Wire and Task have their sizes multiples of, in bytes: then each begins with a line of the processor's cache, and its first
// fields, which every turn needs, are in as few of them as can be.
const wholeLines = 64

// Adopt makes a connected socket, a Wire, or a TLS connection over a Wire whose handshake is done, a non-blocking Conn.
// The Conn owns it from then on, also when Adopt fails: it is closed then.
func Adopt(nc net.Conn) (*Conn, error) {
	c := &Conn{}
	switch v := nc.(type) {
	case *Wire:
		c.wire = v
	case *tls.Conn:
		w, ok := v.NetConn().(*Wire)
		if !ok {
			_ = nc.Close()
			return nil, fmt.Errorf("TLS over %T, not over a task.Wire", v.NetConn())
		}
		c.wire, c.tls = w, v
	default:
		w, err := NewWire(nc)
		if err != nil {
			_ = nc.Close()
			return nil, err
		}
		c.wire = w
	}
	c.wire.setDeadline(time.Time{})
	c.wire.async = true
	c.readFn = func(fd uintptr) bool {
		if c.tls != nil {
			return c.wire.poll(fd, unix.POLLIN)
		}
		c.progress = c.fill(nil)
		return c.progress
	}
	return c, nil
}

// ServerTLS performs the server's side of a TLS handshake, blocking until it is done or deadline has passed: call it in Await.
// No byte may have been read ahead (CVE-2021-23214): it fails when there are any.
func (c *Conn) ServerTLS(cfg *tls.Config, deadline time.Time) error {
	if c.r != c.w {
		return fmt.Errorf("%d unencrypted bytes arrived before the TLS handshake", c.w-c.r)
	}
	return c.handshake(cfg, deadline)
}

// DirectTLS is ServerTLS for a peer that begins with its handshake at once, and blocks like it: call it in Await. What is buffered
// is taken for the beginning of that handshake, so it is for the first bytes of a connection only, before anything was answered.
func (c *Conn) DirectTLS(cfg *tls.Config, deadline time.Time) error {
	c.wire.ahead = bytes.Clone(c.Buffered())
	c.releaseIn()
	err := c.handshake(cfg, deadline)
	if err == nil && len(c.wire.ahead) > 0 { // what the peer sends last depends on our answer: it cannot have been read before that
		err = fmt.Errorf("%d bytes that arrived before the TLS handshake are not part of it", len(c.wire.ahead))
	}
	c.wire.ahead = nil
	return err
}

func (c *Conn) handshake(cfg *tls.Config, deadline time.Time) error {
	c.wire.async = false
	c.wire.setDeadline(deadline)
	tc := tls.Server(c.wire, cfg)
	err := tc.Handshake()
	c.wire.setDeadline(time.Time{})
	c.wire.async = true
	if err != nil {
		return err
	}
	c.tls = tc
	return nil
}

// TLS returns the state of the TLS connection; ok is false in plaintext.
func (c *Conn) TLS() (state tls.ConnectionState, ok bool) {
	if c.tls == nil {
		return state, false
	}
	return c.tls.ConnectionState(), true
}

// Encrypted reports whether it is a TLS connection.
func (c *Conn) Encrypted() bool { return c.tls != nil }

// Cipher is the version of TLS and the cipher suite, as in TLSv1.3/TLS_AES_128_GCM_SHA256; empty in plaintext.
func (c *Conn) Cipher() string {
	state, ok := c.TLS()
	if !ok {
		return ""
	}
	return strings.Replace(tls.VersionName(state.Version), "TLS ", "TLSv", 1) + "/" + tls.CipherSuiteName(state.CipherSuite)
}

// RemoteAddr is the peer's address.
func (c *Conn) RemoteAddr() net.Addr { return c.wire.RemoteAddr() }

// Peer is the peer's address and port in TCP; the zero AddrPort of other sockets.
func (c *Conn) Peer() netip.AddrPort {
	if a, ok := c.wire.Conn.(*accepted); ok {
		return a.peer
	}
	if tcp, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort()
	}
	return netip.AddrPort{}
}

// LocalAddr is the address at this end.
func (c *Conn) LocalAddr() net.Addr { return c.wire.LocalAddr() }

// Traffic is how many bytes have arrived and how many were written so far, without what TLS adds.
func (c *Conn) Traffic() (received, sent uint64) { return c.received, c.sent }

// Close closes the socket and waits for the connection's watchers. Queued bytes are tried once and then lost.
func (c *Conn) Close() {
	if c.closed {
		return
	}
	_ = c.Flush()
	if c.tls != nil && c.writeErr == nil {
		_ = c.tls.CloseWrite()
		_, _ = c.wire.tryWrite(c.wire.queue)
	}
	c.closed = true
	_ = c.wire.Close()
	if c.wire.loops == nil { // else there were none
		c.watchers.Wait()
	}
	c.wire.queue = nil
	c.r, c.w, c.n = 0, 0, 0
	c.rest(c.home)
}

// Quiet reports that the peer has neither sent anything nor closed: what a pool wants to know of an idle backend.
// When it is false, Buffered or ReadErr says why.
func (c *Conn) Quiet() bool { return c.silent() || c.r == c.w && c.readErr == nil && !c.fill(nil) }

// Settled reports that nothing that has arrived is unread, nothing that was queued is unsent, and neither side has ended.
func (c *Conn) Settled() bool {
	return c.w|c.n == 0 && c.readErr == nil && c.writeErr == nil && (c.tls == nil || len(c.wire.queue) == 0)
}

// Gone reports that the peer has closed or reset the connection, if nothing that it sent before stands in the way of seeing that.
// It reads nothing and does not block.
func (c *Conn) Gone() bool { return c.readErr != nil || c.wire.gone() }

// parkable reports whether a task may park in this connection's read itself: no watcher is there, and it has not ended.
func (c *Conn) parkable() bool { return c.readErr == nil && !c.reading.Load() }

// readsInPark reports whether parking tries to read first, so that trying before is waste.
func (c *Conn) readsInPark() bool { return c.tls == nil }

// awaitRead blocks until bytes arrive, the read side ends, or the wait is interrupted; it reports progress.
func (c *Conn) awaitRead() bool {
	if c.readErr != nil {
		return true
	}
	c.progress = false
	err := c.wire.raw.Read(c.readFn)
	switch {
	case err == nil && c.tls != nil:
		return c.fill(nil)
	case err == nil:
		return c.progress
	case interrupted(err):
		return false
	}
	c.readErr = err
	return true
}

// watchRead has a watcher ring t once bytes arrive, unless one is there already, which then rings t.
func (c *Conn) watchRead(t *Task) {
	c.owner.Store(t)
	if c.reading.Swap(true) {
		return
	}
	c.watchers.Add(1)
	go func() {
		defer c.watchers.Done()
		for interrupted(c.wire.raw.Read(func(fd uintptr) bool { return c.wire.poll(fd, unix.POLLIN) })) {
			c.wire.deadline(time.Time{})
		}
		c.reading.Store(false)
		c.owner.Load().ring()
	}()
}

// watchWrite has a watcher ring t once there is room to write.
func (c *Conn) watchWrite(t *Task) {
	c.owner.Store(t)
	if c.writing.Swap(true) {
		return
	}
	c.watchers.Add(1)
	go func() {
		defer c.watchers.Done()
		_ = c.wire.raw.Write(func(fd uintptr) bool { return c.wire.poll(fd, unix.POLLOUT) })
		c.writing.Store(false)
		c.owner.Load().ring()
	}()
}
