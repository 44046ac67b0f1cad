package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/router"
)

// workloadOn makes a judge on the tables of the command cases.
func workloadOn(t *testing.T) *judge {
	t.Helper()
	t.Chdir(t.TempDir())
	writeFile(t, "pgdrover.yaml", commandConfig)
	writeFile(t, "shardmap.yaml", commandMap)
	flags := databaseFlags{config: &configFlag{paths: []string{"pgdrover.yaml"}}}
	_, p, err := flags.load()
	if err != nil {
		t.Fatal(err)
	}
	m, err := p.toMap()
	if err != nil {
		t.Fatal(err)
	}
	catalog, err := router.ParseCatalog(commandCatalog().Encode())
	if err != nil {
		t.Fatal(err)
	}
	return &judge{r: router.New(m, catalog, router.Options{}), env: router.Env{User: "app"}}
}

// TestReportFromStandardInput checks that a file called - is the standard input.
func TestReportFromStandardInput(t *testing.T) {
	j := workloadOn(t)
	for _, o := range []routeOptions{{file: "-"}, {statements: "-"}} {
		text := "SELECT * FROM orders WHERE tenant_id = 42; SELECT 1"
		if o.statements != "" {
			text = "calls,query\n3,SELECT 1\n"
		}
		var out, errs bytes.Buffer
		err := routeWorkload(context.Background(), stdio{in: strings.NewReader(text), out: &out, err: &errs}, j, o)
		if err != nil || errs.Len() > 0 || !strings.Contains(out.String(), "any shard") {
			t.Errorf("%+v: %v, stderr %q, stdout:\n%s", o, err, errs.String(), out.String())
		}
	}
}

// TestReportStops checks that a report ends when it is told to.
func TestReportStops(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var out bytes.Buffer
	err := routeWorkload(ctx, stdio{in: strings.NewReader("SELECT 1"), out: &out, err: &out}, workloadOn(t), routeOptions{file: "-"})
	if !errors.Is(err, context.Canceled) || out.Len() > 0 {
		t.Errorf("error %v, output %q", err, out.String())
	}
}

// TestReadingSaysHowFar checks what a long reading says, and that a short one is silent.
func TestReadingSaysHowFar(t *testing.T) {
	var out bytes.Buffer
	r := newReading(&out, 200)
	r.at(10)
	if out.Len() > 0 {
		t.Errorf("a reading that began just now says %q", out.String())
	}
	r.next = time.Time{}
	r.at(50)
	r.at(60)
	if got := out.String(); got != "2 statements read, 25% of the file\n" {
		t.Errorf("after a time: %q", got)
	}
	out.Reset()
	r = &reading{w: &out}
	r.at(7)
	if got := out.String(); got != "1 statement read\n" {
		t.Errorf("of a pipe: %q", got)
	}
}

// TestPercent checks that little does not look like nothing, and much not like all.
func TestPercent(t *testing.T) {
	for share, want := range map[float64]string{0: "0.0%", 0.0004: "<0.1%", 0.001: "0.1%", 0.5: "50.0%", 0.9999: ">99.9%", 1: "100.0%"} {
		if got := percent(share); got != want {
			t.Errorf("%v: %s, want %s", share, got, want)
		}
	}
}
