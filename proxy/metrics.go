package proxy

import (
	"maps"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgdrover/pgdrover/internal/task"
)

// Metrics are the counters of a Server. They only grow, and may be read at any time.
type Metrics struct {
	Clients          atomic.Int64 // clients that logged in
	Cancels          atomic.Int64 // cancel requests
	CancelsForwarded atomic.Int64 // of those, passed on to another proxy
	CancelsDropped   atomic.Int64 // of those, dropped: too many at once
	Retries          atomic.Int64 // reads that another node answered, because the first could not
	Repaired         atomic.Int64 // statements that a backend was told anew, and that ran then
	Panics           atomic.Int64 // sessions that ended by a mistake in PgDrover
	Refused          atomic.Int64 // statements refused by PgDrover itself

	Rejected atomic.Int64 // logins refused

	mu     sync.Mutex // guards what follows
	meters map[MeterKey]*Meter
	limits map[LimitKey]int64
}

// LimitKey says which limit was reached, by its name, and in which database; that is empty when the client named none that there is.
type LimitKey struct{ Database, Limit string }

// Limits are how often limits were reached so far.
func (m *Metrics) Limits() map[LimitKey]int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.limits)
}

// crossed counts that a limit was reached.
func (m *Metrics) crossed(k LimitKey) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.limits == nil {
		m.limits = map[LimitKey]int64{}
	}
	m.limits[k]++
}

// MeterKey says what a Meter is of.
type MeterKey struct{ Database, Shard, Role string }

// Meter measures the statements of one shard and role. One that several shards are told of counts once: with the shard that is told first.
type Meter struct {
	Statements Histogram // from the arrival of a statement to the end of its answer
	Own        Histogram // PgDrover's own part of it: from arrival until it is sent, without the wait for a backend
}

// Meters are all meters so far.
func (m *Metrics) Meters() map[MeterKey]*Meter {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.meters)
}

// meter is the meter for a key, made when it is new.
func (m *Metrics) meter(k MeterKey) *Meter {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.meters == nil {
		m.meters = map[MeterKey]*Meter{}
	}
	if m.meters[k] == nil {
		m.meters[k] = &Meter{}
	}
	return m.meters[k]
}

// Histogram counts durations in buckets that double, from 1 µs on.
type Histogram struct {
	buckets [histogramBuckets]atomic.Int64
	sum     atomic.Int64 // nanoseconds
}

const histogramBuckets = 26

// Observe counts one duration.
func (h *Histogram) Observe(d time.Duration) {
	us := uint64(max(d, 0) / time.Microsecond)
	h.buckets[min(bits.Len64(us), histogramBuckets-1)].Add(1)
	h.sum.Add(int64(d))
}

// Snapshot returns the upper bounds of the buckets in seconds, the cumulative counts up to each, the number of all and the sum
// in seconds.
func (h *Histogram) Snapshot() (bounds []float64, cumulative []uint64, count uint64, sum float64) {
	for i := range histogramBuckets - 1 {
		count += uint64(h.buckets[i].Load())
		bounds = append(bounds, float64(uint64(1)<<i)/1e6)
		cumulative = append(cumulative, count)
	}
	count += uint64(h.buckets[histogramBuckets-1].Load())
	return bounds, cumulative, count, time.Duration(h.sum.Load()).Seconds()
}

// timing measures the statement, or the batch, in hand.
type timing struct {
	began  task.Moment   // 0: nothing is in hand
	waited time.Duration // for a backend
	queued task.Moment   // when the last such wait began
	took   time.Duration // until the last answer of a backend
	first  *Meter        // of the first of several backends that are told of it; nil: not of several
}

// timed begins to measure.
func (s *session) timed() {
	if s.timing.began == 0 {
		s.timing = timing{began: s.t.Moment()}
		s.busySince.Store(int64(s.timing.began))
	}
}

// ownEach is of how many statements one is measured for Meter.Own. To look at the clock for each would take a good part of what is measured.
// A power of two.
const ownEach = 16

// sent notes that what is in hand is on its way to a backend. Whether that is measured is left to chance: to the last digits of when it came.
func (s *session) sent(l *link) {
	if began := s.timing.began; began != 0 && began&(ownEach-1) == 0 {
		l.notes.meter.Own.Observe(s.timing.began.Since() - s.timing.waited)
	}
}

// sentToSeveral is sent for each of several backends.
func (s *session) sentToSeveral(l *link) {
	if s.timing.first == nil {
		s.timing.first = l.notes.meter
		s.sent(l)
	}
}

// answered notes that a backend has answered it.
func (s *session) answered(l *link) { s.answeredFor(l.notes.meter) }

// answeredBySeveral notes that those of several backends have answered it that were told of it.
func (s *session) answeredBySeveral() {
	if s.timing.first != nil {
		s.answeredFor(s.timing.first)
		s.timing.first = nil
	}
}

func (s *session) answeredFor(m *Meter) {
	if s.timing.began != 0 {
		s.timing.took = time.Duration(s.t.Moment() - s.timing.began)
		m.Statements.Observe(s.timing.took)
	}
}
