package proxy

import (
	"time"

	"github.com/pgdrover/pgdrover/internal/task"
)

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
	PID         uint32
	User        string
	Database    string
	Login       string // the user that its backends are logged in as; empty on the console
	Mode        Mode   // ModeUnset on the console
	Replicates  bool   // it is a logical replication connection
	Address     string // HOST:PORT
	Local       string // the address that it connected to
	Cipher      string // of TLS; empty in plaintext
	Application string // its application_name
	State       ClientState
	Began       time.Time
	Asked       time.Time     // its last statement; zero: there was none
	Wait        time.Duration // for how long it has waited for a backend; 0 unless it does
	Statements  int           // prepared by the protocol, with a name
	Hold        []string      // why it keeps backends
	Channels    int           // that it listens to
	Backends    []string      // nodes of the backends in use
	Serials     []uint64      // of the backends in use, in the same order
}

// Clients are the sessions that have logged in.
func (s *Server) Clients() []Client {
	var all []Client
	s.each(func(ss *session) {
		if ss.known.Load() {
			all = append(all, ss.asSeen())
		}
	})
	return all
}

// LoggingIn counts the connections whose client has not logged in yet.
func (s *Server) LoggingIn() int {
	n := 0
	s.each(func(ss *session) {
		if !ss.known.Load() {
			n++
		}
	})
	return n
}

// asSeen is the session, which is known, at this moment. Anyone may ask.
func (s *session) asSeen() Client {
	c := Client{PID: s.key.pid, User: s.userName, Database: s.databaseName, Login: s.backendUser(), Mode: s.mode, Replicates: s.replicates,
		Address: s.client.RemoteAddr().String(), Local: s.client.LocalAddr().String(), Cipher: s.client.Cipher(), Began: s.began.Time(),
		State: ClientState(s.state.Load())}
	if s.waiting.Load() {
		c.State = ClientWaiting
		c.Wait = max(0, time.Since(time.Unix(0, s.waitingSince.Load())))
	}
	if since := s.busySince.Load(); since != 0 {
		c.Asked = task.Moment(max(since, -since)).Time()
	}
	if set := s.set.Load(); set != nil {
		name, _ := set.lookup("application_name")
		c.Application = name.value
	}
	c.Channels = int(s.channels.Load())
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.links {
		c.Backends = append(c.Backends, l.backend.Node().String())
		c.Serials = append(c.Serials, l.backend.Serial())
	}
	c.Hold = append(c.Hold, s.holdReasons...)
	c.Statements = s.shown.statements
	return c
}

// publish says what the session is doing now.
func (s *session) publish(c ClientState) {
	if c == ClientTransaction || s.overdue.idles.Load() != 0 {
		s.idle(c == ClientTransaction)
	}
	if ClientState(s.state.Load()) != c {
		s.state.Store(uint32(c))
	}
}
