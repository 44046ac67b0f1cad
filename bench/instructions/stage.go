//go:build linux && (amd64 || arm64)

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
)

// stage is what PgDrover is stepped through on: a PostgreSQL server with pgbench's tables, and the programs. Whoever started it stops it.
type stage struct {
	options options
	cluster *pgcluster.Cluster
	dir     string // for files; it ends with the stage
	program string // PgDrover's
	symbols *symbols
	pgbench string
}

// startStage builds PgDrover if it has to, starts PostgreSQL and fills it.
func startStage(ctx context.Context, o options, progress io.Writer) (*stage, error) {
	bin, err := pgcluster.FindBinaries(ctx)
	if err != nil {
		return nil, err
	}
	s := &stage{options: o, program: o.pgdrover}
	if s.pgbench, err = bin.Pgbench(); err != nil {
		return nil, err
	}
	settings := map[string]string{"autovacuum": "off", "max_connections": fmt.Sprint(100 + o.clients)}
	if s.cluster, err = pgcluster.Start(ctx, pgcluster.Config{Settings: settings, Log: progress}); err != nil {
		return nil, err
	}
	s.dir = filepath.Join(s.cluster.Dir, "instructions")
	if err := s.prepare(ctx, progress); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

func (s *stage) stop() error { return s.cluster.Stop(context.Background()) }

// prepare makes the program and the tables.
func (s *stage) prepare(ctx context.Context, progress io.Writer) (err error) {
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		return fmt.Errorf("prepare the stage: %w", err)
	}
	if s.program == "" {
		fmt.Fprintln(progress, "building PgDrover")
		s.program = filepath.Join(s.dir, "pgdrover")
		err = buildDrover(ctx, s.program)
	} else {
		s.program, err = filepath.Abs(s.program)
	}
	if err != nil {
		return err
	}
	if s.symbols, err = readSymbols(s.program); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, s.pgbench, "-i", "-q", "-s", "1", s.cluster.Shards[0].Primary.URL()).CombinedOutput()
	if err != nil {
		return fmt.Errorf("make pgbench's tables: %w\n%s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// measure steps through a PgDrover of its own while pgbench asks in a protocol.
func (s *stage) measure(ctx context.Context, protocol string) (profile, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	d, err := s.startDrover(ctx)
	if err != nil {
		return profile{}, err
	}
	defer d.end()
	l, err := s.startLoad(d.port, protocol)
	if err != nil {
		return profile{}, fmt.Errorf("%w\n%s", err, d.said())
	}
	defer l.end()
	limit := time.Minute + time.Duration(s.options.transactions+2*s.options.clients)*time.Second
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it took more than %s", limit))
	defer cancel()
	defer context.AfterFunc(ctx, d.kill)() // ends every wait for one of its threads
	w, err := s.stepThrough(ctx, d, protocol)
	if ctx.Err() != nil && w != nil {
		return profile{}, fmt.Errorf("%w: %d transactions had begun by then and %d ended: ask for fewer (-transactions)", context.Cause(ctx), w.begun, w.ended)
	}
	if err != nil {
		return profile{}, err
	}
	p := newProfile(w.trace, w.ended, s.symbols)
	p.Protocol, p.Clients = protocol, s.options.clients
	return p, nil
}

// stepThrough stops PgDrover, and then lets its loop alone go on, step by step, until the window is full.
func (s *stage) stepThrough(ctx context.Context, d *drover, protocol string) (*window, error) {
	thread, err := freezeLoop(ctx, d.tracee, s.symbols, module+"internal/task.(*loop).run")
	if err != nil {
		return nil, err
	}
	c := &clock{symbols: s.symbols, memory: memoryOf(thread), began: map[uint64]time.Duration{}}
	w, see, err := s.newWindow(d, thread, protocol)
	if err != nil {
		return nil, err
	}
	return w, d.step(thread, func(r registers) (more bool) {
		c.see(r)
		return see(r)
	})
}

// newWindow is the window for a protocol, and what it is told of each next instruction with.
func (s *stage) newWindow(d *drover, thread int, protocol string) (w *window, see func(registers) (more bool), err error) {
	if protocol == connect {
		c := &connections{accepted: map[uint64]bool{}}
		c.window = *newWindow(s.symbols, memoryOf(thread), nil, s.options.transactions)
		c.before = s.options.clients
		return &c.window, c.see, nil
	}
	clients, err := d.clients()
	if err != nil {
		return nil, nil, err
	}
	if len(clients) != s.options.clients {
		return nil, nil, fmt.Errorf("PgDrover has connections of %d clients, where pgbench has %d", len(clients), s.options.clients)
	}
	w = newWindow(s.symbols, memoryOf(thread), clients, s.options.transactions)
	return w, w.see, nil
}

// freezeLoop stops all threads of a process at a moment when one of them is in a function that runs for ever, and returns that thread. Until it is
// stopped such a goroutine may go from one thread to another; from then on nobody is left who could make it.
func freezeLoop(ctx context.Context, t *tracee, s *symbols, function string) (thread int, err error) {
	const patience = 10 * time.Second
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("no thread was seen in %s within %s: if it has another name now, say so in bench/instructions", function, patience))
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if err := t.freeze(); err != nil {
			return 0, err
		}
		// The second is what a method is called that a variable holds, with the first inlined in it.
		thread, ok, err := t.threadIn(s, function, function+"-fm")
		if ok || err != nil {
			return thread, err
		}
		if err := t.thaw(); err != nil {
			return 0, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}
