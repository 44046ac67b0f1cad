package pool

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/xdg-go/scram"
)

// The SASL mechanisms.
const (
	scramMechanism = "SCRAM-SHA-256"
	scramPlus      = "SCRAM-SHA-256-PLUS"
)

// Keys are what a SCRAM-SHA-256 client makes of a password (RFC 5802, section 3), and of what it made them. Whoever has them can log
// in where the same verifier is kept, and learns nothing of the password. They are secret, and print as stars.
type Keys struct {
	Client, Server [sha256.Size]byte
	Salt           string // raw bytes
	Iterations     int
}

// String is no secret.
func (Keys) String() string { return "***" }

// GoString is no secret.
func (Keys) GoString() string { return "***" }

// errOtherVerifier says that a node keeps another verifier than the keys are for.
var errOtherVerifier = errors.New("the node keeps another SCRAM verifier for the user than PgDrover does")

// prover is the client's side of one SCRAM-SHA-256 exchange, by keys in the place of a password. It does no I/O, and computes no more for
// one server than for another: the iterations that a server asks for are those of the keys, or the exchange ends.
type prover struct {
	keys    *Keys
	header  string // of GS2: what it thinks of channel binding
	binding []byte // tls-server-end-point, when it is used
	bare    string // its first message without that header
	nonce   string
	signed  string // the AuthMessage
}

// newProver begins an exchange with a server that offers mechanisms, over TLS if state is not nil, and says which one it chose. The nonce
// has to be random.
func newProver(keys *Keys, nonce string, offered []string, state *tls.ConnectionState) (p *prover, mechanism string, err error) {
	p = &prover{keys: keys, header: "n,,", nonce: nonce}
	p.bare = "n=,r=" + p.nonce
	plus := slices.Contains(offered, scramPlus)
	if state != nil {
		if channel, err := scram.NewTLSServerEndpointBinding(state); err == nil {
			p.binding = channel.Data
		}
	}
	switch {
	case plus && p.binding != nil:
		p.header = "p=tls-server-end-point,,"
		return p, scramPlus, nil
	case !slices.Contains(offered, scramMechanism):
		return nil, "", fmt.Errorf("the node offers %q, and not %s", offered, scramMechanism)
	case state != nil && !plus:
		p.header = "y,,"
	}
	p.binding = nil
	return p, scramMechanism, nil
}

// first is the client's first message.
func (p *prover) first() []byte { return []byte(p.header + p.bare) }

// final answers the server's challenge with the proof, unless the challenge is about another verifier.
func (p *prover) final(challenge []byte) ([]byte, error) {
	nonce, salt, iterations, err := readChallenge(string(challenge))
	switch {
	case err != nil:
		return nil, err
	case len(nonce) <= len(p.nonce) || !strings.HasPrefix(nonce, p.nonce):
		return nil, errors.New("the node's SCRAM nonce does not continue the client's")
	case salt != p.keys.Salt || iterations != p.keys.Iterations:
		return nil, errOtherVerifier
	}
	channel := append([]byte(p.header), p.binding...)
	message := "c=" + base64.StdEncoding.EncodeToString(channel) + ",r=" + nonce
	p.signed = p.bare + "," + string(challenge) + "," + message
	stored := sha256.Sum256(p.keys.Client[:])
	proof := sign(stored[:], p.signed)
	for i := range proof {
		proof[i] ^= p.keys.Client[i]
	}
	return []byte(message + ",p=" + base64.StdEncoding.EncodeToString(proof)), nil
}

// verify checks that the server knows the verifier.
func (p *prover) verify(outcome []byte) error {
	text, ok := strings.CutPrefix(string(outcome), "v=")
	text, _, _ = strings.Cut(text, ",")
	signature, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || p.signed == "" || !hmac.Equal(signature, sign(p.keys.Server[:], p.signed)) {
		return errors.New("the node did not prove that it knows the user's SCRAM verifier")
	}
	return nil
}

// readChallenge reads a server's first message: r=NONCE,s=SALT,i=ITERATIONS, and extensions that need not be understood.
func readChallenge(message string) (nonce, salt string, iterations int, err error) {
	bad := errors.New("the node's SCRAM challenge cannot be understood")
	fields := strings.SplitN(message, ",", 4)
	if len(fields) < 3 {
		return "", "", 0, bad
	}
	nonce, isNonce := strings.CutPrefix(fields[0], "r=")
	text, isSalt := strings.CutPrefix(fields[1], "s=")
	count, isCount := strings.CutPrefix(fields[2], "i=")
	raw, err := base64.StdEncoding.DecodeString(text)
	if !isNonce || !isSalt || !isCount || err != nil {
		return "", "", 0, bad
	}
	iterations, err = strconv.Atoi(count)
	if err != nil || iterations < 1 || strings.ContainsFunc(nonce, func(r rune) bool { return r < '!' || r > '~' }) {
		return "", "", 0, bad
	}
	return nonce, string(raw), iterations, nil
}

// sign is the signature of a text with a key.
func sign(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write([]byte(text))
	return mac.Sum(nil)
}
