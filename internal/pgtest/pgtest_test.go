package pgtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	peer "github.com/jackc/pgproto3/v2"

	"github.com/pgdrover/pgdrover/pgwire"
)

var app = Options{User: "app", Database: "app"}

// answerQueries is a Handle that answers every Query with one row, its text.
func answerQueries(c *Conn, frame []byte) error {
	text, err := pgwire.QueryText(frame)
	if err != nil {
		return err
	}
	return c.Write(Result("SELECT 1", []string{"text"}, []string{string(text)}))
}

func TestSimpleQuery(t *testing.T) {
	s := Serve(t, Script{Handle: answerQueries})
	c := Connect(t, s.Addr, app)
	if c.Params["client_encoding"] != "UTF8" || c.PID == 0 || len(c.Secret) != 4 || c.Status != 'I' || c.Negotiated != "" {
		t.Errorf("after startup: %+v", c)
	}
	got, err := c.Query("SELECT 'x'")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`B RowDescription 29 1 "text" 0 0 25 -1 -1 0`,
		`B DataRow 20 1 'SELECT \'x\''`,
		`B CommandComplete 13 "SELECT 1"`,
		`B ReadyForQuery 5 I`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// The messages of pgproto3/v2 go through as they are.
func TestExtendedProtocol(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	s := Serve(t, Script{Handle: func(c *Conn, frame []byte) error {
		mu.Lock()
		seen = append(seen, string(pgwire.Trace(nil, true, frame)))
		mu.Unlock()
		if frame[0] != pgwire.MsgSync {
			return nil
		}
		return c.Send(&peer.ParseComplete{}, &peer.BindComplete{}, &peer.CommandComplete{CommandTag: []byte("SELECT 0")}, &peer.ReadyForQuery{TxStatus: 'T'})
	}})
	c := Connect(t, s.Addr, app)
	if err := c.Send(&peer.Parse{Name: "s", Query: "SELECT $1"}, &peer.Bind{PreparedStatement: "s", Parameters: [][]byte{[]byte("7")}}, &peer.Execute{}, &peer.Sync{}); err != nil {
		t.Fatal(err)
	}
	got, err := c.ReadUntilReady()
	if want := []string{"B ParseComplete 4", "B BindComplete 4", `B CommandComplete 13 "SELECT 0"`, "B ReadyForQuery 5 T"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	if c.Status != 'T' {
		t.Errorf("status %q", c.Status)
	}
	mu.Lock()
	defer mu.Unlock()
	if want := []string{`F Parse 18 "s" "SELECT $1" 0`, `F Bind 18 "" "s" 0 1 '7' 0`, `F Execute 9 "" 0`, "F Sync 4"}; !slices.Equal(seen, want) {
		t.Errorf("the server saw %q, want %q", seen, want)
	}
}

func TestVersionsAndLongKeys(t *testing.T) {
	secret := []byte(strings.Repeat("k", 32))
	type cancelled struct {
		pid    uint32
		secret string
	}
	cancels := make(chan cancelled, 1)
	s := Serve(t, Script{
		Handle: answerQueries,
		Greet: func(c *Conn) error {
			if c.Startup.Minor >= 2 {
				c.Secret = secret
			}
			return c.Greet()
		},
		Cancel: func(pid uint32, secret []byte) { cancels <- cancelled{pid, string(secret)} },
	})
	for _, tt := range []struct {
		minor      uint16
		options    map[string]string
		negotiated string
		secret     int
	}{
		{0, nil, "", 4},
		{2, nil, "", 32},
		{9999, map[string]string{"_pq_.test_protocol_negotiation": ""}, `B NegotiateProtocolVersion 43 3.2 1 "_pq_.test_protocol_negotiation"`, 32},
	} {
		c := Connect(t, s.Addr, Options{User: "app", Minor: tt.minor, Params: tt.options})
		if c.Negotiated != tt.negotiated || len(c.Secret) != tt.secret {
			t.Errorf("3.%d: negotiated %q, secret of %d bytes", tt.minor, c.Negotiated, len(c.Secret))
		}
		if err := c.Cancel(); err != nil {
			t.Fatal(err)
		}
		if got := <-cancels; got != (cancelled{c.PID, string(c.Secret)}) {
			t.Errorf("3.%d: cancelled %+v", tt.minor, got)
		}
	}
}

func TestEncryptionRefused(t *testing.T) {
	s := Serve(t, Script{Handle: answerQueries})
	c, err := Open(s.Addr, 0)
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := c.RequestGSS(); answer != 'N' || err != nil {
		t.Errorf("GSSENCRequest: %q, %v", answer, err)
	}
	if answer, err := c.RequestSSL(); answer != 'N' || err != nil {
		t.Errorf("SSLRequest: %q, %v", answer, err)
	}
	if err := c.Startup(app); err != nil {
		t.Errorf("in the clear after that: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	o := app
	o.TLS = &tls.Config{}
	if _, err := Dial(s.Addr, o); err == nil {
		t.Error("TLS was had from a server without it")
	}
}

func TestTLS(t *testing.T) {
	certificate, roots := selfSigned(t)
	s := Serve(t, Script{Handle: answerQueries, TLS: &tls.Config{Certificates: []tls.Certificate{certificate}}})
	o := app
	o.TLS = &tls.Config{RootCAs: roots, ServerName: "localhost"}
	c := Connect(t, s.Addr, o)
	if got, err := c.Query("SELECT 1"); err != nil || len(got) != 4 {
		t.Errorf("got %q, %v", got, err)
	}
	if err := c.Cancel(); err != nil {
		t.Error(err)
	}
}

func selfSigned(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

func TestFaults(t *testing.T) {
	result := Result("SELECT 1", []string{"a"}, []string{"a value"})
	row := len(pgwire.AppendRowDescription(nil, []pgwire.Column{{Name: "a"}}))
	s := Serve(t, Script{Handle: func(c *Conn, frame []byte) error {
		switch text, _ := pgwire.QueryText(frame); string(text) {
		case "middle of a row":
			return c.WritePart(result, row+9)
		case "middle of a header":
			return c.WritePart(result, row+3)
		case "between frames":
			return c.WritePart(result, row)
		case "impossible length":
			return c.Write(FalseFrame(pgwire.MsgDataRow, 3))
		case "a gibibyte":
			return c.Write(FalseFrame(pgwire.MsgDataRow, 1<<30))
		case "reset":
			return c.Reset()
		default:
			return c.Write(pgwire.AppendError(nil, &pgwire.Error{Severity: "FATAL", Code: "57P01", Message: "terminating connection"}))
		}
	}})
	for _, tt := range []struct {
		query string
		lines int
		check func(error) bool
	}{
		{"middle of a row", 1, func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
		{"middle of a header", 1, func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
		{"between frames", 1, func(err error) bool { return errors.Is(err, io.EOF) }},
		{"impossible length", 0, func(err error) bool { return errors.As(err, new(*pgwire.LengthError)) }},
		{"a gibibyte", 0, func(err error) bool { return errors.As(err, new(*pgwire.LengthError)) }},
		{"reset", 0, isReset},
	} {
		t.Run(tt.query, func(t *testing.T) {
			c := Connect(t, s.Addr, app)
			if got, err := c.Query(tt.query); !tt.check(err) || len(got) != tt.lines {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestDrop(t *testing.T) {
	s := Serve(t, Script{Handle: answerQueries})
	c := Connect(t, s.Addr, app)
	if s.Conns() != 1 {
		t.Errorf("%d connections", s.Conns())
	}
	s.Drop()
	if err := c.AwaitClose(); err != nil {
		t.Error(err)
	}
	if _, err := Connect(t, s.Addr, app).Query("SELECT 1"); err != nil {
		t.Errorf("after that: %v", err)
	}
	s.Close()
	if s.Conns() != 0 {
		t.Errorf("%d connections after Close", s.Conns())
	}
	var network *net.OpError
	if _, err := Dial(s.Addr, app); !errors.As(err, &network) {
		t.Errorf("a closed server answered: %v", err)
	}
}

func TestRefusal(t *testing.T) {
	s := Serve(t, Script{Handle: answerQueries, Auth: func(c *Conn) error {
		user, _ := c.Startup.Param("user")
		return errors.Join(ErrHangUp, c.Write(pgwire.AppendError(nil, &pgwire.Error{
			Severity: "FATAL", Code: "28000", Message: fmt.Sprintf("role %q does not exist", user),
		})))
	}})
	_, err := Dial(s.Addr, Options{User: "nobody"})
	var refusal *pgwire.Error
	if !errors.As(err, &refusal) || refusal.Code != "28000" {
		t.Errorf("got %v", err)
	}
}

// recorder is a test that may fail without failing this one.
type recorder struct {
	testing.TB
	mu     sync.Mutex
	errors []string
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

// A script that goes wrong fails its test, and one that hangs up does not.
func TestScriptErrorsAreReported(t *testing.T) {
	r := &recorder{TB: t}
	s := Serve(r, Script{Handle: func(c *Conn, frame []byte) error {
		if text, _ := pgwire.QueryText(frame); string(text) == "fail" {
			return errors.New("not in the script")
		}
		return ErrHangUp
	}})
	for _, query := range []string{"hang up", "fail"} {
		if _, err := Connect(t, s.Addr, app).Query(query); !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", query, err)
		}
	}
	s.Close()
	if want := []string{"scripted server: not in the script"}; !slices.Equal(r.errors, want) {
		t.Errorf("reported %q, want %q", r.errors, want)
	}
}
