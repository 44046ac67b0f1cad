package proxy

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"sync"
	"time"

	"github.com/pgdrover/pgdrover/pool"
)

// cancelKey is what a client shows to cancel what its session runs.
type cancelKey struct {
	pid    uint32
	secret []byte
}

// Lengths of the secret: protocol 3.0 has room for 4 bytes, 3.2 for more (manual, "BackendKeyData").
const (
	shortSecret = 4
	longSecret  = 32
)

// firstPID is the first process id that a session gets: higher than those of servers, which Linux ends at 4194304. A client knows
// its own notifications by it, and must not take those of a server's process for them.
const firstPID = 1<<22 + 1

// keys finds sessions by the process id they told their clients.
type keys struct {
	mu    sync.Mutex // guards what follows
	byPID map[uint32]*session
	next  uint32
}

func (k *keys) init() { k.byPID = map[uint32]*session{} }

// add gives a session its key.
func (k *keys) add(s *session) {
	size := shortSecret
	if s.minor >= 2 {
		size = longSecret
	}
	secret := make([]byte, size)
	_, _ = rand.Read(secret) // never fails (crypto/rand)
	k.mu.Lock()
	defer k.mu.Unlock()
	for {
		k.next = max((k.next+1)&(1<<31-1), firstPID)
		if _, taken := k.byPID[k.next]; !taken {
			break
		}
	}
	s.key = cancelKey{k.next, secret}
	k.byPID[k.next] = s
}

func (k *keys) remove(s *session) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.byPID[s.key.pid] == s {
		delete(k.byPID, s.key.pid)
	}
}

func (k *keys) find(pid uint32, secret []byte) *session {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.byPID[pid]
	if s == nil || subtle.ConstantTimeCompare(s.key.secret, secret) != 1 {
		return nil
	}
	return s
}

// cancelTime bounds how long a cancel request is worked on.
const cancelTime = 10 * time.Second

// cancel carries out a cancel request, which never gets an answer. by is the session of the request's own connection.
func (s *Server) cancel(by *session, pid uint32, secret []byte) {
	target := s.keys.find(pid, secret)
	s.metrics.Cancels.Add(1)
	if target == nil {
		return
	}
	by.t.Await(func() { target.cancelRunning() })
}

// cancelRunning asks the nodes to stop what the session runs there, or takes it out of a pool's queue. It may block; any
// goroutine may call it.
func (s *session) cancelRunning() {
	if s.waiting.Load() {
		s.cancelled.Store(true)
		s.t.Wake()
		return
	}
	ctx, done := context.WithTimeout(context.Background(), cancelTime)
	defer done()
	s.mu.Lock()
	serving := make([]cancelTarget, 0, len(s.serving))
	for _, l := range s.serving {
		serving = append(serving, cancelTarget{&l.req, l.backend})
	}
	s.mu.Unlock()
	for _, t := range serving {
		if err := t.backend.Cancel(ctx, t.holder); err != nil {
			s.log().Debug("cancel request not carried out", "error", err)
		}
	}
}

// cancelTarget is a backend and the request that held it when it was looked up.
type cancelTarget struct {
	holder  *pool.Request
	backend *pool.Backend
}
