package proxy

import (
	"context"
	"sync"
	"time"
)

// cancelTime bounds how long a cancel request is worked on, the wait for its turn included.
const cancelTime = 10 * time.Second

// cancelDesk bounds what cancel requests cost, however many there are: so many are worked on at once, one for each target, and so
// many connections wait. Requests for one target that have not been begun are one: the server is told once for all of them.
type cancelDesk struct {
	turns chan struct{} // room for what is worked on
	limit int           // of waiting

	mu      sync.Mutex // guards what follows
	waiting int        // connections whose request is worked on, or has not been begun
	targets map[any]*cancelTurns
}

// cancelTurns are the requests for one target; it is on the desk as long as there are any.
type cancelTurns struct {
	running, next *cancelJob // nil: there is none
}

// cancelJob is one or more requests that are carried out as one.
type cancelJob struct{ done chan struct{} } // closed when it is over

func (d *cancelDesk) init(atOnce, waiting int) {
	d.turns, d.limit, d.targets = make(chan struct{}, atOnce), waiting, map[any]*cancelTurns{}
}

// load is how many targets are worked on, and how many connections wait, those of the former included.
func (d *cancelDesk) load() (working, waiting int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.turns), d.waiting
}

// sessions counts the targets that are sessions, by their pool: those that are worked on, and those with a request that has not begun.
func (d *cancelDesk) sessions() map[PoolKey]CancelLoad {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := map[PoolKey]CancelLoad{}
	for target, t := range d.targets {
		s, ok := target.(*session)
		if !ok {
			continue
		}
		if !s.known.Load() {
			continue // it is about to be told its key
		}
		key := PoolKey{s.databaseName, s.backendUser()}
		load := all[key]
		if t.running != nil {
			load.Working++
		}
		if t.next != nil {
			load.Waiting++
		}
		all[key] = load
	}
	return all
}

// PoolKey is a database, and the user that sessions of it have their backends logged in as; that is empty for the console.
type PoolKey struct{ Database, User string }

// CancelLoad is how many sessions are being cancelled, and for how many a request waits.
type CancelLoad struct{ Working, Waiting int }

// Cancels are the cancel requests for sessions of this proxy that are on its desk, by their pool.
func (s *Server) Cancels() map[PoolKey]CancelLoad { return s.cancels.sessions() }

// carryOut has work done for a target and returns when it was done, be it for this request or for several at once. It is false for
// a request that was dropped, since too many wait or its time is over. It may block, for cancelTime at most; work is given that
// time.
//
// A request joins one that has not been begun, never one that has: that may have reached the server before the statement began
// which this request is about.
func (d *cancelDesk) carryOut(target any, work func(context.Context)) bool {
	ctx, stop := context.WithTimeout(context.Background(), cancelTime)
	defer stop()
	job, before, first := d.enter(target)
	if job == nil {
		return false
	}
	defer d.leave()
	if !first {
		return job.over(ctx)
	}
	defer d.finish(target, job)
	if before != nil && !before.over(ctx) {
		return false
	}
	select {
	case d.turns <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	defer func() { <-d.turns }()
	d.begin(target, job)
	work(ctx)
	return true
}

// over waits until the job is over. It may block, until ctx ends at most.
func (j *cancelJob) over(ctx context.Context) bool {
	select {
	case <-j.done:
		return true
	case <-ctx.Done():
		return false
	}
}

// enter finds or makes the job that a request is part of, and what is worked on for the target now; first says that the caller is
// to carry the job out. job is nil when there is no room.
func (d *cancelDesk) enter(target any) (job, before *cancelJob, first bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waiting >= d.limit {
		return nil, nil, false
	}
	d.waiting++
	t := d.targets[target]
	if t == nil {
		t = &cancelTurns{}
		d.targets[target] = t
	}
	if t.next == nil {
		t.next, first = &cancelJob{make(chan struct{})}, true
	}
	return t.next, t.running, first
}

func (d *cancelDesk) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waiting--
}

// begin says that the job is worked on from now on: requests that come later are not part of it.
func (d *cancelDesk) begin(target any, job *cancelJob) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.targets[target]
	t.running, t.next = job, nil
}

// finish says that the job is over, whatever came of it.
func (d *cancelDesk) finish(target any, job *cancelJob) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.targets[target]
	if t.running == job {
		t.running = nil
	}
	if t.next == job {
		t.next = nil
	}
	if t.running == nil && t.next == nil {
		delete(d.targets, target)
	}
	close(job.done)
}
