package task

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"testing"
	"time"
)

// pair returns both ends of a loopback connection, the first as a Conn.
func pair(t testing.TB) (*Conn, net.Conn) { return pairOn(t, nil) }

// pairOn is pair for tasks of loops.
func pairOn(t testing.TB, loops *Loops) (*Conn, net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	peer, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	nc, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c, err := loops.Adopt(nc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); peer.Close() })
	return c, peer
}

func TestReadAloneThenEnd(t *testing.T) {
	c, peer := pair(t)
	tk := New()
	go func() { peer.Write([]byte("hello")); time.AfterFunc(10*time.Millisecond, func() { peer.Close() }) }()
	for len(c.Buffered()) < 5 {
		if tk.Wait(time.Time{}, Reading(c)) {
			t.Fatal("timed out without a deadline")
		}
	}
	if got := string(c.Buffered()); got != "hello" {
		t.Fatalf("got %q", got)
	}
	c.Discard(5)
	for c.ReadErr() == nil {
		tk.Wait(time.Time{}, Reading(c))
	}
	if c.ReadErr() != io.EOF {
		t.Fatalf("got %v, want EOF", c.ReadErr())
	}
	if c.in != nil {
		t.Fatal("an ended connection holds a buffer")
	}
}

func TestIdleHoldsNoBuffer(t *testing.T) {
	c, peer := pair(t)
	tk := New()
	peer.Write([]byte("x"))
	for len(c.Buffered()) == 0 {
		tk.Wait(time.Time{}, Reading(c))
	}
	c.Discard(1)
	if !tk.Wait(time.Now().Add(5*time.Millisecond), Reading(c)) {
		t.Fatal("no timeout")
	}
	if c.in != nil || c.out != nil {
		t.Fatal("an idle connection holds a buffer")
	}
}

func TestWakeEndsEveryKindOfWait(t *testing.T) {
	a, _ := pair(t)
	b, _ := pair(t)
	for name, on := range map[string][]Interest{"none": nil, "one": {Reading(a)}, "two": {Reading(a), Reading(b)}} {
		for range 200 {
			tk := New()
			go tk.Wake()
			if tk.Wait(time.Now().Add(10*time.Second), on...) {
				t.Fatalf("%s: the wake was lost", name)
			}
		}
	}
}

func TestDeadlineThenRead(t *testing.T) {
	a, peer := pair(t)
	b, _ := pair(t)
	tk := New()
	for _, on := range [][]Interest{{Reading(a)}, {Reading(a), Reading(b)}, {}} {
		if !tk.Wait(time.Now().Add(3*time.Millisecond), on...) {
			t.Fatal("no timeout")
		}
	}
	peer.Write([]byte("late"))
	for len(a.Buffered()) == 0 {
		tk.Wait(time.Time{}, Reading(a), Reading(b))
	}
	a.Discard(4)
	peer.Write([]byte("more"))
	for len(a.Buffered()) == 0 {
		tk.Wait(time.Time{}, Reading(a))
	}
}

// TestBothWays sends more than the sockets hold in both directions at once.
func TestBothWays(t *testing.T) {
	for _, secure := range []bool{false, true} {
		c, peer := pair(t)
		if secure {
			peer = upgrade(t, c, peer)
		}
		const size = 8 << 20
		sent := bytes.Repeat([]byte("0123456789abcdef"), size/16)
		got := make(chan []byte, 1)
		go func() { peer.Write(sent) }()
		go func() { b, _ := io.ReadAll(io.LimitReader(peer, size)); got <- b }()
		tk := New()
		var received bytes.Buffer
		c.Queue(sent)
		for received.Len() < size || c.Pending() > 0 {
			tk.Wait(time.Time{}, Interest{Conn: c, Read: true, Write: true})
			if c.ReadErr() != nil || c.WriteErr() != nil {
				t.Fatal(c.ReadErr(), c.WriteErr())
			}
			received.Write(c.Buffered())
			c.Discard(len(c.Buffered()))
		}
		if !bytes.Equal(received.Bytes(), sent) || !bytes.Equal(<-got, sent) {
			t.Fatal("the bytes differ")
		}
	}
}

func TestReserveGrowsWithArrivals(t *testing.T) {
	c, peer := pair(t)
	tk := New()
	const size = 300_000
	go peer.Write(make([]byte, size))
	for len(c.Buffered()) < size {
		c.Reserve(1 << 30)
		tk.Wait(time.Time{}, Reading(c))
	}
	if n := len(c.in.b); n > 2*size+BufferSize {
		t.Fatalf("%d bytes reserved for %d", n, size)
	}
}

func upgrade(t *testing.T, c *Conn, peer net.Conn) net.Conn {
	t.Helper()
	client := tls.Client(peer, &tls.Config{InsecureSkipVerify: true})
	done := make(chan error, 1)
	go func() { done <- client.Handshake() }()
	if err := c.ServerTLS(serverTLS(t), time.Now().Add(10*time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return client
}

// serverTLS is the configuration of a server whose certificate signed itself.
func serverTLS(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

func BenchmarkPingPong(b *testing.B) {
	c, peer := pair(b)
	go func() {
		p := make([]byte, 64)
		for {
			n, err := peer.Read(p)
			if err != nil {
				return
			}
			peer.Write(p[:n])
		}
	}()
	tk := New()
	msg := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		c.QueueOrWrite(msg)
		for len(c.Buffered()) < 64 {
			tk.Wait(time.Time{}, Reading(c))
		}
		c.Discard(64)
	}
}

// TestDirectTLS hands bytes that were read already to the handshake, however many there were.
func TestDirectTLS(t *testing.T) {
	for _, ahead := range []int{1, 5, 100} {
		c, peer := pair(t)
		cfg := serverTLS(t)
		client := tls.Client(peer, &tls.Config{InsecureSkipVerify: true})
		done := make(chan error, 1)
		go func() {
			_, err := client.Write([]byte("hello"))
			done <- err
		}()
		tk := New()
		for len(c.Buffered()) < ahead {
			tk.Wait(time.Now().Add(10*time.Second), Reading(c))
		}
		if err := c.DirectTLS(cfg, time.Now().Add(10*time.Second)); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		for len(c.Buffered()) < 5 {
			if tk.Wait(time.Now().Add(10*time.Second), Reading(c)) {
				t.Fatal("nothing arrived")
			}
		}
		if got := string(c.Buffered()); got != "hello" {
			t.Fatalf("got %q", got)
		}
	}
	c, peer := pair(t)
	tk := New()
	peer.Write([]byte("\x16 is no handshake"))
	for len(c.Buffered()) == 0 {
		tk.Wait(time.Time{}, Reading(c))
	}
	if err := c.ServerTLS(serverTLS(t), time.Now().Add(time.Second)); err == nil {
		t.Fatal("bytes that arrived before the handshake were taken for it")
	}
	if err := c.DirectTLS(serverTLS(t), time.Now().Add(time.Second)); err == nil {
		t.Fatal("no handshake was taken for one")
	}
}
