package pool

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/pgdrover/pgdrover/internal/task"
	"github.com/pgdrover/pgdrover/pgwire"
)

// cancelLimit is how long a cancel may take before the backend is given up.
const cancelLimit = 10 * time.Second

// maxCancels is how many may be under way for one backend.
const maxCancels = 2

// Cancel asks the server to end what b runs for r, and returns when the server has passed that on. It blocks, for 10 seconds
// at most, and may be called from any goroutine. ErrNotHeld says that r does not hold b any more: nothing was sent.
//
// Two at a time for one backend are enough: a third one does nothing, so that a storm of them does not reach the server.
//
// A cancel never hits the next holder: while one is under way, a released backend waits; it is destroyed if the server did
// not confirm.
func (b *Backend) Cancel(ctx context.Context, r *Request) error {
	c, err := b.BeginCancel(r)
	if err != nil {
		return err
	}
	return c.CarryOut(ctx)
}

// Cancellation is a Cancel that is under way: nobody else gets the backend until it is carried out.
type Cancellation struct {
	backend *Backend // nil: enough are under way without it
}

// BeginCancel is the part of Cancel that does not block. Who knows at a moment that r holds b can begin then what is carried out later: a Request may hold the
// same backend again by that time for somebody else. Each Cancellation has to be carried out, once.
func (b *Backend) BeginCancel(r *Request) (Cancellation, error) {
	n := b.node
	n.mu.Lock()
	defer n.mu.Unlock()
	if b.state != held || b.holder != r {
		return Cancellation{}, ErrNotHeld
	}
	if b.cancels == maxCancels {
		return Cancellation{}, nil
	}
	b.cancels++
	n.counts.Cancels++
	return Cancellation{b}, nil
}

// CarryOut is the rest of Cancel.
func (c Cancellation) CarryOut(ctx context.Context) error {
	b := c.backend
	if b == nil {
		return nil
	}
	ctx, stop := context.WithTimeout(ctx, cancelLimit)
	defer stop()
	sent, err := b.session.cancel(ctx)
	b.cancelled(sent && err != nil)
	return err
}

// cancelled is the end of a cancel, which the server may not have confirmed: a backend that was released meanwhile is given to others.
func (b *Backend) cancelled(unconfirmed bool) {
	n := b.node
	n.mu.Lock()
	b.cancels--
	if unconfirmed {
		b.spoilt = reasonCancel
	}
	if b.state != returning || b.cancels > 0 {
		n.mu.Unlock()
		return
	}
	wake, closing := n.give(b, task.MomentOf(time.Now()))
	n.mu.Unlock()
	b.given(wake, closing)
}

// serverSession is a session of a server, as seen by who wants to interrupt it.
type serverSession struct {
	node    *Node
	pid     uint32
	secret  []byte
	address net.Addr // of the very server, whatever a name may resolve to by now
	wiring  wiring   // as the session itself is wired
}

// cancel sends a cancel request over a connection of its own, and waits until the server closes that: it has signalled the
// session by then. sent is true if the request may have reached the server.
func (s *serverSession) cancel(ctx context.Context) (sent bool, err error) {
	nc, err := s.dial(ctx)
	if err != nil {
		return false, fmt.Errorf("cancel on %s: %w", s.node, err)
	}
	defer nc.Close()
	if sent, err = deliver(ctx, nc, s.pid, s.secret); err != nil {
		return sent, fmt.Errorf("cancel on %s: %w", s.node, err)
	}
	return true, nil
}

// SendCancel sends a cancel request to any server, and returns when that closes the connection: it has done what it will do by then.
// It blocks, until ctx ends at most. With TLS, nobody is asked who they are.
func SendCancel(ctx context.Context, address string, mode TLSMode, pid uint32, secret []byte) error {
	w := (&Config{TLS: mode}).wiringTo("")
	nc, err := w.dial(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer nc.Close()
	_, err = deliver(ctx, nc, pid, secret)
	return err
}

// deliver writes a cancel request and waits for the server to close the connection.
func deliver(ctx context.Context, nc net.Conn, pid uint32, secret []byte) (sent bool, err error) {
	defer context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })()
	if _, err := nc.Write(pgwire.AppendCancelRequest(nil, pid, secret)); err != nil {
		return true, err
	}
	var p [1]byte
	if _, err := nc.Read(p[:]); err != nil && ctx.Err() != nil {
		return true, fmt.Errorf("the server did not confirm it: %w", ctx.Err())
	}
	return true, nil
}

func (s *serverSession) dial(ctx context.Context) (net.Conn, error) {
	if s.address.Network() == "unix" {
		return s.wiring.dial(ctx, "unix", s.node.addr)
	}
	return s.wiring.dial(ctx, s.address.Network(), s.address.String())
}
