package proxy

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestRoster compares with a slice what a roster says whose sessions come and go, and some of which go twice.
func TestRoster(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	all := make([]session, 8)
	var list roster
	var want []*session // the newest first
	for step := range 5_000 {
		s := &all[r.IntN(len(all))]
		switch at := slices.Index(want, s); {
		case at < 0 && r.IntN(3) > 0:
			list.add(s)
			want = slices.Insert(want, 0, s)
		default:
			list.remove(s)
			if at >= 0 {
				want = slices.Delete(want, at, at+1)
			}
		}
		if got := list.list(); !slices.Equal(got, want) || list.count != len(want) {
			t.Fatalf("step %d: %v (%d), want %v", step, got, list.count, want)
		}
	}
}

// TestChance has no bytes given out twice, whatever their number, and none kept that were.
func TestChance(t *testing.T) {
	var c chance
	seen := map[[16]byte]bool{}
	for range 1_000 {
		var p [16]byte
		c.read(p[:])
		c.read(make([]byte, 4))
		if seen[p] {
			t.Fatalf("%x twice", p)
		}
		seen[p] = true
		for i, b := range c.block[c.left:] {
			if b != 0 {
				t.Fatalf("byte %d of those given out is kept", i)
			}
		}
	}
}
