package cache

import (
	"net"
	"strings"
	"sync"
	"testing"
)

// wire carries connections to a Redis and can fall silent, as a network does:
// nothing passes and nothing is closed.
type wire struct {
	listener net.Listener
	target   string
	mu       sync.Mutex
	cut      bool
	healed   *sync.Cond
	closed   bool
	conns    []net.Conn
	running  sync.WaitGroup
}

func startWire(t testing.TB, url string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	target := strings.TrimSuffix(strings.TrimPrefix(url, "redis://"), "/0")
	w := &wire{listener: l, target: target}
	w.healed = sync.NewCond(&w.mu)
	w.running.Go(w.accept)
	t.Cleanup(w.close)
	return w
}

func (w *wire) url() string { return "redis://" + w.listener.Addr().String() + "/0" }

// silence stops or resumes all traffic.
func (w *wire) silence(cut bool) {
	w.mu.Lock()
	w.cut = cut
	w.mu.Unlock()
	w.healed.Broadcast()
}

func (w *wire) close() {
	w.mu.Lock()
	w.closed = true
	for _, c := range w.conns {
		_ = c.Close()
	}
	w.mu.Unlock()
	w.healed.Broadcast()
	_ = w.listener.Close()
	w.running.Wait()
}

func (w *wire) accept() {
	for {
		near, err := w.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", w.target)
		if err != nil {
			_ = near.Close()
			continue
		}
		w.mu.Lock()
		w.conns = append(w.conns, near, far)
		closed := w.closed
		w.mu.Unlock()
		if closed {
			_, _ = near.Close(), far.Close()
			return
		}
		w.running.Go(func() { w.carry(far, near) })
		w.running.Go(func() { w.carry(near, far) })
	}
}

func (w *wire) carry(to, from net.Conn) {
	defer func() { _, _ = to.Close(), from.Close() }()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		w.mu.Lock()
		for w.cut && !w.closed {
			w.healed.Wait()
		}
		w.mu.Unlock()
		if _, werr := to.Write(buf[:n]); werr != nil || err != nil {
			return
		}
	}
}
