package main

import (
	"math"
	"slices"
)

// metric is one figure of a measurement.
type metric string

const (
	tps         metric = "transactions/s"
	p50         metric = "p50 ms"
	p99         metric = "p99 ms"
	p999        metric = "p99.9 ms"
	spread      metric = "p99 / p50"
	proxyCPU    metric = "proxy CPU s / 1,000"      // CPU seconds of the proxy's processes per 1,000 transactions
	serverCPU   metric = "PostgreSQL CPU s / 1,000" // the same of PostgreSQL's
	bothCPU     metric = "proxy and PostgreSQL CPU s / 1,000"
	megabytes   metric = "MB/s"
	proxyPerGB  metric = "proxy CPU s / GB"
	serverPerGB metric = "PostgreSQL CPU s / GB"
	memory      metric = "KB / client"
)

// sample is one measurement of one target. What a load does not measure is not in it.
type sample map[metric]float64

// median is the middle of values, the mean of the two middle ones where their number is even; NaN of none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// percentile is the smallest of sorted that p percent of them do not exceed (nearest rank); NaN of none.
func percentile(sorted []float64, p float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	rank := int(math.Ceil(p*float64(len(sorted))/100 - 1e-9)) // what is next to a whole number is one
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// latencies puts percentiles of millis, which it sorts, into s.
func (s sample) latencies(millis []float64) {
	slices.Sort(millis)
	s[p50], s[p99], s[p999] = percentile(millis, 50), percentile(millis, 99), percentile(millis, 99.9)
	s[spread] = s[p99] / s[p50]
}

// medianOf is the median of one metric over rounds; NaN where no round has it.
func medianOf(rounds []sample, m metric) float64 {
	return median(collect(rounds, func(_ int, s sample) float64 { return s[m] }, m))
}

// medianRatio is the median over rounds of a's metric divided by b's in the same round. Rounds that one of them lacks do not count.
func medianRatio(a, b []sample, m metric) float64 {
	return median(paired(a, b, m, func(x, y float64) float64 { return x / y }))
}

// medianDifference is the same of a's less b's.
func medianDifference(a, b []sample, m metric) float64 {
	return median(paired(a, b, m, func(x, y float64) float64 { return x - y }))
}

func paired(a, b []sample, m metric, join func(x, y float64) float64) []float64 {
	return collect(a[:min(len(a), len(b))], func(i int, s sample) float64 {
		other, ok := b[i][m]
		if !ok {
			return math.NaN()
		}
		return join(s[m], other)
	}, m)
}

// collect is what f makes of the rounds that have m, without what is no number.
func collect(rounds []sample, f func(round int, s sample) float64, m metric) []float64 {
	var values []float64
	for i, s := range rounds {
		if _, ok := s[m]; !ok {
			continue
		}
		if value := f(i, s); !math.IsNaN(value) && !math.IsInf(value, 0) {
			values = append(values, value)
		}
	}
	return values
}
