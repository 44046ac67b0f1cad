package proxy

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// waitUntil waits for something that other goroutines do.
func waitUntil(t *testing.T, what string, done func() bool) {
	t.Helper()
	for limit := time.Now().Add(20 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("not within 20s: %s", what)
		}
	}
}

func TestManyCancelsForOneTargetAreTwo(t *testing.T) {
	var d cancelDesk
	d.init(4, 200)
	var begun, under, most atomic.Int64
	gate := make(chan struct{})
	work := func(context.Context) {
		begun.Add(1)
		most.Store(max(most.Load(), under.Add(1)))
		<-gate
		under.Add(-1)
	}
	var group sync.WaitGroup
	var served atomic.Int64
	ask := func() {
		group.Go(func() {
			if d.carryOut("target", work) {
				served.Add(1)
			}
		})
	}
	ask()
	waitUntil(t, "the first is worked on", func() bool { return begun.Load() == 1 })
	for range 100 {
		ask()
	}
	waitUntil(t, "the others wait", func() bool { _, waiting := d.load(); return waiting == 101 })
	if working, _ := d.load(); working != 1 || begun.Load() != 1 {
		t.Fatalf("%d under way, %d begun", working, begun.Load())
	}
	close(gate)
	group.Wait()
	if begun.Load() != 2 || most.Load() != 1 || served.Load() != 101 {
		t.Fatalf("%d begun, %d at once, %d of 101 served", begun.Load(), most.Load(), served.Load())
	}
	if working, waiting := d.load(); working+waiting != 0 || len(d.targets) != 0 {
		t.Fatalf("left behind: %d, %d, %v", working, waiting, d.targets)
	}
}

func TestCancelsAreBounded(t *testing.T) {
	var d cancelDesk
	d.init(2, 5)
	gate := make(chan struct{})
	var begun, refused atomic.Int64
	var group sync.WaitGroup
	for target := range 50 {
		group.Go(func() {
			if !d.carryOut(target, func(context.Context) { begun.Add(1); <-gate }) {
				refused.Add(1)
			}
		})
	}
	waitUntil(t, "the rest is dropped", func() bool { return refused.Load() == 45 })
	if working, waiting := d.load(); working > 2 || waiting != 5 || begun.Load() > 2 {
		t.Fatalf("%d worked on, %d wait, %d begun", working, waiting, begun.Load())
	}
	close(gate)
	group.Wait()
	if begun.Load() != 5 || len(d.targets) != 0 {
		t.Fatalf("%d begun, left: %v", begun.Load(), d.targets)
	}
}

func TestForwardMark(t *testing.T) {
	for _, secret := range []string{"abcd", "0123456789abcdef0123456789abcdef"} {
		if own, forwarded := unmarked([]byte(secret)); forwarded || string(own) != secret {
			t.Errorf("%q: %q %v", secret, own, forwarded)
		}
		if own, forwarded := unmarked(append([]byte(secret), forwardMark...)); !forwarded || string(own) != secret {
			t.Errorf("%q with a mark: %q %v", secret, own, forwarded)
		}
	}
}
