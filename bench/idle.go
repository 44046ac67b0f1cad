package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
)

const (
	dialers     = 16 // who connect at once
	firstComers = 50 // clients that come and go before memory is looked at, so that what is made once is there
)

// crowd is clients that are connected.
type crowd struct {
	conns  []*pgcluster.Conn
	millis []float64 // how long each login took
}

// connectCrowd logs in a number of clients. Whoever has the crowd disperses it, also after an error.
func connectCrowd(ctx context.Context, url string, clients int) (*crowd, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	parts := make([]crowd, dialers)
	var group sync.WaitGroup
	for i := range parts {
		group.Go(func() {
			for range (clients + i) / dialers {
				began := time.Now()
				conn, err := pgcluster.Connect(ctx, url)
				if err != nil {
					cancel(err)
					return
				}
				parts[i].conns = append(parts[i].conns, conn)
				parts[i].millis = append(parts[i].millis, time.Since(began).Seconds()*1000)
			}
		})
	}
	group.Wait()
	var all crowd
	for _, part := range parts {
		all.conns, all.millis = append(all.conns, part.conns...), append(all.millis, part.millis...)
	}
	return &all, context.Cause(ctx)
}

// speak has each client run one query, so that it has had all that a client has that works.
func (c *crowd) speak(ctx context.Context) error {
	for _, conn := range c.conns {
		if _, err := conn.Query(ctx, "select 1"); err != nil {
			return err
		}
	}
	return nil
}

func (c *crowd) disperse() {
	var group sync.WaitGroup
	for chunk := range slices.Chunk(c.conns, len(c.conns)/dialers+1) {
		group.Go(func() {
			for _, conn := range chunk {
				conn.Close()
			}
		})
	}
	group.Wait()
}

// measureIdle lets clients log in, run one query and say nothing more, and looks at the memory of the proxy before, and some seconds after.
func measureIdle(ctx context.Context, r *run, v *server, t trial) (sample, error) {
	url := v.url(r.stage.login(t))
	first, err := connectCrowd(ctx, url, firstComers)
	if err == nil {
		err = first.speak(ctx)
	}
	first.disperse()
	if err != nil {
		return nil, err
	}
	before, err := residentOf(v.pid())
	if err != nil {
		return nil, err
	}
	usedBefore, err := useSoFar(r.stage, v)
	if err != nil {
		return nil, err
	}
	w := window{from: time.Now()}
	all, err := connectCrowd(ctx, url, t.clients)
	defer all.disperse()
	if err != nil {
		return nil, fmt.Errorf("after %d clients: %w", len(all.conns), err)
	}
	w.to = time.Now()
	used, err := useSoFar(r.stage, v)
	if err != nil {
		return nil, err
	}
	s, err := newSample(t, all.millis, w, used.since(usedBefore))
	if err != nil {
		return nil, err
	}
	if err := all.speak(ctx); err != nil {
		return nil, err
	}
	if _, _, err := measureWindow(ctx, r.stage, v, time.Duration(r.options.seconds)*time.Second); err != nil {
		return nil, err
	}
	after, err := residentOf(v.pid())
	s[memory] = float64(after-before) / 1024 / float64(t.clients)
	return s, err
}
