package proxy

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/internal/pgtest"
)

// TestShutdownWhileServeBegins has a server stopped that has just begun to serve, or has not yet: Serve ends, and nothing goes on after Shutdown.
func TestShutdownWhileServeBegins(t *testing.T) {
	loops := pgtest.Loops(t)
	for i := range 300 {
		server, err := NewServer(Config{Loops: loops, Log: testLogger(t)})
		if err != nil {
			t.Fatal(err)
		}
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- server.Serve(ln) }()
		time.Sleep(time.Duration(i%3) * 10 * time.Microsecond)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if err := server.Shutdown(ctx); err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := <-ended; !errors.Is(err, ErrServerClosed) {
			t.Fatalf("Serve: %v", err)
		}
	}
}
