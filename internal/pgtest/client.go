package pgtest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/pgwire"
)

// Options say how a client connects.
type Options struct {
	User     string // PostgreSQL refuses an empty one
	Password string // for SCRAM-SHA-256 and cleartext, if the server asks
	Database string
	Minor    uint16            // of the protocol asked for: 3.Minor
	Params   map[string]string // more startup parameters, protocol options included
	TLS      *tls.Config       // when set, TLS is asked for, and it is an error if refused
	Timeout  time.Duration     // of each read and write; 10 s when 0
}

// Client is one connection to a server or proxy. It is not safe for concurrent
// use, but for one writer and one reader.
type Client struct {
	PID        uint32            // from BackendKeyData
	Secret     []byte            // from BackendKeyData
	Params     map[string]string // from ParameterStatus, the latest
	Status     byte              // from ReadyForQuery, the latest
	Negotiated string            // trace of NegotiateProtocolVersion, if the server sent it

	link
	address string
}

// Connect opens a connection and logs in, or fails the test. The connection is
// closed when the test ends.
func Connect(tb testing.TB, address string, o Options) *Client {
	tb.Helper()
	c, err := Dial(address, o)
	if err != nil {
		tb.Fatalf("connect to %s: %v", address, err)
	}
	tb.Cleanup(func() { _ = c.Abort() })
	return c
}

// Dial opens a connection to host:port and logs in. The server's refusal is a
// *[pgwire.Error].
func Dial(address string, o Options) (*Client, error) {
	c, err := Open(address, o.Timeout)
	if err != nil {
		return nil, err
	}
	if o.TLS != nil {
		err = c.StartTLS(o.TLS)
	}
	if err == nil {
		err = c.Startup(o)
	}
	if err != nil {
		_ = c.Abort()
		return nil, err
	}
	return c, nil
}

// Open opens a connection on which nothing has been said yet. Each operation
// on it ends within the timeout; 0 stands for 10 s.
func Open(address string, timeout time.Duration) (*Client, error) {
	if timeout == 0 {
		timeout = 10 * time.Second
	}
	conn, err := net.DialTimeout("tcp", address, timeout)
	if err != nil {
		return nil, err
	}
	return &Client{link: newLink(conn, timeout), address: address, Params: map[string]string{}}, nil
}

// RequestSSL sends an SSLRequest and returns the server's answer: 'S' or 'N'.
func (c *Client) RequestSSL() (byte, error) {
	return c.request(5679)
}

// RequestGSS sends a GSSENCRequest and returns the server's answer: 'G' or 'N'.
func (c *Client) RequestGSS() (byte, error) {
	return c.request(5680)
}

func (c *Client) request(code uint16) (byte, error) {
	if err := c.write([]byte{0, 0, 0, 8, 1234 >> 8, 1234 & 0xff, byte(code >> 8), byte(code)}); err != nil {
		return 0, err
	}
	answer := make([]byte, 1)
	err := c.read(answer)
	return answer[0], err
}

// StartTLS asks for TLS and does the handshake.
func (c *Client) StartTLS(config *tls.Config) error {
	answer, err := c.RequestSSL()
	if err != nil {
		return err
	}
	if answer != 'S' {
		return fmt.Errorf("the server answered %q to SSLRequest", answer)
	}
	conn := tls.Client(c.conn, config)
	if err := conn.SetDeadline(time.Now().Add(c.timeout)); err != nil {
		return err
	}
	if err := conn.Handshake(); err != nil {
		return err
	}
	return c.replace(conn)
}

// Startup sends the startup packet and logs in, up to ReadyForQuery.
func (c *Client) Startup(o Options) error {
	if err := c.write(startupPacket(o)); err != nil {
		return err
	}
	auth := scram{password: o.Password}
	for {
		frame, err := c.Read()
		if err != nil {
			return fmt.Errorf("startup: %w", err)
		}
		switch frame[0] {
		case pgwire.MsgAuthentication:
			err = c.authenticate(frame, &auth)
		case pgwire.MsgErrorResponse:
			return refused(frame)
		case pgwire.MsgReadyForQuery:
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func refused(frame []byte) error {
	e, err := pgwire.DecodeError(frame)
	if err != nil {
		return err
	}
	return e
}

func startupPacket(o Options) []byte {
	b := []byte{0, 0, 0, 0, 0, 3, byte(o.Minor >> 8), byte(o.Minor)}
	add := func(name, value string) { b = append(append(append(append(b, name...), 0), value...), 0) }
	if o.User != "" {
		add("user", o.User)
	}
	if o.Database != "" {
		add("database", o.Database)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Params)) {
		add(name, o.Params[name])
	}
	b = append(b, 0)
	b[2], b[3] = byte(len(b)>>8), byte(len(b))
	return b
}

// authenticate answers an Authentication message.
func (c *Client) authenticate(frame []byte, s *scram) error {
	if len(frame) < pgwire.HeaderLen+4 {
		return fmt.Errorf("authentication message %x is too short", frame)
	}
	kind, content := frame[pgwire.HeaderLen+3], frame[pgwire.HeaderLen+4:]
	switch kind {
	case 0:
		return nil
	case 3:
		return c.SendFrame(pgwire.MsgPassword, append([]byte(s.password), 0))
	case 10:
		first := s.first()
		body := append([]byte(scramMechanism), 0, 0, 0, 0, byte(len(first)))
		return c.SendFrame(pgwire.MsgPassword, append(body, first...))
	case 11:
		final, err := s.final(content)
		if err != nil {
			return err
		}
		return c.SendFrame(pgwire.MsgPassword, final)
	case 12:
		return s.verify(content)
	}
	return fmt.Errorf("the server asks for authentication of kind %d", kind)
}

// Send sends messages in one write.
func (c *Client) Send(messages ...Encoder) error {
	return c.send(messages)
}

// SendBytes sends bytes as they are, frames or not.
func (c *Client) SendBytes(b []byte) error { return c.write(b) }

// SendFrame sends a frame of any type with any body.
func (c *Client) SendFrame(typ byte, body []byte) error {
	return c.write(Frame(typ, body))
}

// Read reads the next frame, which belongs to the caller. It notes what the
// fields of the client are for. At a close between frames it is io.EOF.
func (c *Client) Read() ([]byte, error) {
	frame, err := c.frame()
	if err != nil {
		return nil, err
	}
	switch frame[0] {
	case pgwire.MsgParameterStatus:
		name, value, err := pgwire.ParameterStatus(frame)
		if err != nil {
			return nil, err
		}
		c.Params[string(name)] = string(value)
	case pgwire.MsgBackendKeyData:
		if c.PID, c.Secret, err = pgwire.BackendKeyData(frame); err != nil {
			return nil, err
		}
	case pgwire.MsgReadyForQuery:
		if c.Status, err = pgwire.ReadyStatus(frame); err != nil {
			return nil, err
		}
	case pgwire.MsgNegotiateVersion:
		c.Negotiated = string(pgwire.Trace(nil, false, frame))
	}
	return frame, nil
}

// ReadRest reads what comes until the server closes the connection, whole frames
// or not.
func (c *Client) ReadRest() ([]byte, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(c.timeout)); err != nil {
		return nil, err
	}
	b, err := io.ReadAll(c.in)
	if isReset(err) {
		err = nil
	}
	return b, err
}

// ReadUntil reads frames up to the first of a type, and returns the trace of
// all of them. What was read before an error is returned with it.
func (c *Client) ReadUntil(typ byte) ([]string, error) {
	var lines []string
	for {
		frame, err := c.Read()
		if err != nil {
			return lines, err
		}
		lines = append(lines, string(pgwire.Trace(nil, false, frame)))
		if frame[0] == typ {
			return lines, nil
		}
	}
}

// ReadUntilReady reads frames up to ReadyForQuery, and returns the trace of all
// of them.
func (c *Client) ReadUntilReady() ([]string, error) {
	return c.ReadUntil(pgwire.MsgReadyForQuery)
}

// Query sends a Query message and returns the trace of the answer. A statement
// that fails is no error here: its ErrorResponse is in the trace.
func (c *Client) Query(sql string) ([]string, error) {
	if err := c.write(pgwire.AppendQuery(nil, sql)); err != nil {
		return nil, err
	}
	return c.ReadUntilReady()
}

// Cancel sends a CancelRequest for this session on another connection, and
// returns when the server closed that, as it does when it has taken it. A server
// that has not begun the statement yet when the request arrives ignores it.
func (c *Client) Cancel() error {
	other, err := Open(c.address, c.timeout)
	if err != nil {
		return err
	}
	defer func() { _ = other.Abort() }()
	if err := other.write(pgwire.AppendCancelRequest(nil, c.PID, c.Secret)); err != nil {
		return err
	}
	return other.AwaitClose()
}

// AwaitClose waits for the server to close the connection, and is an error if
// it sends anything before, or neither in time.
func (c *Client) AwaitClose() error {
	b := make([]byte, 1)
	switch err := c.read(b); {
	case err == nil:
		return fmt.Errorf("the server sent %q instead of closing", b)
	case errors.Is(err, io.EOF), isReset(err):
		return nil
	default:
		return fmt.Errorf("the server did not close: %w", err)
	}
}

// CloseWrite says that nothing more will be sent. What the server says can still
// be read.
func (c *Client) CloseWrite() error {
	tcp, ok := c.conn.(*net.TCPConn)
	if !ok {
		return fmt.Errorf("%T cannot be closed in one direction", c.conn)
	}
	return tcp.CloseWrite()
}

// Close ends the session as a client should: Terminate, then close.
func (c *Client) Close() error {
	return errors.Join(c.write(pgwire.AppendTerminate(nil)), c.conn.Close())
}

// Abort closes the connection without a word, as a client that was killed.
func (c *Client) Abort() error { return c.conn.Close() }
