package pool

import (
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgdrover/pgdrover/pgwire"
)

func TestRefusedLogin(t *testing.T) {
	f := startFake(t)
	f.refuse = &pgwire.Error{Severity: "FATAL", Code: "28P01", Message: "password authentication failed"}
	c := open(t, quick())
	top := c.Apply(mapOf(t, shardOf(f)))
	start := time.Now()
	_, err := newSeeker().acquire(top, Primary)
	wantCode(t, err, "28P01", "app@"+f.addr.String(), "`backend:`", "pgdrover.yaml", "password authentication failed")
	var cause *pgconn.PgError
	if !errors.As(err, &cause) {
		t.Fatalf("%v does not wrap what the node said", err)
	}
	await(t, "the node counts as down", func() bool { return !top.Primary(0).Up() })
	s := newSeeker()
	if _, err = top.Acquire(&s.Request, 0, Primary); codeOf(err) != "28P01" {
		t.Fatalf("got %v at once", err)
	}
	if took := time.Since(start); took > patience/2 {
		t.Fatalf("it took %s", took)
	}
	f.set(func() { f.refuse = nil })
	await(t, "the node is up again", top.Primary(0).Up)
	mustAcquire(t, top, Primary).Release()
}

func TestUnreachableNodeFailsAfterConnectTimeoutAndComesBack(t *testing.T) {
	f := startFake(t)
	cfg := quick()
	cfg.ConnectTimeout = 200 * time.Millisecond
	c := open(t, cfg)
	f.stop()
	top := c.Apply(mapOf(t, shardOf(f)))
	start := time.Now()
	_, err := newSeeker().acquire(top, Primary)
	wantCode(t, err, CodeUnreachable, "s1 primary", f.addr.String(), "refused")
	if took := time.Since(start); took < cfg.ConnectTimeout/2 || took > patience/2 {
		t.Fatalf("the error came after %s", took)
	}
	s := newSeeker()
	if _, err := top.Acquire(&s.Request, 0, Primary); codeOf(err) != CodeUnreachable {
		t.Fatalf("got %v at once", err)
	}
	if s := c.Stats()[0]; s.Up || s.Why == "" || s.Counts.Failed < 2 {
		t.Fatalf("%+v", s)
	}
	f.start()
	await(t, "a probe succeeds", top.Primary(0).Up)
	mustAcquire(t, top, Primary).Release()
	if s := c.Stats()[0]; s.Why != "" {
		t.Fatalf("still: %s", s.Why)
	}
}

func TestNodeThatAnswersNothing(t *testing.T) {
	f := startFake(t)
	gate := make(chan struct{})
	f.gate = gate
	cfg := quick()
	cfg.ConnectTimeout, cfg.ProbeTimeout = 100*time.Millisecond, 50*time.Millisecond
	c := open(t, cfg)
	top := c.Apply(mapOf(t, shardOf(f)))
	_, err := newSeeker().acquire(top, Primary)
	wantCode(t, err, CodeUnreachable, f.addr.String())
	close(gate)
	f.set(func() { f.gate = nil })
	await(t, "the node is up", top.Primary(0).Up)
	mustAcquire(t, top, Primary).Release()
}

func TestBlipCostsAWaitAndNoError(t *testing.T) {
	f := startFake(t)
	f.refuse = &pgwire.Error{Severity: "FATAL", Code: "57P03", Message: "the database system is starting up"}
	c := open(t, quick())
	top := c.Apply(mapOf(t, shardOf(f)))
	s := queued(t, top, Primary)
	await(t, "the node is down and was dialled twice", func() bool {
		st := c.Stats()[0]
		return !st.Up && st.Counts.DialErrors >= 2
	})
	f.set(func() { f.refuse = nil })
	b, err := s.wait()
	if err != nil {
		t.Fatal(err)
	}
	b.Release()
}

func TestStartingNodeIsNamed(t *testing.T) {
	f := startFake(t)
	f.refuse = &pgwire.Error{Severity: "FATAL", Code: "57P03", Message: "the database system is starting up"}
	cfg := quick()
	cfg.ConnectTimeout = 100 * time.Millisecond
	top := open(t, cfg).Apply(mapOf(t, shardOf(f)))
	_, err := newSeeker().acquire(top, Primary)
	wantCode(t, err, CodeStarting, "s1 primary", "starting up", "try again")
}

func TestFullServerStillServesWithWhatItHas(t *testing.T) {
	f, c, top := single(t, quick())
	awaitProbed(t, c)
	b := mustAcquire(t, top, Primary)
	f.set(func() {
		f.refuse = &pgwire.Error{Severity: "FATAL", Code: "53300", Message: "sorry, too many clients already"}
	})
	s := queued(t, top, Primary)
	await(t, "a dial was refused", func() bool { return c.Stats()[0].Counts.DialErrors >= 2 })
	if st := c.Stats()[0]; !st.Up || st.Waiting != 1 || st.Why == "" {
		t.Fatalf("%+v", st)
	}
	b.Release()
	got, err := s.wait()
	if err != nil || got != b {
		t.Fatalf("got %v, %v", got, err)
	}
	got.Release()
}

func TestExpiredWaitForTroubledNodeNamesTheTrouble(t *testing.T) {
	f := startFake(t)
	f.stop()
	cfg := quick()
	cfg.Wait = 50 * time.Millisecond
	c := open(t, cfg)
	top := c.Apply(mapOf(t, shardOf(f)))
	s := queued(t, top, Primary)
	await(t, "the node is down", func() bool { return !top.Primary(0).Up() })
	wantCode(t, s.Expire(), CodeUnreachable, f.addr.String())
}

func TestDialsAreBounded(t *testing.T) {
	f := startFake(t)
	cfg := quick()
	cfg.Size, cfg.ProbeEvery = 10, time.Hour
	c := open(t, cfg)
	top := c.Apply(mapOf(t, shardOf(f)))
	awaitProbed(t, c)
	gate := make(chan struct{})
	f.set(func() { f.gate, f.most = gate, 0 })
	var line []*seeker
	for range 20 {
		line = append(line, queued(t, top, Primary))
	}
	await(t, "some dials are under way", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.waiting == maxDials
	})
	close(gate)
	var all []*Backend
	for _, s := range line[:10] {
		b, err := s.wait()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	if st := c.Stats()[0]; st.Busy != 10 || st.Waiting != 10 || st.Dialing != 0 {
		t.Fatalf("%+v", st)
	}
	for _, s := range line[10:] {
		s.Cancel()
	}
	for _, b := range all {
		b.Release()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.most > maxDials {
		t.Fatalf("%d dials at once", f.most)
	}
}

func TestOneDialPerNeed(t *testing.T) {
	f, c, top := single(t, quick())
	awaitProbed(t, c)
	f.mu.Lock()
	before := f.logins
	f.mu.Unlock()
	b := mustAcquire(t, top, Primary)
	b.Release()
	for range 10 {
		mustAcquire(t, top, Primary).Release()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.logins-before != 1 {
		t.Fatalf("%d logins for one backend at a time", f.logins-before)
	}
}

func TestBackoff(t *testing.T) {
	for failures, want := range []time.Duration{50, 100, 200, 400, 800, 1000, 1000} {
		want *= time.Millisecond
		for range 100 {
			if got := backoff(failures); got < want*4/5 || got > want*6/5 {
				t.Fatalf("after %d failures: %s", failures+1, got)
			}
		}
	}
	if got := backoff(1 << 30); got > maxPause*6/5 {
		t.Fatalf("%s", got)
	}
}
