package proxy

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/pgdrover/pgdrover/pool"
)

// forwardMark ends the secret of a cancel request that another proxy passes on. A secret that a client has been given never has
// the length of one with the mark. Who forges it gains nothing: the request is carried out here or not at all.
var forwardMark = []byte("pgdrover forward")

// unmarked takes the mark off a secret, and reports whether there was one.
func unmarked(secret []byte) (own []byte, forwarded bool) {
	return bytes.CutSuffix(secret, forwardMark)
}

// Bounds of the cancel requests that are passed on to one other proxy, which an attacker can make up without knowing a secret: they
// have room of their own.
const (
	forwardsAtOnce  = 16
	forwardsWaiting = 256
)

// fleet is what is under way to the other proxies, by their numbers.
type fleet struct {
	mu    sync.Mutex // guards what follows
	lanes map[int]*lane
}

// lane is what is under way to one other proxy.
type lane struct {
	desk              cancelDesk
	forwarded, failed atomic.Int64
	failing           atomic.Bool // the last one did
}

// lane is the lane to a proxy, made when it is new.
func (f *fleet) lane(id int) *lane {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.lanes[id]
	if l == nil {
		l = &lane{}
		l.desk.init(forwardsAtOnce, forwardsWaiting)
		if f.lanes == nil {
			f.lanes = map[int]*lane{}
		}
		f.lanes[id] = l
	}
	return l
}

// requestFor tells cancel requests apart that are passed on: nobody here knows which secret is right.
type requestFor struct {
	pid    uint32
	secret string
}

// forward passes a cancel request on to the proxy that gave the key, and returns when that has carried it out. It may block, for
// cancelTime at most.
func (s *Server) forward(cfg *Config, peer int, pid uint32, secret []byte) {
	l := s.fleet.lane(peer)
	done := l.desk.carryOut(requestFor{pid, string(secret)}, func(ctx context.Context) {
		s.metrics.CancelsForwarded.Add(1)
		l.forwarded.Add(1)
		marked := append(bytes.Clone(secret), forwardMark...)
		if err := pool.SendCancel(ctx, cfg.Peers[peer], peerTLS[cfg.TLSMode], pid, marked); err != nil {
			l.failed.Add(1)
			if l.failing.Swap(true) {
				return // it was said when it began
			}
			s.config.Load().Log.Warn("a cancel request could not be passed on", "peer", peer, "address", cfg.Peers[peer], "error", err)
			return
		}
		l.failing.Store(false)
	})
	if !done {
		s.metrics.CancelsDropped.Add(1)
	}
}

// peerTLS is how cancel requests are passed on: encrypted where the proxies of the fleet take encrypted connections. They prove
// nothing to each other; who has the secret of a session may cancel it.
var peerTLS = map[TLSMode]pool.TLSMode{TLSOff: pool.TLSOff, TLSPrefer: pool.TLSPrefer, TLSRequire: pool.TLSRequire}

// Peer is a proxy of the fleet at one moment.
type Peer struct {
	ID         int
	Host, Port string
	Self       bool // it is this one
	Room       int  // cancel requests that may be on their way to it at once
	Working    int  // are on their way
	Waiting    int  // clients that wait for them
	Forwarded  int64
	Failed     int64
}

// Peers are the proxies that the configuration lists, by number.
func (s *Server) Peers() []Peer {
	cfg := s.config.Load()
	var all []Peer
	for _, id := range slices.SortedFunc(maps.Keys(cfg.Peers), cmp.Compare) {
		l := s.fleet.lane(id)
		p := Peer{ID: id, Self: id == cfg.PeerID, Room: forwardsAtOnce, Forwarded: l.forwarded.Load(), Failed: l.failed.Load()}
		p.Host, p.Port, _ = net.SplitHostPort(cfg.Peers[id])
		p.Working, p.Waiting = l.desk.load()
		all = append(all, p)
	}
	return all
}
