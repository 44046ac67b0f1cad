package pgcluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/pgdrover/pgdrover/internal/child"
)

const superuser = "postgres"

// ErrNotRunning is what a Node that has no server process answers to what needs one.
var ErrNotRunning = errors.New("the node is not running: start it first")

// Node is one PostgreSQL server. Its methods may be called from any goroutine;
// Start, Stop, Restart and Kill of one node one at a time.
type Node struct {
	Shard   int    // from 1
	Replica int    // from 1; 0 is the primary
	Host    string // an IP address
	Port    int
	DataDir string // empty in a compose cluster

	name    string // s1-primary, s1-replica-1
	logPath string
	bin     Binaries
	account account
	login   login
	control control // where somebody else runs the server; else nil

	mu   sync.Mutex // guards proc; nothing is waited for under it
	proc *child.Process
}

// login is what the URLs of every node of a cluster share.
type login struct {
	database, user, password string
	superPassword            string
}

// control starts and stops servers that are not children of this program.
type control interface {
	signal(ctx context.Context, node string, sig syscall.Signal) error
	start(ctx context.Context, node string) error
	stop(ctx context.Context, node string) error
}

// Name is the node's name in logs and file names: s1-primary, s1-replica-1.
func (n *Node) Name() string { return n.name }

// Addr is host:port.
func (n *Node) Addr() string { return net.JoinHostPort(n.Host, strconv.Itoa(n.Port)) }

// URL is the application's DSN straight to the node.
func (n *Node) URL() string { return n.url(n.login.user, n.login.password) }

// SuperuserURL is the superuser's DSN straight to the node, on the
// application's database.
func (n *Node) SuperuserURL() string { return n.url(superuser, n.login.superPassword) }

func (n *Node) url(user, password string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(user, password), Host: n.Addr(), Path: "/" + n.login.database}
	return u.String()
}

// PID is the server's process, 0 when it does not run or runs elsewhere.
func (n *Node) PID() int {
	if p := n.process(); p != nil && p.Running() {
		return p.PID()
	}
	return 0
}

func (n *Node) process() *child.Process {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.proc
}

func (n *Node) setProcess(p *child.Process) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.proc = p
}

// Start runs the server, again on the port it had if it ever ran, and returns
// when it accepts connections.
func (n *Node) Start(ctx context.Context) error {
	if n.control != nil {
		if err := n.control.start(ctx, n.name); err != nil {
			return err
		}
		return n.await(ctx, "select 1", func(string) bool { return true })
	}
	if n.PID() != 0 {
		return fmt.Errorf("start %s: it runs as process %d", n.name, n.PID())
	}
	return n.launch(ctx, n.Port)
}

// Stop ends the server: its sessions are disconnected, its data is flushed.
// A server that does not run is nothing to do.
func (n *Node) Stop(ctx context.Context) error {
	if n.control != nil {
		return n.control.stop(ctx, n.name)
	}
	if p := n.process(); p != nil {
		n.shut(ctx, p)
	}
	return nil
}

// shut asks for a fast shutdown and insists when that takes long, or at once
// when ctx is done.
func (n *Node) shut(ctx context.Context, p *child.Process) {
	fast := child.Step{Signal: syscall.SIGINT, Within: 10 * time.Second}
	if ctx.Err() != nil {
		fast.Within = time.Second
	}
	pids := child.Children(p.PID())
	signalAll(pids, syscall.SIGCONT) // whoever is stopped acts on nothing
	p.End(fast, child.Step{Signal: syscall.SIGQUIT, Within: 6 * time.Second}, child.Step{Signal: syscall.SIGKILL, Within: time.Second})
	if p.Killed() {
		signalAll(pids, syscall.SIGKILL)
	}
}

// Restart is Stop and Start.
func (n *Node) Restart(ctx context.Context) error {
	if err := n.Stop(ctx); err != nil {
		return err
	}
	return n.Start(ctx)
}

// Kill sends a signal to the server. SIGKILL ends the processes of its
// sessions as well, as a crash of the machine would, and Kill returns when all
// are gone; after any other signal it returns at once.
func (n *Node) Kill(sig syscall.Signal) error {
	if n.control != nil {
		return n.control.signal(context.Background(), n.name, sig)
	}
	p := n.process()
	if p == nil || !p.Running() {
		return fmt.Errorf("signal %s: %w", n.name, ErrNotRunning)
	}
	if sig != syscall.SIGKILL {
		return p.Signal(sig)
	}
	pids := child.Children(p.PID())
	if err := p.Signal(sig); err != nil {
		return err
	}
	<-p.Done()
	signalAll(pids, syscall.SIGKILL)
	n.awaitDetached()
	return nil
}

// Pause stops every process of the server without ending it: the node keeps its
// connections and answers nothing, as if it had hung, until Resume or Stop.
func (n *Node) Pause() error { return n.freeze(syscall.SIGSTOP) }

// Resume undoes Pause.
func (n *Node) Resume() error { return n.freeze(syscall.SIGCONT) }

// freeze signals the server first, so that it starts no more processes.
func (n *Node) freeze(sig syscall.Signal) error {
	if err := n.Kill(sig); err != nil || n.control != nil {
		return err
	}
	signalAll(child.Children(n.process().PID()), sig)
	return nil
}

// signalAll signals processes that were seen as children of our server a
// moment ago.
func signalAll(pids []int, sig syscall.Signal) {
	for _, pid := range pids {
		_ = syscall.Kill(pid, sig)
	}
}

// Log is the end of what the server wrote to its log, at most limit bytes.
func (n *Node) Log(limit int64) string {
	file, err := os.Open(n.logPath)
	if err != nil {
		return ""
	}
	defer file.Close()
	stat, err := file.Stat()
	if err != nil {
		return ""
	}
	text := make([]byte, min(limit, stat.Size()))
	read, _ := file.ReadAt(text, stat.Size()-int64(len(text)))
	return string(text[:read])
}
