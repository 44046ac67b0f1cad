package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// readLogs reads the logs that pgbench wrote with a prefix, one a thread, and gives the latencies in milliseconds of the
// transactions that ended in the window.
func readLogs(prefix string, w window) ([]float64, error) {
	names, err := filepath.Glob(prefix + ".*")
	if err != nil {
		return nil, err
	}
	var millis []float64
	for _, name := range names {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		millis, err = parseLog(file, w, millis)
		file.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Base(name), err)
		}
	}
	return millis, nil
}

// parseLog appends the latencies of one log (pgbench(1), Per-Transaction Logging): "client transaction latency script seconds
// microseconds …", the latency in microseconds, or a word for a transaction that was skipped or failed, which does not count. With
// a rate the latency counts from when the transaction was due. A last line that was cut is left out.
func parseLog(log io.Reader, w window, millis []float64) ([]float64, error) {
	lines := bufio.NewReader(log)
	for {
		line, err := lines.ReadString('\n')
		if err == io.EOF {
			return millis, nil
		}
		if err != nil {
			return nil, err
		}
		fields := strings.Fields(line)
		if len(fields) < 6 {
			return nil, fmt.Errorf("a line reads %q", line)
		}
		if fields[2] == "skipped" || fields[2] == "failed" {
			continue
		}
		micros, errLatency := strconv.ParseFloat(fields[2], 64)
		seconds, errSeconds := strconv.ParseInt(fields[4], 10, 64)
		rest, errRest := strconv.ParseInt(fields[5], 10, 64)
		if errLatency != nil || errSeconds != nil || errRest != nil {
			return nil, fmt.Errorf("a line reads %q", line)
		}
		if w.holds(time.Unix(seconds, rest*1000)) {
			millis = append(millis, micros/1000)
		}
	}
}
