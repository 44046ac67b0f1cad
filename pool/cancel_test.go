package pool

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"testing"
	"time"
)

// only is a pool of one backend, and who holds that.
func only(t *testing.T) (*fake, *Cluster, *Topology, *seeker, *Backend) {
	t.Helper()
	noLeaks(t)
	cfg := quick()
	cfg.Size = 1
	f, c, top := single(t, cfg)
	holder := newSeeker()
	b, err := holder.acquire(top, Primary)
	if err != nil {
		t.Fatal(err)
	}
	return f, c, top, holder, b
}

// TestReleasedBackendWaitsForItsCancel: while a cancel is under way nobody gets the backend.
func TestReleasedBackendWaitsForItsCancel(t *testing.T) {
	f, c, top, holder, b := only(t)
	waits := queued(t, top, Primary)
	gate := make(chan struct{})
	f.set(func() { f.cancel = gate })
	done := make(chan error, 1)
	go func() { done <- b.Cancel(context.Background(), &holder.Request) }()
	await(t, "the server has read the request", func() bool { f.mu.Lock(); defer f.mu.Unlock(); return len(f.cancels) == 1 })
	b.Release()
	if err := b.Cancel(t.Context(), &holder.Request); !errors.Is(err, ErrNotHeld) {
		t.Fatalf("a cancel after the release: %v", err)
	}
	if _, _, served := waits.Take(); served {
		t.Fatal("the backend was given out while a cancel was under way")
	}
	if all := c.Backends(); len(all) != 1 || all[0].State != "cancelling" {
		t.Fatalf("%+v", all)
	}
	close(gate)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	got, err := waits.wait()
	if err != nil || got != b {
		t.Fatalf("got %v, %v", got, err)
	}
	if f.cancels[0] != b.PID {
		t.Fatalf("process %d was cancelled", f.cancels[0])
	}
	if err := b.Cancel(t.Context(), &holder.Request); !errors.Is(err, ErrNotHeld) {
		t.Fatalf("the holder before may cancel: %v", err)
	}
	got.Release()
}

// TestBegunCancelKeepsBackend has a cancel begin, and the same request ask for the same backend before it is carried out, as it does for another session.
func TestBegunCancelKeepsBackend(t *testing.T) {
	f, _, top, holder, b := only(t)
	begun, err := b.BeginCancel(&holder.Request)
	if err != nil {
		t.Fatal(err)
	}
	b.Release()
	if again, err := top.Acquire(&holder.Request, 0, Primary); again != nil || err != nil {
		t.Fatalf("the backend was given out before the cancel was carried out: %v, %v", again, err)
	}
	if err := begun.CarryOut(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := holder.wait()
	if err != nil || got != b {
		t.Fatalf("got %v, %v", got, err)
	}
	if f.mu.Lock(); len(f.cancels) != 1 {
		t.Errorf("%d cancels reached the server, want 1", len(f.cancels))
	}
	f.mu.Unlock()
	got.Release()
}

func TestUnconfirmedCancelDestroys(t *testing.T) {
	f, c, top := single(t, quick())
	holder := newSeeker()
	b, err := holder.acquire(top, Primary)
	if err != nil {
		t.Fatal(err)
	}
	gate := make(chan struct{})
	defer close(gate)
	f.set(func() { f.cancel = gate })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Cancel(ctx, &holder.Request) }()
	await(t, "the server has read the request", func() bool { f.mu.Lock(); defer f.mu.Unlock(); return len(f.cancels) == 1 })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	b.Release()
	if s := c.Stats()[0]; s.Idle != 0 || s.Counts.Destroyed[reasonCancel] != 1 || s.Counts.Cancels != 1 {
		t.Fatalf("%+v", s)
	}
}

func TestCancelThatWasNotSentSpoilsNothing(t *testing.T) {
	f, c, top := single(t, quick())
	holder := newSeeker()
	b, err := holder.acquire(top, Primary)
	if err != nil {
		t.Fatal(err)
	}
	_ = f.ln.Close()
	if err := b.Cancel(t.Context(), &holder.Request); err == nil || errors.Is(err, ErrNotHeld) {
		t.Fatalf("got %v", err)
	}
	b.Release()
	if s := c.Stats()[0]; s.Idle != 1 {
		t.Fatalf("%+v", s)
	}
}

func TestDestroyWhileCancelIsUnderWay(t *testing.T) {
	f, c, top := single(t, quick())
	holder := newSeeker()
	b, err := holder.acquire(top, Primary)
	if err != nil {
		t.Fatal(err)
	}
	gate := make(chan struct{})
	f.set(func() { f.cancel = gate })
	done := make(chan error, 1)
	go func() { done <- b.Cancel(context.Background(), &holder.Request) }()
	await(t, "the server has read the request", func() bool { f.mu.Lock(); defer f.mu.Unlock(); return len(f.cancels) == 1 })
	b.Destroy("test")
	close(gate)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if s := c.Stats()[0]; s.Idle+s.Busy != 0 {
		t.Fatalf("%+v", s)
	}
}

// TestCancelStormIsBounded has more cancel requests at once than a node is asked to take.
//
// Row 16: how many connections to a node that makes.
func TestCancelStormIsBounded(t *testing.T) {
	f, c, top := single(t, quick())
	holder := newSeeker()
	b, err := holder.acquire(top, Primary)
	if err != nil {
		t.Fatal(err)
	}
	gate := make(chan struct{})
	f.set(func() { f.cancel = gate })
	done := make(chan error, maxCancels)
	for range maxCancels {
		go func() { done <- b.Cancel(context.Background(), &holder.Request) }()
	}
	await(t, "as many as may be are under way", func() bool { f.mu.Lock(); defer f.mu.Unlock(); return len(f.cancels) == maxCancels })
	for range 100 {
		if err := b.Cancel(t.Context(), &holder.Request); err != nil {
			t.Fatal(err)
		}
	}
	b.Release()
	close(gate)
	for range maxCancels {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if s := c.Stats()[0]; s.Counts.Cancels != maxCancels || s.Idle != 1 {
		t.Fatalf("%+v", s)
	}
}

// certify gives a scripted server a certificate for 127.0.0.1 and returns who vouches for it.
func certify(t *testing.T, f *fake) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: f.addrs(),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	f.tls = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	roots := x509.NewCertPool()
	roots.AddCert(c)
	return roots
}

func TestTLSModes(t *testing.T) {
	plain, secure := startFake(t), startFake(t)
	roots := certify(t, secure)
	for _, test := range []struct {
		name      string
		mode      TLSMode
		roots     *x509.CertPool
		node      *fake
		encrypted bool
		fails     bool
	}{
		{"off", TLSOff, nil, secure, false, false},
		{"prefer", TLSPrefer, nil, secure, true, false},
		{"prefer, the server has none", TLSPrefer, nil, plain, false, false},
		{"default", "", nil, secure, true, false},
		{"require", TLSRequire, nil, secure, true, false},
		{"require, the server has none", TLSRequire, nil, plain, false, true},
		{"verify-full", TLSVerifyFull, roots, secure, true, false},
		{"verify-full, nobody vouches", TLSVerifyFull, nil, secure, false, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			noLeaks(t)
			cfg := quick()
			cfg.TLS, cfg.TLSConfig = test.mode, &tls.Config{RootCAs: test.roots}
			if test.fails {
				cfg.ConnectTimeout = 100 * time.Millisecond
			}
			c := open(t, cfg)
			top := c.Apply(mapOf(t, shardOf(test.node)))
			holder := newSeeker()
			b, err := holder.acquire(top, Primary)
			if test.fails {
				wantCode(t, err, CodeUnreachable)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, encrypted := b.Conn.TLS(); encrypted != test.encrypted || (c.Backends()[0].Cipher != "") != test.encrypted {
				t.Fatalf("encrypted: %v", encrypted)
			}
			if _, _, err := query(b, "select 1"); err != nil {
				t.Fatal(err)
			}
			if err := b.Cancel(t.Context(), &holder.Request); err != nil {
				t.Fatal(err)
			}
			b.Release()
			if again := mustAcquire(t, top, Primary); again != b {
				t.Fatal("an idle backend was taken for dead")
			} else {
				again.Release()
			}
		})
	}
}
