package proxy

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/xdg-go/scram"

	"github.com/pgdrover/pgdrover/pgwire"
)

// The SASL mechanisms.
const (
	scramMechanism = "SCRAM-SHA-256"
	scramPlus      = "SCRAM-SHA-256-PLUS"
)

// channelType is the only type of channel binding that PostgreSQL and libpq know (RFC 5929).
const channelType = "tls-server-end-point"

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

// mockSalt is what the salt of a user is that does not exist: always the same for a name.
func (v *Verifier) mockSalt(user string) (salt [16]byte) {
	var room [256]byte
	sum := sha256.Sum256(append(append(room[:0], v.stored.StoredKey...), user...))
	return [16]byte(sum[:16])
}

// mock is the verifier of a user that does not exist, with the iterations of one that does: one that no password fits, so that the exchange tells
// nobody which names exist (as PostgreSQL's mock authentication).
func (v *Verifier) mock(salt [16]byte) Verifier {
	m := *v
	m.stored.Salt = string(salt[:])
	return m
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
