package pgcluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// TB is what this package needs of a *testing.T, *testing.B or *testing.F.
type TB interface {
	Cleanup(func())
	Context() context.Context
	Failed() bool
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
	Skipf(format string, args ...any)
}

// Limits of what a test waits for.
const (
	testStart = 3 * time.Minute
	testLog   = 4096 // bytes of each node's log that a failed test prints
)

// Composed reports whether Start hands out the compose cluster, of which there is
// one: whoever asks for it waits until it is stopped by the one before.
func Composed() bool { return os.Getenv(composeVariable) == "compose" }

// Test starts a cluster that is stopped when the test ends. A test that fails
// prints the end of each node's log. The test is skipped if, and only if, this
// machine has no PostgreSQL that would do, or the compose cluster is in use and
// cannot be what config asks for.
//
// A cluster costs some seconds: tests that do not stop nodes should share one,
// as subtests of one test.
func Test(t TB, config Config) *Cluster {
	ctx, cancel := context.WithTimeout(t.Context(), testStart)
	defer cancel()
	c, err := Start(ctx, config)
	if missing := (*NotInstalledError)(nil); errors.As(err, &missing) || errors.Is(err, errTooSmall) {
		t.Skipf("%v", err)
	}
	if err != nil {
		t.Fatalf("start the cluster: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s", c.Logs(testLog))
		}
		if err := c.Stop(context.Background()); err != nil {
			t.Logf("stop the cluster: %v", err)
		}
	})
	return c
}

// TestRedis starts a Redis that is stopped when the test ends.
func TestRedis(t TB) *Redis {
	ctx, cancel := context.WithTimeout(t.Context(), testStart)
	defer cancel()
	r, err := StartRedis(ctx, "")
	if err != nil {
		t.Fatalf("start Redis: %v", err)
	}
	t.Cleanup(func() {
		if err := r.Stop(); err != nil {
			t.Logf("stop Redis: %v", err)
		}
	})
	return r
}

// Logs is the end of every node's log, at most limit bytes of each.
func (c *Cluster) Logs(limit int64) string {
	var text string
	for _, node := range c.Nodes() {
		text += fmt.Sprintf("--- %s, %s:\n%s\n", node.Name(), node.Addr(), node.Log(limit))
	}
	return text
}
