package pgcluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/internal/child"
)

// ownServers skips a test of the servers that this package starts when it starts none.
func ownServers(t *testing.T) {
	t.Helper()
	if Composed() {
		t.Skipf("%v", errTooSmall)
	}
}

// TestClustersOfOneTemplate are systems of their own, with their own settings.
func TestClustersOfOneTemplate(t *testing.T) {
	ownServers(t)
	a, b := Test(t, Config{Settings: map[string]string{"max_connections": "17"}}), Test(t, Config{})
	for _, sql := range []string{"select system_identifier from pg_control_system()", "show max_connections"} {
		if first, second := mustQuery(t, a.Shards[0].Primary, sql)[0][0], mustQuery(t, b.Shards[0].Primary, sql)[0][0]; first == second {
			t.Errorf("%s: both say %s", sql, first)
		}
	}
	template, err := testTemplate()
	if err != nil {
		t.Fatal(err)
	}
	if template.login != a.Shards[0].Primary.login || template.login != b.Shards[0].Primary.login {
		t.Error("not both are copies of the template")
	}
}

func TestCluster(t *testing.T) {
	var progress bytes.Buffer
	c := Test(t, Config{Shards: 2, Replicas: 1, TLS: true, Log: &locked{w: &progress}})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()

	t.Run("write on the primary is seen on the replica", func(t *testing.T) {
		for i, shard := range c.Shards {
			mustQuery(t, shard.Primary, "create table if not exists t (i int); insert into t values ("+string(rune('1'+i))+")")
		}
		if err := c.WaitReplicas(ctx); err != nil {
			t.Fatal(err)
		}
		for i, shard := range c.Shards {
			got := mustQuery(t, shard.Replicas[0], "select i, pg_is_in_recovery() from t")
			if want := []string{string(rune('1' + i)), "t"}; len(got) != 1 || !slices.Equal(got[0], want) {
				t.Errorf("replica of %s: got %v, want %v", shard.Name, got, want)
			}
		}
	})

	t.Run("shards are systems of their own and replicas are not", func(t *testing.T) {
		const sql = "select system_identifier from pg_control_system()"
		first, second := mustQuery(t, c.Shards[0].Primary, sql)[0][0], mustQuery(t, c.Shards[1].Primary, sql)[0][0]
		if first == second {
			t.Errorf("both shards have system identifier %s", first)
		}
		if replica := mustQuery(t, c.Shards[0].Replicas[0], sql)[0][0]; replica != first {
			t.Errorf("replica has system identifier %s, its primary %s", replica, first)
		}
	})

	t.Run("nodes take TLS with the certificate given, and plaintext", func(t *testing.T) {
		for suffix, want := range map[string]string{"?sslmode=verify-full&sslrootcert=" + c.CAFile: "t", "?sslmode=disable": "f"} {
			conn, err := Connect(ctx, c.Shards[0].Replicas[0].URL()+suffix)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			rows, err := conn.Query(ctx, "select ssl from pg_stat_ssl where pid = pg_backend_pid()")
			if err != nil || rows[0][0] != want {
				t.Errorf("%s: ssl is %v (%v), want %s", suffix, rows, err, want)
			}
		}
	})

	t.Run("the application's user owns its database and is no superuser", func(t *testing.T) {
		got := mustQuery(t, c.Shards[1].Primary, `select r.rolsuper, d.datname, pg_encoding_to_char(d.encoding)
			from pg_database d join pg_roles r on r.oid = d.datdba where d.datname = current_database() and r.rolname = 'app'`)
		if want := []string{"f", "app", "UTF8"}; len(got) != 1 || !slices.Equal(got[0], want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})

	t.Run("a paused replica shows nothing new", func(t *testing.T) {
		primary, replica := c.Shards[0].Primary, c.Shards[0].Replicas[0]
		if err := replica.PauseReplay(ctx); err != nil {
			t.Fatal(err)
		}
		mustQuery(t, primary, "create table paused ()")
		const sql = "select to_regclass('paused') is null"
		if got := mustQuery(t, replica, sql)[0][0]; got != "t" {
			t.Error("the paused replica shows a table made after the pause")
		}
		if err := replica.ResumeReplay(ctx); err != nil {
			t.Fatal(err)
		}
		if err := c.WaitReplicas(ctx); err != nil {
			t.Fatal(err)
		}
		if got := mustQuery(t, replica, sql)[0][0]; got != "f" {
			t.Error("the resumed replica does not show the table")
		}
	})

	t.Run("a paused node hangs", func(t *testing.T) {
		node := c.Shards[1].Primary
		conn, err := Connect(ctx, node.URL())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := node.Pause(); err != nil {
			t.Fatal(err)
		}
		answered := make(chan error, 1)
		go func() {
			_, err := conn.Query(ctx, "select 1")
			answered <- err
		}()
		select {
		case err := <-answered:
			t.Errorf("a paused node answered (%v)", err)
			answered <- err
		case <-time.After(200 * time.Millisecond):
		}
		if err := node.Resume(); err != nil {
			t.Fatal(err)
		}
		if err := <-answered; err != nil {
			t.Error(err)
		}
	})

	t.Run("a killed replica comes back on its port", func(t *testing.T) {
		replica := c.Shards[1].Replicas[0]
		addr := replica.Addr()
		pids := append(child.Children(replica.PID()), replica.PID())
		if err := replica.Kill(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		for _, pid := range pids {
			awaitGone(t, fmt.Sprint("process ", pid), processGone(pid))
		}
		if err := replica.Kill(syscall.SIGTERM); !errors.Is(err, ErrNotRunning) {
			t.Errorf("signal to a dead node: got %v, want ErrNotRunning", err)
		}
		if err := replica.Start(ctx); err != nil {
			t.Fatal(err)
		}
		if replica.Addr() != addr {
			t.Errorf("came back on %s, was on %s", replica.Addr(), addr)
		}
		if err := c.WaitReplicas(ctx); err != nil {
			t.Fatal(err)
		}
	})

	t.Run("restart", func(t *testing.T) {
		primary := c.Shards[0].Primary
		before := primary.PID()
		if err := primary.Restart(ctx); err != nil {
			t.Fatal(err)
		}
		if primary.PID() == before {
			t.Errorf("still process %d", before)
		}
		if err := primary.awaitStreaming(ctx, 1); err != nil {
			t.Error(err)
		}
	})

	t.Run("no secret in the logs", func(t *testing.T) {
		text := progress.String() + c.Logs(1<<20)
		for _, secret := range []string{c.Password, c.Shards[0].Primary.login.superPassword} {
			if strings.Contains(text, secret) {
				t.Errorf("the logs hold the password %q", secret)
			}
		}
	})
}

func TestStopLeavesNothing(t *testing.T) {
	ownServers(t)
	c := Test(t, Config{Shards: 1, Replicas: 1})
	var pids []int
	for _, node := range c.Nodes() {
		pids = append(append(pids, node.PID()), child.Children(node.PID())...)
	}
	pids = append(pids, c.keeper.proc.PID())
	// A node that is dead or asleep must not keep the others from ending.
	if err := c.Shards[0].Replicas[0].Kill(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := c.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		awaitGone(t, fmt.Sprint("process ", pid), processGone(pid))
	}
	if _, err := os.Stat(c.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there (%v)", c.Dir, err)
	}
	if err := c.Stop(t.Context()); err != nil {
		t.Errorf("second Stop: %v", err)
	}
}

func TestStartFailsClean(t *testing.T) {
	ownServers(t)
	for name, test := range map[string]struct {
		config Config
		cancel time.Duration
		want   string
	}{
		"a setting that no server takes": {Config{Settings: map[string]string{"max_connections": "many"}}, 0, "max_connections"},
		"a primary that cannot start":    {Config{Replicas: 1, Settings: map[string]string{"shared_preload_libraries": "no_such"}}, 0, "no_such"},
		"a cancelled start":              {Config{Shards: 2, Replicas: 1}, 700 * time.Millisecond, "context deadline exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := FindBinaries(t.Context()); err != nil {
				t.Skip(err)
			}
			ctx := t.Context()
			if test.cancel > 0 {
				var cancel func()
				ctx, cancel = context.WithTimeout(ctx, test.cancel)
				defer cancel()
			}
			test.config.Dir = openDir(t)
			c, err := Start(ctx, test.config)
			if err == nil {
				_ = c.Stop(context.Background())
				t.Fatal("it started")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %q, want it to name %q", err, test.want)
			}
			left, err := os.ReadDir(test.config.Dir)
			if err != nil || len(left) > 0 {
				t.Errorf("left behind: %v (%v)", left, err)
			}
		})
	}
}

func TestPortTaken(t *testing.T) {
	ownServers(t)
	c := Test(t, Config{})
	node := c.Shards[0].Primary
	if err := node.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", node.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if err := node.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "Address already in use") {
		t.Errorf("start on a taken port: got %v", err)
	}
	if !portTaken(node.Log(4096)) {
		t.Errorf("not recognised as a taken port:\n%s", node.Log(4096))
	}
	// With the choice left to it the node takes another port.
	if err := node.launch(t.Context(), 0); err != nil {
		t.Error(err)
	}
}

func mustQuery(t *testing.T, node *Node, sql string) [][]string {
	t.Helper()
	rows, err := node.Query(t.Context(), sql)
	if err != nil {
		t.Fatalf("%s: %v", node.Name(), err)
	}
	return rows
}
