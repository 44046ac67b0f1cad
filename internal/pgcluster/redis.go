package pgcluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/pgdrover/pgdrover/internal/child"
)

// Redis is a running Redis that keeps nothing on disk. Whoever started it
// stops it.
type Redis struct {
	Addr     string // host:port
	Embedded bool   // it runs inside this program, since redis-server is not installed

	dir      string
	path     string // of redis-server
	proc     *child.Process
	keeper   *keeper
	embedded *miniredis.Miniredis
	control  control // of the compose cluster's; nil: its process is proc
}

// ErrEmbedded is what an embedded Redis answers to what needs a process.
var ErrEmbedded = errors.New("this Redis is embedded and has no process: install redis-server")

// StartRedis runs redis-server on a free loopback port, or an embedded Redis
// where it is not installed. It makes a directory of its own in dir, or in the
// system's directory for temporary files when dir is empty. In a compose
// cluster it is the Redis there, emptied.
func StartRedis(ctx context.Context, dir string) (*Redis, error) {
	if Composed() {
		return composeRedisServer(ctx)
	}
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return startEmbedded()
	}
	own, err := os.MkdirTemp(dir, "pgdrover-redis-")
	if err != nil {
		return nil, fmt.Errorf("start Redis: %w", err)
	}
	r := &Redis{dir: own, path: path}
	if r.keeper, err = startKeeper(own); err != nil {
		return nil, errors.Join(err, os.RemoveAll(own))
	}
	for range 10 {
		port, failed := FreePort()
		if failed != nil {
			err = failed
			break
		}
		if err = r.launch(ctx, port); err == nil || ctx.Err() != nil || !strings.Contains(r.log(), "Address already in use") {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start Redis: %w\n%s", err, r.log()), r.Stop())
	}
	return r, nil
}

func startEmbedded() (*Redis, error) {
	server, err := miniredis.Run()
	if err != nil {
		return nil, fmt.Errorf("start the embedded Redis: %w", err)
	}
	return &Redis{Addr: server.Addr(), Embedded: true, embedded: server}, nil
}

func (r *Redis) launch(ctx context.Context, port int) error {
	log, err := os.OpenFile(r.logPath(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(r.path, "--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--save", "", "--appendonly", "no",
		"--daemonize", "no", "--dir", r.dir, "--pidfile", filepath.Join(r.dir, "redis.pid"))
	cmd.Dir, cmd.Stdout, cmd.Stderr = r.dir, log, log
	// There is nothing to save.
	p, err := child.Start(cmd, syscall.SIGKILL)
	if err != nil {
		return err
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	if err := awaitRedis(ctx, addr, p); err != nil {
		p.End(child.Step{Signal: syscall.SIGKILL, Within: time.Second})
		return err
	}
	r.Addr, r.proc = addr, p
	return nil
}

func (r *Redis) logPath() string { return filepath.Join(r.dir, "redis.log") }

func (r *Redis) log() string {
	text, _ := os.ReadFile(r.logPath())
	return string(text)
}

// awaitRedis returns when the process answers PING.
func awaitRedis(ctx context.Context, addr string, p *child.Process) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("no answer to PING within %s", startTimeout))
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		// The process must be ours: another may listen where it could not.
		if reply, err := redisCommand(ctx, addr, "INFO", "server"); err == nil && serverPID(reply) == p.PID() {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.Done():
			return errors.New("redis-server ended while it started")
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func serverPID(report string) int {
	_, rest, _ := strings.Cut(report, "process_id:")
	line, _, _ := strings.Cut(rest, "\r\n")
	pid, _ := strconv.Atoi(line)
	return pid
}

// redisCommand sends one command and returns its simple or bulk reply.
func redisCommand(ctx context.Context, addr string, words ...string) (string, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return "", err
		}
	}
	if _, err := fmt.Fprintf(conn, "%s\r\n", strings.Join(words, " ")); err != nil {
		return "", err
	}
	reader := bufio.NewReader(conn)
	line, err := reader.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimSpace(line)
	if !strings.HasPrefix(line, "$") {
		if strings.HasPrefix(line, "-") {
			return "", errors.New(line[1:])
		}
		return line, nil
	}
	size, err := strconv.Atoi(line[1:])
	if err != nil || size < 0 || size > 1<<20 {
		return "", fmt.Errorf("unexpected reply %q", line)
	}
	bulk := make([]byte, size)
	if _, err := io.ReadFull(reader, bulk); err != nil {
		return "", err
	}
	return string(bulk), nil
}

// URL is the Redis as clients write it: redis://host:port/0.
func (r *Redis) URL() string { return "redis://" + r.Addr + "/0" }

// Pause stops the process without ending it: it keeps its connections and
// answers nothing until Resume.
func (r *Redis) Pause() error { return r.signal(syscall.SIGSTOP) }

// Resume undoes Pause.
func (r *Redis) Resume() error { return r.signal(syscall.SIGCONT) }

func (r *Redis) signal(sig syscall.Signal) error {
	if r.control != nil {
		ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
		defer cancel()
		return r.control.signal(ctx, composeRedisName, sig)
	}
	if r.proc == nil {
		return ErrEmbedded
	}
	return r.proc.Signal(sig)
}

// Kill ends Redis with all it holds. Start brings it back.
func (r *Redis) Kill() error {
	if r.embedded != nil {
		r.embedded.Close()
		return nil
	}
	if r.control != nil {
		return r.signal(syscall.SIGKILL)
	}
	if r.proc == nil {
		return ErrEmbedded
	}
	r.proc.End(child.Step{Signal: syscall.SIGKILL, Within: time.Second})
	return nil
}

// Start runs a killed Redis again on the port it had, empty.
func (r *Redis) Start(ctx context.Context) error {
	if r.embedded != nil {
		r.embedded.FlushAll()
		return r.embedded.Restart()
	}
	if r.control != nil {
		return r.startComposed(ctx)
	}
	_, text, err := net.SplitHostPort(r.Addr)
	if err != nil {
		return err
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return err
	}
	if err := r.launch(ctx, port); err != nil {
		return fmt.Errorf("start Redis: %w\n%s", err, r.log())
	}
	return nil
}

// Stop ends Redis, paused or not, and removes its directory. It may be called
// twice.
func (r *Redis) Stop() error {
	if r.embedded != nil {
		r.embedded.Close()
		return nil
	}
	if r.proc != nil {
		r.proc.End(child.Step{Signal: syscall.SIGKILL, Within: time.Second})
	}
	if r.dir == "" {
		return nil
	}
	err := os.RemoveAll(r.dir)
	r.keeper.release()
	return err
}
