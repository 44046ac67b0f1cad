package pool

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
	"github.com/pgdrover/pgdrover/shardmap"
)

// role makes a role on a node and returns the keys of its password.
func role(t testing.TB, node *pgcluster.Node, name, password string) Keys {
	t.Helper()
	ask := func(sql string) string {
		rows, err := node.Query(t.Context(), sql)
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		if len(rows) == 0 {
			return ""
		}
		return rows[0][0]
	}
	ask(fmt.Sprintf("do $$ begin create role %s login; exception when duplicate_object then null; end $$", name))
	ask(fmt.Sprintf("alter role %s password '%s'", name, password))
	verifier := ask(fmt.Sprintf("select rolpassword from pg_authid where rolname = '%s'", name))
	parts := strings.FieldsFunc(verifier, func(r rune) bool { return r == '$' || r == ':' })
	iterations, err := strconv.Atoi(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	salt, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil {
		t.Fatal(err)
	}
	return keysOf(t, password, string(salt), iterations)
}

// loginOf is a login that ends with the test.
func loginOf(t testing.TB, c *Cluster, user string, keys Keys) *Login {
	t.Helper()
	l, err := c.Login(user, keys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Leave)
	return l
}

// poolOf is the pool of a user on a cluster's only primary.
func poolOf(t testing.TB, c *Cluster, user string) NodeStats {
	t.Helper()
	for _, s := range c.Stats() {
		if s.Own && s.User == user && s.Role == Primary {
			return s
		}
	}
	return NodeStats{}
}

func TestLogins(t *testing.T) {
	servers, cfg, shard := realWith(t, pgcluster.Config{Replicas: 1, TLS: true})
	node := servers.Shards[0].Primary
	keys := role(t, node, "una", "una's"[:3])
	t.Run("as the user", func(t *testing.T) { testLoginAsUser(t, cfg, shard, node, keys) })
	t.Run("refused", func(t *testing.T) { testLoginRefused(t, cfg, shard, node) })
	t.Run("no room on the node", func(t *testing.T) { testLoginRoom(t, cfg, shard, node, keys) })
	t.Run("the node restarts", func(t *testing.T) { testLoginRestart(t, cfg, shard, node, keys) })
}

func testLoginAsUser(t *testing.T, cfg Config, shard shardmap.Shard, node *pgcluster.Node, keys Keys) {
	noLeaks(t)
	for _, mode := range []TLSMode{TLSOff, TLSRequire} {
		cfg.TLS, cfg.Params = mode, map[string]string{"work_mem": "123kB"}
		c := open(t, cfg)
		c.forgive = 50 * time.Millisecond
		top := c.Apply(mapOf(t, shard))
		l, second := loginOf(t, c, "una", keys), loginOf(t, c, "una", keys)
		if l != second {
			t.Fatal("two sessions of a user have two logins")
		}
		own := l.Topology(top)
		if own != l.Topology(top) || !own.Primary(0).Same(top.Primary(0)) || own.Primary(0) == top.Primary(0) {
			t.Fatal("the view of a topology is not what it is")
		}
		b := mustAcquire(t, own, Primary)
		for sql, want := range map[string]string{
			"select current_user || session_user": "unauna", "show work_mem": "123kB", "show application_name": "",
			"select ssl from pg_stat_ssl where pid = pg_backend_pid()": map[TLSMode]string{TLSOff: "f", TLSRequire: "t"}[mode],
			"select pg_backend_pid()":                                  fmt.Sprint(b.PID),
		} {
			if got, code, err := query(b, sql); got != want || code != "" || err != nil {
				t.Errorf("%s: %q, %q, %v; want %q", sql, got, code, err, want)
			}
		}
		third := mustAcquire(t, top, Primary) // the cluster's own pool is another
		if got, _, _ := query(third, "select current_user"); got != cfg.User {
			t.Errorf("the cluster's own user is %q", got)
		}
		third.Release()
		await(t, "a replica has the role", func() bool { // it refuses the login until then, and is asked again
			r, err := newSeeker().acquire(own, Replica)
			if err != nil {
				return false
			}
			defer r.Release()
			got, _, _ := query(r, "select current_user || pg_is_in_recovery()")
			return got == "unatrue"
		})
		s := poolOf(t, c, "una")
		if s.Busy < 1 || s.Counts.Dials < 1 || s.Addr != node.Addr() {
			t.Errorf("%+v", s)
		}
		b.Destroy("done")
	}
}

// testLoginRefused changes the password between logins.
func testLoginRefused(t *testing.T, cfg Config, shard shardmap.Shard, node *pgcluster.Node) {
	noLeaks(t)
	shard.Replicas = nil
	c := open(t, cfg)
	top := c.Apply(mapOf(t, shard))
	old := role(t, node, "vera", "first")
	l := loginOf(t, c, "vera", old)
	own := l.Topology(top)
	held, idle := mustAcquire(t, own, Primary), mustAcquire(t, own, Primary)
	idle.Release()
	fresh := role(t, node, "vera", "second")
	more := []*Backend{mustAcquire(t, own, Primary)} // the idle one
	_, err := newSeeker().acquire(own, Primary)
	if err == nil {
		t.Fatal("logged in with the old password")
	}
	wait := make(chan error, 1)
	go func() { _, err := newSeeker().acquire(own, Primary); wait <- err }()
	more[0].Release()
	held.Release()
	await(t, "the backends of the user are closed", func() bool {
		s := poolOf(t, c, "vera")
		return s.Idle+s.Busy == 0 && s.Counts.Destroyed[reasonRefused] == 2
	})
	if err := <-wait; err == nil {
		t.Fatal("a backend of the old login was given out")
	}
	_, err = newSeeker().acquire(own, Primary)
	wantCode(t, err, "28P01", "vera@", "scram-sha-256")
	loginOf(t, c, "vera", fresh) // any session's login mends all of them
	mustAcquire(t, own, Primary).Release()
	stranger := loginOf(t, c, "nobody_of_that_name", fresh).Topology(top)
	_, err = newSeeker().acquire(stranger, Primary)
	wantCode(t, err, "28P01")
	mustAcquire(t, l.Topology(top), Primary).Release() // one user's trouble is not another's
}

// testLoginRoom has a node that takes a few connections of a database only.
func testLoginRoom(t *testing.T, cfg Config, shard shardmap.Shard, node *pgcluster.Node, keys Keys) {
	shard.Replicas = nil
	c := open(t, cfg)
	top := c.Apply(mapOf(t, shard))
	awaitProbed(t, c)
	other := role(t, node, "wim", "wim")
	una, wim := loginOf(t, c, "una", keys).Topology(top), loginOf(t, c, "wim", other).Topology(top)
	limit := func(n int) {
		t.Helper()
		if _, err := node.Query(t.Context(), fmt.Sprintf("alter role wim connection limit %d", n)); err != nil {
			t.Fatal(err)
		}
	}
	mustAcquire(t, una, Primary).Release()
	limit(0)
	s := queued(t, wim, Primary)
	await(t, "una's idle backend has made room", func() bool { return poolOf(t, c, "una").Counts.Destroyed[reasonRoom] == 1 })
	limit(-1)
	b, err := s.wait()
	if err != nil {
		t.Fatal(err)
	}
	b.Release()
}

func testLoginRestart(t *testing.T, cfg Config, shard shardmap.Shard, node *pgcluster.Node, keys Keys) {
	shard.Replicas = nil
	c := open(t, cfg)
	own := loginOf(t, c, "una", keys).Topology(c.Apply(mapOf(t, shard)))
	mustAcquire(t, own, Primary).Release()
	done := make(chan error, 1)
	stop := make(chan struct{})
	go func() {
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			b, err := newSeeker().acquire(own, Primary)
			if err != nil {
				done <- err
				return
			}
			if _, _, err := query(b, "select 1"); err != nil {
				b.Destroy("broken")
				continue
			}
			b.Release()
		}
	}()
	if err := node.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := mustAcquire(t, own, Primary)
	b.Release()
	close(stop)
	if err := <-done; err != nil {
		t.Fatalf("a restart cost a user an error: %v", err)
	}
}
