package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseLog(t *testing.T) {
	log := "0 1 412 0 1700000000 500000\n" +
		"1 1 2000 0 1700000001 0\n" +
		"0 2 skipped 0 1700000001 1\n" +
		"1 2 failed 0 1700000001 2\n" +
		"0 3 1500 0 1700000001 999999 250\n" + // with a rate there is a lag besides
		"0 4 9999 0 1700000002 0\n" +
		"0 5 77 0 17000"
	w := window{time.Unix(1700000001, 0), time.Unix(1700000002, 0)}
	millis, err := parseLog(strings.NewReader(log), w, []float64{7})
	if err != nil {
		t.Fatal(err)
	}
	if want := []float64{7, 2, 1.5}; !slices.Equal(millis, want) {
		t.Errorf("latencies %v, want %v: what ended in the window, behind what there was", millis, want)
	}
	for _, bad := range []string{"0 1 412 0 1700000000\n", "0 1 quick 0 1700000000 1\n", "pgbench: error\n"} {
		if _, err := parseLog(strings.NewReader(bad), w, nil); err == nil {
			t.Errorf("%q is taken for a log", bad)
		}
	}
}

func TestReadLogsOfAllThreads(t *testing.T) {
	prefix := filepath.Join(t.TempDir(), "load.log")
	for name, line := range map[string]string{prefix + ".12": "0 1 1000 0 10 0\n", prefix + ".12.1": "1 1 3000 0 10 5\n", prefix + "other": "no log\n"} {
		if err := os.WriteFile(name, []byte(line), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	millis, err := readLogs(prefix, window{time.Unix(10, 0), time.Unix(11, 0)})
	slices.Sort(millis)
	if err != nil || !slices.Equal(millis, []float64{1, 3}) {
		t.Errorf("latencies %v, %v, want those of both threads", millis, err)
	}
}

func TestFirstComplaint(t *testing.T) {
	said := "pgbench (15.18)\nprogress: 1.0 s, 10.0 tps, lat 1 ms stddev 0, 0 failed\npgbench: error: client 3 script 0 aborted\nmore\n"
	if got := firstComplaint(said, nil); got != "client 3 script 0 aborted" {
		t.Errorf("complaint %q", got)
	}
	if awaitProgress(strings.NewReader("pgbench (15.18)\npgbench: error: connection failed\n")) {
		t.Error("a failure counts as progress")
	}
	if !awaitProgress(strings.NewReader(said)) {
		t.Error("progress is not seen")
	}
}
