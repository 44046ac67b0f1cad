package admin

import (
	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/proxy"
)

// histogram is durations counted in buckets, at one moment.
type histogram struct {
	bounds     []float64 // of the buckets, in seconds, ascending
	cumulative []uint64  // how many were not above each bound
	count      uint64    // those above the last bound included
	sum        float64   // in seconds
}

func histogramOf(h *proxy.Histogram) histogram {
	bounds, cumulative, count, sum := h.Snapshot()
	return histogram{bounds, cumulative, count, sum}
}

// waitHistogram has the times that the requests to a node's pool have waited.
func waitHistogram(c *pool.Counts) histogram {
	h := histogram{bounds: pool.WaitBounds(), sum: c.Waited.Seconds()}
	h.cumulative = make([]uint64, len(h.bounds))
	for i, n := range c.Waits {
		h.count += n
		if i < len(h.cumulative) {
			h.cumulative[i] = h.count
		}
	}
	return h
}

// add returns what both have counted. Their bounds are the same, unless one has counted nothing and has none.
func (h histogram) add(o histogram) histogram {
	switch {
	case len(h.bounds) == 0:
		return o
	case len(o.bounds) == 0:
		return h
	}
	sum := histogram{h.bounds, make([]uint64, len(h.bounds)), h.count + o.count, h.sum + o.sum}
	for i := range sum.cumulative {
		sum.cumulative[i] = h.cumulative[i] + o.cumulative[i]
	}
	return sum
}

// mean is the average in seconds; 0 when nothing was counted.
func (h histogram) mean() float64 {
	if h.count == 0 {
		return 0
	}
	return h.sum / float64(h.count)
}

// quantile estimates, in seconds, what a share q of all was not above, as if the durations of a bucket lay evenly in it. What is
// above the last bound counts as the last bound; 0 when nothing was counted.
func (h histogram) quantile(q float64) float64 {
	rank := q * float64(h.count)
	below, lower := 0.0, 0.0
	for i, bound := range h.bounds {
		upTo := float64(h.cumulative[i])
		if upTo > below && upTo >= rank {
			return lower + (bound-lower)*(rank-below)/(upTo-below)
		}
		below, lower = upTo, bound
	}
	if h.count == 0 {
		return 0
	}
	return lower
}

// buckets are the cumulative counts by bound.
func (h histogram) buckets() map[float64]uint64 {
	m := make(map[float64]uint64, len(h.bounds))
	for i, bound := range h.bounds {
		m[bound] = h.cumulative[i]
	}
	return m
}
