package pgwire

import "encoding/binary"

// What a client sends to log in, and reads of the server's answers.

// AppendStartup adds a startup packet of protocol 3.0.
func AppendStartup(dst []byte, params []Param) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, 0, protocolMajor, 0, 0)
	for _, p := range params {
		dst = appendString(appendString(dst, p.Name), p.Value)
	}
	dst = append(dst, 0)
	setLength(dst[start:])
	return dst
}

// AppendSASLInitialResponse adds a SASLInitialResponse message: the mechanism
// that the client chooses, and its first message.
func AppendSASLInitialResponse(dst []byte, mechanism string, first []byte) []byte {
	dst, start := begin(dst, MsgPassword)
	dst = appendString(dst, mechanism)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(first)))
	return finish(append(dst, first...), start)
}

// AppendSASLResponse adds a SASLResponse message.
func AppendSASLResponse(dst, content []byte) []byte {
	dst, start := begin(dst, MsgPassword)
	return finish(append(dst, content...), start)
}

// AuthenticationKind says what an Authentication message asks for.
type AuthenticationKind uint32

// Kinds of Authentication messages that are told apart.
const (
	AuthenticationOk           AuthenticationKind = authOK
	AuthenticationCleartext    AuthenticationKind = authCleartext
	AuthenticationMD5          AuthenticationKind = authMD5
	AuthenticationSASL         AuthenticationKind = authSASL
	AuthenticationSASLContinue AuthenticationKind = authSASLContinue
	AuthenticationSASLFinal    AuthenticationKind = authSASLFinal
)

var errAuthentication = &FormatError{"Authentication", "it is not a kind and what that needs"}

// Authentication reads an Authentication frame: its kind, and a view of the
// rest.
func Authentication(frame []byte) (kind AuthenticationKind, content []byte, err error) {
	b, ok := body(frame, MsgAuthentication)
	if !ok || len(b) < 4 {
		return 0, nil, errAuthentication
	}
	return AuthenticationKind(binary.BigEndian.Uint32(b)), b[4:], nil
}

// Mechanisms reads the content of an AuthenticationSASL message: the
// mechanisms that the server offers.
func Mechanisms(content []byte) ([]string, error) {
	var names []string
	for {
		name, rest, ok := cutString(content)
		switch {
		case !ok:
			return nil, errAuthentication
		case len(name) > 0:
			names = append(names, string(name))
			content = rest
		case len(rest) > 0 || len(names) == 0:
			return nil, errAuthentication
		default:
			return names, nil
		}
	}
}
