package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/internal/child"
	"github.com/pgdrover/pgdrover/internal/pgcluster"
	"github.com/pgdrover/pgdrover/shardmap"
)

// crashVariable says how many crashes the test of crashes goes through; crashSeedVariable, from which seed they are chosen.
const crashVariable, crashSeedVariable = "PGDROVER_CRASHES", "PGDROVER_CRASHES_SEED"

// crash is one fault at one step of a commit on several shards.
type crash struct {
	message  string
	answered bool // when the server has answered, and the proxy has not heard it; else before the server has it
	fault    string
	late     time.Duration // for so long the message stays on its way after a proxy has been killed
}

func (c crash) String() string {
	when := "before "
	if c.answered {
		when = "after "
	}
	return when + c.message + ": " + c.fault
}

// faults are what may happen at a step.
var faults = []string{"the proxy is killed", "the shard crashes", "the other shard crashes", "both shards crash", "proxy and shard end"}

// crashes are n faults in an order by chance: every one at every step comes before one comes again.
func crashes(n int, chance *rand.Rand) []crash {
	var all []crash
	for _, m := range []string{"check", "decide", "prepare", "commit", "finish"} {
		for _, fault := range faults {
			for _, answered := range []bool{false, true} {
				all = append(all, crash{message: m, answered: answered, fault: fault})
			}
		}
	}
	var list []crash
	for len(list) < n {
		chance.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		list = append(list, all...)
	}
	for i := range list {
		if chance.IntN(3) == 0 {
			list[i].late = time.Duration(chance.IntN(1500)) * time.Millisecond
		}
	}
	return list[:n]
}

// crashRig is two proxies of one fleet in processes of their own, behind taps in front of two shards.
type crashRig struct {
	*bank
	dir     string
	ports   [2]string
	taps    [2][2]*tap // by proxy and shard
	running [2]*child.Process

	mu      sync.Mutex
	armed   *crash
	happens chan func() // what brings back what has crashed
}

// TestCrashes kills proxies and shards at every step of commits on several shards, while clients move money between tenants: no money is lost
// or made, nothing stays prepared, and what a client was told holds. PGDROVER_CRASHES says how often; PGDROVER_CRASHES_SEED repeats a run.
func TestCrashes(t *testing.T) {
	n, seed := 6, rand.Uint64()
	if text := os.Getenv(crashVariable); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	if text := os.Getenv(crashSeedVariable); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%s=%d", crashSeedVariable, seed)
	r := newCrashRig(t)
	ctx, stop := context.WithCancel(context.Background())
	var clients sync.WaitGroup
	for i := range 8 {
		clients.Go(func() { r.work(ctx, r.url(i%2), int64(i+1)<<32) })
	}
	began, counts := time.Now(), map[string]int{}
	for i, c := range crashes(n, rand.New(rand.NewPCG(seed, 0))) {
		r.goOn(fmt.Sprintf("crash %d", i))
		if t.Failed() {
			break
		}
		r.through(c)
		counts[c.message+", "+c.fault]++
	}
	r.goOn("the end")
	stop()
	clients.Wait()
	r.eventually("nothing is prepared any more", func() bool { return r.prepared() == 0 })
	r.audit()
	t.Logf("%d crashes in %s: %v", n, time.Since(began).Round(time.Second), counts)
}

// through goes through one crash.
func (r *crashRig) through(c crash) {
	r.t.Helper()
	r.mu.Lock()
	r.armed = &c
	r.mu.Unlock()
	select {
	case back := <-r.happens:
		back()
	case <-time.After(time.Minute):
		r.t.Fatalf("%s: the step was not reached", c)
	}
}

// reached is called by the taps at every step. The first that is at the armed one carries out its fault.
func (r *crashRig) reached(at *tap, message string, answered bool) {
	r.mu.Lock()
	c := r.armed
	if c == nil || c.message != message || c.answered != answered {
		r.mu.Unlock()
		return
	}
	r.armed = nil
	r.mu.Unlock()
	var shards []int
	kill := false
	switch c.fault {
	case faults[0]:
		kill = true
	case faults[1]:
		shards = []int{at.shard}
	case faults[2]:
		shards = []int{1 - at.shard}
	case faults[3]:
		shards = []int{0, 1}
	case faults[4]:
		kill, shards = true, []int{at.shard}
	}
	if kill {
		_ = r.running[at.proxy].Signal(syscall.SIGKILL)
		<-r.running[at.proxy].Done()
	}
	for _, shard := range shards {
		if err := r.cluster.Shards[shard].Primary.Kill(syscall.SIGKILL); err != nil {
			r.t.Error(err)
		}
	}
	r.happens <- func() {
		for _, shard := range shards {
			if err := r.cluster.Shards[shard].Primary.Start(context.Background()); err != nil {
				r.t.Error(err)
			}
		}
		if kill {
			r.start(at.proxy)
		}
	}
	time.Sleep(c.late)
}

// goOn waits until clients have been told of commits again, by both proxies.
func (r *crashRig) goOn(when string) {
	r.t.Helper()
	want := r.acked.Load() + 10
	r.eventually(when+": clients go on", func() bool { return r.acked.Load() >= want })
}

func (r *crashRig) eventually(what string, so func() bool) {
	r.t.Helper()
	for end := time.Now().Add(90 * time.Second); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("not in time: %s", what)
		}
	}
}

func newCrashRig(t *testing.T) *crashRig {
	r := &crashRig{dir: t.TempDir(), happens: make(chan func(), 1),
		bank: &bank{t: t, cluster: pgcluster.Test(t, pgcluster.Config{Shards: 2}), journal: map[int64]heard{}}}
	for _, sh := range r.cluster.Shards {
		for _, sql := range bankSchema {
			r.owner(sh.Primary, sql)
		}
	}
	for proxy := range r.taps {
		for shard := range r.taps[proxy] {
			r.taps[proxy][shard] = newTap(t, proxy, shard, r.cluster.Shards[shard].Primary.Addr(), r.reached)
		}
		r.ports[proxy] = freeAddress(t)
		r.write(proxy)
	}
	_, errs, status := pgdrover(t, "shardmap", "init", "--config", r.config(0))
	if status != exitOK {
		t.Fatal(errs)
	}
	r.open()
	for proxy := range r.running {
		r.start(proxy)
		t.Cleanup(func() {
			_ = r.running[proxy].Signal(syscall.SIGKILL)
			<-r.running[proxy].Done()
		})
	}
	return r
}

func (r *crashRig) owner(n *pgcluster.Node, sql string) {
	r.t.Helper()
	conn, err := pgcluster.Connect(r.t.Context(), n.URL())
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Query(r.t.Context(), sql); err != nil {
		r.t.Fatalf("%s: %v", sql, err)
	}
}

// open gives five tenants of each shard an account.
func (r *crashRig) open() {
	r.t.Helper()
	file, err := shardmap.Parse("shardmap.yaml", []byte(r.shardmap(0)))
	if err != nil {
		r.t.Fatal(err)
	}
	lock, err := shardmap.ReadLock(filepath.Join(r.dir, "shardmap.lock"))
	if err != nil {
		r.t.Fatal(err)
	}
	m, err := shardmap.New(file, lock)
	if err != nil {
		r.t.Fatal(err)
	}
	for k := int64(1); len(r.tenants[0]) < 5 || len(r.tenants[1]) < 5; k++ {
		shard := m.Locate(shardmap.BigintKey(k))
		r.tenants[shard] = append(r.tenants[shard], k)
		r.owner(r.cluster.Shards[shard].Primary, fmt.Sprintf("insert into accounts values (%d, %d)", k, openingBalance))
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func (r *crashRig) config(proxy int) string {
	return filepath.Join(r.dir, fmt.Sprintf("pgdrover%d.yaml", proxy))
}

func (r *crashRig) url(proxy int) string {
	return fmt.Sprintf("postgres://app:x@%s/app?sslmode=disable&default_query_exec_mode=simple_protocol", r.ports[proxy])
}

func (r *crashRig) shardmap(proxy int) string {
	text := "database: app\ntenant: {column: tenant_id, type: bigint}\ntables: {notes: reference}\nshards:\n"
	for shard, at := range r.taps[proxy] {
		host, port, _ := net.SplitHostPort(at.listener.Addr().String())
		text += fmt.Sprintf("  - {name: s%d, primary: {host: %s, port: %s}}\n", shard+1, host, port)
	}
	return text
}

// write writes the files of a proxy. Both share the lock.
func (r *crashRig) write(proxy int) {
	name := fmt.Sprintf("shardmap%d.yaml", proxy)
	writeFile(r.t, filepath.Join(r.dir, name), r.shardmap(proxy))
	writeFile(r.t, r.config(proxy), fmt.Sprintf(`listen: %s
databases:
  app:
    shardmap: %s
    lock: shardmap.lock
    backend: {user: %s, password: %q, tls: disable}
    pool: {wait: 3s, connect_timeout: 1s}
    two_phase_commit: on
users: [{name: app, password: x}]
log: {level: warn}
`, r.ports[proxy], name, r.cluster.User, r.cluster.Password))
}

// start runs a proxy. Clients try until it answers.
func (r *crashRig) start(proxy int) {
	cmd := devProcess(r.t, "serve", "--config", r.config(proxy))
	log, err := os.OpenFile(filepath.Join(r.dir, fmt.Sprintf("proxy%d.log", proxy)), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		r.t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if r.running[proxy], err = child.Start(cmd, syscall.SIGKILL); err != nil {
		r.t.Fatal(err)
	}
}
