package proxy

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
)

// startFleet runs n proxies, numbered from 1, in front of one cluster.
func startFleet(t *testing.T, c *pgcluster.Cluster, n int, o rigOptions) []*rig {
	t.Helper()
	change := o.config
	configs := make([]Config, n)
	rigs := make([]*rig, n)
	peers := map[int]string{}
	for i := range rigs {
		o.keep = i > 0
		if o.keep {
			o.tables = demoTables
		}
		o.config = func(cfg *Config) {
			if change != nil {
				change(cfg)
			}
			cfg.PeerID = i + 1
			configs[i] = *cfg
		}
		rigs[i] = startRig(t, c, o)
		peers[i+1] = rigs[i].addr
	}
	for i, r := range rigs {
		configs[i].Peers = peers
		r.server.Reconfigure(configs[i])
	}
	return rigs
}

const fleetSleep = "select pg_sleep(20) from (select count(*) from orders where tenant_id = $1) o"

func TestCancelAcrossTheFleet(t *testing.T) {
	rigs := startFleet(t, sharedCluster(t), 2, rigOptions{wait: 20 * time.Second, size: 2})
	k := rigs[0].tenants(0, 1)[0]
	for i, home := range rigs {
		other := rigs[1-i]
		for _, version := range []string{"3.0", "3.2"} {
			conn := home.connect("default_query_exec_mode=exec", "max_protocol_version="+version)
			pid, secret := conn.PgConn().PID(), conn.PgConn().SecretKey()
			if peerOf(pid) != i+1 || pid>>31 != 0 {
				t.Fatalf("process id %x of proxy %d", pid, i+1)
			}
			result := make(chan error, 1)
			go func() { _, err := conn.Exec(context.Background(), fleetSleep, k); result <- err }()
			home.asleep(pid)
			wrong := append([]byte(nil), secret...)
			wrong[len(wrong)-1]++
			other.cancelRequest(pid, wrong)
			other.cancelRequest(pid+1, secret)
			other.cancelRequest(pid, append([]byte(nil), append(secret, forwardMark...)...)) // as if it had been passed on
			other.cancelRequest(pid&^(MaxPeer<<sessionBits)|900<<sessionBits, secret)        // of a proxy that nobody knows
			select {
			case err := <-result:
				t.Fatalf("a request that is none ended the statement: %v", err)
			case <-time.After(50 * time.Millisecond):
			}
			other.cancelRequest(pid, secret)
			if err := <-result; !isCode(err, "57014") {
				t.Fatal(err)
			}
			conn.Close(context.Background())
		}
	}
	for i, r := range rigs {
		peers := r.server.Peers()
		if len(peers) != 2 || !peers[i].Self || peers[1-i].Self || peers[1-i].Forwarded != 6 || peers[1-i].Failed != 0 || peers[i].Forwarded != 0 {
			t.Errorf("proxy %d: %+v", i+1, peers)
		}
	}
}

// TestCancelDoesNotCircle has two proxies each believe that the other is number 9.
func TestCancelDoesNotCircle(t *testing.T) {
	rigs := startFleet(t, sharedCluster(t), 2, rigOptions{})
	for i, r := range rigs {
		cfg := *r.server.config.Load()
		cfg.Peers = map[int]string{9: rigs[1-i].addr}
		r.server.Reconfigure(cfg)
	}
	rigs[0].cancelRequest(sessionPID|9<<sessionBits|1, []byte("abcd"))
	if a, b := rigs[0].server.Metrics(), rigs[1].server.Metrics(); a.CancelsForwarded.Load() != 1 || b.CancelsForwarded.Load() != 0 || b.Cancels.Load() != 1 {
		t.Errorf("passed on %d and %d times, arrived %d times", a.CancelsForwarded.Load(), b.CancelsForwarded.Load(), b.Cancels.Load())
	}
}

func TestCancelAcrossTheFleetEncrypted(t *testing.T) {
	secure := newAuthority(t).sign(newECKey(t), []string{"localhost"})
	for _, mode := range []TLSMode{TLSPrefer, TLSRequire} {
		rigs := startFleet(t, sharedCluster(t), 2, rigOptions{wait: 20 * time.Second, config: func(cfg *Config) {
			cfg.TLSMode, cfg.TLS = mode, &tls.Config{Certificates: []tls.Certificate{secure}}
		}})
		k := rigs[0].tenants(0, 1)[0]
		conn, err := pgx.Connect(t.Context(), strings.Replace(rigs[0].url("default_query_exec_mode=exec"), "sslmode=disable", "sslmode=require", 1))
		if err != nil {
			t.Fatal(err)
		}
		result := make(chan error, 1)
		go func() { _, err := conn.Exec(context.Background(), fleetSleep, k); result <- err }()
		rigs[0].asleep(conn.PgConn().PID())
		rigs[1].cancelRequest(conn.PgConn().PID(), conn.PgConn().SecretKey()) // in plaintext, as PostgreSQL takes it whatever pg_hba.conf says
		if err := <-result; !isCode(err, "57014") {
			t.Fatal(err)
		}
		conn.Close(context.Background())
		if p := rigs[1].server.Peers()[0]; p.Forwarded != 1 || p.Failed != 0 {
			t.Errorf("%+v", p)
		}
	}
}

// TestPeerThatDoesNotAnswer: requests for its sessions are bounded, and in nobody's way.
func TestPeerThatDoesNotAnswer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var silent sync.WaitGroup
	silent.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			silent.Go(func() { _, _ = io.Copy(io.Discard, nc); _ = nc.Close() })
		}
	})
	r := startFleet(t, apart(t), 1, rigOptions{wait: 20 * time.Second})[0]
	cfg := *r.server.config.Load()
	cfg.Peers = map[int]string{2: ln.Addr().String()}
	r.server.Reconfigure(cfg)
	var group sync.WaitGroup
	for i := range 2 * forwardsWaiting {
		group.Go(func() { r.cancelRequest(sessionPID|2<<sessionBits|uint32(i+1), []byte("abcd")) })
	}
	r.eventually("some are dropped", func() bool { return r.server.Metrics().CancelsDropped.Load() >= forwardsWaiting })
	if p := r.server.Peers()[0]; p.Working > forwardsAtOnce || p.Waiting > forwardsWaiting {
		t.Errorf("%+v", p)
	}
	k := r.tenants(0, 1)[0]
	conn := r.connect("default_query_exec_mode=exec")
	result := make(chan error, 1)
	go func() { _, err := conn.Exec(context.Background(), fleetSleep, k); result <- err }()
	r.asleep(conn.PgConn().PID())
	r.cancelRequest(conn.PgConn().PID(), conn.PgConn().SecretKey())
	if err := <-result; !isCode(err, "57014") {
		t.Fatal(err)
	}
	began := time.Now()
	group.Wait()
	if took := time.Since(began); took > 2*cancelTime {
		t.Errorf("the last request was given up after %s", took)
	}
	_ = ln.Close()
	silent.Wait()
}

// TestCancelStormAcrossTheFleet sends 10,000 cancels for one session to both proxies of a fleet while others use the same few backends.
func TestCancelStormAcrossTheFleet(t *testing.T) {
	rigs := startFleet(t, sharedCluster(t), 2, rigOptions{wait: 60 * time.Second, size: 3})
	k := rigs[0].tenants(0, 1)[0]
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var group sync.WaitGroup
	var innocent, cancelled atomic.Int64
	for i, r := range rigs {
		for range 2 {
			conn := r.connect([]string{simpleMode, "default_query_exec_mode=exec"}[i])
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
	}
	victim := rigs[0].connect("default_query_exec_mode=exec")
	pid, secret := victim.PgConn().PID(), victim.PgConn().SecretKey()
	group.Go(func() {
		for ctx.Err() == nil {
			_, err := victim.Exec(context.Background(), "select count(*), pg_sleep(0.005) from orders where tenant_id = $1", k)
			if err != nil && !isCode(err, "57014") {
				t.Errorf("the client that is cancelled: %v", err)
				return
			}
			if err != nil {
				cancelled.Add(1)
			}
		}
	})
	var storm sync.WaitGroup
	for worker := range 100 {
		storm.Go(func() {
			for range 100 {
				rigs[worker%2].cancelRequest(pid, secret)
			}
		})
	}
	storm.Wait()
	stop()
	group.Wait()
	if innocent.Load() == 0 || cancelled.Load() == 0 {
		t.Errorf("nothing was tried: %d cancelled, %d went on", cancelled.Load(), innocent.Load())
	}
	var sent uint64
	for _, n := range rigs[0].db.Cluster().Stats() {
		sent += n.Counts.Cancels
	}
	t.Logf("%d cancelled, %d went on, %d cancels reached the node", cancelled.Load(), innocent.Load(), sent)
	for _, r := range rigs {
		if got := r.value(r.connect(), "select 1"); got != "1" {
			t.Fatal(got)
		}
		if working, waiting := r.server.cancels.load(); working+waiting != 0 {
			t.Error(fmt.Sprint("left behind: ", working, waiting))
		}
	}
}
