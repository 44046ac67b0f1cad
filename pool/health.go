package pool

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"
)

// probeSQL asks for the role and the WAL position: replayed on a replica, inserted on a primary.
const probeSQL = `SELECT pg_catalog.pg_is_in_recovery(),
 CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_insert_lsn() END`

// health is what a probe has found.
type health struct {
	at       time.Time // zero: never
	recovery bool      // pg_is_in_recovery
	lsn      string
	took     time.Duration
	login    bool // it showed that one can log in
}

// watch probes a node, one probe at a time, until ctx ends.
func (n *Node) watch(ctx context.Context) {
	var conn *control
	defer func() {
		if conn != nil {
			conn.close()
		}
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.check:
		case <-timer.C:
		}
		start := time.Now()
		var h health
		var err error
		conn, h, err = n.probe(ctx, conn, n.troubled())
		if ctx.Err() != nil {
			return
		}
		n.probed(start, h, err)
		every := n.cluster.cfg.ProbeEvery
		timer.Reset(every*9/10 + rand.N(every/5+1))
	}
}

// probe asks once over the connection that is kept, and over a new one if that is broken or there is none; with login it also
// tries to log in once more. It returns the connection to keep.
func (n *Node) probe(ctx context.Context, conn *control, login bool) (*control, health, error) {
	ctx, cancel := context.WithTimeout(ctx, n.cluster.cfg.ProbeTimeout)
	defer cancel()
	if conn != nil {
		h, err := conn.probe(ctx)
		if err == nil {
			h.login = login && n.canLogIn(ctx)
			return conn, h, nil
		}
		conn.close()
		if ctx.Err() != nil {
			return nil, h, fmt.Errorf("no answer within %s", n.cluster.cfg.ProbeTimeout)
		}
	}
	conn, err := n.openControl(ctx)
	if err != nil {
		return nil, health{}, err
	}
	h, err := conn.probe(ctx)
	h.login = true
	if err != nil {
		conn.close()
		return nil, h, err
	}
	return conn, h, nil
}

// canLogIn logs in and out again.
func (n *Node) canLogIn(ctx context.Context) bool {
	conn, err := n.openControl(ctx)
	if err == nil {
		conn.close()
	}
	return err == nil
}

// troubled reports whether something is wrong with the node, be it up or not.
func (n *Node) troubled() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.trouble != nil
}

func (c *control) probe(ctx context.Context) (health, error) {
	start := time.Now()
	rows, err := c.run(ctx, probeSQL)
	if err != nil {
		return health{}, err
	}
	if len(rows.Rows) != 1 || len(rows.Columns) != 2 {
		return health{}, errors.New("the answer to a probe is not one row of two columns")
	}
	row := rows.Rows[0]
	return health{at: start, recovery: string(row[0]) == "t", lsn: string(row[1]), took: time.Since(start)}, nil
}

// probed takes note of a probe's outcome.
func (n *Node) probed(start time.Time, h health, err error) {
	if err == nil {
		n.wellProbed(h)
		return
	}
	var login *Error
	if errors.As(err, &login) && login.cause != nil {
		err = login.cause
	}
	f := n.faultOf(err)
	if f.patient && !f.down {
		return // it lives, and is full
	}
	f.down = true
	n.fall(f, start)
	for _, own := range n.cluster.poolsOn(n) {
		own.fall(f, start)
	}
}

// fall takes note that the server was found to be down by an attempt that began at start.
func (n *Node) fall(f fault, start time.Time) {
	n.mu.Lock()
	wake := n.failed(f, start)
	n.mu.Unlock()
	wakeAll(wake)
}

// rise takes note for the pool of a login that the server was found to be up. Whether the login is good it does not say: one that was
// refused is tried again after a while, since a replica hears of roles and passwords later than its primary.
func (n *Node) rise() {
	now := time.Now()
	n.mu.Lock()
	after := n.markUp(now)
	if t := n.trouble; t != nil && (t.down || now.Sub(t.since) > n.cluster.forgive) {
		n.refusal.Store(nil)
		n.mended()
	}
	n.mu.Unlock()
	after()
}

// poolsOn are the pools of logins on a node.
func (c *Cluster) poolsOn(n *Node) []*Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Values(n.users))
}

func (n *Node) wellProbed(h health) {
	role := n.Role()
	n.mu.Lock()
	changed := n.health.at.IsZero() || n.health.recovery != h.recovery
	n.health = h
	after := n.markUp(time.Now())
	if n.trouble != nil && (n.trouble.down || h.login) {
		n.mended()
	}
	n.mu.Unlock()
	after()
	for _, own := range n.cluster.poolsOn(n) {
		own.rise()
	}
	if wrong := h.recovery != (role == Replica); wrong && changed {
		n.cluster.cfg.Log.Warn("node is not what the shard map says", "node", n.String(), "in_recovery", h.recovery)
	}
}
