package proxy

import "time"

// ClientState is what a session is doing.
type ClientState uint8

const (
	ClientLogin       ClientState = iota // it is not authenticated yet
	ClientIdle                           // it waits for the client
	ClientActive                         // a statement is in flight
	ClientTransaction                    // it waits for the client, inside a transaction
	ClientWaiting                        // it waits for a backend
)

// String returns the word that SHOW CLIENTS prints.
func (c ClientState) String() string {
	return [...]string{"login", "idle", "active", "transaction", "waiting"}[min(c, ClientWaiting)]
}

// Client is one session at one moment.
type Client struct {
	PID      uint32
	User     string
	Database string
	Login    string // the user that its backends are logged in as; empty on the console
	Address  string
	TLS      bool
	Mode     Mode // ModeUnset on the console
	State    ClientState
	Began    time.Time
	Hold     []string // why it keeps backends
	Channels int      // that it listens to
	Backends []string // nodes of the backends in use
}

// Clients are the sessions that have logged in.
func (s *Server) Clients() []Client {
	var all []Client
	s.each(func(ss *session) {
		if seen := ss.seen.Load(); seen != nil {
			c := *seen
			c.State = ClientState(ss.state.Load())
			if ss.waiting.Load() {
				c.State = ClientWaiting
			}
			c.Channels = int(ss.channels.Load())
			ss.mu.Lock()
			for _, l := range ss.serving {
				c.Backends = append(c.Backends, l.backend.Node().String())
			}
			c.Hold = append(c.Hold, ss.holdReasons...)
			ss.mu.Unlock()
			all = append(all, c)
		}
	})
	return all
}

// publish says what the session is doing now.
func (s *session) publish(c ClientState) {
	s.idle(c == ClientTransaction)
	if ClientState(s.state.Load()) != c {
		s.state.Store(uint32(c))
	}
}
