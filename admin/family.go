package admin

import "github.com/prometheus/client_golang/prometheus"

// Kinds of families, as README's table calls them.
const (
	counter        = "counter"
	gauge          = "gauge"
	histogramsKind = "histogram"
)

// family is all series of one metric's name.
type family struct {
	name, kind string
	labels     []string
	desc       *prometheus.Desc
}

// families declares families and keeps them.
type families struct{ all []family }

func (f *families) declare(kind, name, help string, labels []string) family {
	made := family{name, kind, labels, prometheus.NewDesc(name, help, labels, nil)}
	f.all = append(f.all, made)
	return made
}

func (f *families) counter(name, help string, labels ...string) family {
	return f.declare(counter, name, help, labels)
}

func (f *families) gauge(name, help string, labels ...string) family {
	return f.declare(gauge, name, help, labels)
}

func (f *families) histogram(name, help string, labels ...string) family {
	return f.declare(histogramsKind, name, help, labels)
}

// series takes the values of one scrape.
type series struct{ out chan<- prometheus.Metric }

// put sends the value of one series of a counter or gauge. No two of a scrape may have the same labels.
func (s series) put(f family, value float64, labels ...string) {
	kind := prometheus.GaugeValue
	if f.kind == counter {
		kind = prometheus.CounterValue
	}
	m, err := prometheus.NewConstMetric(f.desc, kind, value, labels...)
	s.send(f, m, err)
}

// observe sends one series of a histogram.
func (s series) observe(f family, h histogram, labels ...string) {
	m, err := prometheus.NewConstHistogram(f.desc, h.count, h.sum, h.buckets(), labels...)
	s.send(f, m, err)
}

// send gives m to the registry, or the error instead, which fails the scrape and is logged.
func (s series) send(f family, m prometheus.Metric, err error) {
	if err != nil {
		m = prometheus.NewInvalidMetric(f.desc, err)
	}
	s.out <- m
}

// one is 1 for true and 0 for false.
func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
