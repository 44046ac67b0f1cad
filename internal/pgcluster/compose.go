package pgcluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// composeVariable, when it is "compose", makes Start use the nodes of
// deploy/compose.yaml.
const composeVariable = "PGDROVER_TEST_CLUSTER"

// What deploy/compose.yaml starts and publishes on 127.0.0.1.
const (
	composeShards    = 2
	composeReplicas  = 1
	composePort      = 15400 // + 10*shard + replica
	composeRedis     = "127.0.0.1:16379"
	composeRedisName = "redis"
	composePassword  = "postgres" // of the superuser, unless POSTGRES_PASSWORD says otherwise
)

// errTooSmall is what the compose cluster answers to whoever wants more of it.
var errTooSmall = errors.New("the compose cluster is what it is")

// composeLock is the file, in the directory for temporary files, that one user
// of the compose cluster has locked at a time, since each begins with an empty
// database.
const composeLock = "pgdrover-compose.lock"

// startCompose waits its turn, then hands out the running compose cluster with
// an empty database that config.User owns.
func startCompose(ctx context.Context, config Config) (*Cluster, error) {
	if config.Shards > composeShards || config.Replicas > composeReplicas {
		return nil, fmt.Errorf("%w: %d shards with %d replica each, %d with %d were asked for",
			errTooSmall, composeShards, composeReplicas, config.Shards, config.Replicas)
	}
	if config.TLS || len(config.Settings) > 0 {
		return nil, fmt.Errorf("%w: other server settings were asked for", errTooSmall)
	}
	password := os.Getenv("POSTGRES_PASSWORD")
	if password == "" {
		password = composePassword
	}
	access := login{config.Database, config.User, config.Password, password}
	c := &Cluster{Database: config.Database, User: config.User, Password: config.Password}
	for i := range config.Shards {
		shard := Shard{Name: fmt.Sprintf("s%d", i+1), Primary: composeNode(access, i+1, 0)}
		for j := range config.Replicas {
			shard.Replicas = append(shard.Replicas, composeNode(access, i+1, j+1))
		}
		c.Shards = append(c.Shards, shard)
	}
	turn, err := c.takeTurn(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(config.Dir, "pgdrover-")
	if err == nil {
		c.Dir = dir
		err = c.resetCompose(ctx)
	}
	c.release = func() {
		turn.Close()
		_ = os.RemoveAll(c.Dir)
	}
	if err != nil {
		c.release()
		return nil, err
	}
	return c, nil
}

func composeNode(access login, shard, replica int) *Node {
	return &Node{
		Shard: shard, Replica: replica, Host: "127.0.0.1", Port: composePort + 10*shard + replica,
		name: nodeName(shard, replica), login: access, control: composeControl{},
	}
}

// takeTurn waits until no other process, and nobody else in this one, uses the
// compose cluster, and notes the server's version. Closing the file gives the
// turn to the next. A lock on a server would end when a test stops that server.
func (c *Cluster) takeTurn(ctx context.Context) (*os.File, error) {
	turn, err := os.OpenFile(filepath.Join(os.TempDir(), composeLock), os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return nil, fmt.Errorf("wait for the compose cluster: %w", err)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for syscall.Flock(int(turn.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("wait for the compose cluster: %w", ctx.Err()), turn.Close())
		}
	}
	if err := c.readVersion(ctx); err != nil {
		return nil, errors.Join(err, turn.Close())
	}
	return turn, nil
}

// readVersion asks the first shard.
func (c *Cluster) readVersion(ctx context.Context) error {
	access := c.Shards[0].Primary.login
	access.database = superuser
	rows, err := composeNode(access, 1, 0).Query(ctx, "show server_version")
	if err != nil {
		return fmt.Errorf("%s=compose: start it first with `docker compose -f deploy/compose.yaml up --wait s1-replica-1 s2-replica-1 redis`: %w", composeVariable, err)
	}
	c.Version = rows[0][0]
	return nil
}

// resetCompose drops and creates the database on every shard, and sets the
// user's password.
func (c *Cluster) resetCompose(ctx context.Context) error {
	for _, shard := range c.Shards {
		access := shard.Primary.login
		access.database = superuser
		node := composeNode(access, shard.Primary.Shard, 0)
		user, database := quoteIdent(c.User), quoteIdent(c.Database)
		for _, sql := range []string{
			fmt.Sprintf(`do $$ begin if not exists (select from pg_roles where rolname = %s) then create role %s login; end if; end $$`, quoteLiteral(c.User), user),
			fmt.Sprintf("alter role %s password %s", user, quoteLiteral(c.Password)),
			fmt.Sprintf("drop database if exists %s with (force)", database),
			fmt.Sprintf("create database %s owner %s", database, user),
		} {
			if _, err := node.Query(ctx, sql); err != nil {
				return fmt.Errorf("empty the compose cluster: %w", err)
			}
		}
	}
	return c.WaitReplicas(ctx)
}

// composeControl drives the servers through the docker client.
type composeControl struct{}

func (composeControl) signal(ctx context.Context, node string, sig syscall.Signal) error {
	switch sig {
	case syscall.SIGSTOP: // of every process in the container, where a signal reaches the first
		return compose(ctx, "pause", node)
	case syscall.SIGCONT:
		return compose(ctx, "unpause", node)
	default:
		return compose(ctx, "kill", "--signal", fmt.Sprint(int(sig)), node)
	}
}

func (composeControl) start(ctx context.Context, node string) error {
	return compose(ctx, "start", node)
}

func (composeControl) stop(ctx context.Context, node string) error { return compose(ctx, "stop", node) }

func compose(ctx context.Context, args ...string) error {
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	file := filepath.Join("deploy", "compose.yaml")
	for {
		if _, err := os.Stat(filepath.Join(dir, file)); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			return fmt.Errorf("found no %s in the working directory or above", file)
		}
		dir = filepath.Dir(dir)
	}
	cmd := exec.CommandContext(ctx, "docker", append([]string{"compose", "-f", filepath.Join(dir, file)}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("docker compose %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// composeRedisServer is the compose cluster's Redis, emptied. A test that
// failed may have left it paused or ended.
func composeRedisServer(ctx context.Context) (*Redis, error) {
	r := &Redis{Addr: composeRedis, control: composeControl{}}
	if err := r.empty(ctx, time.Second); err == nil {
		return r, nil
	}
	if err := r.control.signal(ctx, composeRedisName, syscall.SIGCONT); err != nil && ctx.Err() != nil {
		return nil, err
	}
	return r, r.startComposed(ctx)
}

// startComposed starts the compose cluster's Redis, empty.
func (r *Redis) startComposed(ctx context.Context) error {
	if err := r.control.start(ctx, composeRedisName); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := r.empty(ctx, time.Second)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("empty the compose cluster's Redis: %w", err)
		}
	}
}

func (r *Redis) empty(ctx context.Context, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	_, err := redisCommand(ctx, r.Addr, "FLUSHALL")
	return err
}
