package pool

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestWaitersAreServedInOrder(t *testing.T) {
	noLeaks(t)
	cfg := quick()
	cfg.Size = 1
	_, c, top := single(t, cfg)
	b := mustAcquire(t, top, Primary)
	first := b.Serial()
	var line []*seeker
	for range 100 {
		line = append(line, queued(t, top, Primary))
	}
	gone := line[40]
	gone.Cancel()
	line = append(line[:40], line[41:]...)
	for i, s := range line {
		b.Release()
		for _, other := range line[i+1:] {
			if _, _, done := other.Take(); done {
				t.Fatalf("somebody was served before number %d", i)
			}
		}
		next, err := s.wait()
		if err != nil {
			t.Fatal(err)
		}
		b = next
	}
	b.Release()
	if b.Serial() != first {
		t.Fatal("another backend was dialled")
	}
	s := c.Stats()[0]
	if s.Busy != 0 || s.Idle != 1 || s.Waiting != 0 || s.Counts.Acquired != 100 {
		t.Fatalf("%+v", s)
	}
	if _, _, done := gone.Take(); done {
		t.Fatal("a cancelled request has an outcome")
	}
}

func TestOlderWaiterFromElsewhereGoesFirst(t *testing.T) {
	var q queue
	const at = 10
	a := &Request{since: at + 1}
	b := &Request{since: at + 3}
	moved := &Request{since: at + 2}
	oldest := &Request{since: at}
	for _, r := range []*Request{a, b, moved, oldest} {
		q.insert(r)
	}
	for i, want := range []*Request{oldest, a, moved, b} {
		if got := q.pop(); got != want {
			t.Fatalf("place %d is taken by another", i)
		}
	}
	if q.pop() != nil || q.len != 0 || q.last != nil {
		t.Fatal("the line is not empty")
	}
}

func TestWaitLimit(t *testing.T) {
	cfg := quick()
	cfg.Size, cfg.Wait = 1, 30*time.Millisecond
	_, c, top := single(t, cfg)
	b := mustAcquire(t, top, Primary)
	s := queued(t, top, Primary)
	if d := time.Until(s.Deadline()); d > cfg.Wait || d < 0 {
		t.Fatalf("the wait ends in %s", d)
	}
	time.Sleep(time.Until(s.Deadline()))
	wantCode(t, s.Expire(), CodeTooMany, "s1 primary", "30ms", "pool.size")
	if _, _, done := s.Take(); done || !s.Deadline().IsZero() {
		t.Fatal("an expired request goes on waiting")
	}
	b.Release()
	again, err := s.acquire(top, Primary)
	if err != nil || again != b {
		t.Fatalf("got %v, %v", again, err)
	}
	again.Release()
	if got := c.Stats()[0].Counts.Timeouts; got != 1 {
		t.Fatalf("%d timeouts are counted", got)
	}
}

func TestExpireAfterGrantHandsOn(t *testing.T) {
	cfg := quick()
	cfg.Size = 1
	_, _, top := single(t, cfg)
	b := mustAcquire(t, top, Primary)
	s := queued(t, top, Primary)
	b.Release()
	wantCode(t, s.Expire(), CodeTooMany)
	if err := s.Expire(); err != nil {
		t.Fatalf("a second time: %v", err)
	}
	if got := mustAcquire(t, top, Primary); got != b {
		t.Fatal("the backend was lost")
	}
	b.Release()
}

func TestQueueIsBounded(t *testing.T) {
	cfg := quick()
	cfg.Size, cfg.MaxWaiting = 1, 2
	_, _, top := single(t, cfg)
	b := mustAcquire(t, top, Primary)
	one, two := queued(t, top, Primary), queued(t, top, Primary)
	s := newSeeker()
	_, err := top.Acquire(&s.Request, 0, Primary)
	wantCode(t, err, CodeTooMany, "2 requests wait")
	one.Cancel()
	two.Cancel()
	b.Release()
}

func TestCancelHandsOn(t *testing.T) {
	cfg := quick()
	cfg.Size = 1
	_, _, top := single(t, cfg)
	b := mustAcquire(t, top, Primary)
	leaves, stays := queued(t, top, Primary), queued(t, top, Primary)
	b.Release() // granted to the one who leaves
	leaves.Cancel()
	got, err := stays.wait()
	if err != nil || got != b {
		t.Fatalf("got %v, %v", got, err)
	}
	got.Release()
}

// TestGrantRacesCancel has many sessions acquire, give up and release at random: none may be forgotten, no backend may be lost
// or held twice.
func TestGrantRacesCancel(t *testing.T) {
	noLeaks(t)
	cfg := quick()
	cfg.Size = 3
	_, c, top := single(t, cfg)
	const sessions, rounds = 24, 400
	var holders [1000]atomic.Int32 // by serial
	var all sync.WaitGroup
	for range sessions {
		all.Go(func() {
			s := newSeeker()
			for range rounds {
				b, err := top.Acquire(&s.Request, 0, Primary)
				if b == nil && err == nil && rand.N(3) == 0 {
					for range rand.N(200) {
						if b, err, _ = s.Take(); b != nil {
							break
						}
					}
					if b == nil {
						s.Cancel()
						continue
					}
				}
				if b == nil && err == nil {
					b, err = s.wait()
				}
				if err != nil {
					t.Error(err)
					return
				}
				if n := holders[b.Serial()].Add(1); n != 1 {
					t.Errorf("%d hold one backend", n)
				}
				holders[b.Serial()].Add(-1)
				if rand.N(100) == 0 {
					b.Destroy("test")
				} else {
					b.Release()
				}
			}
		})
	}
	all.Wait()
	await(t, "everything is idle", func() bool {
		s := c.Stats()[0]
		return s.Busy == 0 && s.Waiting == 0 && s.Dialing == 0
	})
	s := c.Stats()[0]
	var waits uint64
	for _, n := range s.Counts.Waits {
		waits += n
	}
	if s.Idle > cfg.Size || waits != s.Counts.Acquired {
		t.Fatalf("%+v", s)
	}
	n := top.Primary(0)
	if load := n.inFlight.Load(); load != 0 {
		t.Fatalf("%d requests are in flight", load)
	}
}
