package proxy

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/internal/pgtest"
	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/shardmap"
)

// scriptedRig is a proxy of one shard whose node plays a script, with two backends. Probes of the node are answered as a primary
// would; the script hears of the rest.
func scriptedRig(t testing.TB, script pgtest.Script) (*Server, string, *pgtest.Server) {
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
	loops := pgtest.Loops(t)
	cl := pool.New(pool.Config{Loops: loops, Database: "app", User: "app", Size: 2, Wait: 5 * time.Second, Log: log})
	db := OpenDatabase(Options{Name: "app", Log: log}, cl, nil, m, nil)
	server, err := NewServer(Config{Loops: loops, Log: log, Databases: map[string]*Database{"app": db}, Users: map[string]*User{rigUser: {Name: rigUser, Verifier: cheapVerifier(t, rigPassword)}}})
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
	return server, ln.Addr().String(), node
}

// TestNodeOfAnotherVersion has a node come back as another version: whoever was told the old one hears of the new one, and goes on.
//
// Row 40: server_version changes under sessions, one of them in the middle of its statements.
func TestNodeOfAnotherVersion(t *testing.T) {
	var version atomic.Value
	version.Store("15.0")
	server, address, node := scriptedRig(t, pgtest.Script{
		Greet: func(c *pgtest.Conn) error {
			if err := c.Write(pgwire.AppendParameterStatus(nil, "server_version", version.Load().(string))); err != nil {
				return err
			}
			b := pgwire.AppendBackendKeyData(nil, c.PID, c.Secret)
			return c.Write(pgwire.AppendReadyForQuery(b, pgwire.StatusIdle))
		},
		Handle: func(c *pgtest.Conn, frame []byte) error {
			return c.Write(pgtest.Result("SELECT 1", []string{"c"}, []string{"good"}))
		},
	})
	login := pgtest.Options{User: rigUser, Password: rigPassword, Database: "app"}
	client := pgtest.Connect(t, address, login)
	if _, err := client.Query("select 1"); err != nil || client.Params["server_version"] != "15.0" {
		t.Fatalf("%v, %v", client.Params, err)
	}
	version.Store("16.1")
	node.Drop()
	lines, err := client.Query("select 1")
	if err != nil || len(lines) != 5 || lines[0] != `B ParameterStatus 24 "server_version" "16.1"` {
		t.Fatalf("%q, %v", lines, err)
	}
	if lines, err = client.Query("select 1"); err != nil || len(lines) != 4 {
		t.Fatalf("told twice: %q, %v", lines, err)
	}
	later := pgtest.Connect(t, address, login)
	if later.Params["server_version"] != "16.1" {
		t.Errorf("a new client is told %q", later.Params["server_version"])
	}
	if n := server.Metrics().Panics.Load(); n > 0 {
		t.Errorf("%d panics", n)
	}
}
