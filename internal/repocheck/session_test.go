package repocheck

import (
	"strings"
	"testing"
)

// blocking runs the rule on a source of package proxy.
func blocking(t *testing.T, source string, list ...string) []Finding {
	t.Helper()
	serverSide, err := ParseServerSide(strings.Join(list, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return Blocking(sources(t, "proxy/session.go", source), "list", serverSide)
}

func TestBlockingIsFound(t *testing.T) {
	tests := []struct {
		name, imports, body, want string
	}{
		{"a send", "", "c <- 1", "a channel send"},
		{"a receive", "", "x := <-c; _ = x", "a channel receive"},
		{"a select", "", "select {}", "a select"},
		{"a range over a channel that was made", "", "c := make(chan int); for range c {}", "a range over a channel"},
		{"a range over a declared channel", "", "var c <-chan int; for range c {}", "a range over a channel"},
		{"a sleep", `"time"`, "time.Sleep(1)", "time.Sleep"},
		{"a timer's channel", `"time"`, "use(time.After(1))", "time.After"},
		{"a sleep under another name", `clock "time"`, "clock.Sleep(1)", "clock.Sleep"},
		{"a dial", `"net"`, "net.DialTimeout(a, b, c)", "net.DialTimeout"},
		{"a name server", `"net"`, "net.LookupHost(a)", "net.LookupHost"},
		{"a dialer", `"net"`, "d := net.Dialer{}; d.DialContext(a, b, c)", "DialContext of a net.Dialer"},
		{"a dial with TLS", `"crypto/tls"`, "tls.Dial(a, b, c)", "tls.Dial"},
		{"a file", `"os"`, "os.ReadFile(a)", "os.ReadFile"},
		{"a process", `"os/exec"`, "exec.Command(a)", "exec.Command"},
		{"HTTP", `"net/http"`, "http.Post(a, b, c)", "http.Post"},
		{"waiting for goroutines", `"sync"`, "var g sync.WaitGroup; g.Wait()", "Wait of a sync.WaitGroup"},
		{"waiting for who knows whom", "", "x.Wait()", "a Wait without events"},
		{"a raw read", `"net"`, "var c net.Conn; c.Read(b)", "Read of a net.Conn"},
		{"a raw write through a pointer", `"crypto/tls"`, "c := &tls.Conn{}; c.Write(b)", "Write of a tls.Conn"},
		{"a raw read by io", `"io"; "net"`, "var c net.Conn; io.ReadFull(c, b)", "io.ReadFull on a raw connection"},
		{"in a literal for another function", `"time"`, "t.Later(func() { time.Sleep(1) })", "time.Sleep"},
		{"in an argument of Await", `"time"`, "t.Await(deadline(time.After(1)), f)", "time.After"},
		{"in a literal beside Await", "", "t.Await(func() {}); func() { <-c }()", "a channel receive"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			expect(t, blocking(t, inFunction(test.imports, test.body)), test.want)
		})
	}
}

func TestBlockingPasses(t *testing.T) {
	tests := []struct {
		name, imports, body string
	}{
		{"awaited", `"os"; "time"`, "t.Await(func() { time.Sleep(1); <-c; os.ReadFile(a) })"},
		{"awaited, deeper", "", "t.Await(func() { for range c { select {} } })"},
		{"awaited through the package", "", "task.Await[int](t, func() int { return <-c })"},
		{"a function that is handed over", "", "t.Await(s.load)"},
		{"parking", "", "t.Wait(deadline, events)"},
		{"a range over a slice", "", "c := []int{1}; for range c {}"},
		{"time without waiting", `"time"`, "deadline := time.Now().Add(time.Second); _ = deadline"},
		{"the environment", `"os"`, "os.Getenv(a)"},
		{"a pointer", "", "p := &x; *p = 1"},
		{"a connection of the seam", `"example.org/task"`, "var c *task.Conn; c.Read(b); c.Write(b)"},
		{"addresses", `"net"`, "net.JoinHostPort(a, b); net.ParseIP(a)"},
		{"types of package net", `"net"`, "var l net.Listener; var d net.Dialer; l.Close(); l.Addr()"},
		{"a mutex", `"sync"`, "var m sync.Mutex; m.Lock(); m.Unlock()"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			expect(t, blocking(t, inFunction(test.imports, test.body)))
		})
	}
}

// TestBlockingKnowsTypes tells a raw connection from another of the same name.
func TestBlockingKnowsTypes(t *testing.T) {
	const source = `package proxy

import "net"

type server struct {
	conn  net.Conn
	ready chan int
}
type session struct {
	conn   *taskConn
	server *server
	all    map[int]net.Conn
}
type taskConn struct{}

func (c *taskConn) Read(b []byte) {}
func (s *session) raw() net.Conn { return s.server.conn }

func (s *session) parks(b []byte)     { s.conn.Read(b) }
func (s *session) blocks(b []byte)    { s.server.conn.Read(b) }
func (s *session) renamed(b []byte)   { c := s.server.conn; c.Read(b) }
func (s *session) returned(b []byte)  { s.raw().Read(b) }
func (s *session) indexed(b []byte)   { s.all[1].Write(b) }
func (s *session) ranges()            { for range s.server.ready {} }
func (s *session) asserts(x any, b []byte) { x.(net.Conn).Read(b) }
`
	expect(t, blocking(t, source), "Read of a net.Conn", "Read of a net.Conn", "Read of a net.Conn", "Write of a net.Conn",
		"a range over a channel", "Read of a net.Conn")
}

// TestAwaitedByContract reads what functions say of themselves, in proxy and in the packages it calls.
func TestAwaitedByContract(t *testing.T) {
	const seam = `// Package task parks.
package task

type Conn struct{}

// Handshake blocks: call it in
// Await.
func (c *Conn) Handshake() {}

// Flush does not block.
func (c *Conn) Flush() {}

// Resolve asks a name server. It blocks for a second at most.
func Resolve() {}
`
	const session = `package proxy

import "github.com/pgdrover/pgdrover/internal/task"

type session struct{ conn *task.Conn }

// load reads a file: call it in Await.
func (s *session) load() { os.ReadFile("x") }

func (s *session) right(t *task.Task) {
	t.Await(s.load)
	t.Await(func() { s.conn.Handshake(); task.Resolve() })
	s.conn.Flush()
}

func (s *session) wrong(t *task.Task) {
	s.load()
	s.conn.Handshake()
	task.Resolve()
}
`
	tree := sources(t, "internal/task/task.go", seam, "proxy/session.go", session)
	expect(t, Blocking(tree, "list", nil), "proxy/session.go:17: load (", "Handshake (", "task.Resolve (")
}

func TestServerSideList(t *testing.T) {
	source := inFunction("", "<-c") + "\nfunc g() { select {} }\n"
	expect(t, blocking(t, source), "a channel receive", "a select")
	expect(t, blocking(t, source, "# why", "proxy/session.go the accept loop"))
	expect(t, blocking(t, source, "proxy/session.go:f closes"), "a select")
	expect(t, blocking(t, source, "proxy/session.go the accept loop", "proxy/gone.go was removed"), "list:2: nothing blocks in proxy/gone.go")
	expect(t, blocking(t, source, "proxy/session.go:f closes", "proxy/session.go:g closes"))
	if _, err := ParseServerSide("proxy/server.go"); err == nil {
		t.Error("an entry without a reason is taken")
	}
}
