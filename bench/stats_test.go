package main

import (
	"math"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   float64
	}{
		{[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 2, 3}, 2.5},
	} {
		if got := median(test.values); got != test.want {
			t.Errorf("median of %v is %v, want %v", test.values, got, test.want)
		}
	}
	if got := median(nil); !math.IsNaN(got) {
		t.Errorf("median of nothing is %v", got)
	}
	values := []float64{3, 1, 2}
	median(values)
	if values[0] != 3 {
		t.Error("median sorts what it is given")
	}
}

func TestPercentile(t *testing.T) {
	sorted := make([]float64, 1000)
	for i := range sorted {
		sorted[i] = float64(i + 1)
	}
	for p, want := range map[float64]float64{50: 500, 99: 990, 99.9: 999, 100: 1000, 0: 1} {
		if got := percentile(sorted, p); got != want {
			t.Errorf("percentile %v of 1…1000 is %v, want %v", p, got, want)
		}
	}
	if got := percentile([]float64{8}, 99.9); got != 8 {
		t.Errorf("percentile of one value is %v", got)
	}
}

// A target whose second round failed is compared in the rounds that both have.
func TestRatiosAreOfTheSameRound(t *testing.T) {
	a := []sample{{tps: 10}, {}, {tps: 40}}
	b := []sample{{tps: 5}, {tps: 1}, {tps: 10}}
	if got := medianRatio(a, b, tps); got != 3 {
		t.Errorf("ratio %v, want 3: the median of 2 and 4", got)
	}
	if got := medianDifference(a, b, tps); got != 17.5 {
		t.Errorf("difference %v, want 17.5: the median of 5 and 30", got)
	}
	if got := medianRatio(a, nil, tps); !math.IsNaN(got) {
		t.Errorf("ratio to nothing is %v", got)
	}
	if got := medianOf(a, tps); got != 25 {
		t.Errorf("median %v, want 25", got)
	}
	if got := medianRatio([]sample{{tps: 1}}, []sample{{tps: 0}}, tps); !math.IsNaN(got) {
		t.Errorf("ratio to zero is %v", got)
	}
}

func TestLatencies(t *testing.T) {
	s := sample{}
	s.latencies([]float64{4, 1, 2, 3})
	if s[p50] != 2 || s[p99] != 4 || s[spread] != 2 {
		t.Errorf("latencies %v", s)
	}
}
