package proxy

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/xdg-go/scram"
)

const scramMechanism = "SCRAM-SHA-256"

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

// conversation is one SCRAM exchange. The user name within it does not count: the startup packet's does (manual, "SASL Authentication").
func (v *Verifier) conversation() (*scram.ServerConversation, error) {
	server, err := scram.SHA256.NewServer(func(string) (scram.StoredCredentials, error) { return v.stored, nil })
	if err != nil {
		return nil, err
	}
	return server.NewConversation(), nil
}
