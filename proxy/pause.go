package proxy

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/pgdrover/pgdrover/pgwire"
)

// orders are what an operator has said of a database on the console. A reload leaves them as they are.
type orders struct {
	paused   atomic.Pointer[standstill] // nil: it is not
	disabled atomic.Bool                // nobody may log in
	waiters  waiters                    // for RESUME
}

// standstill is one PAUSE, or KILL.
type standstill struct{ since time.Time }

// Paused reports whether statements wait for RESUME.
func (d *Database) Paused() bool { return d.orders.paused.Load() != nil }

// Disabled reports whether nobody may log in.
func (d *Database) Disabled() bool { return d.orders.disabled.Load() }

// Disable has logins refused from now on, or not any more.
func (d *Database) Disable(on bool) { d.orders.disabled.Store(on) }

// Pause has new transactions wait for Resume, and returns once all that were open have ended and no idle backend is left. An open one
// may go on, on further shards too. It may block for as long as they last: if ctx ends before, the pause is taken back, unless it was
// there already.
func (d *Database) Pause(ctx context.Context, srv *Server) error {
	p := &standstill{time.Now()}
	own := d.orders.paused.CompareAndSwap(nil, p)
	if !own {
		p = d.orders.paused.Load()
	}
	err := d.untilQuiet(ctx, srv, p)
	if err == nil {
		d.cluster.Reconnect()
	} else if own {
		d.resume(p)
	}
	return err
}

// untilQuiet waits until no transaction is open. It may block.
//
// A session says first that it is about to have a backend and looks for a pause second; who pauses does it the other way round.
func (d *Database) untilQuiet(ctx context.Context, srv *Server, p *standstill) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		busy := 0
		srv.each(func(s *session) {
			if s.database() == d && s.busy() {
				busy++
			}
		})
		if busy == 0 {
			return nil
		}
		if d.orders.paused.Load() != p {
			return &pgwire.Error{Code: "57014", Message: "the pause of database \"" + d.Name() + "\" was ended by RESUME or KILL",
				Detail: fmt.Sprintf("%d transactions were open still.", busy), Hint: "say PAUSE again"}
		}
		select {
		case <-ctx.Done():
			return &pgwire.Error{Code: errCancelled.Code, Message: errCancelled.Message,
				Detail: fmt.Sprintf("%d transactions of database %q were open still.", busy, d.Name()), Hint: "SHOW DATABASES says which are paused"}
		case <-tick.C:
		}
	}
}

// Resume ends a pause, also one that waits for transactions, or what Kill began. It is an error if there is none.
func (d *Database) Resume() error {
	if p := d.orders.paused.Load(); p != nil && d.resume(p) {
		return nil
	}
	return &pgwire.Error{Code: "55000", Message: "database \"" + d.Name() + "\" is not paused", Hint: "SHOW DATABASES says which are"}
}

// resume ends one pause, if it is in force still.
func (d *Database) resume(p *standstill) bool {
	if !d.orders.paused.CompareAndSwap(p, nil) {
		return false
	}
	d.orders.waiters.wake()
	return true
}

// busy reports whether the session has a backend for a transaction, or is about to. Anyone may ask. A replication connection, which
// has no end of its own, counts only until it has its backend.
func (s *session) busy() bool {
	if s.heldBack.Load() || s.known.Load() && s.replicates {
		return false
	}
	if s.acquiring.Load() {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.links) > 0 && ClientState(s.state.Load()) != ClientIdle
}

// mayBegin says that the session is about to use a backend, and waits while its database is paused, unless it has begun already. The
// caller says when it has the backend.
func (s *session) mayBegin() *pgwire.Error {
	for {
		s.acquiring.Store(true)
		if s.db.orders.paused.Load() == nil || s.begun() {
			return nil
		}
		s.acquiring.Store(false)
		if e := s.awaitResume(); e != nil {
			return e
		}
	}
}

// begun reports whether a backend is in use for the statement or transaction in hand.
func (s *session) begun() bool {
	for _, l := range s.links {
		if l.hold == 0 || l.status != 'I' || l.busy() || l.replies.open {
			return true
		}
	}
	return false
}

// awaitResume waits until the database is not paused any more, for as long as it would wait for a backend.
func (s *session) awaitResume() *pgwire.Error {
	o := &s.db.orders
	o.waiters.enter(s)
	s.cancelled.Store(false)
	s.heldBack.Store(true)
	began, limit := s.beginWait(), s.db.cluster.Wait()
	if own := s.limits.Load().QueryWait; own > 0 {
		limit = min(limit, own)
	}
	defer func() {
		s.heldBack.Store(false)
		s.waiting.Store(false)
		o.waiters.leave(s)
		s.timing.waited += s.t.Now().Sub(began)
	}()
	for p := o.paused.Load(); p != nil; p = o.paused.Load() {
		switch {
		case s.cancelled.Swap(false):
			return errCancelled
		case s.cut.Load() || s.draining.Load(): // nobody will resume it
			return errShutdown
		case s.t.Wait(began.Add(limit)):
			return &pgwire.Error{Code: "57P03", Message: fmt.Sprintf("database %q is paused, and has been for %s", s.db.Name(), time.Since(p.since).Round(time.Millisecond)),
				Hint: "An operator paused it on PgDrover's console: try again when it was resumed."}
		}
	}
	return nil
}

// errDisabled is PostgreSQL's error for a database that takes no connections.
func errDisabled(name string) *pgwire.Error {
	return &pgwire.Error{Code: "55000", Message: "database \"" + name + "\" is not currently accepting connections",
		Hint: "An operator disabled it on PgDrover's console: ENABLE lets clients in."}
}
