package pool

import (
	"time"

	"github.com/pgdrover/pgdrover/internal/task"
)

// requestState is where a request is between Acquire and Take.
type requestState uint8

const (
	stateIdle      requestState = iota // nothing is asked for
	stateWaiting                       // in a node's queue
	stateGranted                       // a backend is there to be taken
	stateFailed                        // an error is
	stateDisplaced                     // the node went down: Take asks another
)

// Waker is somebody who is told that there is something to look at: a session's task is one. Wake is called from any goroutine, must not block, and
// must not call into this package. It may come once more after the request was cancelled or has begun to wait again: Take knows.
type Waker interface{ Wake() }

// Request is what a session asks with, and what it is known by as the holder of backends. It has one Request for its whole
// life; the zero Request with Notify set is ready. It waits for one backend at a time, also while it holds others.
//
// The fields are set by the session, and not while it waits. Its methods are for the session alone.
type Request struct {
	// Notify tells the session to call Take.
	Notify Waker
	// Affinity is the Backend.Affinity that is preferred among idle backends; 0 prefers none. Where none has it, one of the same
	// Likeness is the next best; again 0 prefers none.
	Affinity, Likeness uint64
	// Task is the session's: among idle backends that are as good as each other, those are preferred that wait in its loop; nil has no loop.
	Task *task.Task
	// Exclude is passed over when a replica is chosen, such as one that has just failed this session; nil is none.
	Exclude *Node
	// Wait is how long it may wait, where that is less than Config.Wait; 0 is no limit of its own.
	Wait time.Duration

	topology *Topology
	shard    int
	role     Role
	node     *Node // the node waited for; nil when not waiting

	// The rest belongs to the waiting line and is guarded by node.mu.
	state      requestState
	granted    *Backend
	err        error
	since      task.Moment // 0 until it first waits
	deadline   time.Time
	prev, next *Request
}

// now is the time, for the session that r is of.
func (r *Request) now() task.Moment {
	if r.Task != nil {
		return r.Task.Moment()
	}
	return task.MomentOf(time.Now())
}

// Take is the outcome of a wait: a backend or an error; done is false while there is neither.
func (r *Request) Take() (b *Backend, err error, done bool) {
	n := r.node
	if n == nil {
		return nil, nil, false
	}
	n.mu.Lock()
	state := r.state
	if state == stateWaiting {
		n.mu.Unlock()
		return nil, nil, false
	}
	b, err = r.granted, r.err
	r.state, r.granted, r.err = stateIdle, nil, nil
	n.mu.Unlock()
	r.node = nil
	switch {
	case state == stateIdle:
		return nil, nil, false
	case state == stateFailed:
		return nil, err, true
	case state == stateGranted && b.quiet():
		return b, nil, true
	case state == stateGranted:
		b.drop(reasonDied)
	}
	b, err = r.topology.acquire(r)
	return b, err, b != nil || err != nil
}

// Cancel ends the wait, if there is one. A backend that was granted meanwhile goes to whoever waits next.
func (r *Request) Cancel() { _ = r.leave() }

// Deadline is when the wait is over; the zero time when there is none.
func (r *Request) Deadline() time.Time {
	if r.node == nil {
		return time.Time{}
	}
	return r.deadline
}

// How well an idle backend suits a request: the sum of these.
const (
	suitsNear     = 1 << iota // it is told of by the loop of the request's task
	suitsLikeness             // it has the likeness that is preferred
	suitsAffinity             // it has the affinity that is preferred
)

// suits says how well b, which is idle, suits r. With the node's mu held.
func (r *Request) suits(b *Backend) (sum int) {
	if r.Affinity != 0 && b.Affinity == r.Affinity {
		sum += suitsAffinity
	}
	if r.Likeness != 0 && b.Likeness == r.Likeness {
		sum += suitsLikeness
	}
	if r.Task != nil && r.Task.Near(b.Conn) {
		sum += suitsNear
	}
	return sum
}

// best reports whether b, which is idle, suits r so well that there is no need to look for a better one. With the node's mu held.
func (r *Request) best(b *Backend) bool {
	switch {
	case r.Affinity != 0:
		if b.Affinity != r.Affinity {
			return false
		}
	case r.Likeness != 0 && b.Likeness != r.Likeness:
		return false
	}
	return r.Task == nil || r.Task.Near(b.Conn)
}

// patience is how long r may wait.
func (r *Request) patience(l *limits) time.Duration {
	if r.Wait > 0 {
		return min(r.Wait, l.wait)
	}
	return l.wait
}

// Expire ends a wait that has taken too long, as Cancel does, and returns the *Error for it: that no backend became free, or
// what keeps the node from giving any. It is nil only if there was no wait.
func (r *Request) Expire() error {
	n := r.node
	if n == nil {
		return nil
	}
	failure := r.leave()
	if failure != nil {
		return failure
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.counts.Timeouts++
	if t := n.trouble; t != nil && (len(n.all) == 0 || !n.up.Load()) {
		return t.err
	}
	return n.waitedTooLong(r, n.cluster.limits.Load())
}

// leave ends the wait and returns the error that it had come to, if it had.
func (r *Request) leave() error {
	n := r.node
	if n == nil {
		return nil
	}
	r.node = nil
	n.mu.Lock()
	state, b, failure := r.state, r.granted, r.err
	r.state, r.granted, r.err = stateIdle, nil, nil
	if state == stateWaiting {
		n.queue.remove(r)
		n.published()
	}
	if state != stateGranted {
		n.mu.Unlock()
		return failure
	}
	wake, closing := n.give(b, task.MomentOf(time.Now()))
	n.mu.Unlock()
	b.given(wake, closing)
	return nil
}
