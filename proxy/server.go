package proxy

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgdrover/pgdrover/internal/task"
)

// ErrServerClosed is what Serve returns after Shutdown.
var ErrServerClosed = errors.New("proxy: server closed")

// Server accepts clients and owns their sessions.
type Server struct {
	config  atomic.Pointer[Config]
	group   task.Group
	keys    keys
	chance  chance // for what clients must not foretell
	cancels cancelDesk
	fleet   fleet
	metrics Metrics
	serials atomic.Uint64 // of unnamed statements
	nobody  *Verifier     // of a password that nobody has

	addresses addresses
	census    census
	familiar  familiar

	stop       chan struct{}  // closed by Shutdown
	watching   sync.Once      // starts what runs in the background
	background sync.WaitGroup // for that, and for Serve

	usages    usages
	scratches *task.Spares[scratch]  // for sessions
	exchanges *task.Spares[exchange] // for logins

	mu        sync.Mutex // guards what follows
	listeners map[net.Listener]struct{}
	acceptors map[*task.Task]struct{} // that accept on loops
	sessions  roster

	draining atomic.Bool // set with mu held, and read by anyone
}

// NewServer returns a server for cfg. Databases stay the caller's: it closes them after Shutdown.
func NewServer(cfg Config) (*Server, error) {
	nobody, err := NewVerifier(rand.Text())
	if err != nil {
		return nil, err
	}
	s := &Server{nobody: nobody, stop: make(chan struct{}), listeners: map[net.Listener]struct{}{},
		acceptors: map[*task.Task]struct{}{}}
	s.group.Loops = cfg.Loops
	s.scratches = task.NewSpares[scratch](cfg.Loops)
	s.exchanges = task.NewSpares[exchange](cfg.Loops)
	s.keys.init()
	s.cancels.init(cancelsAtOnce, cancelsWaiting)
	s.usages.latest.at = time.Now()
	s.Reconfigure(cfg)
	return s, nil
}

// Reconfigure replaces the configuration for sessions that begin from now on. Limits of time, those of databases too, are in force for
// all sessions at once.
func (s *Server) Reconfigure(cfg Config) {
	c := cfg.withDefaults()
	c.prepare(s.config.Load())
	s.config.Store(&c)
	s.each((*session).limit)
}

// Databases are the databases in force, by name.
func (s *Server) Databases() map[string]*Database { return s.config.Load().Databases }

// Users are who may log in, by name.
func (s *Server) Users() map[string]*User { return s.config.Load().Users }

// Metrics are the counters of the server.
func (s *Server) Metrics() *Metrics { return &s.metrics }

// Loops are the event loops that run the sessions, and how many of them each has: none where sessions are goroutines.
func (s *Server) Loops() []task.LoopLoad { return s.group.Loops.Load() }

// Serve accepts clients on ln until Shutdown, and returns ErrServerClosed then. It owns ln.
func (s *Server) Serve(ln net.Listener) error {
	if !s.listen(ln) {
		_ = ln.Close()
		return ErrServerClosed
	}
	defer s.background.Done()
	s.watching.Do(func() {
		s.background.Go(s.watchSlow)
		s.background.Go(s.keepUsage)
	})
	onLoop, ok, err := s.group.Loops.Listen(ln)
	switch {
	case err != nil && s.closing():
		return ErrServerClosed
	case err != nil:
		return err
	case !ok:
		return s.acceptAll(ln)
	}
	a := &acceptor{of: s, ln: onLoop, ended: make(chan struct{})}
	s.group.GoTurns(nil, nil, a)
	<-a.ended
	return ErrServerClosed
}

// acceptor accepts clients until Shutdown, as a task on a loop.
type acceptor struct {
	of    *Server
	ln    *task.Listener
	known bool          // Shutdown wakes the task
	ended chan struct{} // closed when nobody is accepted any more

	failures acceptFailures
}

// Turn accepts who is there: one client for each time that the loop tells of some.
func (a *acceptor) Turn(t *task.Task) (rests bool) {
	s := a.of
	if !a.known {
		s.mu.Lock()
		s.acceptors[t] = struct{}{}
		s.mu.Unlock()
		a.known = true
	}
	for !s.closing() {
		client, err := a.ln.Accept(t)
		if client != nil {
			s.admit(t, client)
		}
		if err != nil {
			a.failures.tell(s.config.Load().Log, err, t.Now())
			t.Wait(time.Now().Add(acceptPause))
		} else if a.ln.Rest(t) {
			return true
		}
	}
	a.ln.Close()
	close(a.ended)
	return false
}

// acceptPause is how long nobody is accepted when that fails: out of file descriptors, say, others have time then to free some.
const acceptPause = 10 * time.Millisecond

// acceptFailures are those to accept on one listener: they come over and over while descriptors are out, and the log has one of a second.
type acceptFailures struct {
	told   time.Time
	untold int
}

// tell logs a failure, or counts it for the next one that is logged.
func (f *acceptFailures) tell(log *slog.Logger, err error, now time.Time) {
	if now.Sub(f.told) < time.Second {
		f.untold++
		return
	}
	log.Error("accept failed", "error", err, "since_the_last", f.untold)
	f.told, f.untold = now, 0
}

// acceptAll accepts clients until Shutdown, where there are no loops, or the listener is none for them.
func (s *Server) acceptAll(ln net.Listener) error {
	var failures acceptFailures
	for {
		nc, err := ln.Accept()
		if err != nil {
			if s.closing() {
				return ErrServerClosed
			}
			var ne net.Error
			if errors.As(err, &ne) && !errors.Is(err, net.ErrClosed) {
				failures.tell(s.config.Load().Log, err, time.Now())
				time.Sleep(acceptPause)
				continue
			}
			return err
		}
		if tc, ok := nc.(*net.TCPConn); ok {
			_ = tc.SetNoDelay(true)
			_ = tc.SetKeepAlive(true)
		}
		client, err := s.group.Loops.Adopt(nc)
		if err != nil {
			s.config.Load().Log.Error("connection refused", "error", err)
			continue
		}
		s.admit(nil, client)
	}
}

// listen reports whether ln is to be served. Shutdown then waits for background to be told that it no longer is.
func (s *Server) listen(ln net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Load() {
		return false
	}
	s.listeners[ln] = struct{}{}
	s.background.Add(1)
	return true
}

func (s *Server) closing() bool { return s.draining.Load() }

// admit starts the session of a connection. by is the task that accepted it; nil: a goroutine did.
func (s *Server) admit(by *task.Task, client *task.Conn) {
	s.group.GoTurns(by, client, newSession(s, s.config.Load(), client))
}

func (s *Server) enter(ss *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Load() {
		return false
	}
	s.sessions.add(ss)
	return true
}

func (s *Server) leave(ss *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions.remove(ss)
	if ss.db == nil {
		return
	}
	if ss.asked.gone == nil {
		ss.asked.gone = s.usages.goneOf(ss.db.Name())
	}
	ss.asked.gone.add(&ss.shown.usage)
}

// each calls f for every session, without holding the lock.
func (s *Server) each(f func(*session)) {
	s.mu.Lock()
	all := s.sessions.list()
	s.mu.Unlock()
	for _, ss := range all {
		f(ss)
	}
}

// Shutdown stops accepting, ends idle sessions, lets open transactions finish until ctx ends, and then cuts what is left.
// It returns once every session has ended: nil if all ended by themselves, else the context's error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	if !s.draining.Load() {
		close(s.stop)
	}
	s.draining.Store(true)
	for ln := range s.listeners {
		_ = ln.Close()
	}
	for t := range s.acceptors {
		t.Wake()
	}
	s.mu.Unlock()
	s.each(func(ss *session) { ss.drain(false) })
	done := make(chan struct{})
	go func() {
		s.background.Wait() // first: who serves a listener adds to the group
		s.group.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	s.each(func(ss *session) { ss.drain(true) })
	<-done
	return ctx.Err()
}
