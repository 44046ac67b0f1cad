package cache

import (
	"context"
	"time"
)

// Back-off of a reader-side switch-off: a Redis that answers beats and keeps
// readers waiting is tried again after these, doubling.
const (
	minHold = 100 * time.Millisecond
	maxHold = 8 * time.Second
	// calm is how long L2 must have been on for the hold to start anew.
	calm = 10 * time.Second
)

// keeper is what the keeping goroutine alone knows.
type keeper struct {
	*remote
	link    *link
	known   string        // the incarnation of the last answered beat
	made    uint64        // the lost writes that it made up for
	hold    time.Duration // how long slow lasts next time
	holdEnd time.Time     // when slow may be cleared
	onSince time.Time     // when slow was last cleared
}

// keep connects, beats, and reconnects until ctx ends, then leaves.
func (r *remote) keep(ctx context.Context) {
	k := &keeper{remote: r, hold: minHold}
	defer k.leave()
	tick := time.NewTicker(r.cache.cfg.Lease / 8)
	defer tick.Stop()
	for {
		k.once(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-r.kick:
		}
	}
}

// once beats, connecting first when there is no link.
func (k *keeper) once(ctx context.Context) {
	defer k.attempted()
	fresh := k.link == nil
	if fresh {
		l, err := k.dial.connect(ctx)
		if err != nil {
			k.show(false, "cannot connect: "+err.Error())
			return
		}
		k.link = l
	}
	took, err := k.beat(ctx, fresh)
	if err != nil {
		k.drop("no answer to a beat: " + err.Error())
		return
	}
	k.down.Store(false)
	k.clearSlow(took)
	switch {
	case k.slow.Load():
		k.show(false, "slow: a lookup was not answered in time")
	case k.usable() == nil:
		k.show(false, "a write was not announced; waiting for a new incarnation")
		k.wake()
	default:
		k.show(true, "")
	}
}

// attempted lets those go who wait for the first attempt.
func (k *keeper) attempted() {
	select {
	case <-k.first:
	default:
		close(k.first)
	}
}

// beat sends one beat. A server that hides its run id might have restarted
// between two links: then every link begins a new incarnation.
func (k *keeper) beat(ctx context.Context, fresh bool) (time.Duration, error) {
	cfg := &k.cache.cfg
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cfg.OpTimeout)
	defer cancel()
	lost := k.lost.Load()
	ask := "0"
	if lost != k.made || (fresh && k.link.runID == "") {
		ask = "1"
	}
	runID := k.link.runID
	if runID == "" {
		runID = "unknown"
	}
	sent := k.sinceStart()
	answer, err := k.link.run(ctx, beatScript,
		[]string{k.incKey(), k.membersKey()},
		[]string{runID, randomToken(), k.member, millis(cfg.Lease), ask, k.known})
	if err != nil {
		return 0, err
	}
	took := time.Duration(k.sinceStart() - sent)
	k.known, k.made = answer[0], lost
	k.state.Store(&beat{link: k.link, inc: answer[0], sent: sent, lost: lost})
	if why := answer[1]; why != "" {
		k.cache.counts.voids.Add(1)
		cfg.Log.Info("cache: L2 starts anew", "database", cfg.Namespace, "reason", why)
	}
	return took, nil
}

// drop gives up the link. Writes from here on cannot be announced.
func (k *keeper) drop(reason string) {
	k.state.Store(nil)
	k.link.close()
	k.link = nil
	k.show(false, reason)
}

// clearSlow lets readers try again, when Redis answers beats as fast as readers
// need and the hold is over.
func (k *keeper) clearSlow(took time.Duration) {
	if !k.slow.Load() {
		return
	}
	now := time.Now()
	if k.holdEnd.IsZero() {
		if now.Sub(k.onSince) > calm {
			k.hold = minHold
		}
		k.holdEnd = now.Add(k.hold)
		k.hold = min(2*k.hold, maxHold)
		return
	}
	if now.Before(k.holdEnd) || took > k.cache.cfg.ReadTimeout {
		return
	}
	k.holdEnd = time.Time{}
	k.onSince = now
	k.slow.Store(false)
}

// leave takes this proxy off the list of members, so that nobody waits for it. If
// writes were not announced, what Redis holds is ended first.
func (k *keeper) leave() {
	if k.link == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), k.cache.cfg.OpTimeout)
	defer cancel()
	void := k.made != k.lost.Load()
	if err := k.link.leave(ctx, k.membersKey(), k.member, k.incKey(), void); err != nil {
		k.cache.cfg.Log.Warn("cache: could not leave Redis", "database", k.cache.cfg.Namespace, "error", err)
	}
	k.drop("closed")
}
