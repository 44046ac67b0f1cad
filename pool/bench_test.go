package pool

import "testing"

// TestNoAllocation: the way of a backend out and back costs no memory, at once and by way of the line.
func TestNoAllocation(t *testing.T) {
	cfg := quick()
	cfg.Size = 1
	_, _, top := single(t, cfg)
	mustAcquire(t, top, Replica).Release()
	one, two := newSeeker(), newSeeker()
	if got := testing.AllocsPerRun(200, func() {
		b, err := top.Acquire(&one.Request, 0, Replica)
		if err != nil || b == nil {
			t.Fatal(b, err)
		}
		if waiting, err := top.Acquire(&two.Request, 0, Primary); waiting != nil || err != nil {
			t.Fatal(waiting, err)
		}
		b.Release()
		b, err, done := two.Take()
		if err != nil || !done {
			t.Fatal(b, err, done)
		}
		b.Release()
	}); got >= 1 && !raced {
		t.Fatalf("%.1f allocations", got)
	}
}

func BenchmarkAcquireRelease(b *testing.B) {
	cfg := quick()
	cfg.Size = 64
	_, _, top := single(b, cfg)
	var all []*Backend
	for range 8 {
		all = append(all, mustAcquire(b, top, Primary))
	}
	for _, backend := range all {
		backend.Release()
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		s := newSeeker()
		for pb.Next() {
			backend, err := s.acquire(top, Primary)
			if err != nil {
				b.Error(err)
				return
			}
			backend.Release()
		}
	})
}

// BenchmarkHandOver passes one backend along a line of two.
func BenchmarkHandOver(b *testing.B) {
	cfg := quick()
	cfg.Size = 1
	_, _, top := single(b, cfg)
	held := mustAcquire(b, top, Primary)
	s := newSeeker()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := top.Acquire(&s.Request, 0, Primary); err != nil {
			b.Fatal(err)
		}
		held.Release()
		<-s.bell
		held, _, _ = s.Take()
	}
	held.Release()
}
