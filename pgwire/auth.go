package pgwire

import (
	"encoding/binary"

	"github.com/jackc/pgx/v5/pgproto3"
)

// Kinds of Authentication messages.
const (
	authOK           = 0
	authCleartext    = 3
	authMD5          = 5
	authSASL         = 10
	authSASLContinue = 11
	authSASLFinal    = 12
)

var (
	errSASLInitial = &FormatError{"SASLInitialResponse", "it is not a mechanism and a response"}
	errSASL        = &FormatError{"SASLResponse", "it is not a message of type p"}
	errPassword    = &FormatError{"Password", "the password is not ended by the only NUL byte"}
)

// AppendAuthenticationOk adds an AuthenticationOk message.
func AppendAuthenticationOk(dst []byte) []byte {
	return appendAuth(dst, authOK, nil)
}

// AppendAuthenticationCleartext adds an AuthenticationCleartextPassword
// message.
func AppendAuthenticationCleartext(dst []byte) []byte {
	return appendAuth(dst, authCleartext, nil)
}

// AppendAuthenticationMD5 adds an AuthenticationMD5Password message.
func AppendAuthenticationMD5(dst []byte, salt [4]byte) []byte {
	return appendAuth(dst, authMD5, salt[:])
}

// AppendAuthenticationSASL adds an AuthenticationSASL message that offers
// mechanisms, in order of preference.
func AppendAuthenticationSASL(dst []byte, mechanisms []string) []byte {
	dst, start := begin(dst, MsgAuthentication)
	dst = binary.BigEndian.AppendUint32(dst, authSASL)
	for _, m := range mechanisms {
		dst = appendString(dst, m)
	}
	return finish(append(dst, 0), start)
}

// AppendAuthenticationSASLContinue adds an AuthenticationSASLContinue message:
// the server's challenge.
func AppendAuthenticationSASLContinue(dst, challenge []byte) []byte {
	return appendAuth(dst, authSASLContinue, challenge)
}

// AppendAuthenticationSASLFinal adds an AuthenticationSASLFinal message: the
// outcome of the SASL exchange. AuthenticationOk follows it.
func AppendAuthenticationSASLFinal(dst, outcome []byte) []byte {
	return appendAuth(dst, authSASLFinal, outcome)
}

func appendAuth(dst []byte, kind uint32, content []byte) []byte {
	dst, start := begin(dst, MsgAuthentication)
	dst = binary.BigEndian.AppendUint32(dst, kind)
	return finish(append(dst, content...), start)
}

// SASLInitialResponse reads a SASLInitialResponse frame: views of the mechanism
// that the client chose, and of its first response, nil if it sent none.
// Unlike pgproto3 it holds the announced length to the bytes that are there.
func SASLInitialResponse(frame []byte) (mechanism, response []byte, err error) {
	b, ok := body(frame, MsgPassword)
	if !ok {
		return nil, nil, errSASLInitial
	}
	name, rest, ok := cutString(b)
	if !ok || len(rest) < 4 {
		return nil, nil, errSASLInitial
	}
	length, rest := int32(binary.BigEndian.Uint32(rest)), rest[4:]
	switch {
	case length == -1 && len(rest) == 0:
		return name, nil, nil
	case int64(length) != int64(len(rest)):
		return nil, nil, errSASLInitial
	}
	return name, rest, nil
}

// SASLResponse is a view of the content of a SASLResponse frame.
func SASLResponse(frame []byte) ([]byte, error) {
	b, ok := body(frame, MsgPassword)
	if !ok {
		return nil, errSASL
	}
	var m pgproto3.SASLResponse
	if err := m.Decode(b); err != nil {
		return nil, errSASL
	}
	return m.Data, nil
}

// PasswordMessage is the password in a PasswordMessage frame.
func PasswordMessage(frame []byte) (string, error) {
	b, ok := body(frame, MsgPassword)
	if !ok {
		return "", errPassword
	}
	var m pgproto3.PasswordMessage
	if err := m.Decode(b); err != nil || len(m.Password)+1 != len(b) {
		return "", errPassword
	}
	return m.Password, nil
}
