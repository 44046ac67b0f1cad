//go:build linux && (amd64 || arm64)

package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/pgdrover/pgdrover/internal/child"
)

// load is a pgbench whose clients ask for one account each time. Whoever started it ends it.
type load struct {
	process *child.Process
	printed *os.File // our end of the pipe that it prints to
}

// startLoad starts pgbench and returns when its clients have asked for a second: pools are full by then, and statements prepared.
func (s *stage) startLoad(port int, protocol string) (*load, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer write.Close()
	how := "--protocol=" + protocol
	if protocol == connect {
		how = "--connect"
	}
	cmd := exec.Command(s.pgbench, "-n", "-S", "-h", "127.0.0.1", "-p", strconv.Itoa(port), "-U", s.cluster.User, how,
		"-c", strconv.Itoa(s.options.clients), "-j", "1", "-T", "3600", "-P", "1", s.cluster.Database)
	cmd.Env = append(os.Environ(), "PGSSLMODE=disable", "PGGSSENCMODE=disable", "PGOPTIONS=", "PGAPPNAME=pgbench")
	cmd.Stderr = write
	l := &load{printed: read}
	if l.process, err = child.Start(cmd, syscall.SIGKILL); err != nil {
		return nil, fmt.Errorf("start pgbench: %w", err)
	}
	write.Close() // pgbench alone has it now: its end is the end of what we read
	if said, ok := l.awaitProgress(); !ok {
		l.end()
		return nil, fmt.Errorf("pgbench ended: %s", said)
	}
	return l, nil
}

// awaitProgress reads what pgbench prints until its first report of progress. Without one it returns all that was printed.
func (l *load) awaitProgress() (said string, ok bool) {
	var all []string
	lines := bufio.NewScanner(l.printed)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "progress: ") {
			return "", true
		}
		all = append(all, lines.Text())
	}
	return strings.Join(all, "\n"), false
}

func (l *load) end() {
	l.process.End(child.Step{Signal: syscall.SIGKILL, Within: time.Minute})
	l.printed.Close()
}
