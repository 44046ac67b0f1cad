package pool

import (
	"context"
	"errors"

	"github.com/pgdrover/pgdrover/internal/task"
)

// errElsewhere says that a node was not able to serve after all.
var errElsewhere = errors.New("choose another node")

// takeOrQueue gives r an idle backend or queues it. With a choice of nodes it is errElsewhere if this one is not able to serve.
func (n *Node) takeOrQueue(r *Request, choice bool) (*Backend, error) {
	for {
		n.mu.Lock()
		if len(n.idle) == 0 {
			err := n.enqueue(r, choice)
			n.mu.Unlock()
			return nil, err
		}
		b := n.takeIdle(r)
		b.state, b.holder = held, r
		if r.since == 0 {
			n.counts.Waits[0]++
		} else {
			n.counts.waited(r.now().Sub(r.since)) // elsewhere
		}
		n.shift(1)
		n.mu.Unlock()
		if b.Conn.Quiet() || b.quiet() {
			return b, nil
		}
		b.drop(reasonDied)
	}
}

// enqueue has r wait, or says why it can not. With n.mu held.
func (n *Node) enqueue(r *Request, choice bool) error {
	at := r.now()
	now := at.Time()
	l := n.cluster.limits.Load()
	switch {
	case n.closed:
		return n.gone()
	case choice && !n.able.Load():
		return errElsewhere
	case n.hopeless(now) && (!n.up.Load() || now.Before(n.retryAt)):
		n.counts.Failed++
		return n.trouble.err
	case n.queue.len >= l.maxWaiting:
		n.counts.Rejected++
		return n.queueFull(l.maxWaiting)
	}
	if r.since == 0 {
		r.since, r.deadline = at, now.Add(r.patience(l))
	}
	r.node, r.state = n, stateWaiting
	n.queue.insert(r)
	n.published()
	n.attend()
	if n.trouble != nil || len(n.all)+n.dialing < l.size {
		ring(n.kick)
	}
	return nil
}

// attend starts the keeper of a login's pool when it is first needed. With n.mu held, and n not closed.
func (n *Node) attend() {
	if n.owner == nil || n.kept {
		return
	}
	n.kept = true
	ctx, stop := context.WithCancel(context.Background())
	n.stop = stop
	n.cluster.group.Go(func() { n.keep(ctx) })
}

// takeIdle takes the idle backend that suits r best, of several the one that was used last. There is one. With n.mu held.
func (n *Node) takeIdle(r *Request) *Backend {
	top := len(n.idle) - 1
	if !r.best(n.idle[top]) {
		n.raise(r)
	}
	b := n.idle[top]
	n.idle = n.idle[:top]
	return b
}

// raise brings the idle backend that suits r best to the top. With n.mu held.
func (n *Node) raise(r *Request) {
	top := len(n.idle) - 1
	at, most := top, -1
	for i := top; i >= 0; i-- {
		if s := r.suits(n.idle[i]); s > most {
			at, most = i, s
		}
		if r.best(n.idle[i]) {
			break
		}
	}
	b := n.idle[at]
	copy(n.idle[at:], n.idle[at+1:])
	n.idle[top] = b
}

// give passes on a backend that nobody holds: to the oldest waiter, else to the idle ones, else, when it is not to be kept,
// to nobody. What it returns is for b.given, after n.mu, which the caller holds, is released.
func (n *Node) give(b *Backend, now task.Moment) (wake Waker, closing bool) {
	if n.strict || b.spoilt != "" || b.old(now) {
		if reason := n.unfit(b, now); reason != "" {
			n.forget(b, reason)
			n.published()
			return nil, true
		}
	}
	n.shift(-1)
	if n.queue.len > 0 {
		r := n.queue.pop()
		r.state, r.granted = stateGranted, b
		b.state, b.holder = held, r
		n.counts.waited(now.Sub(r.since))
		return r.Notify, false
	}
	b.state, b.holder, b.idleSince = idle, nil, now
	n.idle = append(n.idle, b)
	return nil, false
}

// old reports whether b has had its lifetime.
func (b *Backend) old(now task.Moment) bool { return b.expires != 0 && now > b.expires }

// unfit says why b is not to be kept; empty when it is. A reason that is the node's and no backend's is looked for only where strict says so.
func (n *Node) unfit(b *Backend, now task.Moment) string {
	switch {
	case b.spoilt != "":
		return b.spoilt
	case b.old(now):
		return reasonLifetime
	case n.closed:
		return reasonShutdown
	case n.refused():
		return reasonRefused
	case !n.retired.IsZero() && n.queue.len == 0:
		return reasonRemoved
	case n.drained && n.queue.len == 0 && n.Role() == Replica:
		return reasonDrained
	case !n.renewed.IsZero() && b.born.Before(n.renewed):
		return reasonRenewed
	case len(n.all)+n.dialing > n.cluster.limits.Load().size:
		return reasonShrunk
	}
	return ""
}

// judged notes whether unfit may have a reason of the node's. With n.mu held; whoever makes it so says it at once, and sweep finds out when it is over, but
// for Reconnect: that all backends are new is found out of each.
func (n *Node) judged() {
	n.strict = n.owner != nil || n.closed || !n.retired.IsZero() || n.drained || !n.renewed.IsZero() || len(n.all)+n.dialing > n.cluster.limits.Load().size
}

// closing reports whether b is to be closed as soon as nobody holds it, other than by its nature. With n.mu held.
func (n *Node) closing(b *Backend, now task.Moment) bool {
	switch {
	case b.state == apart:
		return false
	case b.spoilt == reasonOwn:
		return b.born.Before(n.renewed)
	}
	return n.unfit(b, now) != ""
}

// forget ends b, which is not among the idle ones; the caller closes it once n.mu is released.
func (n *Node) forget(b *Backend, reason string) {
	b.state, b.holder = dead, nil
	delete(n.all, b)
	n.counts.destroyed(reason)
	if n.queue.len > 0 {
		ring(n.kick)
	}
	n.cluster.lost()
}

// shift tells the policy that more is in flight, or less, than before. With n.mu held.
func (n *Node) shift(more int64) {
	n.load += more
	n.inFlight.Add(more)
}

// loaded tells the policy how much is in flight. With n.mu held, after each change of that which shift has not been told.
func (n *Node) loaded() {
	load := int64(len(n.all) - len(n.idle) + n.queue.len)
	if more := load - n.load; more != 0 {
		n.shift(more)
	}
}

// published tells the policy whether reads may be sent here, too. With n.mu held, after each change.
func (n *Node) published() {
	n.loaded()
	if able := n.up.Load() && !n.drained && (n.trouble == nil || len(n.all) > 0); able != n.able.Load() {
		n.able.Store(able)
	}
}

// failAll ends every wait with err and returns whom to notify. With n.mu held.
func (n *Node) failAll(err *Error) []func() {
	var wake []func()
	for r := n.queue.pop(); r != nil; r = n.queue.pop() {
		r.state, r.err = stateFailed, err
		n.counts.Failed++
		wake = append(wake, r.Notify.Wake)
	}
	n.published()
	return wake
}

func wakeAll(wake []func()) {
	for _, notify := range wake {
		notify()
	}
}
