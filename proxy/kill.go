package proxy

import (
	"context"
	"fmt"
	"time"

	"github.com/pgdrover/pgdrover/internal/task"
	"github.com/pgdrover/pgdrover/pgwire"
)

// Kill ends all sessions of the database at once, whatever they do, closes its backends, and has statements of new ones wait for
// Resume. It returns once the sessions are gone. It may block, for as long as killTime.
func (d *Database) Kill(ctx context.Context, srv *Server) error {
	d.orders.paused.Store(&standstill{time.Now()}) // a PAUSE that waits is told, since it is not its own
	var ended []*session
	srv.each(func(s *session) {
		if s.database() == d {
			s.kill()
			ended = append(ended, s)
		}
	})
	d.cluster.Reconnect()
	return srv.untilGone(ctx, ended)
}

// KillClient cancels what the session with a process id runs, and ends it. It returns once it is gone. It may block, for as long as
// killTime.
func (s *Server) KillClient(ctx context.Context, pid uint32) error {
	ss := s.keys.session(pid)
	if ss == nil {
		return &pgwire.Error{Code: "42704", Message: fmt.Sprintf("there is no client %d", pid), Hint: "SHOW CLIENTS lists them by id"}
	}
	ss.stops.Store(true)
	ss.kill()
	return s.untilGone(ctx, []*session{ss})
}

// killTime is how long sessions may take to end that were killed.
const killTime = 10 * time.Second

// untilGone waits for the end of sessions. It may block, for killTime at most.
func (s *Server) untilGone(ctx context.Context, ended []*session) error {
	ctx, stop := context.WithTimeout(ctx, killTime)
	defer stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		left := s.present(ended)
		if left == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return &pgwire.Error{Code: "57014", Message: fmt.Sprintf("%d of %d clients have been killed and are not gone yet", left, len(ended)),
				Hint: "SHOW CLIENTS lists those that are left"}
		case <-tick.C:
		}
	}
}

// present counts the sessions that have not ended.
func (s *Server) present(list []*session) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, ss := range list {
		if ss.seat.taken {
			n++
		}
	}
	return n
}

// kill has the session end where it is. Anyone may call it.
func (s *session) kill() {
	s.killed.Store(true)
	s.drain(true)
}

// farewell tells a client that was killed why its session ends, unless it is in the middle of a message.
func (s *session) farewell() {
	if !s.killed.Load() {
		return
	}
	if s.stops.Load() {
		s.stopBackends()
	}
	if s.dismissed || s.client.WriteErr() != nil {
		return
	}
	for _, l := range s.links {
		if l.rest > 0 && !l.restSkip {
			return
		}
	}
	s.fatal(errShutdown.Code, errShutdown.Message, "")
}

// stopTime is how long a statement is given to end when it is cancelled, before its connection is closed, which it would outlive.
const stopTime = 2 * time.Second

// stopBackends cancels what backends run for the session, again and again until it is over: a server that has not begun a statement
// yet ignores the request.
func (s *session) stopBackends() {
	ctx, done := context.WithTimeout(context.Background(), stopTime)
	defer done()
	for ctx.Err() == nil && s.client.Pending() <= queueLimit {
		busy := s.busyLinks()
		if len(busy) == 0 {
			return
		}
		s.t.Await(func() {
			for _, l := range busy {
				_ = l.backend.Cancel(ctx, &l.req) // it is repeated
			}
		})
		on := make([]task.Interest, 0, len(busy))
		for _, l := range busy {
			on = append(on, task.Interest{Conn: l.conn, Read: true, Write: l.conn.Pending() > 0})
		}
		s.t.Wait(time.Now().Add(stopTime/40), on...)
		for _, l := range busy {
			s.pump(l)
		}
	}
}

// busyLinks are the links with replies outstanding.
func (s *session) busyLinks() []*link {
	var busy []*link
	for _, l := range s.links {
		if l.busy() && l.lost == nil {
			busy = append(busy, l)
		}
	}
	return busy
}
