package pgwire

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"
)

// MaxIterations is how many iterations of SCRAM's key derivation a server may
// ask for. They cannot be interrupted, and a million take a second.
const MaxIterations = 1_000_000

// maxChallenge is the longest Authentication message that is taken, in bytes.
const maxChallenge = 8 << 10

// BoundedFrontend is what pgconn may read a server's messages with
// (pgconn.Config.BuildFrontend): reading fails when the server asks for more
// than MaxIterations while the client logs in.
func BoundedFrontend(r io.Reader, w io.Writer) *pgproto3.Frontend {
	return pgproto3.NewFrontend(&loginReader{r: r}, w)
}

// loginReader looks at the Authentication messages that pass, up to the first
// ReadyForQuery.
type loginReader struct {
	r      io.Reader
	frame  []byte // the header of the message in hand and, of Authentication, its body so far
	rest   int    // bytes of the message that are still to come
	logged bool   // the login is over
}

func (l *loginReader) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if l.logged {
		return n, err
	}
	if fault := l.look(p[:n]); fault != nil {
		return 0, loginFault{fault}
	}
	return n, err
}

// loginFault ends a login. It passes for a timeout: after any other failure to
// read, pgconn sends the server a cancel request in a goroutine of its own,
// with a key that it does not have yet.
type loginFault struct{ error }

func (f loginFault) Unwrap() error { return f.error }

func (loginFault) Timeout() bool { return true }

func (loginFault) Temporary() bool { return false }

var _ net.Error = loginFault{}

// look takes the next bytes that the server sent.
func (l *loginReader) look(b []byte) error {
	for len(b) > 0 && !l.logged {
		if len(l.frame) < HeaderLen {
			l.frame = append(l.frame, b[0])
			b = b[1:]
			if len(l.frame) < HeaderLen {
				continue
			}
			l.rest = int(binary.BigEndian.Uint32(l.frame[1:])) - 4
			if l.frame[0] == MsgAuthentication && l.rest > maxChallenge {
				return errAuthentication
			}
		}
		n := min(max(l.rest, 0), len(b))
		if l.frame[0] == MsgAuthentication {
			l.frame = append(l.frame, b[:n]...)
		}
		b = b[n:]
		l.rest -= n
		if l.rest > 0 {
			continue
		}
		if err := checkIterations(l.frame); err != nil {
			return err
		}
		l.logged = l.frame[0] == MsgReadyForQuery
		l.frame = l.frame[:0]
	}
	return nil
}

// checkIterations refuses a SCRAM challenge that asks for too many iterations.
// What cannot be understood is left to whoever reads it.
func checkIterations(frame []byte) error {
	if frame[0] != MsgAuthentication {
		return nil
	}
	kind, content, err := Authentication(frame)
	if err != nil || kind != AuthenticationSASLContinue {
		return nil
	}
	for field := range strings.SplitSeq(string(content), ",") {
		count, ok := strings.CutPrefix(field, "i=")
		if n, err := strconv.ParseUint(count, 10, 64); ok && (err != nil || n > MaxIterations) {
			return fmt.Errorf("the server asks for %.20s iterations of SCRAM's key derivation; the most is %d", count, MaxIterations)
		}
	}
	return nil
}
