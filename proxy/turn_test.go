package proxy

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestTurnsInOrder has logins wait for the only turn: they get it as they came, and one whose time is over leaves its place to those behind.
func TestTurnsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := make(turns, 1)
		held := make(chan struct{})
		go func() { _ = q.take(time.Now().Add(time.Hour), func() { <-held }) }()
		synctest.Wait()
		var order, want []int // of those that hold the turn
		for n := range 50 {
			patience := time.Hour
			if n%10 == 5 {
				patience = time.Second
			} else {
				want = append(want, n)
			}
			go func() {
				err := q.take(time.Now().Add(patience), func() { order = append(order, n) })
				if late := n%10 == 5; late != errors.Is(err, errNoTurn) {
					t.Errorf("login %d: %v", n, err)
				}
			}()
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		close(held)
		synctest.Wait()
		if !slices.Equal(order, want) || len(q) != 0 {
			t.Errorf("served in the order %v; %d turns are held", order, len(q))
		}
	})
}
