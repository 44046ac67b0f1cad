package pgtest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/pgdrover/pgdrover/pgwire"
)

// maxFrame bounds what a peer reads in one piece, in bytes.
const maxFrame = 64 << 20

// Encoder is a message that can put itself on the wire: those of pgproto3/v2
// and of pgx's pgproto3 can.
type Encoder interface {
	Encode(dst []byte) ([]byte, error)
}

// link is a connection of which every operation must end within a time.
type link struct {
	conn    net.Conn
	in      *bufio.Reader
	timeout time.Duration
}

func newLink(conn net.Conn, timeout time.Duration) link {
	return link{conn: conn, in: bufio.NewReader(conn), timeout: timeout}
}

// replace continues on another connection, which wraps the one before: nothing
// may have been received for it yet, since that would not be encrypted.
func (l *link) replace(conn net.Conn) error {
	if n := l.in.Buffered(); n > 0 {
		return fmt.Errorf("%d bytes arrived before encryption", n)
	}
	l.conn, l.in = conn, bufio.NewReader(conn)
	return nil
}

// write sends b as it is.
func (l *link) write(b []byte) error {
	if err := l.conn.SetWriteDeadline(time.Now().Add(l.timeout)); err != nil {
		return err
	}
	_, err := l.conn.Write(b)
	return err
}

// send sends messages in one write.
func (l *link) send(messages []Encoder) error {
	var b []byte
	for _, m := range messages {
		var err error
		if b, err = m.Encode(b); err != nil {
			return fmt.Errorf("encode %T: %w", m, err)
		}
	}
	return l.write(b)
}

// frame reads a whole frame, which belongs to the caller. It is io.EOF when the
// peer closed between frames, and io.ErrUnexpectedEOF when within one.
func (l *link) frame() ([]byte, error) {
	header := make([]byte, pgwire.HeaderLen)
	if err := l.read(header); err != nil {
		return nil, err
	}
	_, size, err := pgwire.Peek(header, maxFrame)
	if err != nil {
		return nil, err
	}
	return l.rest(header, size)
}

// rest reads what is left of a packet of size bytes that begins with head.
func (l *link) rest(head []byte, size int) ([]byte, error) {
	packet := make([]byte, size)
	n := copy(packet, head)
	err := l.read(packet[n:])
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return packet, err
}

func (l *link) read(b []byte) error {
	if err := l.conn.SetReadDeadline(time.Now().Add(l.timeout)); err != nil {
		return err
	}
	_, err := io.ReadFull(l.in, b)
	return err
}

// isReset reports whether the peer ended the connection in an unorderly way.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
