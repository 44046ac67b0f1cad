package proxy

import (
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/pgdrover/pgdrover/pgwire"
)

// addresses counts what comes from each address. The zero value is ready.
type addresses struct {
	mu sync.Mutex
	n  map[netip.Addr]tally
}

// tally is what comes from one address: connections, and those of them that have asked for a session.
type tally struct{ connections, sessions int }

// count adds to what comes from an address, or takes away, and returns what is there now.
func (a *addresses) count(from netip.Addr, connections, sessions int) tally {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.n == nil {
		a.n = map[netip.Addr]tally{}
	}
	now := a.n[from]
	now.connections += connections
	now.sessions += sessions
	if now.connections == 0 {
		delete(a.n, from)
		return now
	}
	a.n[from] = now
	return now
}

// addressOf is the peer's address, without a port and as IPv4 where it is that; the zero Addr for other sockets than TCP's.
func addressOf(peer net.Addr) netip.Addr {
	tcp, ok := peer.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr().Unmap().WithZone("")
}

// flooded reports whether an address has so many connections that another is not worth a word: twice the limit, which leaves room
// for cancel requests and for telling those above the limit why.
func (c *Config) flooded(connections int) bool {
	return c.PerAddress > 0 && connections > 2*c.PerAddress
}

// arrive counts the connection of the session; depart has to be called in the end. It reports whether there is room for it.
func (s *session) arrive() bool {
	s.login.from = addressOf(s.client.RemoteAddr())
	return !s.cfg.flooded(s.srv.addresses.count(s.login.from, 1, 0).connections)
}

// depart takes the connection, and the session if there was one, out of the counts. The session has no backend any more.
func (s *session) depart() {
	sessions := 0
	if s.login.counted {
		sessions = -1
	}
	s.srv.addresses.count(s.login.from, -1, sessions)
	if s.asClient != nil {
		s.asClient.Leave()
	}
	if s.login.entered {
		s.srv.census.leave(s.userName, s.databaseName)
	}
}

// crowded counts the session and says that too many come from the client's address; nil when that is not so.
func (s *session) crowded() *pgwire.Error {
	s.login.counted = true
	n := s.srv.addresses.count(s.login.from, 0, 1).sessions
	if s.cfg.PerAddress == 0 || n <= s.cfg.PerAddress {
		return nil
	}
	return s.crossed(limitAddress, &pgwire.Error{Code: "53300", Message: fmt.Sprintf("too many connections from address %s", s.login.from),
		Hint: "the limit is \"limits: per_address\" in pgdrover.yaml"})
}
