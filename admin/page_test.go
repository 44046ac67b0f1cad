package admin

import (
	"strings"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/proxy"
)

func pageOf(t testing.TB, v *view, o Options) string {
	t.Helper()
	var b strings.Builder
	if err := pageTemplate.Execute(&b, v.overview(o.withDefaults())); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestPage(t *testing.T) {
	v := appView(t)
	body := pageOf(t, v, Options{Version: "1.2.3"})
	for _, piece := range []string{
		"1.2.3", "● ready", "clients: 4", "sessions failed: 2", "<h2>app</h2>", "<h2>web</h2>", "10.0.0.2:5432", "connection refused", "● down",
		"tenant tenant_id bigint · 64 partitions · epoch 1", "width:15%", "pins: 2", "weight 2", "<strong>75.0%</strong>",
		"connection reset", "off: no table is listed", "1.013",
	} {
		if !strings.Contains(body, piece) {
			t.Errorf("the page lacks %q", piece)
		}
	}
	for _, piece := range []string{"ZgotmplZ", "http://", "https://", "<script", "What is wrong"} {
		if strings.Contains(body, piece) {
			t.Errorf("the page has %q", piece)
		}
	}
	if body = pageOf(t, v, Options{Draining: func() bool { return true }}); !strings.Contains(body, "● draining") {
		t.Error("the page does not say that the proxy drains")
	}
	if body = pageOf(t, &view{at: noon}, Options{}); !strings.Contains(body, "No database is open yet") || !strings.Contains(body, "● not ready") {
		t.Error("the page does not say that there is no proxy yet")
	}
}

func TestPageEscapes(t *testing.T) {
	v := appView(t)
	const evil = `<b onclick="x">'&`
	v.databases[0].name = evil
	v.databases[0].nodes[0].Up, v.databases[0].nodes[0].Why = false, evil
	v.databases[0].nodes[1].Addr = evil
	v.databases[0].cache.L2Reason = evil
	v.meters = map[proxy.MeterKey]meter{{Database: evil, Shard: evil, Role: evil}: {}}
	body := pageOf(t, v, Options{Version: evil})
	if strings.Contains(body, "<b ") || strings.Contains(body, `"x"`) {
		t.Error("a name got into the page as HTML")
	}
	if n := strings.Count(body, "&lt;b onclick="); n < 6 {
		t.Errorf("the name is shown %d times", n)
	}
}

func TestPageShowsPoolsWithinTheirBounds(t *testing.T) {
	n := upNode("s1", pool.Primary, "a:1")
	n.Busy, n.Size, n.Latency = 30, 20, 1500*time.Microsecond
	if r := rowOf(&n); r.BusyPercent != 100 || r.IdlePercent != 0 || r.Latency != "1.500" {
		t.Errorf("the row is %+v", r)
	}
	n.Size, n.Probed, n.Backup = 0, time.Time{}, true
	if r := rowOf(&n); r.BusyPercent != 0 || r.Latency != "" || r.Role != "primary, backup" {
		t.Errorf("the row is %+v", r)
	}
}
