package pgtest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/pgdrover/pgdrover/pgwire"
)

// Conn is a server's side of a connection, as scripts see it. Only the script
// of that connection may use it.
type Conn struct {
	Startup pgwire.Startup // what the client asked for
	PID     uint32         // for BackendKeyData; a script may change it before it greets
	Secret  []byte         // for BackendKeyData

	link
	raw     net.Conn // below TLS
	server  *Server
	dropped atomic.Bool
}

// startup reads first packets until one asks for a session or a cancel, and
// answers those that ask for encryption.
func (c *Conn) startup(config *tls.Config) (cancel bool, err error) {
	for {
		head := make([]byte, 4)
		if err := c.read(head); err != nil {
			return false, err
		}
		size, err := pgwire.PeekStartup(head)
		if err != nil {
			return false, err
		}
		packet, err := c.rest(head, size)
		if err != nil {
			return false, err
		}
		if c.Startup, err = pgwire.ParseStartup(packet); err != nil {
			return false, err
		}
		switch c.Startup.Kind {
		case pgwire.KindSSLRequest:
			err = c.encrypt(config)
		case pgwire.KindGSSENCRequest:
			err = c.Write([]byte{'N'})
		default:
			return c.Startup.Kind == pgwire.KindCancel, nil
		}
		if err != nil {
			return false, err
		}
	}
}

func (c *Conn) encrypt(config *tls.Config) error {
	if config == nil {
		return c.Write([]byte{'N'})
	}
	if err := c.Write([]byte{'S'}); err != nil {
		return err
	}
	conn := tls.Server(c.conn, config)
	if err := conn.SetDeadline(time.Now().Add(c.timeout)); err != nil {
		return err
	}
	if err := conn.Handshake(); err != nil {
		return fmt.Errorf("TLS: %w", err)
	}
	return c.replace(conn)
}

// negotiate tells the client the protocol's version when it must be told.
func (c *Conn) negotiate() error {
	minor, must := c.Startup.Negotiate()
	if !must {
		return nil
	}
	return c.Write(pgwire.AppendNegotiateProtocolVersion(nil, minor, c.Startup.Options))
}

// Greet sends what follows authentication: a few settings, BackendKeyData and
// ReadyForQuery.
func (c *Conn) Greet() error {
	var b []byte
	for _, p := range [...]pgwire.Param{
		{Name: "server_version", Value: "15.0"},
		{Name: "server_encoding", Value: "UTF8"},
		{Name: "client_encoding", Value: "UTF8"},
		{Name: "standard_conforming_strings", Value: "on"},
		{Name: "in_hot_standby", Value: "off"},
	} {
		b = pgwire.AppendParameterStatus(b, p.Name, p.Value)
	}
	b = pgwire.AppendBackendKeyData(b, c.PID, c.Secret)
	return c.Write(pgwire.AppendReadyForQuery(b, pgwire.StatusIdle))
}

// Read reads the client's next frame, which belongs to the caller.
func (c *Conn) Read() ([]byte, error) {
	l := c.link
	l.timeout = max(l.timeout, time.Minute)
	return l.frame()
}

// Write sends bytes as they are, frames or not.
func (c *Conn) Write(b []byte) error { return c.write(b) }

// Send sends messages in one write.
func (c *Conn) Send(messages ...Encoder) error {
	return c.send(messages)
}

// WritePart sends the first n bytes of b, then closes the connection: in the
// middle of a row, of a frame, or of a header. It returns [ErrHangUp] for the
// script to return.
func (c *Conn) WritePart(b []byte, n int) error {
	if err := c.write(b[:n]); err != nil {
		return err
	}
	return ErrHangUp
}

// Reset closes the connection so that the client sees a reset instead of an
// orderly end. It returns [ErrHangUp] for the script to return.
func (c *Conn) Reset() error {
	tcp, ok := c.raw.(*net.TCPConn)
	if !ok {
		return fmt.Errorf("%T cannot be reset", c.raw)
	}
	if err := tcp.SetLinger(0); err != nil {
		return err
	}
	return errors.Join(ErrHangUp, tcp.Close())
}
