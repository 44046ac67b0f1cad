package proxy

import (
	"context"
	"crypto/subtle"
	"sync"

	"github.com/pgdrover/pgdrover/pool"
)

// cancelKey is what a client shows to cancel what its session runs. Of the 31 bits of the process id (drivers read it as a signed
// number) the first is set, the next ten are the number of its proxy, and the rest tells its sessions apart. So any proxy of a fleet
// can tell whose it is; a secret may be too short for that.
type cancelKey struct {
	pid    uint32
	secret []byte
}

// Bits of a process id: which proxy, and which of its sessions.
const (
	peerBits    = 10
	sessionBits = 30 - peerBits
)

// sessionPID is set in every process id, which makes it higher than those of servers, which Linux ends at 4194304. A client knows
// its own notifications by its process id, and must not take those of a server's process for them.
const sessionPID = 1 << 30

// peerOf is the number of the proxy that a process id is of; 0 when it is none.
func peerOf(pid uint32) int {
	if pid&sessionPID == 0 {
		return 0
	}
	return int(pid>>sessionBits) & MaxPeer
}

// Bounds of the cancel requests for sessions of this proxy.
const (
	cancelsAtOnce  = 64
	cancelsWaiting = 1024
)

// MaxPeer is the largest number that a proxy of a fleet may have.
const MaxPeer = 1<<peerBits - 1

// Lengths of the secret: protocol 3.0 has room for 4 bytes, 3.2 for more (manual, "BackendKeyData").
const (
	shortSecret = 4
	longSecret  = 32
)

// keys finds sessions by the process id they told their clients.
type keys struct {
	mu    sync.Mutex // guards what follows
	byPID map[uint32]*session
	next  uint32
}

func (k *keys) init() { k.byPID = map[uint32]*session{} }

// add gives a session its key: with the process id of its backend, unless it is 0 or another session has told its client the same.
func (k *keys) add(s *session, pid uint32) {
	size := shortSecret
	if s.minor >= 2 {
		size = longSecret
	}
	secret := s.room.secret[:size]
	s.srv.chance.read(secret)
	k.mu.Lock()
	defer k.mu.Unlock()
	if pid == 0 || k.byPID[pid] != nil {
		pid = k.free(s.cfg.PeerID)
	}
	s.key = cancelKey{pid, secret}
	k.byPID[pid] = s
}

// free is a process id that no session of this proxy has told its client. The caller holds mu.
func (k *keys) free(peer int) uint32 {
	for {
		k.next = (k.next + 1) & (1<<sessionBits - 1)
		if pid := sessionPID | uint32(peer)<<sessionBits | k.next; k.byPID[pid] == nil {
			return pid
		}
	}
}

func (k *keys) remove(s *session) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.byPID[s.key.pid] == s {
		delete(k.byPID, s.key.pid)
	}
}

// session is the session with a process id, nil if there is none.
func (k *keys) session(pid uint32) *session {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.byPID[pid]
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

// cancel carries out a cancel request, which never gets an answer. by is the session of the request's own connection, which ends
// when the request was passed on. A request that other proxies of the fleet have to carry out goes to the one that its process id
// names, once: what came from another proxy goes no further.
func (s *Server) cancel(by *session, pid uint32, secret []byte) {
	s.metrics.Cancels.Add(1)
	secret, forwarded := unmarked(secret)
	if target := s.keys.find(pid, secret); target != nil {
		done := false
		by.t.Await(func() { done = s.cancels.carryOut(target, target.cancelRunning) })
		if !done {
			s.metrics.CancelsDropped.Add(1)
		}
		return
	}
	if peer := peerOf(pid); !forwarded && peer != by.cfg.PeerID && by.cfg.Peers[peer] != "" {
		by.t.Await(func() { s.forward(by.cfg, peer, pid, secret) })
	}
}

// cancelRunning asks the nodes to stop what the session runs there, or takes it out of a pool's queue. It may block; any
// goroutine may call it.
func (s *session) cancelRunning(ctx context.Context) {
	if s.waiting.Load() || s.database() == nil {
		s.cancelled.Store(true)
		s.t.Wake()
		return
	}
	s.mu.Lock()
	serving := make([]cancelTarget, 0, len(s.links))
	for _, l := range s.links {
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
