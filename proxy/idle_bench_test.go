package proxy

import (
	"encoding/binary"
	"io"
	"net"
	"testing"

	"github.com/pgdrover/pgdrover/pgwire"
)

// BenchmarkIdleSession has clients log in, run a query and say nothing more, and reports what each costs of heap and stacks, with its own end, which
// is a net.Conn.
func BenchmarkIdleSession(b *testing.B) {
	const clients = 1000
	r := startRig(b, sharedCluster(b), rigOptions{size: 4, config: func(c *Config) { c.Rules = []Rule{{Method: MethodTrust}} }})
	for b.Loop() {
		before := memoryInUse()
		conns := make([]net.Conn, clients)
		for i := range conns {
			conns[i] = dialIdle(b, r.addr, rigUser, r.cluster.Database)
		}
		b.ReportMetric(float64(memoryInUse()-before)/clients, "B/session")
		for _, c := range conns {
			_ = c.Close()
		}
	}
}

// dialIdle logs in where nobody asks for a password, and runs a query.
func dialIdle(b *testing.B, address, user, database string) net.Conn {
	c, err := net.Dial("tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	body := "\x00\x03\x00\x00user\x00" + user + "\x00database\x00" + database + "\x00\x00"
	if _, err := c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(4+len(body))), body...)); err != nil {
		b.Fatal(err)
	}
	skipToReady(b, c)
	if _, err := c.Write(pgwire.AppendQuery(nil, "select 1")); err != nil {
		b.Fatal(err)
	}
	skipToReady(b, c)
	return c
}

func skipToReady(b *testing.B, c io.Reader) {
	var header [pgwire.HeaderLen]byte
	for header[0] != pgwire.MsgReadyForQuery {
		if _, err := io.ReadFull(c, header[:]); err != nil {
			b.Fatal(err)
		}
		if header[0] == pgwire.MsgErrorResponse {
			b.Fatal("an error")
		}
		if _, err := io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(header[1:]))-4); err != nil {
			b.Fatal(err)
		}
	}
}
