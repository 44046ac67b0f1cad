package main

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
)

// tried is a trial with two targets, one of which failed in its second round.
func tried() trialResult {
	return trialResult{trial: trial{name: `simple, 32 <clients> & "more"`}, samples: map[string][]sample{
		"direct":    {{tps: 30000, p50: 1}, {tps: 20000, p50: 2}},
		"pgbouncer": {{tps: 15000, p50: 1.5, proxyCPU: 0.0125}, {}},
	}}
}

func testRows() []row {
	return []row{{"direct", "PostgreSQL", "#000000"}, {"pgdrover", "PgDrover", "#111111"}, {"pgbouncer", "PgBouncer", "#222222"}}
}

func TestTable(t *testing.T) {
	got := tried().table(testRows(), []column{
		{heading: "tps", metric: tps},
		{heading: "× PostgreSQL", metric: tps, than: "direct", digits: 2},
		{heading: "added p50", metric: p50, than: "direct", minus: true, digits: 1},
		{heading: "CPU", metric: proxyCPU, digits: 4},
	})
	want := `| | tps | × PostgreSQL | added p50 | CPU |
|---|---:|---:|---:|---:|
| PostgreSQL | 25,000 | 1.00 | – | – |
| PgBouncer | 15,000 | 0.50 | 0.5 | 0.0125 |
`
	if got != want {
		t.Errorf("the table is\n%s\nwant\n%s", got, want)
	}
}

func TestFigure(t *testing.T) {
	for _, test := range []struct {
		value  float64
		digits int
		want   string
	}{
		{1234567.891, 1, "1,234,567.9"}, {999, 0, "999"}, {1000, 0, "1,000"}, {-0.1234, 2, "-0.12"}, {-12345, 0, "-12,345"},
		{math.NaN(), 2, "–"}, {math.Inf(1), 0, "–"},
	} {
		if got := figure(test.value, test.digits); got != test.want {
			t.Errorf("figure(%v, %d) is %q, want %q", test.value, test.digits, got, test.want)
		}
	}
	for value, want := range map[float64]string{0: "0", 0.01234: "0.0123", 3.14159: "3.14", 45678.9: "45,679"} {
		if got := number(value); got != want {
			t.Errorf("number(%v) is %q, want %q", value, got, want)
		}
	}
}

func TestSVGIsWellFormed(t *testing.T) {
	r := result{load: load{title: "Selects & <others>"}, trials: []trialResult{tried(), {trial: trial{name: "nobody"}}}}
	c := r.chart(testRows(), tps)
	c.groups[0].bars = append(c.groups[0].bars, bar{"<none>", math.NaN(), "#333333"}, bar{"zero", 0, "#444444"})
	decoder := xml.NewDecoder(strings.NewReader(c.svg()))
	rects := 0
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "rect" {
			rects++
		}
	}
	if len(c.groups) != 1 || rects != 4 {
		t.Errorf("%d groups and %d rectangles, want a group with three bars on their ground", len(c.groups), rects)
	}
}

func TestPage(t *testing.T) {
	r := &run{
		options: options{seconds: 5, rounds: 3, tenants: 1000}, began: time.Date(2026, 11, 26, 9, 0, 0, 0, time.UTC),
		targets: []foundTarget{{target: direct()}, {target: pgbouncer(), printed: "PgBouncer 1.18.0"}},
		missing: []string{"Odyssey: left out"},
		stage:   &stage{cluster: &pgcluster.Cluster{Version: "15.18", Password: "hunter2"}, dir: "/tmp/x/bench", verifier: "SCRAM-SHA-256$4096:s"},
		servers: map[string]setup{"pgbouncer": {files: map[string]string{"a.ini": "password=hunter2\nfile=/tmp/x/bench/b\n"}, shown: []string{"a.ini"}}},
		results: []result{{load: selectLoad(), trials: []trialResult{tried()}, notes: []string{"PgBouncer does not do it."}}},
	}
	page, plots := r.page()
	for _, want := range []string{
		"2026-11-26", "3 of 5 s", "| PgBouncer | PgBouncer 1.18.0 |", "* Odyssey: left out", "## Point selects", "| PostgreSQL | 25,000 |",
		"* PgBouncer does not do it.", "password=PASSWORD\nfile=DIR/b\n", "![Point selects: transactions/s](benchmarks/select-transactions-s.svg)",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	if strings.Contains(page, "hunter2") || strings.Contains(page, "/tmp/") {
		t.Error("the page has a secret or a path of the run")
	}
	if plots["select-transactions-s.svg"] == "" || plots["select-proxy-cpu-s-1-000.svg"] == "" || len(plots) != 2 {
		t.Errorf("plots %v", plots)
	}
}
