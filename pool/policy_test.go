package pool

import (
	"sync/atomic"
	"testing"
)

// standing is a replica as the policy sees it.
type standing struct {
	load, weight int64
	down, backup bool
}

func placesOf(all []standing) []place {
	places := make([]place, len(all))
	for i, s := range all {
		n := &Node{inFlight: &atomic.Int64{}}
		n.inFlight.Store(s.load)
		n.able.Store(!s.down)
		places[i] = place{node: n, weight: int(s.weight), backup: s.backup}
	}
	return places
}

func TestChoose(t *testing.T) {
	for name, test := range map[string]struct {
		replicas []standing
		exclude  int // -1: none
		want     int // -1: none
	}{
		"none":                    {nil, -1, -1},
		"least in flight":         {[]standing{{load: 3}, {load: 1}, {load: 2}}, -1, 1},
		"divided by weight":       {[]standing{{load: 3, weight: 4}, {load: 1, weight: 1}}, -1, 0},
		"the down one is skipped": {[]standing{{load: 0, down: true}, {load: 9}}, -1, 1},
		"so is the excluded one":  {[]standing{{load: 0}, {load: 9}}, 0, 1},
		"all excluded":            {[]standing{{load: 0}}, 0, -1},
		"no backup while another": {[]standing{{load: 0, backup: true}, {load: 99}}, -1, 1},
		"a backup is the last":    {[]standing{{load: 5, backup: true}, {load: 4, backup: true}, {down: true}}, -1, 1},
		"all down":                {[]standing{{down: true}, {down: true, backup: true}}, -1, -1},
	} {
		places := placesOf(test.replicas)
		var exclude, want *Node
		if test.exclude >= 0 {
			exclude = places[test.exclude].node
		}
		if test.want >= 0 {
			want = places[test.want].node
		}
		for turn := range uint32(50) {
			if got := choose(places, exclude, turn*7919); got != want {
				t.Errorf("%s: turn %d chose another", name, turn)
			}
		}
	}
}

// TestEqualsShareByWeight: without load, the weights alone decide.
func TestEqualsShareByWeight(t *testing.T) {
	places := placesOf([]standing{{weight: 1}, {weight: 3}, {weight: 2}})
	got := map[*Node]int{}
	const rounds = 60_000
	turn := uint32(1)
	for range rounds {
		turn = turn*1103515245 + 12345
		got[choose(places, nil, turn^turn>>16)]++
	}
	for _, p := range places {
		want := rounds * p.weight / 6
		if n := got[p.node]; n < want*9/10 || n > want*11/10 {
			t.Errorf("weight %d was chosen %d times, want about %d", p.weight, n, want)
		}
	}
}

func TestWaitBuckets(t *testing.T) {
	bounds := WaitBounds()
	if len(bounds) != waitBuckets-1 || bounds[0] != 0.0001 || bounds[1] != 0.00025 || bounds[len(bounds)-1] != 100 {
		t.Fatalf("%v", bounds)
	}
	for i := range bounds {
		if i > 0 && bounds[i] <= bounds[i-1] {
			t.Fatalf("%v do not grow", bounds)
		}
		if waitBucket(waitBound(i)) != i || waitBucket(waitBound(i)+1) != i+1 {
			t.Fatalf("the bound %s is in the wrong bucket", waitBound(i))
		}
	}
}

func TestReasonsAreBounded(t *testing.T) {
	var c counts
	for i := range 1000 {
		c.destroyed(string(rune('a' + i)))
	}
	if len(c.Destroyed) != maxReasons+1 || c.Destroyed["other"] != 1000-maxReasons {
		t.Fatalf("%d reasons", len(c.Destroyed))
	}
}
