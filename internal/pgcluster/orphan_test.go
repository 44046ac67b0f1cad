package pgcluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/internal/child"
)

// orphanVariable makes the test program start a cluster, say where, and wait
// to be killed.
const orphanVariable = "PGCLUSTER_TEST_ORPHAN"

func TestMain(m *testing.M) {
	if os.Getenv(orphanVariable) != "" {
		becomeOrphanMaker()
	}
	os.Exit(m.Run())
}

func becomeOrphanMaker() {
	ctx := context.Background()
	c, err := Start(ctx, Config{Dir: os.Getenv(orphanVariable), Shards: 1, Replicas: 1})
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
	redis, err := StartRedis(ctx, c.Dir)
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
	template, err := testTemplate()
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
	fmt.Println("dir", filepath.Dir(filepath.Dir(template.dir)))
	fmt.Println("dir", c.Dir)
	fmt.Println("dir", redis.dir)
	pids := []int{c.keeper.proc.PID()}
	for _, node := range c.Nodes() {
		pids = append(append(pids, node.PID()), child.Children(node.PID())...)
	}
	if redis.proc != nil {
		pids = append(pids, redis.proc.PID(), redis.keeper.proc.PID())
	}
	for _, pid := range pids {
		fmt.Println("pid", pid)
	}
	fmt.Println("ready")
	select {}
}

func TestKilledProgramLeavesNothing(t *testing.T) {
	ownServers(t)
	if _, err := FindBinaries(t.Context()); err != nil {
		t.Skip(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), orphanVariable+"="+openDir(t))
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait() // it was killed
	defer cmd.Process.Kill()
	var pids []int
	var dirs []string
	lines := bufio.NewScanner(stdout)
	for lines.Scan() && lines.Text() != "ready" {
		var pid int
		if _, err := fmt.Sscanf(lines.Text(), "pid %d", &pid); err == nil {
			pids = append(pids, pid)
			continue
		}
		dir, ok := strings.CutPrefix(lines.Text(), "dir ")
		if !ok {
			t.Fatal(lines.Text())
		}
		dirs = append(dirs, dir)
	}
	if len(pids) < 5 || len(dirs) != 3 {
		t.Fatalf("got processes %v in %v", pids, dirs)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		awaitGone(t, fmt.Sprint("process ", pid), processGone(pid))
	}
	for _, dir := range dirs {
		awaitGone(t, "directory "+dir, func() bool {
			_, err := os.Stat(dir)
			return dir != "" && errors.Is(err, os.ErrNotExist)
		})
	}
}

func processGone(pid int) func() bool {
	return func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) || zombie(pid) }
}

// awaitGone fails the test if what is still there after 20 seconds.
func awaitGone(t *testing.T, what string, gone func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !gone() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Errorf("%s is still there", what)
			return
		}
	}
}

// zombie says whether the process has ended and nobody asked for its status,
// as happens to orphans where process 1 is no init.
func zombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(rest, "Z")
}

// openDir is a directory of the test's that the servers' account can reach.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgcluster-test-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// locked is a writer that many goroutines may use.
type locked struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
