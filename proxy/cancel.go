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
	mu     sync.Mutex          // guards what follows
	own    []*session          // by the last bits of process ids that are this proxy's own; a power of two of places, half of them free at least
	taken  int                 // places of own
	last   uint32              // process id of our own, without the bits that all have
	others map[uint32]*session // by process ids of servers
}

// firstPlaces is how many places there are at the beginning.
const firstPlaces = 256

func (k *keys) init() { k.own, k.others = make([]*session, firstPlaces), map[uint32]*session{} }

// add gives a session its key: with the process id of its backend, unless it is 0, looks like one of our own, as another proxy's before the server may,
// or another session has told its client the same.
func (k *keys) add(s *session, pid uint32) {
	size := shortSecret
	if s.minor >= 2 {
		size = longSecret
	}
	secret := s.room.secret[:size]
	s.srv.chance.read(secret)
	k.mu.Lock()
	defer k.mu.Unlock()
	if pid == 0 || pid&sessionPID != 0 || k.others[pid] != nil {
		pid = k.take(s)
	} else {
		k.others[pid] = s
	}
	s.key = cancelKey{pid, secret}
}

// take gives a session a place, and returns the process id that leads there: the next one whose place is free, so that none comes again soon. The caller
// holds mu.
func (k *keys) take(s *session) uint32 {
	if 2*k.taken >= len(k.own) && len(k.own) < 1<<sessionBits {
		k.grow()
	}
	for {
		k.last = (k.last + 1) & (1<<sessionBits - 1)
		if place := k.place(k.last); *place == nil {
			*place = s
			k.taken++
			return sessionPID | uint32(s.cfg.PeerID)<<sessionBits | k.last
		}
	}
}

// place is where a process id of our own leads. The caller holds mu.
func (k *keys) place(pid uint32) **session { return &k.own[pid&uint32(len(k.own)-1)] }

// grow makes twice the places. Those that led to different ones still do. The caller holds mu.
func (k *keys) grow() {
	before := k.own
	k.own = make([]*session, 2*len(before))
	for _, s := range before {
		if s != nil {
			*k.place(s.key.pid) = s
		}
	}
}

// at is session with mu held.
func (k *keys) at(pid uint32) *session {
	if pid&sessionPID == 0 {
		return k.others[pid]
	}
	if s := *k.place(pid); s != nil && s.key.pid == pid {
		return s
	}
	return nil
}

func (k *keys) remove(s *session) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch pid := s.key.pid; {
	case k.at(pid) != s:
	case pid&sessionPID == 0:
		delete(k.others, pid)
	default:
		*k.place(pid) = nil
		k.taken--
	}
}

// session is the session with a process id, nil if there is none.
func (k *keys) session(pid uint32) *session {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.at(pid)
}

func (k *keys) find(pid uint32, secret []byte) *session {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.at(pid)
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
	begun := make([]pool.Cancellation, 0, len(s.links))
	for _, l := range s.links { // each holds its backend as long as it is there
		if c, err := l.backend.BeginCancel(&l.req); err == nil {
			begun = append(begun, c)
		}
	}
	s.mu.Unlock()
	for _, c := range begun {
		if err := c.CarryOut(ctx); err != nil {
			s.log().Debug("cancel request not carried out", "error", err)
		}
	}
}
