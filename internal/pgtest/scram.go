package pgtest

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// scramMechanism is the only SASL mechanism that the client speaks.
const scramMechanism = "SCRAM-SHA-256"

// scram is one run of SCRAM-SHA-256 (RFC 5802, RFC 7677) as a client, without
// channel binding. Passwords are taken as they are: SASLprep changes no ASCII.
type scram struct {
	password  string
	nonce     string
	signature []byte // of the server, expected
}

// first is the client's first message.
func (s *scram) first() []byte {
	s.nonce = rand.Text()
	return []byte("n,," + s.bare())
}

// bare leaves the user name empty: PostgreSQL takes it from the startup packet.
func (s *scram) bare() string { return "n=,r=" + s.nonce }

// final answers the server's challenge with the proof.
func (s *scram) final(challenge []byte) ([]byte, error) {
	attributes := scramAttributes(challenge)
	nonce := attributes["r"]
	salt, saltErr := base64.StdEncoding.DecodeString(attributes["s"])
	iterations, err := strconv.Atoi(attributes["i"])
	if err := errors.Join(saltErr, err); err != nil {
		return nil, fmt.Errorf("SCRAM challenge %q: %w", challenge, err)
	}
	if !strings.HasPrefix(nonce, s.nonce) || len(nonce) == len(s.nonce) {
		return nil, errors.New("SCRAM: the server's nonce does not extend the client's")
	}
	salted, err := pbkdf2.Key(sha256.New, s.password, salt, iterations, sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("SCRAM: %w", err)
	}
	answer := "c=" + base64.StdEncoding.EncodeToString([]byte("n,,")) + ",r=" + nonce
	message := s.bare() + "," + string(challenge) + "," + answer

	clientKey := scramMAC(salted, "Client Key")
	storedKey := sha256.Sum256(clientKey)
	proof := make([]byte, len(clientKey))
	subtle.XORBytes(proof, clientKey, scramMAC(storedKey[:], message))
	s.signature = scramMAC(scramMAC(salted, "Server Key"), message)
	return []byte(answer + ",p=" + base64.StdEncoding.EncodeToString(proof)), nil
}

// verify checks that the server, too, knows the password.
func (s *scram) verify(outcome []byte) error {
	got, err := base64.StdEncoding.DecodeString(scramAttributes(outcome)["v"])
	if err != nil || s.signature == nil || !hmac.Equal(got, s.signature) {
		return errors.New("SCRAM: the server does not know the password")
	}
	return nil
}

func scramAttributes(message []byte) map[string]string {
	attributes := map[string]string{}
	for part := range strings.SplitSeq(string(message), ",") {
		name, value, _ := strings.Cut(part, "=")
		attributes[name] = value
	}
	return attributes
}

func scramMAC(key []byte, message string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(message))
	return mac.Sum(nil)
}
