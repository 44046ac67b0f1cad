package proxy

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/xdg-go/scram"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/pool"
)

// The SASL mechanisms.
const (
	scramMechanism = "SCRAM-SHA-256"
	scramPlus      = "SCRAM-SHA-256-PLUS"
)

// scramIterations is PostgreSQL's default, for verifiers made from a password here.
const scramIterations = 4096

// Verifier is what a SCRAM-SHA-256 server keeps of a password, in the form of PostgreSQL's pg_authid.rolpassword
// (manual, "pg_authid"): SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey. It does not reveal the password.
type Verifier struct{ stored scram.StoredCredentials }

// ParseVerifier reads a verifier as PostgreSQL stores it.
func ParseVerifier(s string) (*Verifier, error) {
	bad := func(what string) error {
		return fmt.Errorf("%s; a verifier is SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey, as in pg_authid.rolpassword", what)
	}
	parts := strings.Split(s, "$")
	if len(parts) != 3 || parts[0] != scramMechanism {
		return nil, bad("not a SCRAM-SHA-256 verifier")
	}
	iterations, salt, ok1 := strings.Cut(parts[1], ":")
	storedKey, serverKey, ok2 := strings.Cut(parts[2], ":")
	n, err := strconv.Atoi(iterations)
	if !ok1 || !ok2 || err != nil || n < 1 {
		return nil, bad("the iteration count or a separator is wrong")
	}
	var fields [3][]byte
	for i, f := range []string{salt, storedKey, serverKey} {
		if fields[i], err = base64.StdEncoding.DecodeString(f); err != nil {
			return nil, bad("salt and keys must be base64")
		}
	}
	if len(fields[1]) != sha256.Size || len(fields[2]) != sha256.Size || len(fields[0]) == 0 {
		return nil, bad("the keys must be 32 bytes each")
	}
	return &Verifier{scram.StoredCredentials{
		KeyFactors: scram.KeyFactors{Salt: string(fields[0]), Iters: n},
		StoredKey:  fields[1],
		ServerKey:  fields[2],
	}}, nil
}

// NewVerifier makes a verifier with a random salt. It takes milliseconds: once per password, not per login.
func NewVerifier(password string) (*Verifier, error) {
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return nil, fmt.Errorf("salt: %w", err)
	}
	client, err := scram.SHA256.NewClient("", password, "")
	if err != nil { // as PostgreSQL: a password that SASLprep does not accept is used as it is
		if client, err = scram.SHA256.NewClientUnprepped("", password, ""); err != nil {
			return nil, fmt.Errorf("SCRAM keys: %w", err)
		}
	}
	stored, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: string(salt), Iters: scramIterations})
	if err != nil {
		return nil, fmt.Errorf("SCRAM keys: %w", err)
	}
	return &Verifier{stored}, nil
}

// mock is the verifier of a user that does not exist, with the iterations of one that does: always the same for a name, and one
// that no password fits, so that the exchange tells nobody which names exist (as PostgreSQL's mock authentication).
func (v *Verifier) mock(user string) *Verifier {
	salt := hmac.New(sha256.New, v.stored.StoredKey)
	_, _ = salt.Write([]byte(user))
	m := *v
	m.stored.Salt = string(salt.Sum(nil)[:16])
	return &m
}

// exchange is one SCRAM exchange from the server's side. The user name within it does not count: the startup packet's does
// (manual, "SASL Authentication"). It does no I/O.
type exchange struct {
	talk  *scram.ServerConversation
	of    *Verifier
	bound bool   // the client chose the mechanism with channel binding
	begun string // the client's first message without its header, and the answer to it
}

// mechanisms are what a client is offered, the best first. binding is the channel's tls-server-end-point (RFC 5929), the one kind
// that PostgreSQL and libpq know; nil: there is none.
func mechanisms(binding []byte) []string {
	if binding == nil {
		return []string{scramMechanism}
	}
	return []string{scramPlus, scramMechanism}
}

// endPoint is the tls-server-end-point of a certificate: its hash; nil when its signature algorithm names none, as Ed25519.
func endPoint(leaf *x509.Certificate) []byte {
	channel, err := scram.NewTLSServerEndpointBinding(&tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}})
	if err != nil {
		return nil
	}
	return channel.Data
}

// newExchange begins an exchange about v with a client that chose a mechanism out of those offered for binding.
func newExchange(v *Verifier, mechanism string, binding []byte) (*exchange, *pgwire.Error) {
	if !slices.Contains(mechanisms(binding), mechanism) {
		return nil, protocolViolation("client selected an invalid SASL authentication mechanism", "")
	}
	server, err := scram.SHA256.NewServer(func(string) (scram.StoredCredentials, error) { return v.stored, nil })
	if err != nil {
		return nil, &pgwire.Error{Code: "XX000", Message: "SCRAM is not available: " + err.Error()}
	}
	if binding == nil {
		return &exchange{talk: server.NewConversation(), of: v}, nil
	}
	channel := scram.ChannelBinding{Type: scram.ChannelBindingTLSServerEndpoint, Data: binding}
	return &exchange{talk: server.NewConversationWithChannelBinding(channel), of: v, bound: mechanism == scramPlus}, nil
}

// first answers the client's first message.
func (x *exchange) first(message []byte, binding []byte) ([]byte, *pgwire.Error) {
	if e := x.checkFirst(string(message), binding != nil); e != nil {
		return nil, e
	}
	answer, err := x.talk.Step(string(message))
	if err != nil {
		return nil, malformed("The first message cannot be understood.")
	}
	x.begun = strings.SplitN(string(message), ",", 3)[2] + "," + answer
	return []byte(answer), nil
}

// checkFirst looks at what PostgreSQL has errors of its own for: the header with the client's view of channel binding (RFC 5802,
// section 7), an identity to act for, extensions, and the nonce.
func (x *exchange) checkFirst(message string, offered bool) *pgwire.Error {
	fields := strings.SplitN(message, ",", 4)
	if len(fields) < 4 {
		return malformed("The first message has too few attributes.")
	}
	kind, typed := strings.CutPrefix(fields[0], "p=")
	switch {
	case typed && !x.bound:
		return malformed("The client selected " + scramMechanism + " without channel binding, but the SCRAM message includes channel binding data.")
	case typed && kind != string(scram.ChannelBindingTLSServerEndpoint):
		return protocolViolation("unsupported SCRAM channel-binding type \""+printable(kind)+"\"", "")
	case !typed && x.bound && (fields[0] == "n" || fields[0] == "y"):
		return malformed("The client selected " + scramPlus + ", but the SCRAM message does not include channel binding data.")
	case fields[0] == "y" && offered:
		return &pgwire.Error{Code: "28000", Message: "SCRAM channel binding negotiation error",
			Detail: "The client supports SCRAM channel binding but thinks the server does not. However, this server does support channel binding."}
	case fields[1] != "":
		return &pgwire.Error{Code: "0A000", Message: "client uses authorization identity, but it is not supported"}
	case strings.HasPrefix(fields[2], "m="):
		return &pgwire.Error{Code: "0A000", Message: "client requires an unsupported SCRAM extension"}
	}
	if printable(fields[3]) != fields[3] {
		return protocolViolation("non-printable characters in SCRAM nonce", "")
	}
	return nil
}

// final answers the client's last message, and reports whether the client proved that it knows the password. An error is about
// the form of the message.
func (x *exchange) final(message []byte) (answer []byte, proven bool, e *pgwire.Error) {
	text, err := x.talk.Step(string(message))
	switch {
	case err == nil && x.talk.Valid():
		return []byte(text), true, nil
	case text == scram.ErrInvalidProof:
		return nil, false, nil
	case text == scram.ErrChannelBindingsDontMatch:
		return nil, false, &pgwire.Error{Code: "28000", Message: "SCRAM channel binding check failed"}
	case text == scram.ErrOtherError:
		return nil, false, protocolViolation("invalid SCRAM response", "The nonce or the length of the proof does not match.")
	}
	return nil, false, malformed("The last message cannot be understood.")
}

// keys are those that a client made of its password, of which its last message was the proof (RFC 5802, section 3: the proof is the
// ClientKey, hidden by a signature that whoever keeps the verifier can make too). They are nil if the message is not that proof.
func (x *exchange) keys(last []byte) *pool.Keys {
	at := bytes.LastIndexByte(last, ',')
	if at < 0 {
		return nil
	}
	proof, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(string(last[at+1:]), "p="))
	stored := x.of.stored
	if err != nil || len(proof) != sha256.Size {
		return nil
	}
	signature := hmac.New(sha256.New, stored.StoredKey)
	_, _ = signature.Write([]byte(x.begun + "," + string(last[:at])))
	k := &pool.Keys{Salt: stored.Salt, Iterations: stored.Iters, Server: [sha256.Size]byte(stored.ServerKey)}
	subtle.XORBytes(k.Client[:], proof, signature.Sum(nil))
	if sum := sha256.Sum256(k.Client[:]); !hmac.Equal(sum[:], stored.StoredKey) {
		return nil
	}
	return k
}

func malformed(detail string) *pgwire.Error {
	return protocolViolation("malformed SCRAM message", detail)
}

func protocolViolation(message, detail string) *pgwire.Error {
	return &pgwire.Error{Code: "08P01", Message: message, Detail: detail}
}

// printable is s up to the first byte that RFC 5802 does not count as printable, for use in messages.
func printable(s string) string {
	if i := strings.IndexFunc(s, func(r rune) bool { return r < '!' || r > '~' }); i >= 0 {
		return s[:i]
	}
	return s
}
