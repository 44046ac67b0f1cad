package proxy

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/pgdrover/pgdrover/internal/task"
	"github.com/pgdrover/pgdrover/pgwire"
)

// errand runs f beside the session and waits for it. What f is given ends when the client cancels or leaves, or when the session is to
// end; f has to come back soon after that. What f returns is the session's to tell.
func (s *session) errand(f func(context.Context) (Table, error)) (table Table, err error) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	s.cancelled.Store(false)
	var done atomic.Bool
	s.srv.background.Go(func() {
		defer s.t.Wake()
		defer done.Store(true)
		defer func() {
			if p := recover(); p != nil {
				s.srv.metrics.Panics.Add(1)
				s.log().Error("a statement of the console failed", "panic", p)
				err = &pgwire.Error{Code: "XX000", Message: "internal error of PgDrover", Hint: "please report it with PgDrover's log of this moment"}
			}
		}()
		table, err = f(ctx)
	})
	_ = s.client.Flush()
	for !done.Load() {
		if s.cancelled.Load() || s.cut.Load() || s.draining.Load() || s.client.ReadErr() != nil {
			stop()
		}
		var on []task.Interest
		if s.client.ReadErr() == nil && len(s.client.Buffered()) < queueLimit {
			s.client.Reserve(len(s.client.Buffered()) + 1<<10)
			on = append(on, task.Reading(s.client))
		}
		s.t.Wait(time.Time{}, on...)
	}
	return table, err
}
