package pool

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/pgdrover/pgdrover/internal/task"
)

const (
	maxDials   = 4 // at a time, for each node
	firstPause = 50 * time.Millisecond
	maxPause   = time.Second
)

// keep starts dials for a node as long as there are requests that no backend will serve otherwise. It runs until ctx ends.
func (n *Node) keep(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		dials, pause, wake := n.plan(time.Now())
		wakeAll(wake)
		for range dials {
			n.cluster.group.Go(func() { n.dialOne(ctx) })
		}
		timer.Reset(pause)
		select {
		case <-ctx.Done():
			return
		case <-n.kick:
		case <-timer.C:
		}
	}
}

// plan decides how many dials to start now, and when to look again if nobody kicks. It ends waits that are in vain.
func (n *Node) plan(now time.Time) (dials int, pause time.Duration, wake []func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	wake = n.displace()
	if n.hopeless(now) && (!n.up.Load() || now.Before(n.retryAt)) {
		wake = append(wake, n.failAll(n.trouble.err)...)
	}
	dials = n.dialsNeeded(now)
	n.dialing += dials
	pause = time.Hour
	if n.queue.len == 0 {
		return dials, pause, wake
	}
	if now.Before(n.retryAt) {
		pause = n.retryAt.Sub(now)
	}
	if n.trouble != nil && n.trouble.patient {
		if left := n.trouble.since.Add(n.cluster.cfg.ConnectTimeout).Sub(now); left > 0 {
			pause = min(pause, left)
		}
	}
	return dials, pause, wake
}

// dialsNeeded is one for each request that waits and that no dial is under way for, within the limits; while a node is in
// trouble one dial at a time is enough to find out.
func (n *Node) dialsNeeded(now time.Time) int {
	if n.closed || now.Before(n.retryAt) {
		return 0
	}
	atOnce := maxDials
	if n.trouble != nil {
		atOnce = 1
	}
	size := n.cluster.limits.Load().size
	return max(0, min(n.queue.len-n.dialing, atOnce-n.dialing, size-len(n.all)-n.dialing))
}

// dialOne makes one backend and gives it to whoever waits longest.
func (n *Node) dialOne(ctx context.Context) {
	start := time.Now()
	attempt, cancel := context.WithTimeout(ctx, n.cluster.cfg.ConnectTimeout)
	defer cancel()
	b, err := n.dial(attempt)
	if err != nil {
		n.dialFailed(ctx, start, err)
		return
	}
	now := time.Now()
	n.mu.Lock()
	n.dialing--
	n.counts.Dials++
	n.all[b] = struct{}{}
	n.cluster.live.Add(1)
	after := n.markUp(now)
	n.mended()
	n.judged()
	wake, closing := n.give(b, task.MomentOf(now))
	n.mu.Unlock()
	b.given(wake, closing)
	after()
}

func (n *Node) dialFailed(ctx context.Context, start time.Time, err error) {
	f := n.faultOf(err)
	now := time.Now()
	n.mu.Lock()
	n.dialing--
	if ctx.Err() != nil { // the node is being given up: it is not to blame
		n.mu.Unlock()
		return
	}
	n.counts.Dials++
	n.counts.DialErrors++
	first := n.trouble == nil
	if !now.Before(n.retryAt) {
		n.retryAt = now.Add(backoff(n.failures))
		n.failures++
	}
	wake := n.failed(f, start)
	n.mu.Unlock()
	ring(n.kick)
	wakeAll(wake)
	if n.owner != nil && f.patient && !f.down {
		n.cluster.makeRoom(n)
	}
	if first {
		n.cluster.cfg.Log.Warn("dial failed", "node", n.String(), "error", f.err.Message)
	}
}

// makeRoom closes the backend of another login that has been idle for longest on the node of a pool, which had no room for another one.
func (c *Cluster) makeRoom(n *Node) {
	var from *Node
	var since task.Moment
	for _, own := range c.poolsOn(n.of) {
		if at, ok := own.idlest(); ok && own != n && (from == nil || at < since) {
			from, since = own, at
		}
	}
	if from == nil {
		return
	}
	if b := from.takeIdlest(); b != nil {
		b.terminate()
	}
}

// idlest is since when the backend has been idle that has been for longest; ok is false when none is.
func (n *Node) idlest() (since task.Moment, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.idle) == 0 {
		return 0, false
	}
	return n.idle[0].idleSince, true
}

// takeIdlest takes that backend out of the pool; nil when there is none.
func (n *Node) takeIdlest() *Backend {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.idle) == 0 {
		return nil
	}
	b := n.idle[0]
	n.idle = slices.Delete(n.idle, 0, 1)
	n.forget(b, reasonRoom)
	n.published()
	return b
}

// backoff is the pause after a number of failures before the last one, give or take a fifth.
func backoff(failures int) time.Duration {
	pause := min(firstPause<<min(failures, 10), maxPause)
	return pause*4/5 + rand.N(pause*2/5)
}
