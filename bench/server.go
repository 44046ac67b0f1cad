package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/pgdrover/pgdrover/internal/child"
	"github.com/pgdrover/pgdrover/internal/pgcluster"
)

// startWait bounds how long a target may take until it answers.
const startWait = 30 * time.Second

// server is a target that runs. Whoever started it stops it.
type server struct {
	foundTarget
	place
	setup   setup
	process *child.Process // nil for PostgreSQL itself
}

// startServer runs a target and returns when it answers a query.
func startServer(ctx context.Context, s *stage, f foundTarget) (*server, error) {
	if f.target.setup == nil {
		return &server{foundTarget: f, place: place{port: s.alone().Port}}, nil
	}
	dir := filepath.Join(s.dir, f.name)
	port, err := pgcluster.FreePort()
	if err != nil {
		return nil, err
	}
	at := place{dir: dir, port: port, program: f.program, version: f.printed}
	v := &server{foundTarget: f, place: at, setup: f.target.setup(s, at)}
	if err := v.writeFiles(); err != nil {
		return nil, err
	}
	if err := v.launch(); err != nil {
		return nil, fmt.Errorf("start %s: %w", f.title, err)
	}
	if err := v.await(ctx); err != nil {
		v.stop()
		return nil, fmt.Errorf("start %s: %w\n%s", f.title, err, v.logEnd())
	}
	return v, nil
}

// writeFiles writes the target's files where the user it runs as reads and writes.
func (v *server) writeFiles() error {
	if err := os.MkdirAll(v.dir, 0o755); err != nil {
		return err
	}
	for name, content := range v.setup.files {
		if err := os.WriteFile(filepath.Join(v.dir, name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	who := unprivileged()
	if who == nil {
		return nil
	}
	return filepath.WalkDir(v.dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, int(who.Uid), int(who.Gid))
	})
}

// unprivileged is the user that targets run as when root runs this program, since PgBouncer refuses root; nil for no other.
func unprivileged() *syscall.Credential {
	if os.Geteuid() != 0 {
		return nil
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		return nil
	}
	uid, errUID := strconv.ParseUint(nobody.Uid, 10, 32)
	gid, errGID := strconv.ParseUint(nobody.Gid, 10, 32)
	if errUID != nil || errGID != nil {
		return nil
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// launch starts the process.
func (v *server) launch() error {
	log, err := os.Create(filepath.Join(v.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(v.place.program, v.setup.command...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = v.dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: unprivileged()}
	v.process, err = child.Start(cmd, syscall.SIGKILL)
	return err
}

// pid is the process's, 0 of PostgreSQL itself.
func (v *server) pid() int {
	if v.process == nil {
		return 0
	}
	return v.process.PID()
}

// url is the DSN of a user through the target.
func (v *server) url(login login) string {
	u := url.URL{Scheme: "postgres", User: url.User(login.user), Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(v.port)), Path: "/app"}
	if login.password != "" {
		u.User = url.UserPassword(login.user, login.password)
	}
	u.RawQuery = "sslmode=" + login.sslmode
	return u.String()
}

// await asks the target until it answers.
func (v *server) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startWait, fmt.Errorf("it did not answer within %s", startWait))
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		if last = asApp(ctx, v.url(login{user: "open", sslmode: "disable"}), "select 1"); last == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-v.process.Done():
			return errors.New("it ended while it started")
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), last)
		}
	}
}

// stop ends the process and those it has started.
func (v *server) stop() {
	if !v.running() || v.process == nil {
		return
	}
	v.process.End(child.Step{Signal: syscall.SIGINT, Within: 3 * time.Second}, child.Step{Signal: syscall.SIGTERM, Within: 3 * time.Second},
		child.Step{Signal: syscall.SIGKILL, Within: time.Minute})
	_ = syscall.Kill(-v.process.PID(), syscall.SIGKILL) // what it may have left
}

// running says whether the target can still be measured.
func (v *server) running() bool { return v.process == nil || v.process.Running() }

// logEnd is the end of what the target printed.
func (v *server) logEnd() string {
	text, err := os.ReadFile(filepath.Join(v.dir, "log"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text[max(0, len(text)-2000):]))
}

// fillThrough starts a target that routes, fills the shards through it, and stops it.
func fillThrough(ctx context.Context, s *stage, f foundTarget) error {
	v, err := startServer(ctx, s, f)
	if err != nil {
		return err
	}
	defer v.stop()
	return s.fillShards(ctx, f.shards, v.url(login{user: "open", sslmode: "disable"}))
}
