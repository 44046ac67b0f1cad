package proxy

import (
	"bytes"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestAcceptFailures has accepting fail for three seconds, every ten milliseconds.
func TestAcceptFailures(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	var f acceptFailures
	began := time.Now()
	for at := time.Duration(0); at < 3*time.Second; at += acceptPause {
		f.tell(log, syscall.EMFILE, began.Add(at))
	}
	if n := strings.Count(out.String(), "too many open files"); n != 3 {
		t.Errorf("%d lines of three seconds", n)
	}
	if n := strings.Count(out.String(), "since_the_last=99"); n != 2 {
		t.Errorf("%d lines say how many were not told, want 2: %s", n, out.String())
	}
}
