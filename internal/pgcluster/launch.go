package pgcluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/pgdrover/pgdrover/internal/child"
)

// startTimeout bounds the start of one server, which takes a fraction of a
// second on a machine that is not overloaded.
const startTimeout = 60 * time.Second

// launch runs the server on port, or on any free one if port is 0, and returns
// when it accepts connections.
func (n *Node) launch(ctx context.Context, port int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout,
		fmt.Errorf("%s did not accept connections within %s", n.name, startTimeout))
	defer cancel()
	var err error
	for range 10 {
		n.Port = port
		if port == 0 {
			if n.Port, err = FreePort(); err != nil {
				return err
			}
		}
		if err = n.launchOnce(ctx); err == nil {
			return nil
		}
		if port != 0 || !portTaken(n.Log(4096)) || ctx.Err() != nil {
			break
		}
	}
	return fmt.Errorf("start %s: %w\n%s", n.name, err, n.Log(4096))
}

// portTaken recognises the last words of a server that lost the race for its port.
func portTaken(log string) bool {
	return strings.Contains(log, "Address already in use") && strings.Contains(log, "could not create any TCP/IP sockets")
}

func (n *Node) launchOnce(ctx context.Context) error {
	log, err := os.OpenFile(n.logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := n.account.command(n.DataDir, n.bin.path("postgres"), "-D", n.DataDir,
		"-c", "port="+strconv.Itoa(n.Port), "-c", "cluster_name="+n.name)
	cmd.Stdout, cmd.Stderr = log, log
	// SIGQUIT makes a server end at once and take its shared memory with it.
	p, err := child.Start(cmd, syscall.SIGQUIT)
	if err != nil {
		return err
	}
	if err := n.awaitReady(ctx, p); err != nil {
		n.shut(ctx, p)
		return err
	}
	n.setProcess(p)
	return nil
}

var errEnded = errors.New("the server ended while it started")

// awaitReady reads the status that a server keeps in its pid file.
func (n *Node) awaitReady(ctx context.Context, p *child.Process) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		lines := pidFile(n.DataDir)
		if len(lines) > 7 && lines[0] == strconv.Itoa(p.PID()) && strings.TrimSpace(lines[7]) == "ready" {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.Done():
			return errEnded
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// pidFile is the lines of a server's postmaster.pid, documented in
// src/include/utils/pidfile.h: pid, directory, start time, port, socket
// directory, listen address, shared memory's key and id, status.
func pidFile(dataDir string) []string {
	content, err := os.ReadFile(filepath.Join(dataDir, "postmaster.pid"))
	if err != nil {
		return nil
	}
	return strings.Split(string(content), "\n")
}
