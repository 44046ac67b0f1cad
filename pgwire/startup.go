package pgwire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
)

// MaxStartupLen is the size of the largest packet that may open a connection,
// in bytes: PostgreSQL's MAX_STARTUP_PACKET_LENGTH and the length itself.
const MaxStartupLen = 10000 + 4

const (
	minStartupLen = 8
	protocolMajor = 3
	newestMinor   = 2 // PostgreSQL 18 and later; 3.1 was never used
)

// Codes that stand in the place of a protocol version in the first packet.
const (
	codeCancel = 1234<<16 | 5678
	codeSSL    = 1234<<16 | 5679
	codeGSSENC = 1234<<16 | 5680
)

// Kind is what the first packet of a connection asks for.
type Kind uint8

// Kinds of first packet.
const (
	KindStartup       Kind = iota + 1 // a session
	KindSSLRequest                    // TLS, before another first packet
	KindGSSENCRequest                 // GSSAPI encryption, before another first packet
	KindCancel                        // to cancel what another session runs
)

// Param is a parameter of a startup packet.
type Param struct {
	Name, Value string
}

// Startup is the first packet of a connection, decoded. It does not refer to
// the bytes it was decoded from.
type Startup struct {
	Kind         Kind
	Major, Minor uint16   // as asked for; the request's code when Kind is not KindStartup
	Params       []Param  // of KindStartup: in the order sent, without protocol options
	Options      []string // of KindStartup: names of the protocol options ("_pq_.…") asked for
	PID          uint32   // of KindCancel
	Secret       []byte   // of KindCancel
}

// DirectTLS reports whether b, the first bytes of a connection, begin a TLS
// handshake that no SSLRequest announced (PostgreSQL 17 and later).
func DirectTLS(b []byte) bool {
	return len(b) > 0 && b[0] == 0x16
}

// PeekStartup is the size of the untyped packet that begins at b[0], which may
// exceed len(b). It is 0 when b holds less than a length. A length that no first
// packet can have is a *[LengthError]; PostgreSQL closes such a connection
// without an answer.
func PeekStartup(b []byte) (size int, err error) {
	if len(b) < 4 {
		return 0, nil
	}
	length := int64(int32(binary.BigEndian.Uint32(b)))
	if length < minStartupLen || length > MaxStartupLen {
		return 0, &LengthError{Length: length, Max: MaxStartupLen}
	}
	return int(length), nil
}

// ParseStartup decodes the first packet of a connection: b is the whole of it,
// no more. An *[Error] is what PostgreSQL would tell the client, and meant to be
// sent; at any other error PostgreSQL closes the connection without an answer.
func ParseStartup(b []byte) (Startup, error) {
	size, err := PeekStartup(b)
	if err != nil {
		return Startup{}, err
	}
	if size == 0 || size != len(b) {
		return Startup{}, &FormatError{"Startup", "the packet is incomplete"}
	}
	code := binary.BigEndian.Uint32(b[4:])
	s := Startup{Kind: KindStartup, Major: uint16(code >> 16), Minor: uint16(code)}
	switch code {
	case codeCancel:
		return parseCancel(s, b[8:])
	case codeSSL:
		s.Kind = KindSSLRequest
	case codeGSSENC:
		s.Kind = KindGSSENCRequest
	default:
		if s.Major != protocolMajor {
			return Startup{}, s.Unsupported()
		}
		return parseParams(s, string(b[8:]))
	}
	if size != minStartupLen {
		return Startup{}, &FormatError{"Startup", "a request for encryption has content"}
	}
	return s, nil
}

func parseCancel(s Startup, b []byte) (Startup, error) {
	if len(b) < 4+MinSecretLen || len(b) > 4+MaxSecretLen {
		return Startup{}, &FormatError{"CancelRequest", "it is not a process ID and a key of 4 to 256 bytes"}
	}
	s.Kind = KindCancel
	s.PID = binary.BigEndian.Uint32(b)
	s.Secret = bytes.Clone(b[4:])
	return s, nil
}

// usualParams is how many parameters have room at once: drivers send three to six.
const usualParams = 6

// parseParams reads pairs of names and values up to an empty name, which must
// be the last byte. They are parts of text.
func parseParams(s Startup, text string) (Startup, error) {
	s.Params = make([]Param, 0, usualParams)
	for {
		name, rest, ok := strings.Cut(text, "\x00")
		if !ok || name == "" && rest != "" {
			return Startup{}, startupError("08P01", "invalid startup packet layout: expected terminator as last byte")
		}
		if name == "" {
			break
		}
		value, rest, ok := strings.Cut(rest, "\x00")
		if !ok {
			return Startup{}, startupError("08P01", "invalid startup packet layout: expected terminator as last byte")
		}
		if err := s.add(name, value); err != nil {
			return Startup{}, err
		}
		text = rest
	}
	if user, _ := s.Param("user"); user == "" {
		return Startup{}, startupError("28000", "no PostgreSQL user name specified in startup packet")
	}
	return s, nil
}

func (s *Startup) add(name, value string) error {
	if strings.HasPrefix(name, "_pq_.") {
		s.Options = append(s.Options, name)
		return nil
	}
	if name == "user" || name == "database" {
		if _, twice := s.Param(name); twice {
			return startupError("08P01", fmt.Sprintf("invalid startup packet layout: parameter %q is given twice", name))
		}
	}
	s.Params = append(s.Params, Param{name, value})
	return nil
}

func startupError(code, message string) *Error {
	return &Error{Severity: SeverityFatal, Code: code, Message: message}
}

// Param is the value of a parameter, the last one if it is given more than
// once, and whether it is given.
func (s *Startup) Param(name string) (value string, ok bool) {
	for i := len(s.Params) - 1; i >= 0; i-- {
		if s.Params[i].Name == name {
			return s.Params[i].Value, true
		}
	}
	return "", false
}

// Unsupported is what PostgreSQL tells a client that asks for a protocol it
// does not speak, or for encryption again after it was answered.
func (s *Startup) Unsupported() *Error {
	return startupError("0A000", fmt.Sprintf("unsupported frontend protocol %d.%d: server supports %d.0 to %d.%d",
		s.Major, s.Minor, protocolMajor, protocolMajor, newestMinor))
}

// Negotiate is the minor version to speak with the client, and whether it must
// be told by [AppendNegotiateProtocolVersion] before authentication: because it
// asked for a newer one, or for protocol options, none of which are known. As
// in PostgreSQL 18, the version is never above what the client asked for, and
// 3.1, which does not exist, is let through: it differs from 3.2 as 3.0 does.
func (s *Startup) Negotiate() (minor uint16, must bool) {
	return min(s.Minor, newestMinor), s.Minor > newestMinor || len(s.Options) > 0
}

// AppendNegotiateProtocolVersion adds a NegotiateProtocolVersion message. It
// carries the whole version, 3.minor, as PostgreSQL sends it and libpq expects
// it, and the protocol options that are not known.
func AppendNegotiateProtocolVersion(dst []byte, minor uint16, options []string) []byte {
	dst, start := begin(dst, MsgNegotiateVersion)
	dst = binary.BigEndian.AppendUint32(dst, protocolMajor<<16|uint32(minor))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(options)))
	for _, o := range options {
		dst = appendString(dst, o)
	}
	return finish(dst, start)
}
