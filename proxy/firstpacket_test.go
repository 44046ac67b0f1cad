package proxy

import (
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/internal/pgtest"
)

// TestFirstPackets opens connections in every way there is: where no TLS is on, PostgreSQL answers the same bytes.
//
// Row 29: first packets of impossible lengths.
// Row 32: bytes behind an SSLRequest.
// Row 33: GSSENCRequest, SSLRequest, startup.
// Row 36: 3.9999 with an option that nobody knows.
func TestFirstPackets(t *testing.T) {
	c := sharedPrimaries(t, 1)
	plain := startRig(t, c, rigOptions{})
	const startup = "\x00\x00\x00\x10\x00\x03\x00\x00user\x00x\x00\x00"
	const ssl, gss = "\x00\x00\x00\x08\x04\xd2\x16\x2f", "\x00\x00\x00\x08\x04\xd2\x16\x30"
	for name, packet := range map[string]string{
		"bytes behind an SSLRequest": ssl + startup,
		"nothing but zeros":          "\x00\x00\x00\x00\x00\x00\x00\x00",
		"a negative length":          "\xff\xff\xff\xff\x00\x03\x00\x00",
		"a huge length":              "\x7f\xff\xff\xff\x00\x03\x00\x00",
		"HTTP":                       "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"no user":                    "\x00\x00\x00\x09\x00\x03\x00\x00\x00",
		"no terminator":              "\x00\x00\x00\x0e\x00\x03\x00\x00user\x00x",
		"an unknown cancel key":      "\x00\x00\x00\x10\x04\xd2\x16\x2e\x00\x00\x00\x01\x00\x00\x00\x01",
	} {
		want, got := answerTo(t, c.Shards[0].Primary.Addr(), packet), answerTo(t, plain.addr, packet)
		if want != got {
			t.Errorf("%s: PostgreSQL answers %q, PgDrover %q", name, want, got)
		}
	}
	if got := answerTo(t, plain.addr, gss+startup); !strings.HasPrefix(got, "NE") || !strings.Contains(got, "08P01") {
		t.Errorf("bytes behind a GSSENCRequest: %q", got)
	}

	ca := newAuthority(t)
	pair := ca.sign(newECKey(t), []string{"localhost"}, "localhost")
	secure := startRig(t, c, rigOptions{config: func(cfg *Config) {
		cfg.TLSMode, cfg.TLS = TLSPrefer, &tls.Config{Certificates: []tls.Certificate{pair}}
	}})
	login := pgtest.Options{User: rigUser, Password: rigPassword, Database: c.Database}
	for _, minor := range []uint16{0, 2, 9999} {
		o := login
		o.Minor = minor
		if minor == 9999 {
			o.Params = map[string]string{"_pq_.test_protocol_negotiation": "1"}
		}
		client, err := pgtest.Open(secure.addr, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Abort() })
		if answer, err := client.RequestGSS(); err != nil || answer != 'N' {
			t.Fatalf("GSSENCRequest: %q, %v", answer, err)
		}
		if err := client.StartTLS(&tls.Config{RootCAs: ca.pool, ServerName: "localhost"}); err != nil {
			t.Fatal(err)
		}
		if err := client.Startup(o); err != nil {
			t.Fatalf("3.%d: %v", minor, err)
		}
		secret, negotiated := 32, ""
		switch minor {
		case 0:
			secret = 4
		case 9999:
			negotiated = `3.2 1 "_pq_.test_protocol_negotiation"`
		}
		if len(client.Secret) != secret || !strings.HasSuffix(client.Negotiated, negotiated) || (negotiated == "") != (client.Negotiated == "") {
			t.Errorf("3.%d: a key of %d bytes, negotiated %q", minor, len(client.Secret), client.Negotiated)
		}
		if lines, err := client.Query("select 1"); err != nil || len(lines) != 4 {
			t.Errorf("3.%d: %q, %v", minor, lines, err)
		}
	}
	twice, err := pgtest.Open(secure.addr, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = twice.Abort() })
	for _, want := range []byte{'N', 'E'} {
		if answer, err := twice.RequestGSS(); err != nil || answer != want {
			t.Errorf("a request made twice: %q, %v", answer, err)
		}
	}
}

// answerTo is all that a server sends to a first packet until it closes, or until it waits for more.
func answerTo(t *testing.T, address, packet string) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := conn.Write([]byte(packet)); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(conn)
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		t.Fatalf("%q: it waits, after %q", packet, b)
	}
	s := strings.TrimRight(string(b), "\x00")
	if at := strings.Index(s, "\x00F"); at >= 0 { // where in the source differs
		s = s[:at]
	}
	return withoutLength(s)
}

// withoutLength drops the length of the ErrorResponse in an answer.
func withoutLength(s string) string {
	if at := strings.IndexByte(s, 'E'); at >= 0 && len(s) > at+5 {
		return s[:at+1] + s[at+5:]
	}
	return s
}
