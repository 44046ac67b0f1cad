package pool

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/pgdrover/pgdrover/pgwire"
)

// fake is a scripted server: it logs everybody in, answers probes, and records what else it is asked.
type fake struct {
	t    testing.TB
	addr *net.TCPAddr
	tls  *tls.Config // nil: refuses TLS

	mu       sync.Mutex
	ln       net.Listener
	conns    map[net.Conn]uint32 // PIDs of those that are logged in
	refuse   *pgwire.Error       // what a login is answered with; nil: welcome
	gate     chan struct{}       // logins wait until it is closed; nil: they do not
	cancel   chan struct{}       // as gate, for cancel requests, once they have been read
	recovery string              // what it says of pg_is_in_recovery: t or f
	pids     uint32
	logins   int
	waiting  int // logins that wait at the gate
	most     int // of them at once
	cancels  []uint32
	done     sync.WaitGroup
}

func startFake(t testing.TB) *fake {
	t.Helper()
	f := &fake{t: t, conns: map[net.Conn]uint32{}, recovery: "f"}
	f.listen("127.0.0.1:0")
	t.Cleanup(func() { f.stop(); f.done.Wait() })
	return f
}

func (f *fake) listen(addr string) {
	f.t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		f.t.Fatal(err)
	}
	f.mu.Lock()
	f.ln, f.addr = ln, ln.Addr().(*net.TCPAddr)
	f.mu.Unlock()
	f.done.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			stopped := f.ln != ln
			if !stopped {
				f.conns[nc] = 0
			}
			f.mu.Unlock()
			if stopped { // as one that was in the port's queue
				_ = nc.Close()
				continue
			}
			f.done.Go(func() { f.serve(nc) })
		}
	})
}

// stop closes the port and all connections, as a crash does.
func (f *fake) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ln != nil {
		_ = f.ln.Close()
		f.ln = nil
	}
	for nc := range f.conns {
		_ = nc.Close()
	}
}

// start opens the port again.
func (f *fake) start() { f.listen(f.addr.String()) }

func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fake) serve(nc net.Conn) {
	defer func() {
		_ = nc.Close()
		f.set(func() { delete(f.conns, nc) })
	}()
	c := nc
	for {
		p, err := packet(c)
		if err != nil {
			return
		}
		switch binary.BigEndian.Uint32(p) {
		case 80877103:
			if f.tls == nil {
				_, _ = c.Write([]byte("N"))
				continue
			}
			_, _ = c.Write([]byte("S"))
			c = tls.Server(nc, f.tls)
		case 80877102:
			f.set(func() { f.cancels = append(f.cancels, binary.BigEndian.Uint32(p[4:])) })
			f.wait(func() chan struct{} { return f.cancel })
			return
		default:
			f.session(nc, c)
			return
		}
	}
}

// packet reads an untyped packet, without its length.
func packet(c net.Conn) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(c, length[:]); err != nil {
		return nil, err
	}
	p := make([]byte, binary.BigEndian.Uint32(length[:])-4)
	_, err := io.ReadFull(c, p)
	return p, err
}

func (f *fake) wait(gate func() chan struct{}) {
	f.mu.Lock()
	ch := gate()
	f.waiting++
	f.most = max(f.most, f.waiting)
	f.mu.Unlock()
	if ch != nil {
		<-ch
	}
	f.set(func() { f.waiting-- })
}

func (f *fake) session(nc, c net.Conn) {
	f.wait(func() chan struct{} { return f.gate })
	f.mu.Lock()
	f.logins++
	f.pids++
	pid, refuse := f.pids, f.refuse
	f.conns[nc] = pid
	f.mu.Unlock()
	if refuse != nil {
		_, _ = c.Write(pgwire.AppendError(nil, refuse))
		return
	}
	hello := pgwire.AppendAuthenticationOk(nil)
	hello = pgwire.AppendParameterStatus(hello, "server_version", "15.0")
	hello = pgwire.AppendParameterStatus(hello, "client_encoding", "UTF8")
	hello = pgwire.AppendBackendKeyData(hello, pid, []byte{1, 2, 3, 4})
	_, _ = c.Write(pgwire.AppendReadyForQuery(hello, pgwire.StatusIdle))
	for {
		var typ [1]byte
		if _, err := io.ReadFull(c, typ[:]); err != nil {
			return
		}
		if _, err := packet(c); err != nil || typ[0] != pgwire.MsgQuery {
			return
		}
		f.mu.Lock()
		recovery := f.recovery
		f.mu.Unlock()
		answer := pgwire.AppendRowDescription(nil, []pgwire.Column{{Name: "recovery", OID: 16}, {Name: "lsn", OID: 3220}})
		answer = pgwire.AppendDataRow(answer, [][]byte{[]byte(recovery), []byte("0/1")})
		answer = pgwire.AppendCommandComplete(answer, "SELECT 1")
		_, _ = c.Write(pgwire.AppendReadyForQuery(answer, pgwire.StatusIdle))
	}
}

// each calls do for the connection of every session, with its PID.
func (f *fake) each(do func(nc net.Conn, pid uint32)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for nc, pid := range f.conns {
		if pid != 0 {
			do(nc, pid)
		}
	}
}

// say sends bytes to the backend of a PID.
func (f *fake) say(pid uint32, p []byte) {
	f.each(func(nc net.Conn, of uint32) {
		if of == pid {
			_, _ = nc.Write(p)
		}
	})
}

// hangUp closes the connection of a PID.
func (f *fake) hangUp(pid uint32) {
	f.each(func(nc net.Conn, of uint32) {
		if of == pid {
			_ = nc.Close()
		}
	})
}

func (f *fake) addrs() []net.IP { return []net.IP{f.addr.IP} }
