package proxy

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/internal/pgtest"
	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/shardmap"
)

// scriptedRig is a proxy of one shard whose node plays a script, with two backends. Probes of the node are answered as a primary
// would; the script hears of the rest.
func scriptedRig(t testing.TB, script pgtest.Script) (*Server, string) {
	handle := script.Handle
	script.Handle = func(c *pgtest.Conn, frame []byte) error {
		if frame[0] == pgwire.MsgQuery && strings.Contains(string(frame), "pg_is_in_recovery") {
			return c.Write(pgtest.Result("SELECT 1", []string{"recovery", "lsn"}, []string{"f", "0/1"}))
		}
		return handle(c, frame)
	}
	node := pgtest.Serve(t, script)
	host, port, _ := net.SplitHostPort(node.Addr)
	f, err := shardmap.Parse("shardmap.yaml", []byte("database: app\ntenant: {column: tenant_id, type: bigint}\nshards:\n  - name: s1\n    primary: {host: "+
		host+", port: "+port+"}\n"))
	if err != nil {
		t.Fatal(err)
	}
	lock, err := shardmap.Plan(f)
	if err != nil {
		t.Fatal(err)
	}
	m, err := shardmap.New(f, lock)
	if err != nil {
		t.Fatal(err)
	}
	log := testLogger(t)
	cl := pool.New(pool.Config{Database: "app", User: "app", Size: 2, Wait: 5 * time.Second, Log: log})
	db := OpenDatabase(Options{Name: "app", Log: log}, cl, nil, m, nil)
	verifier, err := NewVerifier(rigPassword)
	if err != nil {
		t.Fatal(err)
	}
	server, err := NewServer(Config{Log: log, Databases: map[string]*Database{"app": db}, Users: map[string]*User{rigUser: {Name: rigUser, Verifier: verifier}}})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		<-done
		db.Close(ctx)
	})
	return server, ln.Addr().String()
}
