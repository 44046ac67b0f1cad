package pgtest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/pgwire"
)

// ErrHangUp, returned by a script, closes the connection and is no failure.
var ErrHangUp = errors.New("the script hangs up")

// Script says what a [Server] does. Its functions run on a goroutine for each
// connection; an error that they return, other than [ErrHangUp], closes the
// connection and fails the test. What they may leave out has a default.
type Script struct {
	// Handle is given each frame after startup, Terminate excepted. It must be
	// set. The frame belongs to it.
	Handle func(c *Conn, frame []byte) error
	// Auth decides about a client before AuthenticationOk. By default all are
	// trusted.
	Auth func(c *Conn) error
	// Greet answers a client that is authenticated, up to ReadyForQuery. By
	// default it is Conn.Greet.
	Greet func(c *Conn) error
	// Cancel is given each CancelRequest.
	Cancel func(pid uint32, secret []byte)
	// TLS, when set, is offered to clients that ask.
	TLS *tls.Config
	// Timeout is that of each write, and of reads while a client starts up;
	// 10 s when 0. Handle's frames may be a minute apart.
	Timeout time.Duration
}

// Server plays a PostgreSQL server on a port of the loopback interface.
type Server struct {
	Addr string // host:port

	tb       testing.TB
	script   Script
	listener net.Listener
	running  sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	conns   map[*Conn]struct{}
	nextPID uint32
}

// Serve starts a server, which is stopped when the test ends.
func Serve(tb testing.TB, script Script) *Server {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	if script.Timeout == 0 {
		script.Timeout = 10 * time.Second
	}
	if script.Greet == nil {
		script.Greet = (*Conn).Greet
	}
	s := &Server{
		Addr: listener.Addr().String(), tb: tb, script: script, listener: listener,
		conns: map[*Conn]struct{}{}, nextPID: 1000,
	}
	s.running.Go(s.accept)
	tb.Cleanup(s.Close)
	return s
}

// Close stops the server: it takes no more connections, closes those it has,
// and waits until their scripts have returned. It may be called twice.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	_ = s.listener.Close()
	s.Drop()
	s.running.Wait()
}

// Drop closes all connections that there are, as a server that was killed.
func (s *Server) Drop() {
	s.mu.Lock()
	conns := make([]*Conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	for _, c := range conns {
		c.dropped.Store(true)
		_ = c.raw.Close()
	}
}

// Conns is the number of connections open now.
func (s *Server) Conns() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

func (s *Server) accept() {
	for {
		raw, err := s.listener.Accept()
		if err != nil {
			return
		}
		c := &Conn{link: newLink(raw, s.script.Timeout), raw: raw, server: s}
		if !s.admit(c) {
			_ = raw.Close()
			return
		}
		s.running.Go(func() {
			defer s.leave(c)
			s.report(c, s.play(c))
		})
	}
}

func (s *Server) admit(c *Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.nextPID++
	c.PID, c.Secret = s.nextPID, []byte{0, 0, byte(s.nextPID >> 8), byte(s.nextPID)}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) leave(c *Conn) {
	_ = c.raw.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// report fails the test for an error that neither a peer's close nor ours
// explains.
func (s *Server) report(c *Conn, err error) {
	switch {
	case err == nil, errors.Is(err, ErrHangUp), c.dropped.Load():
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed), isReset(err):
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.tb.Errorf("scripted server: the client said nothing in time")
	default:
		s.tb.Errorf("scripted server: %v", err)
	}
}

// play is the life of a connection.
func (s *Server) play(c *Conn) error {
	cancel, err := c.startup(s.script.TLS)
	if err != nil {
		return err
	}
	if cancel {
		if s.script.Cancel != nil {
			s.script.Cancel(c.Startup.PID, c.Startup.Secret)
		}
		return nil
	}
	if err := c.negotiate(); err != nil {
		return err
	}
	if s.script.Auth != nil {
		if err := s.script.Auth(c); err != nil {
			return err
		}
	}
	if err := c.Write(pgwire.AppendAuthenticationOk(nil)); err != nil {
		return err
	}
	if err := s.script.Greet(c); err != nil {
		return fmt.Errorf("greet: %w", err)
	}
	for {
		frame, err := c.Read()
		if err != nil {
			return err
		}
		if frame[0] == pgwire.MsgTerminate {
			return nil
		}
		if err := s.script.Handle(c, frame); err != nil {
			return err
		}
	}
}
