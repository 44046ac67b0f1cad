package pool

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/shardmap"
)

// testExchange has a backend take the place of another, with parameters of its own, and go when its holder does.
func testExchange(t *testing.T, cfg Config, shard shardmap.Shard) {
	noLeaks(t)
	cfg.Size = 1
	c := open(t, cfg)
	top := c.Apply(mapOf(t, shard))
	b := mustAcquire(t, top, Primary)
	var said *pgwire.Error
	if _, err := b.Exchange(t.Context(), map[string]string{"work_mem": "much"}); !errors.As(err, &said) || said.Code != "22023" {
		t.Fatalf("a setting that is no good: %v", err)
	}
	if got, _, err := query(b, "select 1"); got != "1" || err != nil {
		t.Fatalf("after an exchange that failed: %q, %v", got, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Exchange(ended, nil); err == nil {
		t.Fatal("it did not end with its context")
	}
	own, err := b.Exchange(t.Context(), map[string]string{"work_mem": "123kB", "application_name": "own"})
	if err != nil {
		t.Fatal(err)
	}
	if got, _, err := query(own, "select current_setting('work_mem') || current_setting('application_name')"); got != "123kBown" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	waits := queued(t, top, Primary)
	if s := c.Stats()[0]; s.Busy != 1 || s.Counts.Destroyed[reasonExchanged] != 1 {
		t.Fatalf("%+v", s)
	}
	own.Release()
	next, err := waits.wait()
	if err != nil {
		t.Fatal(err)
	}
	if got, _, err := query(next, "select pg_backend_pid()"); got != fmt.Sprint(next.PID) || next.PID == own.PID || err != nil {
		t.Fatalf("the next holder has %q, %v", got, err)
	}
	if s := c.Stats()[0]; s.Counts.Destroyed[reasonOwn] != 1 {
		t.Fatalf("%+v", s)
	}
	next.Release()
}
