package proxy

import (
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/internal/task"
	"github.com/pgdrover/pgdrover/pgwire"
)

// BenchmarkRelay is what it costs to hand a row of a backend to the client: looking at its frame, and the write. A row that is
// larger than a connection's buffer comes in pieces of that size.
func BenchmarkRelay(b *testing.B) {
	for _, size := range []int{64, 8 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			s := &session{t: task.New(), client: drainedClient(b)}
			l := &link{}
			row := pgwire.AppendDataRow(nil, [][]byte{make([]byte, size)})
			b.SetBytes(int64(len(row)))
			b.ReportAllocs()
			for b.Loop() {
				relayWhole(b, s, l, row)
			}
		})
	}
}

// relayWhole relays a frame as it would arrive.
func relayWhole(b *testing.B, s *session, l *link, frame []byte) {
	for len(frame) > 0 {
		n, ok := s.relay(l, frame[:min(len(frame), task.BufferSize)])
		if !ok || n == 0 {
			b.Fatalf("%d bytes are relayed, %v", n, l.lost)
		}
		frame = frame[n:]
		for s.client.Pending() > 0 {
			if err := s.client.Flush(); err != nil {
				b.Fatal(err)
			}
			if s.client.Pending() > 0 {
				s.t.Wait(time.Time{}, task.Interest{Conn: s.client, Write: true})
			}
		}
	}
}

// drainedClient is a connection to a peer that reads all and says nothing.
func drainedClient(b *testing.B) *task.Conn {
	b.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	peer, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	accepted, err := listener.Accept()
	if err != nil {
		b.Fatal(err)
	}
	client, err := task.Adopt(accepted)
	if err != nil {
		b.Fatal(err)
	}
	var reader sync.WaitGroup
	reader.Go(func() { _, _ = io.Copy(io.Discard, struct{ io.Reader }{peer}) })
	b.Cleanup(func() {
		client.Close()
		peer.Close()
		reader.Wait()
	})
	return client
}
