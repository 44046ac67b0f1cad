package proxy

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
)

// Bounds of a key set, so that nobody's mistake makes a login cost much.
const (
	maxKeySet  = 1 << 20 // bytes
	maxKeys    = 64
	minRSABits = 2048
	maxRSABits = 8192
)

// KeySet is the public keys that tokens may be signed with (RFC 7517). It is not changed.
type KeySet struct{ keys []verificationKey }

// verificationKey is a public key and the algorithms that it is for (RFC 7518, RFC 8037): no token chooses for itself.
type verificationKey struct {
	id         string
	public     crypto.PublicKey
	algorithms []string
}

// jwk is one key as it is written.
type jwk struct {
	Type       string   `json:"kty"`
	ID         string   `json:"kid"`
	Use        string   `json:"use"`
	Operations []string `json:"key_ops"`
	Algorithm  string   `json:"alg"`
	Curve      string   `json:"crv"`
	N          string   `json:"n"`
	E          string   `json:"e"`
	X          string   `json:"x"`
	Y          string   `json:"y"`
}

// ParseKeySet reads a JWK set. Keys that are not for signatures, or secret ones, are left out; there has to be one that is left.
func ParseKeySet(text []byte) (*KeySet, error) {
	if len(text) > maxKeySet {
		return nil, fmt.Errorf("a key set has at most %d bytes", maxKeySet)
	}
	var file struct {
		Keys []jwk `json:"keys"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("not a JWK set: %w", err)
	}
	if len(file.Keys) > maxKeys {
		return nil, fmt.Errorf("%d keys: a key set has at most %d", len(file.Keys), maxKeys)
	}
	set := &KeySet{}
	for _, one := range file.Keys {
		if one.Use != "" && one.Use != "sig" || len(one.Operations) > 0 && !slices.Contains(one.Operations, "verify") {
			continue
		}
		key, err := one.read()
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", one.ID, err)
		}
		if key != nil {
			set.keys = append(set.keys, *key)
		}
	}
	if len(set.keys) == 0 {
		return nil, errors.New("no key in it can verify a token: RSA, EC (P-256, P-384, P-521) and OKP (Ed25519) keys can")
	}
	return set, nil
}

// read makes a key of what is written; nil when it is of a kind that is not used.
func (k jwk) read() (*verificationKey, error) {
	key := &verificationKey{id: k.ID}
	var err error
	switch k.Type + " " + k.Curve {
	case "RSA ":
		key.algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
		key.public, err = k.rsa()
	case "EC P-256":
		key.algorithms = []string{"ES256"}
		key.public, err = k.ec(elliptic.P256())
	case "EC P-384":
		key.algorithms = []string{"ES384"}
		key.public, err = k.ec(elliptic.P384())
	case "EC P-521":
		key.algorithms = []string{"ES512"}
		key.public, err = k.ec(elliptic.P521())
	case "OKP Ed25519":
		key.algorithms = []string{"EdDSA"}
		key.public, err = k.ed25519()
	default:
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if k.Algorithm != "" {
		if !slices.Contains(key.algorithms, k.Algorithm) {
			return nil, fmt.Errorf("algorithm %q is not for a key of type %s", k.Algorithm, k.Type)
		}
		key.algorithms = []string{k.Algorithm}
	}
	return key, nil
}

func (k jwk) rsa() (crypto.PublicKey, error) {
	n, errN := base64.RawURLEncoding.DecodeString(k.N)
	e, errE := base64.RawURLEncoding.DecodeString(k.E)
	if err := errors.Join(errN, errE); err != nil {
		return nil, fmt.Errorf("modulus and exponent have to be base64url: %w", err)
	}
	if len(n) > maxRSABits/8+1 || len(e) > 4 {
		return nil, fmt.Errorf("more than %d bits, or an exponent of more than 32", maxRSABits)
	}
	modulus, exponent := new(big.Int).SetBytes(n), new(big.Int).SetBytes(e).Int64()
	if bits := modulus.BitLen(); bits < minRSABits || bits > maxRSABits {
		return nil, fmt.Errorf("%d bits: an RSA key has %d to %d here", bits, minRSABits, maxRSABits)
	}
	if exponent < 3 || exponent%2 == 0 || exponent > 1<<31-1 || modulus.Bit(0) == 0 {
		return nil, errors.New("its numbers are not those of an RSA key")
	}
	return &rsa.PublicKey{N: modulus, E: int(exponent)}, nil
}

func (k jwk) ec(curve elliptic.Curve) (crypto.PublicKey, error) {
	x, errX := base64.RawURLEncoding.DecodeString(k.X)
	y, errY := base64.RawURLEncoding.DecodeString(k.Y)
	size := (curve.Params().BitSize + 7) / 8
	if err := errors.Join(errX, errY); err != nil || len(x) != size || len(y) != size {
		return nil, fmt.Errorf("x and y have to be base64url of %d bytes each", size)
	}
	return ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, x, y))
}

func (k jwk) ed25519() (crypto.PublicKey, error) {
	x, err := base64.RawURLEncoding.DecodeString(k.X)
	if err != nil || len(x) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("x has to be base64url of %d bytes", ed25519.PublicKeySize)
	}
	return ed25519.PublicKey(x), nil
}

// matching are the keys that a token with a header may have been signed with.
func (s *KeySet) matching(id, algorithm string) []crypto.PublicKey {
	var list []crypto.PublicKey
	for _, k := range s.keys {
		if (id == "" || id == k.id) && slices.Contains(k.algorithms, algorithm) {
			list = append(list, k.public)
		}
	}
	return list
}
