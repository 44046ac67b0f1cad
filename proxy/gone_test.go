package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
	"github.com/pgdrover/pgdrover/internal/pgtest"
	"github.com/pgdrover/pgdrover/pgwire"
)

// TestGoneClientFreesItsBackend leaves in the middle of a long statement, asked for in each of the ways that there are: the only backend
// of the pool is free long before the statement would have ended.
func TestGoneClientFreesItsBackend(t *testing.T) {
	t.Parallel() // it waits
	c := pgcluster.Test(t, pgcluster.Config{})
	r := startRig(t, c, rigOptions{size: 1, wait: 20 * time.Second})
	options := pgtest.Options{User: rigUser, Password: rigPassword, Database: c.Database, Timeout: 30 * time.Second}
	call, err := (&step{line: "FunctionCall", rest: "2626 100 => 0"}).call() // pg_sleep
	check(t, err)
	bind, err := (&step{line: "Bind", rest: "- - 100"}).bind()
	check(t, err)
	batch := append(pgwire.AppendParse(nil, "", "select pg_sleep($1)", nil), bind...)
	batch = pgwire.AppendExecute(batch, "", 0)
	for name, message := range map[string][]byte{
		"Query": pgwire.AppendQuery(nil, "select pg_sleep(100)"), "FunctionCall": call,
		"batch": pgwire.AppendSync(append([]byte(nil), batch...)), "batch without Sync": pgwire.AppendFlush(append([]byte(nil), batch...)),
	} {
		t.Run(name, func(t *testing.T) {
			leaver, other := pgtest.Connect(t, r.addr, options), pgtest.Connect(t, r.addr, options)
			check(t, leaver.SendBytes(message))
			r.eventually("it runs", func() bool {
				return r.on(c.Shards[0].Primary, "select count(*) from pg_stat_activity where wait_event = 'PgSleep'") == "1"
			})
			check(t, leaver.Abort())
			lines, err := other.Query("select 1")
			check(t, err)
			if !strings.Contains(strings.Join(lines, "\n"), "DataRow") {
				t.Fatal(lines)
			}
			r.on(c.Shards[0].Primary, "select pg_terminate_backend(pid, 5000) from pg_stat_activity where wait_event = 'PgSleep'")
		})
	}
}
