package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
)

// longest is how many seconds pgbench runs unless it is told to end before, which SIGALRM does: it is the clock of its option -T.
const longest = "600"

// pgbench is PostgreSQL's load generator.
type pgbench struct {
	program string
	version string
}

// findPgbench finds the one that goes with the servers.
func findPgbench(ctx context.Context) (pgbench, error) {
	bin, err := pgcluster.FindBinaries(ctx)
	if err != nil {
		return pgbench{}, err
	}
	program, err := bin.Pgbench()
	if err != nil {
		return pgbench{}, err
	}
	return pgbench{program: program, version: printedVersion(ctx, program, []string{"--version"})}, nil
}

// arguments are pgbench's for a trial.
func (p pgbench) arguments(s *stage, v *server, t trial, files string, rate float64) []string {
	threads := min(t.clients, max(t.threads, 2))
	protocol := t.protocol
	if protocol == "" {
		protocol = simple
	}
	args := []string{
		"-n", "-h", "127.0.0.1", "-p", strconv.Itoa(v.port), "-U", s.login(t).user, "-M", protocol, "-c", strconv.Itoa(t.clients),
		"-T", longest, "-P", "1", "-f", files + ".sql", "-l", "--log-prefix=" + files + ".log",
		"-D", "tenants=" + strconv.Itoa(s.tenants), "-D", "rows=" + strconv.Itoa(rowsOfTenant),
	}
	if t.connect {
		args = append(args, "-C")
	}
	if rate > 0 {
		args = append(args, "-R", strconv.FormatFloat(rate, 'f', 0, 64))
	}
	return append(args, "-j", strconv.Itoa(threads), s.cluster.Database)
}

// measureWith measures a target for some seconds with pgbench, which runs for a second before: connections are made then, pools
// filled, and statements prepared. The load goes on until the window is closed, however long the machine takes to. A rate above 0 bounds the transactions begun in a second.
func (p pgbench) measureWith(ctx context.Context, s *stage, v *server, t trial, seconds int, rate float64) (sample, error) {
	dir, err := os.MkdirTemp(s.dir, "pgbench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	files := filepath.Join(dir, "load")
	if err := os.WriteFile(files+".sql", []byte(t.script), 0o600); err != nil {
		return nil, err
	}
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, p.program, p.arguments(s, v, t, files, rate)...)
	login := s.login(t)
	cmd.Env = append(os.Environ(), "PGPASSWORD="+login.password, "PGSSLMODE="+login.sslmode, "PGGSSENCMODE=disable", "PGOPTIONS=", "PGAPPNAME=pgbench")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	printed, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	began := awaitProgress(io.TeeReader(printed, &said))
	if !began {
		return nil, fmt.Errorf("pgbench: %s", firstComplaint(said.String(), cmd.Wait()))
	}
	w, used, errWindow := measureWindow(ctx, s, v, time.Duration(seconds)*time.Second)
	_ = cmd.Process.Signal(syscall.SIGALRM)
	_, errRead := io.Copy(&said, printed)
	if err := errors.Join(cmd.Wait(), errWindow, errRead); err != nil {
		return nil, fmt.Errorf("pgbench: %s", firstComplaint(said.String(), err))
	}
	millis, err := readLogs(files+".log", w)
	if err != nil {
		return nil, err
	}
	return newSample(t, millis, w, used)
}

// awaitProgress reads what pgbench prints until its first report of progress, a second after its clients have connected, and says
// whether there was one.
func awaitProgress(printed io.Reader) bool {
	lines := bufio.NewScanner(printed)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "progress: ") {
			return true
		}
	}
	return false
}

// firstComplaint is the first line of what pgbench printed that is neither progress nor its greeting.
func firstComplaint(said string, err error) string {
	for line := range strings.Lines(said) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "progress: ") && !strings.HasPrefix(line, "pgbench (") {
			return strings.TrimPrefix(line, "pgbench: error: ")
		}
	}
	if err != nil {
		return err.Error()
	}
	return "it printed nothing"
}

// newSample makes a sample of the latencies of the transactions in a window.
func newSample(t trial, millis []float64, w window, used cpuUse) (sample, error) {
	if len(millis) == 0 {
		return nil, errors.New("no transaction ended in time")
	}
	count := float64(len(millis))
	s := sample{tps: count / w.seconds(), serverCPU: used.server.Seconds() * 1000 / count}
	if used.proxy > 0 {
		s[proxyCPU] = used.proxy.Seconds() * 1000 / count
	}
	s[bothCPU] = s[serverCPU] + s[proxyCPU]
	s.latencies(millis)
	if t.bytes > 0 {
		s.bulk(count*float64(t.bytes), w.seconds(), used)
	}
	return s, nil
}

// bulk puts what is asked of loads that move much data into s.
func (s sample) bulk(bytes, seconds float64, used cpuUse) {
	s[megabytes] = bytes / 1e6 / seconds
	s[serverPerGB] = used.server.Seconds() / (bytes / 1e9)
	if used.proxy > 0 {
		s[proxyPerGB] = used.proxy.Seconds() / (bytes / 1e9)
	}
}
