package proxy

import (
	"bytes"
	"testing"

	"github.com/pgdrover/pgdrover/internal/pgtest"
	"github.com/pgdrover/pgdrover/pgwire"
)

// TestKillIsToldOnce: a client hears why its session ends, and nothing behind that.
func TestKillIsToldOnce(t *testing.T) {
	r := startRig(t, sharedCluster(t), rigOptions{})
	for _, inside := range []bool{false, true} {
		c, err := pgtest.Dial(r.addr, pgtest.Options{User: rigUser, Password: rigPassword, Database: r.cluster.Database})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Abort()
		if inside {
			r.says(c, "begin", "BEGIN")
			r.says(c, r.hint(0)+"select 'there'", "there")
		}
		if err := r.server.KillClient(t.Context(), c.PID); err != nil {
			t.Fatal(err)
		}
		rest, err := c.ReadRest()
		if told := errorsIn(rest); err != nil || len(told) != 1 || told[0] != "57P01" {
			t.Errorf("in a transaction (%t) it was told %q, %v", inside, told, err)
		}
	}
}

// errorsIn reads a stream of frames and returns the codes of errors. One within another message, be that whole or not, counts too.
func errorsIn(b []byte) (codes []string) {
	for len(b) > 0 {
		_, size, err := pgwire.Peek(b, 1<<30)
		if err != nil {
			return append(codes, err.Error())
		}
		frame := b[:min(max(size, 1), len(b))]
		b = b[len(frame):]
		switch {
		case frame[0] == pgwire.MsgErrorResponse:
			codes = append(codes, string(pgwire.ErrorField(frame, pgwire.FieldCode)))
		case bytes.Contains(frame, []byte("57P01")):
			codes = append(codes, "in the middle of a message")
		}
	}
	return codes
}

// TestOrdersAndReplication: PAUSE takes no notice of a replication connection, and KILL ends it without breaking the stream.
func TestOrdersAndReplication(t *testing.T) {
	r := replicationRig(t, rigOptions{})
	node := r.cluster.Shards[0].Primary
	r.dropSlots(node)
	a := r.tenants(0, 1)[0]
	c := r.mustReplicate("options", "-c pgdrover.shard="+r.cluster.Shards[0].Name)
	if list := r.replicating(); len(list) != 1 || !list[0].Replicates || list[0].Mode != ModeSession {
		t.Fatalf("%+v", list)
	}
	r.says(c, "CREATE_REPLICATION_SLOT orders LOGICAL test_decoding", "'orders'")
	conn := r.connect()
	r.exec(conn, "insert into orders (tenant_id, id, note) select $1, i, repeat('x', 300000) from generate_series(40000, 40100) i", a)
	if err := c.SendBytes(pgwire.AppendQuery(nil, "START_REPLICATION SLOT orders LOGICAL 0/0")); err != nil {
		t.Fatal(err)
	}
	r.eventually("the walsender waits for the client", func() bool {
		return r.on(node, "select count(*) from pg_stat_activity where backend_type = 'walsender' and wait_event = 'WalSenderWriteData'") == "1"
	})
	if err := r.db.Pause(t.Context(), r.server); err != nil {
		t.Fatal(err)
	}
	if err := r.db.Resume(); err != nil {
		t.Fatal(err)
	}
	killed := make(chan error, 1)
	go func() { killed <- r.db.Kill(t.Context(), r.server) }()
	r.eventually("KILL is in force", r.db.Paused)
	rest, err := c.ReadRest()
	if err != nil || len(rest) == 0 {
		t.Errorf("%d bytes were left, %v", len(rest), err)
	}
	for _, code := range errorsIn(rest) {
		if code != "57P01" {
			t.Errorf("it was told %s", code)
		}
	}
	if err := <-killed; err != nil {
		t.Error(err)
	}
	if err := r.db.Resume(); err != nil {
		t.Error(err)
	}
}
