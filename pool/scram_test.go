package pool

import (
	"bytes"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/xdg-go/scram"
)

// keysOf are the keys that a client makes of a password.
func keysOf(t testing.TB, password, salt string, iterations int) Keys {
	t.Helper()
	salted, err := pbkdf2.Key(sha256.New, password, []byte(salt), iterations, sha256.Size)
	if err != nil {
		t.Fatal(err)
	}
	k := Keys{Salt: salt, Iterations: iterations}
	copy(k.Client[:], sign(salted, "Client Key"))
	copy(k.Server[:], sign(salted, "Server Key"))
	return k
}

// TestExampleOfRFC7677 is the exchange of RFC 7677, section 3.
func TestExampleOfRFC7677(t *testing.T) {
	salt, err := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	if err != nil {
		t.Fatal(err)
	}
	keys := keysOf(t, "pencil", string(salt), 4096)
	p := &prover{keys: &keys, header: "n,,", nonce: "rOprNGfwEbeRWgbNEkqO", bare: "n=user,r=rOprNGfwEbeRWgbNEkqO"}
	if got := string(p.first()); got != "n,,n=user,r=rOprNGfwEbeRWgbNEkqO" {
		t.Fatal(got)
	}
	const nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
	got, err := p.final([]byte("r=" + nonce + ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"))
	if want := "c=biws,r=" + nonce + ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="; err != nil || string(got) != want {
		t.Fatalf("%s, %v; want %s", got, err, want)
	}
	if err := p.verify([]byte("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "v=", "e=other-error", "v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="} {
		if err := p.verify([]byte(bad)); err == nil {
			t.Errorf("%q is taken for the server's signature", bad)
		}
	}
}

// TestProverMeetsServer runs the exchange against an independent server.
func TestProverMeetsServer(t *testing.T) {
	keys := keysOf(t, "wonder land", "some salt", 4096)
	other := keysOf(t, "another", "some salt", 4096)
	stored := func(k Keys) scram.StoredCredentials {
		sum := sha256.Sum256(k.Client[:])
		return scram.StoredCredentials{KeyFactors: scram.KeyFactors{Salt: k.Salt, Iters: k.Iterations}, StoredKey: sum[:], ServerKey: k.Server[:]}
	}
	for _, test := range []struct {
		name         string
		node, client Keys
		wantRefused  bool
		wantError    error
	}{
		{"the same", keys, keys, false, nil},
		{"another password", other, keys, true, nil},
		{"another salt", keysOf(t, "wonder land", "other salt", 4096), keys, false, errOtherVerifier},
		{"other iterations", keysOf(t, "wonder land", "some salt", 4097), keys, false, errOtherVerifier},
	} {
		server, err := scram.SHA256.NewServer(func(string) (scram.StoredCredentials, error) { return stored(test.node), nil })
		if err != nil {
			t.Fatal(err)
		}
		talk := server.NewConversation()
		p, mechanism, err := newProver(&test.client, rand.Text(), []string{scramPlus, scramMechanism}, nil)
		if err != nil || mechanism != scramMechanism {
			t.Fatalf("%q, %v", mechanism, err)
		}
		challenge, err := talk.Step(string(p.first()))
		if err != nil {
			t.Fatal(err)
		}
		proof, err := p.final([]byte(challenge))
		if !errors.Is(err, test.wantError) {
			t.Errorf("%s: %v", test.name, err)
		}
		if err != nil {
			continue
		}
		outcome, _ := talk.Step(string(proof))
		if talk.Valid() == test.wantRefused {
			t.Errorf("%s: the server says %q", test.name, outcome)
		}
		if err := p.verify([]byte(outcome)); (err != nil) != test.wantRefused {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestKeysPrintNothing(t *testing.T) {
	k := keysOf(t, "secret", "salt", 1)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(verb, k) + fmt.Sprintf(verb, &k); got != "******" {
			t.Errorf("%s prints %q", verb, got)
		}
	}
}

// FuzzHandshake has a server say anything during a login: it ends, and nobody who does not know the verifier passes for one who proved it.
func FuzzHandshake(f *testing.F) {
	keys := keysOf(f, "pencil", "salt", 2)
	challenge := func(rest string) []byte { return frameOf('R', "\x00\x00\x00\x0br="+anyNonce+rest) }
	offer := frameOf('R', "\x00\x00\x00\x0aSCRAM-SHA-256\x00\x00")
	ready := frameOf('Z', "I")
	f.Add(bytes.Join([][]byte{frameOf('R', "\x00\x00\x00\x00"), frameOf('S', "a\x00b\x00"), frameOf('K', "\x00\x00\x00\x01\x01\x02\x03\x04"), ready}, nil))
	f.Add(bytes.Join([][]byte{offer, challenge("x,s=c2FsdA==,i=2"), frameOf('R', "\x00\x00\x00\x0cv=AAAA"), frameOf('R', "\x00\x00\x00\x00"), ready}, nil))
	f.Add(bytes.Join([][]byte{offer, challenge("x,s=c2FsdA==,i=2147483647")}, nil))
	f.Add(bytes.Join([][]byte{offer, challenge("x,s=" + strings.Repeat("QUJD", 5000) + ",i=99999999999999999999")}, nil))
	f.Add(bytes.Join([][]byte{offer, challenge("x,s=c2FsdA==,i=2"), frameOf('R', "\x00\x00\x00\x00"), ready}, nil))
	f.Add(frameOf('E', "SFATAL\x00C28P01\x00Mno\x00\x00"))
	f.Add([]byte{'R', 0x7f, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, said []byte) {
		server := &saying{rest: said}
		h := handshake{conn: server, keys: &keys, nonce: anyNonce, greeting: greeting{params: map[string]string{}}}
		err := h.run(nil)
		if h.said > maxGreeting+1<<10 {
			t.Fatalf("%d bytes were read", h.said)
		}
		if err == nil && h.prover != nil && !h.proven {
			t.Fatal("logged in where nobody had proved anything")
		}
		if h.proven {
			t.Fatal("a server that does not know the verifier has proved that it does")
		}
		if err == nil && !h.known {
			t.Fatal("the login ended before it began")
		}
	})
}

func frameOf(typ byte, body string) []byte {
	return append([]byte{typ, 0, 0, byte((len(body) + 4) >> 8), byte(len(body) + 4)}, body...)
}

// anyNonce stands for a client's nonce.
const anyNonce = "@@@@@@@@@@@@@@@@@@@@@@@@@@"

// saying is a connection whose server says what it says.
type saying struct {
	net.Conn // there is none
	rest     []byte
}

func (s *saying) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

func (s *saying) Write(p []byte) (int, error) { return len(p), nil }
