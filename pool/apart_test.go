package pool

import (
	"context"
	"errors"
	"testing"
)

// TestOpenIsApart has a backend beside a pool that is full, and Close wait for it.
func TestOpenIsApart(t *testing.T) {
	noLeaks(t)
	cfg := quick()
	cfg.Size = 1
	_, c, top := single(t, cfg)
	held := mustAcquire(t, top, Primary)
	b, err := top.Open(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if s := top.Primary(0).Stats(); s.Busy != 1 || s.Idle != 0 || s.Counts.Acquired != 1 {
		t.Fatalf("%+v", s)
	}
	states := map[string]int{}
	for _, s := range c.Backends() {
		states[s.State]++
	}
	if states["held"] != 1 || states["listening"] != 1 {
		t.Fatalf("%v", states)
	}
	held.Release()
	if again := mustAcquire(t, top, Primary); again != held {
		t.Fatal("the pool gave another backend")
	} else {
		again.Release()
	}
	short, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Close(short); err == nil {
		t.Fatal("closed while a backend was open")
	}
	for !b.Conn.Fill() { // it was cut off
	}
	b.Close()
	if _, err := top.Open(t.Context(), 0); !isGone(err) {
		t.Fatalf("opened after the end: %v", err)
	}
}

func isGone(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == CodeShutdown
}
