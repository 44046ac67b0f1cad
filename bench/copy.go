package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

const (
	copyOut = "COPY documents TO STDOUT"
	copyIn  = "COPY incoming FROM STDIN WHERE id < 0"
)

// measureCopyOut has clients read a table by COPY again and again.
func measureCopyOut(ctx context.Context, r *run, v *server, t trial) (sample, error) {
	return measureStreams(ctx, r, v, t, func(ctx context.Context, conn *pgconn.PgConn, moved *atomic.Int64) error {
		_, err := conn.CopyTo(ctx, counter{moved}, copyOut)
		return err
	})
}

// measureCopyIn has clients send as much by COPY again and again.
func measureCopyIn(ctx context.Context, r *run, v *server, t trial) (sample, error) {
	var lines strings.Builder
	for i := range documentRows {
		fmt.Fprintf(&lines, "%d\t%s\n", i, strings.Repeat("x", documentBytes))
	}
	text := lines.String()
	return measureStreams(ctx, r, v, t, func(ctx context.Context, conn *pgconn.PgConn, moved *atomic.Int64) error {
		_, err := conn.CopyFrom(ctx, io.TeeReader(strings.NewReader(text), counter{moved}), copyIn)
		return err
	})
}

// counter counts what is written to it.
type counter struct{ bytes *atomic.Int64 }

func (c counter) Write(p []byte) (int, error) {
	c.bytes.Add(int64(len(p)))
	return len(p), nil
}

// measureStreams has each client repeat once until the time is over, a second of which passes before it is measured.
func measureStreams(ctx context.Context, r *run, v *server, t trial, once func(context.Context, *pgconn.PgConn, *atomic.Int64) error) (sample, error) {
	ctx, cancel := context.WithCancel(ctx)
	var moved atomic.Int64
	var over atomic.Bool
	errs := make([]error, t.clients)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	for i := range errs {
		group.Go(func() { errs[i] = stream(ctx, v.url(r.stage.login(t)), &over, &moved, once) })
	}
	if _, _, err := measureWindow(ctx, r.stage, v, time.Second); err != nil {
		return nil, err
	}
	before := moved.Load()
	w, used, err := measureWindow(ctx, r.stage, v, time.Duration(r.options.seconds)*time.Second)
	bytes := moved.Load() - before
	over.Store(true)
	group.Wait()
	if err := errors.Join(err, errors.Join(errs...)); err != nil {
		return nil, err
	}
	if bytes == 0 {
		return nil, errors.New("nothing was moved")
	}
	s := sample{}
	s.bulk(float64(bytes), w.seconds(), used)
	return s, nil
}

// stream is one client.
func stream(ctx context.Context, url string, over *atomic.Bool, moved *atomic.Int64, once func(context.Context, *pgconn.PgConn, *atomic.Int64) error) error {
	conn, err := pgconn.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for !over.Load() {
		if err := once(ctx, conn, moved); err != nil {
			return err
		}
	}
	return nil
}
