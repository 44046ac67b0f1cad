package proxy

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/internal/pgtest"
)

// TestCopyFailsWithinAFrame fails a COPY while the client is in the middle of a large CopyData: what follows must not be read as
// the rest of it, by this client or by the next one that gets the backend.
func TestCopyFailsWithinAFrame(t *testing.T) {
	c := sharedPrimaries(t, 1)
	r := startRig(t, c, rigOptions{size: 1})
	connect := func() *pgtest.Client {
		return pgtest.Connect(t, r.addr, pgtest.Options{User: rigUser, Password: rigPassword, Database: c.Database, Timeout: 10 * time.Second})
	}
	half := bytes.Repeat([]byte("x"), 500_000)
	begin := func(client *pgtest.Client) {
		t.Helper()
		check(t, client.SendFrame('Q', []byte("copy users (tenant_id, id, name) from stdin\x00")))
		if _, err := client.ReadUntil('G'); err != nil {
			t.Fatal(err)
		}
		check(t, client.SendFrame('d', []byte("one\ttwo\tthree\n")))
		check(t, client.SendBytes(append(binary.BigEndian.AppendUint32([]byte{'d'}, uint32(4+2*len(half))), half...)))
		if _, err := client.ReadUntil('E'); err != nil {
			t.Fatal(err)
		}
	}
	client := connect()
	begin(client)
	check(t, client.SendBytes(half))
	check(t, client.SendFrame('c', nil))
	if _, err := client.ReadUntilReady(); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Query("select 1"); err != nil {
		t.Fatal(err)
	}
	leaver := connect()
	begin(leaver)
	check(t, leaver.Abort())
	for range 3 {
		if _, err := client.Query("select 1"); err != nil {
			t.Fatal(err)
		}
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestClientLeavesWithinACopyHeader leaves in the middle of COPY with part of a message sent: the only backend is free for the next.
func TestClientLeavesWithinACopyHeader(t *testing.T) {
	c := sharedPrimaries(t, 1)
	r := startRig(t, c, rigOptions{size: 1, wait: 20 * time.Second})
	for _, part := range []string{"", "d", "d\x00\x00", "d\x00\x00\x00", "d\x00\x00\x00\x08", "d\x00\x00\x00\x08x", "Q\x00\x00\x00\x08x", "c\x00"} {
		for _, half := range []bool{false, true} {
			options := pgtest.Options{User: rigUser, Password: rigPassword, Database: c.Database, Timeout: 10 * time.Second}
			leaver := pgtest.Connect(t, r.addr, options)
			check(t, leaver.SendFrame('Q', []byte("copy users (tenant_id, id, name) from stdin\x00")))
			if _, err := leaver.ReadUntil('G'); err != nil {
				t.Fatal(err)
			}
			check(t, leaver.SendBytes([]byte(part)))
			if half {
				check(t, leaver.CloseWrite())
			} else {
				check(t, leaver.Abort())
			}
			if _, err := pgtest.Connect(t, r.addr, options).Query("select 1"); err != nil {
				t.Fatalf("after %q, half-closed %v: %v", part, half, err)
			}
		}
	}
}
