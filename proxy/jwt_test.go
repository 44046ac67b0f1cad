package proxy

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgdrover/pgdrover/internal/task"
)

// issuer signs tokens for a test.
type issuer struct {
	t    testing.TB
	mu   sync.Mutex
	keys []map[string]any
}

// publish adds a key to the issuer's key set.
func (i *issuer) publish(id string, key crypto.PublicKey, more ...string) {
	encode := base64.RawURLEncoding.EncodeToString
	entry := map[string]any{"kid": id}
	switch k := key.(type) {
	case *rsa.PublicKey:
		entry["kty"], entry["n"], entry["e"] = "RSA", encode(k.N.Bytes()), encode(big.NewInt(int64(k.E)).Bytes())
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			i.t.Fatal(err)
		}
		half := len(point) / 2
		entry["kty"], entry["crv"], entry["x"], entry["y"] = "EC", k.Params().Name, encode(point[1:1+half]), encode(point[1+half:])
	case ed25519.PublicKey:
		entry["kty"], entry["crv"], entry["x"] = "OKP", "Ed25519", encode(k)
	case []byte:
		entry["kty"], entry["k"] = "oct", encode(k)
	}
	for n := 0; n+1 < len(more); n += 2 {
		entry[more[n]] = more[n+1]
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = append(i.keys, entry)
}

func (i *issuer) set() []byte {
	i.mu.Lock()
	defer i.mu.Unlock()
	text, err := json.Marshal(map[string]any{"keys": i.keys})
	if err != nil {
		i.t.Fatal(err)
	}
	return text
}

// goodClaims are those of a token for alice.
func goodClaims() jwt.MapClaims {
	return jwt.MapClaims{"iss": "https://issuer.test", "aud": []string{"pgdrover", "other"}, "sub": rigUser, "exp": time.Now().Add(time.Hour).Unix()}
}

// token signs claims, with changes of the header.
func (i *issuer) token(method jwt.SigningMethod, key any, id string, claims jwt.MapClaims, header ...string) string {
	i.t.Helper()
	token := jwt.NewWithClaims(method, claims)
	token.Header["kid"] = id
	for n := 0; n+1 < len(header); n += 2 {
		token.Header[header[n]] = header[n+1]
	}
	text, err := token.SignedString(key)
	if err != nil {
		i.t.Fatal(err)
	}
	return text
}

// tokens checks the issuer's tokens.
func (i *issuer) tokens(change func(*TokensConfig)) *Tokens {
	cfg := TokensConfig{Issuer: "https://issuer.test", Audience: "pgdrover", Log: testLogger(i.t),
		Fetch: func(context.Context) ([]byte, error) { return i.set(), nil }}
	if change != nil {
		change(&cfg)
	}
	t := NewTokens(cfg)
	i.t.Cleanup(t.Close)
	return t
}

func awaitKeys(t testing.TB, tokens *Tokens) {
	t.Helper()
	w := task.New()
	for tokens.inUse() == nil {
		tokens.renew(w)
		if w.Wait(time.Now().Add(10 * time.Second)) {
			t.Fatal("no keys")
		}
	}
}

// TestTokens checks good tokens of each algorithm, and each way for one not to be good.
func TestTokens(t *testing.T) {
	i := &issuer{t: t}
	rsaKey, edKey := newRSAKey(t), newEdKey(t)
	p256, p384, p521 := newECKey(t), ecKey(t, elliptic.P384()), ecKey(t, elliptic.P521())
	stranger := newRSAKey(t)
	secret := []byte("a secret that everybody has seen")
	i.publish("rsa", rsaKey.Public())
	i.publish("ed", edKey.Public())
	i.publish("p256", p256.Public(), "use", "sig")
	i.publish("p384", p384.Public())
	i.publish("p521", p521.Public(), "alg", "ES512")
	i.publish("ps", rsaKey.Public(), "alg", "PS256")
	i.publish("secret", secret)
	i.publish("for encryption", rsaKey.Public(), "use", "enc")
	tokens := i.tokens(nil)
	awaitKeys(t, tokens)
	der := rsaKey.Public().(*rsa.PublicKey).N.Bytes()
	with := func(name string, value any) jwt.MapClaims {
		c := goodClaims()
		maps.Copy(c, jwt.MapClaims{name: value})
		if value == nil {
			delete(c, name)
		}
		return c
	}
	good := i.token(jwt.SigningMethodRS256, rsaKey, "rsa", goodClaims())
	parts := strings.Split(good, ".")
	for _, test := range []struct{ name, token, wrong string }{
		{"RS256", good, ""},
		{"RS512", i.token(jwt.SigningMethodRS512, rsaKey, "rsa", goodClaims()), ""},
		{"PS256", i.token(jwt.SigningMethodPS256, rsaKey, "ps", goodClaims()), ""},
		{"ES256", i.token(jwt.SigningMethodES256, p256, "p256", goodClaims()), ""},
		{"ES384", i.token(jwt.SigningMethodES384, p384, "p384", goodClaims()), ""},
		{"ES512", i.token(jwt.SigningMethodES512, p521, "p521", goodClaims()), ""},
		{"EdDSA", i.token(jwt.SigningMethodEdDSA, edKey, "ed", goodClaims()), ""},
		{"no key named", i.token(jwt.SigningMethodES256, p256, "", goodClaims()), ""},
		{"one audience", i.token(jwt.SigningMethodES256, p256, "p256", with("aud", "pgdrover")), ""},
		{"none", i.token(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "rsa", goodClaims()), "signing method none"},
		{"HMAC with the public key", i.token(jwt.SigningMethodHS256, der, "rsa", goodClaims()), "signing method HS256"},
		{"HMAC with a published secret", i.token(jwt.SigningMethodHS256, secret, "secret", goodClaims()), "signing method HS256"},
		{"an algorithm that is not the key's", i.token(jwt.SigningMethodRS256, rsaKey, "ps", goodClaims()), errNoKey.Error()},
		{"a key of another type", i.token(jwt.SigningMethodRS256, rsaKey, "ed", goodClaims()), errNoKey.Error()},
		{"a key for encryption", i.token(jwt.SigningMethodRS256, rsaKey, "for encryption", goodClaims()), errNoKey.Error()},
		{"a key that is not there", i.token(jwt.SigningMethodRS256, rsaKey, "new", goodClaims()), errNoKey.Error()},
		{"a stranger's key", i.token(jwt.SigningMethodRS256, stranger, "rsa", goodClaims()), "signature is invalid"},
		{"a key in the token", i.token(jwt.SigningMethodRS256, stranger, "rsa", goodClaims(), "jwk", "x", "jku", "https://evil.test"), "signature is invalid"},
		{"critical extensions", i.token(jwt.SigningMethodRS256, rsaKey, "rsa", goodClaims(), "crit", "exp"), errCritical.Error()},
		{"expired", i.token(jwt.SigningMethodES256, p256, "p256", with("exp", time.Now().Add(-time.Minute).Unix())), "expired"},
		{"without an end", i.token(jwt.SigningMethodES256, p256, "p256", with("exp", nil)), "exp"},
		{"not yet", i.token(jwt.SigningMethodES256, p256, "p256", with("nbf", time.Now().Add(time.Hour).Unix())), "not valid yet"},
		{"of the future", i.token(jwt.SigningMethodES256, p256, "p256", with("iat", time.Now().Add(time.Hour).Unix())), "used before issued"},
		{"another issuer", i.token(jwt.SigningMethodES256, p256, "p256", with("iss", "https://evil.test")), "issuer"},
		{"no issuer", i.token(jwt.SigningMethodES256, p256, "p256", with("iss", nil)), "iss"},
		{"for somebody else", i.token(jwt.SigningMethodES256, p256, "p256", with("aud", "other")), "aud"},
		{"for nobody", i.token(jwt.SigningMethodES256, p256, "p256", with("aud", nil)), "aud"},
		{"no user", i.token(jwt.SigningMethodES256, p256, "p256", with("sub", nil)), `no claim "sub"`},
		{"a user that is a number", i.token(jwt.SigningMethodES256, p256, "p256", with("sub", 7)), `no claim "sub"`},
		{"claims changed", parts[0] + "." + strings.Split(i.token(jwt.SigningMethodES256, p256, "p256", with("sub", "bob")), ".")[1] + "." + parts[2], "signature is invalid"},
		{"no signature", parts[0] + "." + parts[1] + ".", "signature is invalid"},
		{"two parts", parts[0] + "." + parts[1], "malformed"},
		{"a password", "wonder land", "malformed"},
		{"many dots", strings.Repeat(".", 60_000), "malformed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := tokens.check(test.token)
			switch {
			case test.wrong == "" && (err != nil || got.user != rigUser):
				t.Errorf("user %q, error %v", got.user, err)
			case test.wrong != "" && (err == nil || !strings.Contains(err.Error(), test.wrong)):
				t.Errorf("error %v, want one about %q", err, test.wrong)
			}
		})
	}
}

func ecKey(t testing.TB, curve elliptic.Curve) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestTenantClaim checks what of a token becomes the tenant.
func TestTenantClaim(t *testing.T) {
	i := &issuer{t: t}
	key := newECKey(t)
	i.publish("k", key.Public())
	tokens := i.tokens(func(c *TokensConfig) { c.Tenant, c.User = "https://x/tenant", "name" })
	awaitKeys(t, tokens)
	for _, test := range []struct {
		value any
		want  string
		wrong bool
	}{
		{"42", "42", false}, {json.Number("9007199254740993"), "9007199254740993", false}, {nil, "", false},
		{true, "", true}, {[]string{"1", "2"}, "", true}, {map[string]any{"id": 1}, "", true},
	} {
		claims := goodClaims()
		claims["name"] = "bob"
		if test.value != nil {
			claims["https://x/tenant"] = test.value
		}
		got, err := tokens.check(i.token(jwt.SigningMethodES256, key, "k", claims))
		if (err != nil) != test.wrong || !test.wrong && (got.tenant != test.want || got.user != "bob") {
			t.Errorf("%v: %+v, %v; want tenant %q", test.value, got, err, test.want)
		}
	}
}

// TestKeySets checks what is taken for a key set.
func TestKeySets(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	set := func(publish func(i *issuer)) string {
		i := &issuer{t: t}
		publish(i)
		return string(i.set())
	}
	encode := base64.RawURLEncoding.EncodeToString
	for name, test := range map[string]struct{ text, wrong string }{
		"empty":           {"", "JWK set"},
		"no keys":         {`{}`, "no key in it"},
		"a secret":        {set(func(i *issuer) { i.publish("s", []byte("secret")) }), "no key in it"},
		"RSA 1024":        {set(func(i *issuer) { i.publish("s", small.Public()) }), "1024 bits"},
		"RSA of 100 kB":   {fmt.Sprintf(`{"keys":[{"kty":"RSA","n":"%s","e":"AQAB"}]}`, encode(make([]byte, 100_000))), "more than"},
		"RSA, exponent 1": {fmt.Sprintf(`{"keys":[{"kty":"RSA","n":"%s","e":"AQ"}]}`, encode(small.N.Lsh(small.N, 1024).SetBit(small.N, 0, 1).Bytes())), "numbers"},
		"off the curve":   {fmt.Sprintf(`{"keys":[{"kty":"EC","crv":"P-256","x":"%s","y":"%s"}]}`, encode(make([]byte, 32)), encode(make([]byte, 32))), "point"},
		"short Ed25519":   {`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AAAA"}]}`, "32 bytes"},
		"another's alg":   {set(func(i *issuer) { i.publish("s", newECKey(t).Public(), "alg", "HS256") }), "HS256"},
		"too many": {set(func(i *issuer) {
			k := newECKey(t).Public()
			for range 65 {
				i.publish("s", k)
			}
		}), "65 keys"},
		"too large":          {strings.Repeat(" ", maxKeySet+1), "bytes"},
		"one to use":         {set(func(i *issuer) { i.publish("s", []byte("secret")); i.publish("k", newECKey(t).Public()) }), ""},
		"not to be verified": {set(func(i *issuer) { i.publish("k", newECKey(t).Public(), "use", "enc") }), "no key in it"},
	} {
		_, err := ParseKeySet([]byte(test.text))
		if test.wrong == "" && err != nil || test.wrong != "" && (err == nil || !strings.Contains(err.Error(), test.wrong)) {
			t.Errorf("%s: %v, want an error about %q", name, err, test.wrong)
		}
	}
}

// TestKeysAreRenewed has keys fetched when they are old, and keeps those that are there when that fails.
func TestKeysAreRenewed(t *testing.T) {
	i := &issuer{t: t}
	first, second := newECKey(t), newECKey(t)
	i.publish("first", first.Public())
	var mu sync.Mutex
	broken := false
	tokens := i.tokens(func(c *TokensConfig) {
		c.Refresh = time.Millisecond
		c.Fetch = func(context.Context) ([]byte, error) {
			mu.Lock()
			defer mu.Unlock()
			if broken {
				return nil, errors.New("broken on purpose")
			}
			return i.set(), nil
		}
	})
	awaitKeys(t, tokens)
	i.publish("second", second.Public())
	await(t, "the second key is in use", func() bool {
		_, err := tokens.check(i.token(jwt.SigningMethodES256, second, "second", goodClaims()))
		return err == nil
	})
	mu.Lock()
	broken = true
	mu.Unlock()
	before := tokens.lastFetch()
	await(t, "a fetch fails", func() bool { return tokens.lastFetch().After(before) })
	if _, err := tokens.check(i.token(jwt.SigningMethodES256, first, "first", goodClaims())); err != nil {
		t.Errorf("the keys were lost with a failed fetch: %v", err)
	}
}

// await waits until something is so.
func await(t testing.TB, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !so(); {
		if time.Now().After(end) {
			t.Fatalf("it did not become true that %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}
