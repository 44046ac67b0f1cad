package pgcluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
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
// A cluster costs a second: tests that do not stop nodes should share one, as
// subtests of one test.
func Test(t TB, config Config) *Cluster {
	ctx, cancel := context.WithTimeout(t.Context(), testStart)
	defer cancel()
	c, err := startTest(ctx, config)
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

// startTest copies shards from testTemplate where that has what config asks for.
func startTest(ctx context.Context, config Config) (*Cluster, error) {
	if Composed() || config.TLS || config.Database+config.User+config.Password != "" {
		return Start(ctx, config)
	}
	var err error
	if config.template, err = testTemplate(); err != nil {
		return nil, err
	}
	return Start(ctx, config)
}

// testTemplate is the template of all clusters of a test program, which have no
// other owner in common. It is made for the first of them; its keeper removes
// it when the program has ended.
var testTemplate = sync.OnceValues(func() (*template, error) {
	ctx, cancel := context.WithTimeout(context.Background(), testStart)
	defer cancel()
	c, err := newCluster(ctx, "")
	if err != nil {
		return nil, err
	}
	t, err := c.makeTemplate(ctx, Config{}.withDefaults())
	if err != nil {
		return nil, errors.Join(err, c.Stop(ctx))
	}
	return t, nil
})

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
