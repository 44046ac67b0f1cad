package proxy

import (
	"context"
	"errors"
	"flag"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
)

// shared is the cluster of the tests that leave every node running: two shards with a replica each. It is started when a test
// first asks for it.
var shared struct {
	once    sync.Once
	cluster *pgcluster.Cluster
	err     error
}

// sharedCluster is the shared cluster. Whoever stops a node of it starts it again.
func sharedCluster(t testing.TB) *pgcluster.Cluster {
	t.Helper()
	if pgcluster.Composed() {
		return pgcluster.Test(t, pgcluster.Config{Shards: 2, Replicas: 1})
	}
	shared.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
		defer cancel()
		shared.cluster, shared.err = pgcluster.Start(ctx, pgcluster.Config{Shards: 2, Replicas: 1, Settings: map[string]string{"max_connections": "150"}})
	})
	if missing := (*pgcluster.NotInstalledError)(nil); errors.As(shared.err, &missing) {
		t.Skipf("%v", shared.err)
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(shared.cluster.Logs(2048))
		}
	})
	return shared.cluster
}

// sharedPrimaries are the first n primaries of the shared cluster, as a cluster without replicas. Whoever stops one has a cluster of its own.
func sharedPrimaries(t testing.TB, n int) *pgcluster.Cluster {
	t.Helper()
	c := sharedCluster(t)
	some := &pgcluster.Cluster{Dir: c.Dir, Database: c.Database, User: c.User, Password: c.Password, Version: c.Version}
	for _, s := range c.Shards[:n] {
		some.Shards = append(some.Shards, pgcluster.Shard{Name: s.Name, Primary: s.Primary})
	}
	return some
}

// apart is a cluster of the test's own, two shards without replicas, for a test that mostly waits: it runs beside others of its kind.
func apart(t *testing.T) *pgcluster.Cluster {
	t.Helper()
	t.Parallel()
	return pgcluster.Test(t, pgcluster.Config{Shards: 2})
}

func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.fuzz").Value.String() == "" { // parallel tests wait for most of their time
		if err := flag.Set("test.parallel", "8"); err != nil {
			panic(err)
		}
	}
	code := m.Run()
	if shared.cluster != nil {
		if err := shared.cluster.Stop(context.Background()); err != nil {
			code = 1
		}
	}
	os.Exit(code)
}

// eventually waits for something that takes its time.
func (r *rig) eventually(what string, done func() bool) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			r.t.Fatalf("not within 20s: %s", what)
		case <-tick.C:
		}
	}
}
