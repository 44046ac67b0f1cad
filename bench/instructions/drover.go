//go:build linux && (amd64 || arm64)

package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
)

// startWait bounds how long PgDrover may take until it answers.
const startWait = 30 * time.Second

// buildDrover builds PgDrover as `make build` does, but for its symbol table, which stays.
func buildDrover(ctx context.Context, path string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildmode=exe", "-pgo=auto", "-tags", "netgo,osusergo", "-o", path, module+"cmd/pgdrover")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build PgDrover: %w\n%s", err, out)
	}
	return nil
}

// drover is a PgDrover that runs, on one event loop and before one shard. Whoever started it ends it.
type drover struct {
	*tracee
	port int
	log  string // file
}

// startDrover starts PgDrover and returns when it answers. The caller has locked its thread, see tracee.
func (s *stage) startDrover(ctx context.Context) (*drover, error) {
	dir, err := os.MkdirTemp(s.dir, "pgdrover-")
	if err != nil {
		return nil, err
	}
	d := &drover{log: filepath.Join(dir, "log")}
	if d.port, err = pgcluster.FreePort(); err != nil {
		return nil, err
	}
	if err := s.writeFiles(dir, d.port); err != nil {
		return nil, fmt.Errorf("write PgDrover's files: %w", err)
	}
	log, err := os.Create(d.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(s.program, "serve", "--config", filepath.Join(dir, "pgdrover.yaml"))
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	// No collection of garbage is under way then when the other threads are stopped, which the loop would wait for.
	cmd.Env = append(os.Environ(), "GOGC=off", "GOMEMLIMIT=off")
	if d.tracee, err = startTracee(cmd); err != nil {
		return nil, fmt.Errorf("start PgDrover: %w", err)
	}
	if err := d.await(ctx, s.cluster.Database); err != nil {
		d.end()
		return nil, fmt.Errorf("start PgDrover: %w\n%s", err, d.said())
	}
	return d, nil
}

// writeFiles writes what PgDrover runs with.
func (s *stage) writeFiles(dir string, port int) error {
	node := s.cluster.Shards[0].Primary
	config := fmt.Sprintf(`listen: 127.0.0.1:%d
loops: 1
databases:
  %s:
    shardmap: shardmap.yaml
    backend: {user: %s, password: %s, tls: disable}
    pool: {mode: transaction, size: 20}
auth: {rules: [{method: trust}]}
users: [{name: %[3]s}]
log: {level: warn}
`, port, s.cluster.Database, s.cluster.User, s.cluster.Password)
	shardmap := fmt.Sprintf("database: %s\ntenant: {column: tenant_id, type: bigint}\nshards:\n  - {name: s1, primary: {host: %s, port: %d}}\n",
		s.cluster.Database, node.Host, node.Port)
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "pgdrover.yaml"), []byte(config), 0o600),
		os.WriteFile(filepath.Join(dir, "shardmap.yaml"), []byte(shardmap), 0o600))
}

// await asks PgDrover until it answers.
func (d *drover) await(ctx context.Context, database string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startWait, fmt.Errorf("it did not answer within %s", startWait))
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	address := url.URL{Scheme: "postgres", User: url.User("app"), Host: "127.0.0.1:" + strconv.Itoa(d.port), Path: database, RawQuery: "sslmode=disable"}
	for {
		conn, err := pgcluster.Connect(ctx, address.String())
		if err == nil {
			_, err = conn.Query(ctx, "select 1")
			conn.Close()
		}
		if err == nil {
			return nil
		}
		if d.hasEnded() {
			return errors.New("it ended while it started")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// said is the end of what PgDrover printed.
func (d *drover) said() string {
	text, err := os.ReadFile(d.log)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text[max(0, len(text)-2000):]))
}

// clients are the descriptors of the connections that were accepted and are open.
func (d *drover) clients() ([]uint64, error) {
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", d.pid()))
	if err != nil {
		return nil, fmt.Errorf("list PgDrover's connections: %w", err)
	}
	inodes := acceptedAt(string(table), d.port)
	names, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/[0-9]*", d.pid()))
	if err != nil {
		return nil, err
	}
	var descriptors []uint64
	for _, name := range names {
		target, err := os.Readlink(name)
		if err != nil {
			continue // it has been closed
		}
		inode, isSocket := strings.CutPrefix(target, "socket:[")
		descriptor, err := strconv.ParseUint(filepath.Base(name), 10, 64)
		if isSocket && err == nil && inodes[strings.TrimSuffix(inode, "]")] {
			descriptors = append(descriptors, descriptor)
		}
	}
	return descriptors, nil
}

// acceptedAt has the inodes of the connections in a table of /proc/PID/net/tcp (proc_net_tcp(5)) whose local end is a port.
func acceptedAt(table string, port int) map[string]bool {
	const established = "01"
	inodes := map[string]bool{}
	for line := range strings.Lines(table) {
		// sl, local_address, rem_address, st, tx_queue:rx_queue, tr:tm->when, retrnsmt, uid, timeout, inode
		fields := strings.Fields(line)
		if len(fields) >= 10 && strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", port)) && fields[3] == established {
			inodes[fields[9]] = true
		}
	}
	return inodes
}

// hasEnded reports whether the process has ended by itself; end may still be called.
func (d *drover) hasEnded() bool {
	var state unix.Siginfo
	err := unix.Waitid(unix.P_PID, d.pid(), &state, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	return err != nil || state.Signo != 0
}
