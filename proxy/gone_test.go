package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
	"github.com/pgdrover/pgdrover/internal/pgtest"
)

// TestGoneClientFreesItsBackend leaves in the middle of a long statement: the only backend of the pool is free long before the
// statement would have ended.
func TestGoneClientFreesItsBackend(t *testing.T) {
	c := pgcluster.Test(t, pgcluster.Config{})
	r := startRig(t, c, rigOptions{size: 1, wait: 20 * time.Second})
	options := pgtest.Options{User: rigUser, Password: rigPassword, Database: c.Database, Timeout: 30 * time.Second}
	leaver, other := pgtest.Connect(t, r.addr, options), pgtest.Connect(t, r.addr, options)
	check(t, leaver.SendFrame('Q', []byte("select pg_sleep(100)\x00")))
	for r.on(c.Shards[0].Primary, "select count(*) from pg_stat_activity where query like 'select pg_sleep(100)'") == "0" {
		if t.Context().Err() != nil {
			t.Fatal("the statement never ran")
		}
	}
	check(t, leaver.Abort())
	lines, err := other.Query("select 1")
	check(t, err)
	if !strings.Contains(strings.Join(lines, "\n"), "DataRow") {
		t.Fatal(lines)
	}
}
