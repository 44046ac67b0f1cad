package pool

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/internal/pgtest"
	"github.com/pgdrover/pgdrover/internal/task"
	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/shardmap"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

var silent = slog.New(slog.NewTextHandler(io.Discard, nil))

// quick is a configuration for tests: nothing happens by time unless the test says so.
func quick() Config {
	return Config{
		Database: "app", User: "app", Password: "secret", TLS: TLSOff, Size: 4, Log: silent,
		Wait: patience, ConnectTimeout: patience, ProbeEvery: 20 * time.Millisecond, ProbeTimeout: patience,
	}
}

func mapOf(t testing.TB, shards ...shardmap.Shard) *shardmap.Map {
	t.Helper()
	f := &shardmap.File{Database: "app", TenantColumn: "tenant_id", TenantType: shardmap.Bigint, Partitions: 16, Shards: shards}
	for i := range f.Shards {
		f.Shards[i].Weight = max(f.Shards[i].Weight, 1)
	}
	l, err := shardmap.Plan(f)
	if err != nil {
		t.Fatal(err)
	}
	m, err := shardmap.New(f, l)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func nodeAt(addr *net.TCPAddr) shardmap.Node {
	return shardmap.Node{Host: addr.IP.String(), Port: addr.Port, Weight: 1}
}

// shardOf is one shard of scripted servers.
func shardOf(primary *fake, replicas ...*fake) shardmap.Shard {
	s := shardmap.Shard{Name: "s1", Weight: 1, Primary: nodeAt(primary.addr)}
	for _, r := range replicas {
		r.set(func() { r.recovery = "t" })
		s.Replicas = append(s.Replicas, nodeAt(r.addr))
	}
	return s
}

// open returns a cluster that is closed when the test ends; by then no backend may be held.
func open(t testing.TB, cfg Config) *Cluster {
	t.Helper()
	cfg.Loops = pgtest.Loops(t)
	c := New(cfg)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return c
}

// single is a cluster of one scripted server.
func single(t testing.TB, cfg Config) (*fake, *Cluster, *Topology) {
	t.Helper()
	f := startFake(t)
	c := open(t, cfg)
	return f, c, c.Apply(mapOf(t, shardOf(f)))
}

// seeker is a session as far as the pool sees it.
type seeker struct {
	Request
	bell chan struct{}
}

func newSeeker() *seeker {
	s := &seeker{bell: make(chan struct{}, 1)}
	s.Notify = s
	return s
}

// Wake has wait look again.
func (s *seeker) Wake() { ring(s.bell) }

// wait waits for the outcome of an Acquire that queued.
func (s *seeker) wait() (*Backend, error) {
	limit := time.After(patience)
	for {
		select {
		case <-s.bell:
		case <-limit:
			return nil, errors.New("nothing came of the wait")
		}
		if b, err, done := s.Take(); done {
			return b, err
		}
	}
}

func (s *seeker) acquire(top *Topology, role Role) (*Backend, error) {
	b, err := top.Acquire(&s.Request, 0, role)
	if b != nil || err != nil {
		return b, err
	}
	return s.wait()
}

// mustAcquire acquires a backend of the first shard for a new session.
func mustAcquire(t testing.TB, top *Topology, role Role) *Backend {
	t.Helper()
	b, err := newSeeker().acquire(top, role)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// queued puts a new session into the line.
func queued(t testing.TB, top *Topology, role Role) *seeker {
	t.Helper()
	s := newSeeker()
	b, err := top.Acquire(&s.Request, 0, role)
	if b != nil || err != nil {
		t.Fatalf("got %v, %v: want to wait", b, err)
	}
	return s
}

// await waits for a condition.
func await(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for limit := time.Now().Add(patience); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("it never came to this: %s", what)
		}
	}
}

// awaitProbed waits until every node has had a good probe.
func awaitProbed(t testing.TB, c *Cluster) {
	t.Helper()
	await(t, "all nodes are probed", func() bool {
		for _, s := range c.Stats() {
			if s.Probed.IsZero() {
				return false
			}
		}
		return true
	})
}

func codeOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func wantCode(t testing.TB, err error, code string, words ...string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("got %v, want SQLSTATE %s", err, code)
	}
	if e.Hint == "" {
		t.Fatalf("%v has no hint", err)
	}
	for _, w := range words {
		if !strings.Contains(e.Message+" "+e.Hint, w) {
			t.Fatalf("%q, %q does not say %q", e.Message, e.Hint, w)
		}
	}
}

// query runs a query on a backend and returns the first column of the last row, and the SQLSTATE of an error.
func query(b *Backend, sql string) (value, code string, err error) {
	t := task.New()
	b.Conn.QueueOrWrite(pgwire.AppendQuery(nil, sql))
	limit := time.Now().Add(patience)
	for {
		buffered := b.Conn.Buffered()
		typ, size, err := pgwire.Peek(buffered, 1<<20)
		if err != nil {
			return "", "", err
		}
		if size == 0 || size > len(buffered) {
			if b.Conn.ReadErr() != nil {
				return value, code, b.Conn.ReadErr()
			}
			if t.Wait(limit, task.Interest{Conn: b.Conn, Read: true, Write: true}) {
				return "", "", errors.New("no answer")
			}
			continue
		}
		frame := buffered[:size]
		switch typ {
		case pgwire.MsgDataRow:
			if len(frame) > 11 {
				value = string(frame[11:])
			}
		case pgwire.MsgErrorResponse:
			code = string(pgwire.ErrorField(frame, pgwire.FieldCode))
		}
		b.Conn.Discard(size)
		if typ == pgwire.MsgReadyForQuery {
			return value, code, nil
		}
	}
}

// noLeaks fails the test if goroutines of this package are left when it ends.
func noLeaks(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		await(t, "no goroutine of the pool is left", func() bool {
			stacks := make([]byte, 1<<20)
			stacks = stacks[:runtime.Stack(stacks, true)]
			for _, s := range strings.Split(string(stacks), "\n\n") {
				if strings.Contains(s, "pool.(*Node)") || strings.Contains(s, "pool.(*Cluster)") {
					return false
				}
			}
			return true
		})
	})
}
