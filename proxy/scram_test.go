package proxy

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strconv"
	"strings"
	"testing"

	"github.com/pgdrover/pgdrover/pgwire"
)

// prover is the client's side of an exchange, written from RFC 5802.
type prover struct {
	password, header string // header: the client's view of channel binding
	binding          []byte
	bare             string
}

func newProver(password, header string, binding []byte) *prover {
	return &prover{password, header, binding, "n=,r=client-nonce"}
}

func (p *prover) first() string { return p.header + p.bare }

// final answers a challenge.
func (p *prover) final(t testing.TB, challenge string) string {
	t.Helper()
	fields := strings.SplitN(challenge, ",", 3)
	salt, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(fields[1], "s="))
	if err != nil {
		t.Fatal(err)
	}
	rounds, err := strconv.Atoi(strings.TrimPrefix(fields[2], "i="))
	if err != nil {
		t.Fatal(err)
	}
	salted, err := pbkdf2.Key(sha256.New, p.password, salt, rounds, sha256.Size)
	if err != nil {
		t.Fatal(err)
	}
	mac := func(key []byte, text string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	plain := "c=" + base64.StdEncoding.EncodeToString(append([]byte(p.header), p.binding...)) + "," + fields[0]
	key := mac(salted, "Client Key")
	stored := sha256.Sum256(key)
	proof := make([]byte, len(key))
	subtle.XORBytes(proof, key, mac(stored[:], p.bare+","+challenge+","+plain))
	return plain + ",p=" + base64.StdEncoding.EncodeToString(proof)
}

// newExchange begins an exchange with a client that chose a mechanism.
func newExchange(v *Verifier, mechanism string, binding []byte) (*exchange, *pgwire.Error) {
	x := &exchange{}
	return x, x.begin(v, []byte(mechanism), binding, &chance{})
}

// cheapVerifier has few iterations, so that a fuzzer gets far.
func cheapVerifier(t testing.TB, password string) *Verifier {
	t.Helper()
	salt := []byte("0123456789abcdef")
	salted, err := pbkdf2.Key(sha256.New, password, salt, 1, sha256.Size)
	if err != nil {
		t.Fatal(err)
	}
	mac := func(text string) []byte {
		h := hmac.New(sha256.New, salted)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	stored := sha256.Sum256(mac("Client Key"))
	encode := base64.StdEncoding.EncodeToString
	v, err := ParseVerifier("SCRAM-SHA-256$1:" + encode(salt) + "$" + encode(stored[:]) + ":" + encode(mac("Server Key")))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestSCRAMExchange runs exchanges of all kinds of channel binding; want is the SQLSTATE of the refusal, "" for a login.
//
// Row 35: a client that says the server has no PLUS, where it was offered.
func TestSCRAMExchange(t *testing.T) {
	v := cheapVerifier(t, "pencil")
	here, other := []byte("the hash of our certificate"), []byte("the hash of another certificate")
	const plus, plain = scramPlus, scramMechanism
	for _, test := range []struct {
		name      string
		mechanism string
		offered   []byte // the channel of the server
		client    *prover
		want      string
	}{
		{"plaintext", plain, nil, newProver("pencil", "n,,", nil), ""},
		{"plaintext, a client that could bind", plain, nil, newProver("pencil", "y,,", nil), ""},
		{"TLS, a client that cannot bind", plain, here, newProver("pencil", "n,,", nil), ""},
		{"bound", plus, here, newProver("pencil", "p=tls-server-end-point,,", here), ""},
		{"wrong password", plain, nil, newProver("pen", "n,,", nil), "28P01"},
		{"wrong password, bound", plus, here, newProver("pen", "p=tls-server-end-point,,", here), "28P01"},
		{"downgraded: the client was not told of PLUS", plain, here, newProver("pencil", "y,,", nil), "28000"},
		{"bound to another certificate", plus, here, newProver("pencil", "p=tls-server-end-point,,", other), "28000"},
		{"bound to nothing", plus, here, newProver("pencil", "p=tls-server-end-point,,", nil), "28000"},
		{"PLUS that was not offered", plus, nil, newProver("pencil", "p=tls-server-end-point,,", here), "08P01"},
		{"PLUS, and no binding", plus, here, newProver("pencil", "n,,", nil), "08P01"},
		{"PLUS, and y", plus, here, newProver("pencil", "y,,", nil), "08P01"},
		{"a binding without PLUS", plain, here, newProver("pencil", "p=tls-server-end-point,,", here), "08P01"},
		{"a binding of another type", plus, here, newProver("pencil", "p=tls-unique,,", here), "08P01"},
		{"a binding of a type that libpq has not", plus, here, newProver("pencil", "p=tls-exporter,,", here), "08P01"},
		{"on behalf of another", plain, nil, newProver("pencil", "n,a=bob,", nil), "0A000"},
		{"a mechanism of its own", "SCRAM-SHA-1", nil, newProver("pencil", "n,,", nil), "08P01"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := outcome(t, v, test.mechanism, test.offered, test.client); got != test.want {
				t.Errorf("SQLSTATE %q, want %q", got, test.want)
			}
		})
	}
}

func outcome(t *testing.T, v *Verifier, mechanism string, offered []byte, client *prover) string {
	x, e := newExchange(v, mechanism, offered)
	if e != nil {
		return e.Code
	}
	challenge, e := x.first([]byte(client.first()))
	if e != nil {
		return e.Code
	}
	_, proven, e := x.final([]byte(client.final(t, string(challenge))))
	switch {
	case e != nil && proven:
		t.Fatal("an error, and proven")
	case e != nil:
		return e.Code
	case !proven:
		return "28P01"
	}
	return ""
}

// TestSCRAMHostile sends what no client would.
func TestSCRAMHostile(t *testing.T) {
	v := cheapVerifier(t, "pencil")
	for message, want := range map[string]string{
		"": "08P01", ",": "08P01", "n,,": "08P01", "n,,n=": "08P01", "n,,n=,": "08P01", "n,,r=x,n=": "08P01", "x,,n=,r=abc": "08P01",
		"n,,n=,r=a\x01c": "08P01", "n,,n=,r=ä": "08P01", "n,,m=x,n=,r=abc": "0A000", "p=,,n=,r=abc": "08P01", strings.Repeat(",", 1000): "08P01",
		"n,,n=\x00,r=abc": "08P01", "n,b=x,n=,r=abc": "08P01", "n,," + strings.Repeat("n", 1000): "08P01",
	} {
		x, _ := newExchange(v, scramMechanism, nil)
		if _, e := x.first([]byte(message)); e == nil || e.Code != want {
			t.Errorf("first message %.20q: %v, want SQLSTATE %s", message, e, want)
		}
	}
	client := newProver("pencil", "n,,", nil)
	for name, change := range map[string]func(string) string{
		"nothing":     func(string) string { return "" },
		"no proof":    func(m string) string { return m[:strings.Index(m, ",p=")] },
		"empty proof": func(m string) string { return m[:strings.Index(m, ",p=")] + ",p=" },
		"short proof": func(m string) string { return m[:strings.Index(m, ",p=")] + ",p=AAAA" },
		"long proof":  func(m string) string { return m[:strings.Index(m, ",p=")] + ",p=" + strings.Repeat("AAAA", 200) },
		"other nonce": func(m string) string { return strings.Replace(m, "client-nonce", "client-nonse", 1) },
		"its nonce alone": func(m string) string {
			i, j := strings.Index(m, ",r=client-nonce"), strings.Index(m, ",p=")
			return m[:i+15] + m[j:]
		},
		"an extension": func(m string) string { return strings.Replace(m, ",p=", ",x=1,p=", 1) },
		"twice":        func(m string) string { return m + "," + m },
	} {
		x, _ := newExchange(v, scramMechanism, nil)
		challenge, e := x.first([]byte(client.first()))
		if e != nil {
			t.Fatal(e)
		}
		if _, proven, _ := x.final([]byte(change(client.final(t, string(challenge))))); proven {
			t.Errorf("%s: logged in", name)
		}
	}
	x, _ := newExchange(v, scramMechanism, nil)
	if _, proven, e := x.final([]byte(client.final(t, "r=client-nonce,s=AAAA,i=1"))); proven || e == nil {
		t.Error("the last message first: not refused")
	}
}

// TestSCRAMLastMessage has last messages that are not as they should be refused with PostgreSQL's own errors (auth-scram.c).
func TestSCRAMLastMessage(t *testing.T) {
	v := cheapVerifier(t, "pencil")
	const unbound, proof = "unexpected SCRAM channel-binding attribute in client-final-message", "Malformed proof in client-final-message."
	for _, test := range []struct {
		header, old, with string
		want              string // the detail, or the message where there is none
	}{
		{"n,,", "c=biws", "c=eSws", unbound},
		{"y,,", "c=eSws", "c=biws", unbound},
		{"n,,", "c=biws", "c=biwsYQ==", unbound},
		{"n,,", "c=biws", "c=", unbound},
		{"n,,", "c=biws", "c=bi\nws", unbound},
		{"n,,", "r=client-nonce", "r=client-nonse", "Nonce does not match."},
		{"n,,", ",p=", ",p=AAAA", proof},
		{"n,,", ",p=", ",p=\n", proof},
		{"n,,", ",p=", "\x00,p=", "Message length does not match input length."},
	} {
		client := newProver("pencil", test.header, nil)
		x, _ := newExchange(v, scramMechanism, nil)
		challenge, e := x.first([]byte(client.first()))
		if e != nil {
			t.Fatal(e)
		}
		last := strings.Replace(client.final(t, string(challenge)), test.old, test.with, 1)
		_, proven, e := x.final([]byte(last))
		if proven || e == nil || e.Code != "08P01" || cmp.Or(e.Detail, e.Message) != test.want {
			t.Errorf("%q: proven %t, %v, want 08P01 %q", last, proven, e, test.want)
		}
	}
}

// TestKeysOfAnExchange has the keys of a client's password come out of its proof, and no keys out of anything else.
func TestKeysOfAnExchange(t *testing.T) {
	v, err := NewVerifier("wonder land")
	if err != nil {
		t.Fatal(err)
	}
	salted, err := pbkdf2.Key(sha256.New, "wonder land", []byte(v.stored.Salt), v.stored.Iters, sha256.Size)
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, salted)
	mac.Write([]byte("Client Key"))
	binding := []byte("a certificate's hash")
	for header, channel := range map[string][]byte{"n,,": nil, "y,,": nil, "p=tls-server-end-point,,": binding} {
		mechanism := scramMechanism
		if channel != nil {
			mechanism = scramPlus
		}
		client := newProver("wonder land", header, channel)
		x, e := newExchange(v, mechanism, channel)
		if e != nil {
			t.Fatal(e)
		}
		challenge, e := x.first([]byte(client.first()))
		if e != nil {
			t.Fatal(e)
		}
		last := client.final(t, string(challenge))
		if _, proven, e := x.final([]byte(last)); !proven || e != nil {
			t.Fatal(proven, e)
		}
		k := x.keys()
		if k == nil || !bytes.Equal(k.Client[:], mac.Sum(nil)) || !bytes.Equal(k.Server[:], v.stored.ServerKey) || k.Salt != v.stored.Salt || k.Iterations != v.stored.Iters {
			t.Errorf("%s: keys %v", header, k)
		}
		for _, other := range []string{"", ",", last[:len(last)-9], strings.Replace(last, ",p=", ",p=A", 1), strings.Replace(last, "c=", "c=A", 1), last + ",p=AAAA"} {
			x, _ := newExchange(v, mechanism, channel)
			if _, e := x.first([]byte(client.first())); e != nil {
				t.Fatal(e)
			}
			if _, proven, _ := x.final([]byte(other)); proven || x.keys() != nil {
				t.Errorf("%s: keys of %q", header, other)
			}
		}
	}
}

// TestMockVerifiers checks that a name that is nobody's looks like one that is somebody's.
func TestMockVerifiers(t *testing.T) {
	nobody, err := NewVerifier("nobody's")
	if err != nil {
		t.Fatal(err)
	}
	mock := func(name string) Verifier { return nobody.mock(nobody.mockSalt(name)) }
	a, again, b := mock("a"), mock("a"), mock("b")
	if a.stored.Salt != again.stored.Salt || a.stored.Salt == b.stored.Salt || len(a.stored.Salt) != 16 {
		t.Errorf("salts %x, %x and %x: want the same for a name, and another for another", a.stored.Salt, again.stored.Salt, b.stored.Salt)
	}
	if got := outcome(t, &a, scramMechanism, nil, newProver("nobody's", "n,,", nil)); got != "28P01" {
		t.Errorf("SQLSTATE %q for a user that does not exist", got)
	}
}

func TestMD5Verifier(t *testing.T) {
	want := "md5" + MD5Verifier("alice", "wonder land")
	if _, err := ParseMD5(want); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", "md5", want[3:], want + "0", "md5" + strings.Repeat("g", 32), "md5" + strings.ToUpper(want[3:]), "SCRAM-SHA-256$1:"} {
		if _, err := ParseMD5(bad); err == nil {
			t.Errorf("%q is taken for a verifier", bad)
		}
	}
}

// FuzzSCRAM changes the messages of an exchange: nobody logs in but with the bytes of a client that knows the password.
func FuzzSCRAM(f *testing.F) {
	f.Add(false, []byte(nil), []byte(nil), uint16(0), uint16(0))
	f.Add(true, []byte("x"), []byte("y"), uint16(3), uint16(9))
	f.Add(true, []byte("n,,n=,r=abc"), []byte("c=biws,r=abc,p=AAAA"), uint16(0), uint16(0))
	f.Add(false, []byte("p=tls-server-end-point,,n=,r="), []byte(",p="), uint16(0), uint16(40))
	f.Add(false, []byte("y,a=x,m=y,n=,r=\x00"), []byte("\xff\xff"), uint16(1), uint16(7))
	f.Add(true, []byte("p"), []byte("\n"), uint16(0), uint16(148))
	v := cheapVerifier(f, "pencil")
	binding := []byte("a certificate's hash")
	f.Fuzz(func(t *testing.T, bound bool, first, last []byte, at, lastAt uint16) {
		client, mechanism, channel := newProver("pencil", "n,,", nil), scramMechanism, []byte(nil)
		if bound {
			client, mechanism, channel = newProver("pencil", "p=tls-server-end-point,,", binding), scramPlus, binding
		}
		x, e := newExchange(v, mechanism, channel)
		if e != nil {
			t.Fatal(e)
		}
		opening := overlay([]byte(client.first()), first, at)
		challenge, e := x.first(opening)
		if e != nil {
			wellFormed(t, e)
			return
		}
		proof := []byte(client.final(t, string(challenge)))
		sent := overlay(proof, last, lastAt)
		answer, proven, e := x.final(sent)
		if e != nil {
			wellFormed(t, e)
		}
		same := bytes.Equal(opening, []byte(client.first())) && sameProof(sent, proof)
		switch {
		case same && !proven:
			t.Fatalf("refused a client that knows the password: %v", e)
		case proven && !same:
			t.Fatalf("logged in with %q and %q", opening, sent)
		case proven && x.keys() == nil:
			t.Fatalf("no keys are to be had of %q", sent)
		case proven && !bytes.HasPrefix(answer, []byte("v=")):
			t.Fatalf("answer %q", answer)
		}
	})
}

// sameProof reports whether two last messages differ at most in how the proof is written in base64, without the line ends that Go's skips.
func sameProof(a, b []byte) bool {
	if bytes.ContainsAny(a, "\r\n") {
		return false
	}
	textA, proofA, _ := bytes.Cut(a, []byte(",p="))
	textB, proofB, _ := bytes.Cut(b, []byte(",p="))
	rawA, errA := base64.StdEncoding.DecodeString(string(proofA))
	rawB, errB := base64.StdEncoding.DecodeString(string(proofB))
	return bytes.Equal(textA, textB) && errA == nil && errB == nil && bytes.Equal(rawA, rawB)
}

// overlay lays over onto message at a place, beyond its end if need be.
func overlay(message, over []byte, at uint16) []byte {
	start := int(at) % (len(message) + 1)
	end := min(start+len(over), len(message))
	return append(append(append([]byte(nil), message[:start]...), over...), message[end:]...)
}

func wellFormed(t *testing.T, e *pgwire.Error) {
	t.Helper()
	if len(e.Code) != 5 || e.Message == "" {
		t.Fatalf("error %+v", e)
	}
}
