package admin

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/proxy"
)

// ask gets a path from a handler.
func ask(t testing.TB, h http.Handler, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

// fixedCollector collects from a view that does not change.
type fixedCollector struct {
	*collector
	v *view
}

func (f fixedCollector) Collect(out chan<- prometheus.Metric) { f.collect(series{out}, f.v) }

// differing is a database whose second shard is not as the first.
func differing() map[string]map[string]int {
	return map[string]map[string]int{"app": {"s1": 0, "s2": 3}}
}

// scrapeOf is what Prometheus would read of a view, checked by its linter.
func scrapeOf(t testing.TB, v *view) string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(fixedCollector{newCollector(Options{Version: "1.2.3", SchemaDifferences: differing}.withDefaults()), v})
	w := ask(t, promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), "/metrics")
	body := w.Body.String()
	if w.Code != http.StatusOK {
		t.Fatalf("%d: %s", w.Code, body)
	}
	problems, err := promlint.New(strings.NewReader(body)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	return body
}

func TestScrape(t *testing.T) {
	body := scrapeOf(t, appView(t))
	for _, line := range []string{
		`pgdrover_build_info{version="1.2.3"} 1`,
		`pgdrover_ready 1`,
		`pgdrover_clients{database="app",state="active"} 1`,
		`pgdrover_clients{database="app",state="waiting"} 1`,
		`pgdrover_clients{database="web",state="idle"} 0`,
		`pgdrover_clients{database="pgdrover",state="active"} 1`,
		`pgdrover_holds{database="app",reason="temp table"} 1`,
		`pgdrover_logins_total 5`, `pgdrover_cancels_total 4`, `pgdrover_cancels_forwarded_total 7`, `pgdrover_cancels_dropped_total 8`,
		`pgdrover_limits_reached_total{database="app",limit="user_clients"} 7`, `pgdrover_limits_reached_total{database="",limit="per_address"} 8`,
		`pgdrover_paused{database="app"} 1`, `pgdrover_paused{database="web"} 0`, `pgdrover_transactions_total{database="app"} 100`,
		`pgdrover_received_bytes_total{database="app"} 1000`, `pgdrover_sent_bytes_total{database="app"} 2000`,
		`pgdrover_dry_run_statements_total{database="app",verdict="refused"} 3`,
		`pgdrover_retries_total 3`, `pgdrover_statements_repaired_total 9`, `pgdrover_panics_total 2`,
		`pgdrover_statements_refused_total 1`, `pgdrover_loop_sessions{loop="0"} 3`, `pgdrover_loop_stalls_total{loop="1"} 1`,
		`pgdrover_logins_refused_total 6`,
		`pgdrover_statement_seconds_count{database="app",role="primary",shard="s1"} 100`,
		`pgdrover_statement_seconds_sum{database="app",role="primary",shard="s1"} 0.0495`,
		`pgdrover_statement_seconds_bucket{database="app",role="primary",shard="s1",le="0.000256"} 26`,
		`pgdrover_statement_seconds_bucket{database="app",role="primary",shard="s1",le="+Inf"} 100`,
		`pgdrover_own_seconds_count{database="app",role="primary",shard="s1"} 100`,
		`pgdrover_wait_seconds_bucket{database="app",role="primary",shard="s1",le="0.0001"} 90`,
		`pgdrover_wait_seconds_sum{database="app",role="primary",shard="s1"} 1`,
		`pgdrover_wait_timeouts_total{database="app",role="primary",shard="s1"} 3`,
		`pgdrover_wait_rejected_total{database="app",role="primary",shard="s1"} 2`,
		`pgdrover_wait_failed_total{database="app",role="primary",shard="s1"} 1`,
		`pgdrover_node_up{database="app",node="10.0.0.2:5432",role="replica",shard="s1"} 0`,
		`pgdrover_backends{database="app",node="10.0.0.1:5432",role="primary",shard="s1",state="held"} 3`,
		`pgdrover_backends_destroyed_total{database="app",node="10.0.0.1:5432",reason="idle",role="primary",shard="s1"} 5`,
		`pgdrover_waiting{database="app",node="10.0.0.1:5432",role="primary",shard="s1"} 4`,
		`pgdrover_oldest_wait_seconds{database="app",node="10.0.0.1:5432",role="primary",shard="s1"} 2.000345`,
		`pgdrover_two_phase_transactions_total{database="app",outcome="committed"} 12`,
		`pgdrover_two_phase_recovered_total{database="app",outcome="rolled back"} 1`,
		`pgdrover_two_phase_in_doubt{database="app",shard="s1"} 0`, `pgdrover_two_phase_in_doubt{database="app",shard="s2"} 1`,
		`pgdrover_schema_differences{database="app",shard="s2"} 3`,
		`pgdrover_shardmap_epoch{database="app"} 1`, `pgdrover_pins{database="app",shard="s2"} 2`,
		`pgdrover_partitions{database="web",shard="only"} 64`,
		`pgdrover_cache_hits_total{database="app",level="l1"} 30`, `pgdrover_cache_misses_total{database="app",level="l2"} 6`,
		`pgdrover_cache_bytes{database="app"} 4096`, `pgdrover_cache_l2_on{database="app"} 0`,
	} {
		if !strings.Contains(body, "\n"+line+"\n") {
			t.Errorf("the scrape lacks %s", line)
		}
	}
	if strings.Contains(body, `pgdrover_cache_hits_total{database="web"`) {
		t.Error("a cache that is off has counts")
	}
}

func TestEveryFamilyIsCollected(t *testing.T) {
	body := scrapeOf(t, appView(t))
	for _, f := range newCollector(Options{}).families.all {
		if !strings.Contains(body, "# TYPE "+f.name+" "+f.kind+"\n") {
			t.Errorf("%s, a %s, is declared and never collected", f.name, f.kind)
		}
	}
}

func TestReadmeDescribesEveryFamily(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `(pgdrover_[a-z0-9_]+)` \\| ([a-z]+) \\| ([^|]*) \\| ([^|]+) \\|$")
	listed := map[string][]string{}
	for _, match := range row.FindAllStringSubmatch(string(readme), -1) {
		listed[match[1]] = match[2:]
	}
	for _, f := range newCollector(Options{}).families.all {
		var labels []string
		for _, l := range f.labels {
			labels = append(labels, "`"+l+"`")
		}
		if got := listed[f.name]; len(got) == 0 || got[0] != f.kind || got[1] != strings.Join(labels, ", ") {
			t.Errorf("README's table says %q of %s, a %s with labels %v", got, f.name, f.kind, f.labels)
		}
		delete(listed, f.name)
	}
	for name := range listed {
		t.Errorf("README's table has %s, which is no metric", name)
	}
}

func TestMetricsPath(t *testing.T) {
	srv := serverOver(t)
	w := ask(t, NewHandler(Options{Server: func() *proxy.Server { return srv }, Log: discard}), "/metrics")
	for _, name := range []string{"go_goroutines ", "process_", "pgdrover_logins_total 0\n", "pgdrover_ready 0\n"} {
		if !strings.Contains(w.Body.String(), name) {
			t.Errorf("no %s in what /metrics says", name)
		}
	}
}

func TestReadiness(t *testing.T) {
	v := appView(t)
	if r := v.readiness(false); !r.Ready || len(r.Problems) > 0 {
		t.Errorf("a replica that is down keeps the proxy from being ready: %+v", r)
	}
	if r := v.readiness(true); r.Ready || !r.Draining {
		t.Errorf("draining: %+v", r)
	}
	for name, c := range map[string]struct {
		change func(*pool.NodeStats)
		why    string
	}{
		"down":       {func(n *pool.NodeStats) { n.Up, n.Why = false, "no route to host" }, "no route to host"},
		"unknown":    {func(n *pool.NodeStats) { n.Probed = time.Time{} }, "not answered yet"},
		"wrong role": {func(n *pool.NodeStats) { n.Recovery = true }, "in recovery"},
		"draining":   {func(n *pool.NodeStats) { n.Draining = true }, "no primary"},
	} {
		v := appView(t)
		c.change(&v.databases[0].nodes[2])
		r := v.readiness(false)
		if r.Ready || len(r.Problems) != 1 || !strings.Contains(r.Problems[0].Why, c.why) || r.Problems[0].Shard != "s2" || r.Problems[0].Database != "app" {
			t.Errorf("%s: %+v", name, r)
		}
	}
	full := appView(t)
	full.databases[0].nodes[0].Probed = time.Time{}
	if r := full.readiness(false); !r.Ready {
		t.Errorf("a full server that serves is not ready: %+v", r)
	}
	if r := (&view{}).readiness(false); r.Ready || len(r.Problems) != 1 {
		t.Errorf("without databases: %+v", r)
	}
}

func TestReadyPath(t *testing.T) {
	var srv atomic.Pointer[proxy.Server]
	h := NewHandler(Options{Server: srv.Load, Log: discard})
	w := ask(t, h, "/readyz")
	var r readiness
	if err := json.Unmarshal(w.Body.Bytes(), &r); err != nil || w.Code != http.StatusServiceUnavailable || r.Ready {
		t.Errorf("%d %s, %v", w.Code, w.Body, err)
	}
	if w := ask(t, h, "/healthz"); w.Code != http.StatusOK || w.Body.String() != "ok\n" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestWedgedProxyIsNotHealthy(t *testing.T) {
	wedge := make(chan struct{})
	looking := make(chan struct{})
	defer func() { close(wedge); <-looking }()
	h := NewHandler(Options{Log: discard, Server: func() *proxy.Server {
		<-wedge
		close(looking)
		return nil
	}})
	if w := ask(t, h, "/healthz"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestPaths(t *testing.T) {
	o := Options{Server: func() *proxy.Server { return nil }, Log: discard}
	for path, want := range map[string]int{"/": 200, "/nothing": 404, "/debug/pprof/": 404} {
		if w := ask(t, NewHandler(o), path); w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
	}
	o.Profile = true
	if w := ask(t, NewHandler(o), "/debug/pprof/goroutine?debug=1"); w.Code != 200 || !strings.Contains(w.Body.String(), "goroutine profile") {
		t.Errorf("profile: %d", w.Code)
	}
	w := httptest.NewRecorder()
	NewHandler(o).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/readyz", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
}

func TestServeEndsCleanly(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	inside, finish, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(inside)
		<-finish
		_, _ = io.WriteString(w, "done")
	})
	go func() { ended <- Serve(ctx, ln, h, discard) }()
	answer := make(chan string, 1)
	go func() {
		r, err := http.Get("http://" + ln.Addr().String())
		if err != nil {
			answer <- err.Error()
			return
		}
		defer r.Body.Close()
		body, _ := io.ReadAll(r.Body)
		answer <- string(body)
	}()
	<-inside
	stop()
	select {
	case err := <-ended:
		t.Errorf("ended with a request in flight: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	close(finish)
	if got := <-answer; got != "done" {
		t.Errorf("the request in flight got %q", got)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		c.Close()
		t.Error("the port is still open")
	}
}
