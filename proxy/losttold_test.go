package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/internal/pgtest"
	"github.com/pgdrover/pgdrover/pgwire"
)

// TestLostBackendIsToldAtFlush loses the backend of an open transaction while nothing is in flight: a client that prepares a
// statement and waits at a Flush hears of it there, and not only after a Sync that it would never send.
func TestLostBackendIsToldAtFlush(t *testing.T) {
	c := sharedPrimaries(t, 1)
	r := startRig(t, c, rigOptions{size: 1})
	client := pgtest.Connect(t, r.addr, pgtest.Options{User: rigUser, Password: rigPassword, Database: c.Database, Timeout: 10 * time.Second})
	for _, sql := range []string{"begin", "select count(*) from orders where tenant_id = 1"} {
		_, err := client.Query(sql)
		check(t, err)
	}
	r.on(c.Shards[0].Primary, "select pg_terminate_backend(pid) from pg_stat_activity where state = 'idle in transaction'")
	b := pgwire.AppendParse(nil, "x", "select 1 from orders where tenant_id = $1", nil)
	b = pgwire.AppendDescribe(b, 'S', "x")
	check(t, client.SendBytes(pgwire.AppendFlush(b)))
	lines, err := client.ReadUntil(pgwire.MsgErrorResponse)
	check(t, err)
	if !strings.Contains(strings.Join(lines, "\n"), "57P01") {
		t.Fatal(lines)
	}
	check(t, client.SendBytes(pgwire.AppendSync(nil)))
	_, err = client.ReadUntilReady()
	check(t, err)
	if client.Status != 'E' {
		t.Fatalf("status %c, want E", client.Status)
	}
	for _, sql := range []string{"rollback", "select 1"} {
		_, err := client.Query(sql)
		check(t, err)
	}
	if client.Status != 'I' {
		t.Fatalf("status %c, want I", client.Status)
	}
}
