package cache

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
)

// fakeClock is a clock that tests move.
type fakeClock struct {
	mu  sync.Mutex
	now time.Time
}

func newFakeClock() *fakeClock { return &fakeClock{now: time.Unix(1_700_000_000, 0)} }

func (f *fakeClock) Now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

func (f *fakeClock) add(d time.Duration) {
	f.mu.Lock()
	f.now = f.now.Add(d)
	f.mu.Unlock()
}

// openCache opens a cache for a test and closes it after.
func openCache(t testing.TB, cfg Config) *Cache {
	t.Helper()
	if cfg.Namespace == "" {
		cfg.Namespace = "app"
	}
	if cfg.Tables == nil {
		cfg.Tables = map[string]Table{"users": {TTL: time.Minute}, "orders": {TTL: time.Minute}}
	}
	c, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// openShared is openCache over Redis, with timeouts that a busy machine keeps.
func openShared(t testing.TB, url string, change func(*Config)) *Cache {
	t.Helper()
	cfg := Config{Redis: url, ReadTimeout: 2 * time.Second, WriteTimeout: 2 * time.Second, OpTimeout: 2 * time.Second, Lease: 20 * time.Second}
	if change != nil {
		change(&cfg)
	}
	c := openCache(t, cfg)
	until(t, "L2 is on", func() bool { return c.Stats().L2 == L2On })
	return c
}

// until waits for cond.
func until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20s: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func keyOf(parts ...string) *Key {
	k := new(Key)
	for _, p := range parts {
		k.String(p)
	}
	return k
}

func depsOf(tenant string, tables ...string) *Deps {
	d := new(Deps)
	if tenant != "" {
		d.Tenant(tenant)
	}
	for _, table := range tables {
		d.Table(table)
	}
	return d
}

// fetch is what the proxy does with a read: the answer, and where it came from.
func fetch(c *Cache, k *Key, d *Deps, read func() string) (body, from string) {
	if b, ok := c.L1(k, d); ok {
		return string(b), "L1"
	}
	t := c.Begin(d)
	if c.L2Ready() {
		if b, ok := c.L2(context.Background(), k, d, &t); ok {
			return string(b), "L2"
		}
	}
	body = read()
	if ttl, ok := c.TTL(d); ok {
		c.Store(&t, k, d, []byte(body), ttl, body == "")
	}
	return body, "primary"
}

// write is what the proxy does with a statement that writes to d.
func write(c *Cache, d *Deps, apply func()) {
	var m Mark
	if c.Dirty(&m, d) {
		c.Publish(context.Background(), &m)
	}
	apply()
	if c.Commit(&m) {
		c.Publish(context.Background(), &m)
	}
}

// fixed is a primary that always answers the same.
func fixed(s string) func() string { return func() string { return s } }

// want checks one fetch.
func want(t *testing.T, c *Cache, k *Key, d *Deps, read func() string, body, from string) {
	t.Helper()
	gotBody, gotFrom := fetch(c, k, d, read)
	if gotBody != body || gotFrom != from {
		t.Fatalf("got %q from %s, want %q from %s (stats %+v)", gotBody, gotFrom, body, from, c.Stats())
	}
}

// flushed waits until everything stored has reached Redis.
func flushed(t testing.TB, c *Cache, stores uint64) {
	t.Helper()
	until(t, "the queue is written", func() bool {
		st := c.Stats()
		return st.L2Queue == 0 && st.L2Stores >= stores
	})
}

// embedded is a miniredis that tells its run id as a real server does.
type embedded struct {
	*miniredis.Miniredis
	mu    sync.Mutex
	runID string
}

func startEmbedded(t testing.TB) *embedded {
	t.Helper()
	e := &embedded{Miniredis: miniredis.RunT(t), runID: "run1"}
	e.hook()
	return e
}

func (e *embedded) hook() {
	e.Server().SetPreHook(func(p *server.Peer, cmd string, args ...string) bool {
		if cmd != "INFO" {
			return false
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.runID == "" {
			return false
		}
		p.WriteBulk("# Server\r\nrun_id:" + e.runID + "\r\n")
		return true
	})
}

func (e *embedded) setRunID(id string) {
	e.mu.Lock()
	e.runID = id
	e.mu.Unlock()
}

func (e *embedded) url() string { return "redis://" + e.Addr() + "/0" }

// redisServer is a real redis-server process on a free loopback port.
type redisServer struct {
	t    testing.TB
	port int
	dir  string
	args []string
	cmd  *exec.Cmd
	done chan struct{}
}

func startServer(t testing.TB, args ...string) *redisServer {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("redis-server is not installed on this machine")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &redisServer{t: t, port: l.Addr().(*net.TCPAddr).Port, dir: t.TempDir(), args: args}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s.start()
	t.Cleanup(s.kill)
	return s
}

func (s *redisServer) start() {
	s.t.Helper()
	args := append([]string{"--port", fmt.Sprint(s.port), "--bind", "127.0.0.1", "--dir", s.dir,
		"--save", "", "--appendonly", "no", "--daemonize", "no"}, s.args...)
	s.cmd = exec.Command("redis-server", args...)
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) {
		_ = cmd.Wait()
		close(done)
	}(s.cmd, s.done)
	until(s.t, "redis-server accepts connections", func() bool {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}

// kill ends the process, also when it is stopped.
func (s *redisServer) kill() {
	_ = s.cmd.Process.Kill()
	<-s.done
}

func (s *redisServer) freeze() { s.signal(syscall.SIGSTOP) }
func (s *redisServer) thaw()   { s.signal(syscall.SIGCONT) }

func (s *redisServer) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

func (s *redisServer) url() string { return fmt.Sprintf("redis://127.0.0.1:%d/0", s.port) }

// cli runs one Redis command over a connection of its own.
func (s *redisServer) cli(args ...string) []string {
	s.t.Helper()
	d, err := newDialer(Config{Redis: s.url(), OpTimeout: 5 * time.Second})
	if err != nil {
		s.t.Fatal(err)
	}
	l, err := d.connect(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	defer l.close()
	reply := l.client.Do(context.Background(), l.client.B().Arbitrary(args...).Build())
	if err := reply.Error(); err != nil {
		s.t.Fatalf("%v: %v", args, err)
	}
	if list, err := reply.ToArray(); err == nil {
		out, err := texts(list)
		if err != nil {
			s.t.Fatal(err)
		}
		return out
	}
	one, _ := reply.ToString()
	return []string{one}
}
