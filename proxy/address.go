package proxy

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/pgdrover/pgdrover/pgwire"
)

// addresses counts what comes from each address. The zero value is ready.
type addresses struct {
	mu     sync.Mutex
	of     map[netip.Addr]*tally // with connections
	lately *tally                // of the connection that came last, if it has one yet
}

// tally is what comes from one address: connections, and those of them that have asked for a session.
type tally struct {
	from        netip.Addr
	connections int // guarded by addresses.mu
	sessions    atomic.Int32
}

// enter counts a connection from an address, and returns how many there are now. The tally counts the connection until it leaves.
func (a *addresses) enter(from netip.Addr) (t *tally, connections int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if t = a.lately; t == nil || t.from != from {
		t = a.tally(from)
		a.lately = t
	}
	t.connections++
	return t, t.connections
}

// tally is that of an address. The caller holds mu.
func (a *addresses) tally(from netip.Addr) *tally {
	t := a.of[from]
	if t == nil {
		if a.of == nil {
			a.of = map[netip.Addr]*tally{}
		}
		t = &tally{from: from}
		a.of[from] = t
	}
	return t
}

// ask counts a connection among those that have asked for a session, and returns how many there are now.
func (t *tally) ask() (sessions int) { return int(t.sessions.Add(1)) }

// leave takes a connection out of the counts, and out of those that have asked if it has.
func (a *addresses) leave(t *tally, asked bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if asked {
		t.sessions.Add(-1)
	}
	if t.connections--; t.connections == 0 {
		delete(a.of, t.from)
		if a.lately == t {
			a.lately = nil
		}
	}
}

// flooded reports whether an address has so many connections that another is not worth a word: twice the limit, which leaves room
// for cancel requests and for telling those above the limit why.
func (c *Config) flooded(connections int) bool {
	return c.PerAddress > 0 && connections > 2*c.PerAddress
}

// arrive counts the connection of the session; depart has to be called in the end. It reports whether there is room for it.
func (s *session) arrive() bool {
	s.login.from = s.client.Peer().Addr().Unmap().WithZone("")
	var connections int
	s.login.tally, connections = s.srv.addresses.enter(s.login.from)
	return !s.cfg.flooded(connections)
}

// depart takes the connection, and the session if there was one, out of the counts. The session has no backend any more.
func (s *session) depart() {
	s.srv.addresses.leave(s.login.tally, s.login.counted)
	if s.asClient != nil {
		s.asClient.Leave()
	}
	if s.login.ofUser != nil {
		s.srv.census.leave(s.login.ofUser, s.login.ofDatabase)
	}
}

// crowded counts the session and says that too many come from the client's address; nil when that is not so.
func (s *session) crowded() *pgwire.Error {
	s.login.counted = true
	n := s.login.tally.ask()
	if s.cfg.PerAddress == 0 || n <= s.cfg.PerAddress {
		return nil
	}
	return s.crossed(limitAddress, &pgwire.Error{Code: "53300", Message: fmt.Sprintf("too many connections from address %s", s.login.from),
		Hint: "the limit is \"limits: per_address\" in pgdrover.yaml"})
}
