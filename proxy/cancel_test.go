package proxy

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

func isCode(err error, code string) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && e.Code == code
}

// cancelRequest sends a cancel request with a key and waits until the server closes.
func (r *rig) cancelRequest(pid uint32, secret []byte) {
	r.t.Helper()
	nc, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	defer nc.Close()
	b := binary.BigEndian.AppendUint32(nil, uint32(12+len(secret)))
	b = binary.BigEndian.AppendUint32(b, 80877102)
	b = binary.BigEndian.AppendUint32(b, pid)
	if _, err := nc.Write(append(b, secret...)); err != nil {
		r.t.Fatal(err)
	}
	if rest, err := io.ReadAll(nc); len(rest) > 0 {
		r.t.Fatalf("a cancel request was answered: %q %v", rest, err)
	}
}

// running waits until a client's statement is on its backend.
func (r *rig) running(pid uint32, want ClientState) {
	r.t.Helper()
	r.eventually("client "+fmt.Sprint(pid)+" is "+want.String(), func() bool {
		for _, c := range r.server.Clients() {
			if c.PID == pid {
				return c.State == want && (want != ClientActive || len(c.Backends) > 0)
			}
		}
		return false
	})
}

// asleep waits until a client runs pg_sleep and a server has begun it: one that has not ignores a cancel request.
func (r *rig) asleep(pid uint32) {
	r.t.Helper()
	r.running(pid, ClientActive)
	r.eventually("a server sleeps", func() bool { return r.sleepers() > 0 })
}

// TestCancel cancels what runs on one shard, in a transaction, and on all of them; a wrong key cancels nothing.
//
// Row 37: keys of 4 and of 32 bytes.
func TestCancel(t *testing.T) {
	r := startRig(t, sharedCluster(t), rigOptions{wait: 20 * time.Second, size: 2})
	k := r.tenants(0, 1)[0]
	for _, version := range []string{"3.0", "3.2"} {
		for _, mode := range []string{simpleMode, "default_query_exec_mode=exec"} {
			conn := r.connect(mode, "max_protocol_version="+version)
			secret := conn.PgConn().SecretKey()
			if want := map[string]int{"3.0": 4, "3.2": 32}[version]; len(secret) != want {
				t.Fatalf("a secret of %d bytes", len(secret))
			}
			result := make(chan error, 1)
			sleep := func(sql string, args ...any) {
				go func() { _, err := conn.Exec(context.Background(), sql, args...); result <- err }()
				if r.running(conn.PgConn().PID(), ClientActive); strings.Contains(sql, "pg_sleep") {
					r.asleep(conn.PgConn().PID())
				}
			}
			sleep("select pg_sleep(30) from (select count(*) from orders where tenant_id = $1) o", k)
			wrong := append([]byte(nil), secret...)
			wrong[0]++
			r.cancelRequest(conn.PgConn().PID(), wrong)
			r.cancelRequest(conn.PgConn().PID(), secret[:len(secret)-1])
			r.cancelRequest(conn.PgConn().PID()+1000, secret)
			select {
			case err := <-result:
				t.Fatalf("a wrong key ended the statement: %v", err)
			case <-time.After(50 * time.Millisecond):
			}
			r.cancelRequest(conn.PgConn().PID(), secret)
			if err := <-result; !isCode(err, "57014") {
				t.Fatal(err)
			}
			if got := r.value(conn, "select 1"); got != "1" {
				t.Fatal("the session did not go on")
			}
			r.exec(conn, "begin")
			sleep("select pg_sleep(30) from (select count(*) from orders where tenant_id = $1) o", k)
			r.cancelRequest(conn.PgConn().PID(), secret)
			if err := <-result; !isCode(err, "57014") {
				t.Fatal(err)
			}
			r.refuses(conn, "25P02", "select 1")
			r.exec(conn, "rollback")
			// On all shards at once.
			blocker := r.connect()
			r.exec(blocker, "begin")
			r.exec(blocker, "insert into countries values ('de', 'x')")
			sleep("insert into countries values ('de', 'y')")
			r.eventually("it waits for a lock", func() bool {
				return r.on(r.cluster.Shards[0].Primary, "select count(*) from pg_locks where not granted") != "0"
			})
			r.cancelRequest(conn.PgConn().PID(), secret)
			if err := <-result; !isCode(err, "57014") {
				t.Fatal(err)
			}
			r.exec(blocker, "rollback")
			blocker.Close(context.Background())
			conn.Close(context.Background())
		}
	}
}

// TestCancelWhileQueued cancels a client that waits for a backend, and one that waits for a change of its tenant's placement.
func TestCancelWhileQueued(t *testing.T) {
	r := startRig(t, sharedCluster(t), rigOptions{wait: 20 * time.Second, size: 1})
	k := r.tenants(0, 1)[0]
	holder, conn := r.connect(), r.connect()
	r.exec(conn, "select 1")
	r.exec(holder, "begin")
	r.exec(holder, "insert into orders values ($1, 1)", k)
	for _, inside := range []bool{false, true} {
		if inside {
			r.exec(conn, "begin")
		}
		result := make(chan error, 1)
		go func() {
			_, err := conn.Exec(context.Background(), "insert into orders values ($1, 2)", pgx.QueryExecModeExec, k)
			result <- err
		}()
		r.running(conn.PgConn().PID(), ClientWaiting)
		r.cancelRequest(conn.PgConn().PID(), conn.PgConn().SecretKey())
		if err := <-result; !isCode(err, "57014") {
			t.Fatal(err)
		}
		if inside {
			r.refuses(conn, "25P02", "select 1")
			r.exec(conn, "rollback")
		}
	}
	changed, result := make(chan error, 1), make(chan error, 1)
	go func() {
		changed <- r.db.Change(context.Background(), r.parse(r.file+fmt.Sprintf("pins: {\"%d\": s2}\n", k), r.db.Map().Lock()), r.server)
	}()
	r.eventually("the gate is closed", func() bool { return r.db.gate.closed.Load() != nil })
	go func() {
		_, err := conn.Exec(context.Background(), "insert into orders values ($1, 2)", pgx.QueryExecModeExec, k)
		result <- err
	}()
	r.running(conn.PgConn().PID(), ClientWaiting)
	r.cancelRequest(conn.PgConn().PID(), conn.PgConn().SecretKey())
	if err := <-result; !isCode(err, "57014") {
		t.Fatal(err)
	}
	r.exec(holder, "rollback")
	if err := <-changed; err != nil {
		t.Fatal(err)
	}
}

// TestCancelRace cancels at every moment while others use the same few backends: whoever did not ask is never cancelled.
//
// Row 15: the next client of a backend is not hit.
func TestCancelRace(t *testing.T) {
	r := startRig(t, sharedCluster(t), rigOptions{wait: 20 * time.Second, size: 3})
	k := r.tenants(0, 1)[0]
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Second)
	defer stop()
	var group sync.WaitGroup
	var innocent, cancelled atomic.Int64
	for g := range 5 {
		conn := r.connect([]string{simpleMode, "default_query_exec_mode=exec"}[g%2])
		group.Go(func() {
			for ctx.Err() == nil {
				if _, err := conn.Exec(context.Background(), "select count(*), pg_sleep(0.001) from orders where tenant_id = $1", k); err != nil {
					t.Errorf("an innocent client: %v", err)
					return
				}
				innocent.Add(1)
			}
		})
	}
	for g := range 3 {
		conn := r.connect([]string{simpleMode, "default_query_exec_mode=exec"}[g%2])
		group.Go(func() {
			for ctx.Err() == nil {
				var asked sync.WaitGroup
				asked.Go(func() {
					pause(ctx, time.Duration(rand.IntN(3000))*time.Microsecond)
					_ = conn.PgConn().CancelRequest(context.Background())
				})
				_, err := conn.Exec(context.Background(), "select count(*), pg_sleep(0.002) from orders where tenant_id = $1", k)
				if err != nil && !isCode(err, "57014") {
					t.Errorf("a client that cancels: %v", err)
				}
				if err != nil {
					cancelled.Add(1)
				}
				asked.Wait()
				if err == nil && rand.IntN(2) == 0 {
					_, _ = conn.Exec(context.Background(), "select 1")
				}
			}
		})
	}
	group.Wait()
	if cancelled.Load() == 0 || innocent.Load() == 0 {
		t.Errorf("nothing was tried: %d cancelled, %d went on", cancelled.Load(), innocent.Load())
	}
	t.Logf("%d cancelled, %d went on", cancelled.Load(), innocent.Load())
}

// TestKeys has many sessions come and go, and finds each by its process id, and nobody by one that is nobody's.
func TestKeys(t *testing.T) {
	srv := &Server{}
	srv.keys.init()
	k := &srv.keys
	come := func(pid uint32) *session {
		s := &session{srv: srv, cfg: &Config{PeerID: 3}}
		k.add(s, pid)
		return s
	}
	all := map[uint32]*session{}
	var order []*session
	for i := range 10 * firstPlaces {
		s := come(0)
		if peerOf(s.key.pid) != 3 || all[s.key.pid] != nil {
			t.Fatalf("session %d has process id %#x, which is %v's", i, s.key.pid, all[s.key.pid])
		}
		all[s.key.pid] = s
		order = append(order, s)
		if i%3 == 0 {
			k.remove(order[0])
			k.remove(order[0]) // nothing is there any more
			delete(all, order[0].key.pid)
			order = order[1:]
		}
	}
	server, second := come(77), come(77)
	if server.key.pid != 77 || second.key.pid == 77 || k.session(77) != server || k.session(second.key.pid) != second {
		t.Errorf("sessions of one server process have process ids %d and %d", server.key.pid, second.key.pid)
	}
	odd := come(sessionPID | 77) // what stands before the server has process ids like ours
	if k.find(odd.key.pid, odd.key.secret) != odd {
		t.Errorf("process id %#x does not lead to its session", odd.key.pid)
	}
	k.remove(server)
	k.remove(second)
	k.remove(odd)
	for pid, s := range all {
		if k.session(pid) != s || k.find(pid, s.key.secret) != s || k.find(pid, nil) != nil || k.session(pid^1<<sessionBits) != nil {
			t.Fatalf("process id %#x does not lead to its session alone", pid)
		}
		k.remove(s)
	}
	if k.taken != 0 || len(k.others) != 0 || k.session(77) != nil || k.session(sessionPID|1<<sessionBits-1) != nil {
		t.Errorf("when all have left %d are there, and %v", k.taken, k.others)
	}
	last := come(0).key.pid
	for range 1000 * firstPlaces {
		s := come(0)
		if s.key.pid == last {
			t.Fatal("a process id comes again soon")
		}
		k.remove(s)
	}
}
