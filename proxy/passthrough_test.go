package proxy

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
	"github.com/pgdrover/pgdrover/internal/pgtest"
	"github.com/pgdrover/pgdrover/pool"
)

// passRig is a proxy in front of two shards with TLS that logs in to them as its clients, whom it finds by auth.query.
type passRig struct {
	*rig
	query *AuthQuery
}

func startPassRig(t *testing.T) *passRig {
	p := &passRig{}
	cluster := pgcluster.Test(t, pgcluster.Config{Shards: 2, Replicas: 1, TLS: true})
	p.query = NewAuthQuery(AuthQueryConfig{SQL: "SELECT rolname, rolpassword FROM pg_authid WHERE rolname = $1", Log: testLogger(t), TTL: time.Hour,
		Run: func(ctx context.Context, _, sql string) (*pool.Rows, error) {
			rows, err := cluster.Shards[0].Primary.Query(ctx, sql)
			found := &pool.Rows{}
			for _, row := range rows {
				var values [][]byte
				for i, v := range row {
					if i == 2 && v == "" { // a password without an end
						values = append(values, nil)
						continue
					}
					values = append(values, []byte(v))
				}
				found.Rows = append(found.Rows, values)
			}
			return found, err
		}})
	t.Cleanup(p.query.Close)
	p.rig = startRig(t, cluster, rigOptions{pass: true, size: 2, wait: 30 * time.Second, replicas: true, config: func(c *Config) {
		c.Query, c.AuthTime = p.query, time.Minute
		c.Users["jane"] = &User{Name: "jane"}
		c.Rules = []Rule{{Users: []string{"jane"}, Method: MethodTrust}, {}}
	}})
	return p
}

// password gives a role the same verifier on every shard.
func (p *passRig) password(name, password string) {
	p.t.Helper()
	verifier := ""
	for _, sh := range p.cluster.Shards {
		p.on(sh.Primary, fmt.Sprintf("do $$ begin create role %s login; exception when duplicate_object then null; end $$", name))
		if verifier == "" {
			p.on(sh.Primary, fmt.Sprintf("alter role %s password '%s'", name, password))
			verifier = p.on(sh.Primary, fmt.Sprintf("select rolpassword from pg_authid where rolname = '%s'", name))
			continue
		}
		p.on(sh.Primary, fmt.Sprintf("alter role %s password '%s'", name, verifier))
	}
}

func (p *passRig) as(user, password string, params ...string) (*pgx.Conn, error) {
	url := strings.Replace(p.url(params...), rigUser+":"+strings.ReplaceAll(rigPassword, " ", "%20"), user+":"+password, 1)
	c, err := pgx.Connect(p.t.Context(), url)
	if err == nil {
		p.t.Cleanup(func() { _ = c.Close(context.Background()) })
	}
	return c, err
}

func (p *passRig) mustAs(user, password string, params ...string) *pgx.Conn {
	p.t.Helper()
	c, err := p.as(user, password, params...)
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

func TestPassThrough(t *testing.T) {
	p := startPassRig(t)
	p.password("una", "secret")
	p.password("vera", "verasecret")
	for _, sh := range p.cluster.Shards {
		p.on(sh.Primary, "grant usage on schema public to public; grant all on all tables in schema public to una; grant select on orders to vera; alter role vera set work_mem = '777kB'; alter role una set DateStyle = 'German'")
	}
	for _, test := range []struct {
		name string
		run  func(*testing.T, *passRig)
	}{
		{"roles of their own", testPassRoles}, {"not by SCRAM", testPassMethods}, {"a password that is changed", testPassChanged},
		{"two-phase commit", testPassTwoPhase}, {"a map that is changed", testPassMap}, {"many users", testPassMany},
	} {
		t.Run(test.name, func(t *testing.T) {
			p.t = t
			test.run(t, p)
		})
	}
}

func testPassRoles(t *testing.T, p *passRig) {
	a, b := p.tenants(0, 1)[0], p.tenants(1, 1)[0]
	for _, mode := range []string{simpleMode, ""} {
		una, vera := p.mustAs("una", "secret", mode), p.mustAs("vera", "verasecret", mode)
		for _, k := range []int64{a, b} {
			p.exec(una, "insert into orders values ($1, 1) on conflict do nothing", k)
			p.refuses(vera, "42501", "insert into orders values ($1, 1) on conflict do nothing", k)
			p.value(vera, "select count(*) from orders where tenant_id = $1", k)
			for conn, want := range map[*pgx.Conn]string{una: "una una", vera: "vera vera"} {
				if got := p.value(conn, "select current_user || ' ' || session_user from (select count(*) from orders where tenant_id = $1) o", k); got != want {
					t.Fatalf("a backend is logged in as %q, want %q", got, want)
				}
			}
		}
		if got := p.value(vera, "show work_mem") + p.value(una, "show work_mem"); got != "777kB4MB" {
			t.Fatalf("settings of the roles: %s", got)
		}
		if una.PgConn().ParameterStatus("DateStyle") != "German, DMY" || vera.PgConn().ParameterStatus("DateStyle") != "ISO, MDY" {
			t.Fatalf("clients are told of DateStyle %q and %q", una.PgConn().ParameterStatus("DateStyle"), vera.PgConn().ParameterStatus("DateStyle"))
		}
		if una.PgConn().ParameterStatus("session_authorization") != "una" {
			t.Fatal("the client is told of another session_authorization")
		}
	}
	users := map[string]bool{}
	for _, s := range p.db.Cluster().Backends() {
		users[s.User] = true
	}
	if !maps.Equal(users, map[string]bool{"una": true, "vera": true}) {
		t.Fatalf("backends of %v", users)
	}
	if tls := p.on(p.cluster.Shards[0].Primary, "select bool_and(ssl) from pg_stat_ssl join pg_stat_activity using (pid) where usename = 'una'"); tls != "t" {
		t.Fatalf("TLS: %q", tls)
	}
	for _, c := range p.server.Clients() {
		if c.Login != c.User {
			t.Errorf("%s is shown with backends of %s", c.User, c.Login)
		}
	}
}

// testPassMethods has clients whose login gives no keys, and one whose verifier is not the nodes'.
func testPassMethods(t *testing.T, p *passRig) {
	if _, err := p.as("jane", ""); !isCode(err, "28000") || !strings.Contains(err.Error(), "SCRAM") {
		t.Errorf("without a proof: %v", err)
	}
	for _, sh := range p.cluster.Shards {
		p.on(sh.Primary, "create role alice login password 'of the node'")
	}
	_, err := p.as(rigUser, strings.ReplaceAll(rigPassword, " ", "%20"))
	if !isCode(err, "28P01") || !strings.Contains(err.Error(), "verifier") {
		t.Errorf("with another verifier: %v", err)
	}
	if _, err := p.as("una", "wrong"); !isCode(err, "28P01") {
		t.Errorf("with a wrong password: %v", err)
	}
}

func testPassChanged(t *testing.T, p *passRig) {
	p.password("wim", "first")
	for _, sh := range p.cluster.Shards {
		p.on(sh.Primary, "grant select on orders to wim")
	}
	k := p.tenants(0, 1)[0]
	read := "select count(*) from orders where tenant_id = $1"
	early, holder := p.mustAs("wim", "first"), p.mustAs("wim", "first", simpleMode)
	p.value(early, read, k)
	p.exec(holder, "begin")
	p.value(holder, read, k)
	p.password("wim", "second")
	for _, sh := range p.cluster.Shards { // what the backends of the old login do is over
		for _, n := range append([]*pgcluster.Node{sh.Primary}, sh.Replicas...) {
			p.on(n, "select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = 'wim'")
		}
	}
	p.eventually("the old keys are refused", func() bool {
		_, err := early.Exec(t.Context(), read, k)
		return isCode(err, "28P01")
	})
	for range 3 {
		p.refuses(early, "28P01", read, k)
	}
	p.eventually("the new password is good", func() bool { // auth.query was told to look again
		c, err := p.as("wim", "second")
		if err != nil {
			return false
		}
		_ = c.Close(context.Background())
		return true
	})
	p.eventually("sessions of before go on", func() bool {
		_, err := early.Exec(t.Context(), read, k)
		return err == nil
	})
	p.value(p.mustAs("una", "secret"), read, k)
}

// testPassMap takes the map away from under a session and gives it back.
func testPassMap(t *testing.T, p *passRig) {
	k := p.tenants(0, 1)[0]
	una := p.mustAs("una", "secret")
	p.exec(una, "begin")
	p.exec(una, "update orders set note = 'open' where tenant_id = $1", k)
	changed := make(chan error, 1)
	go func() { changed <- p.db.Change(context.Background(), p.parse(p.file, p.db.Map().Lock()), p.server) }()
	p.exec(una, "update orders set note = 'still' where tenant_id = $1", k)
	p.exec(una, "commit")
	if err := <-changed; err != nil {
		t.Fatal(err)
	}
	p.exec(una, "create temp table mine (id int)") // a session that holds a backend follows as well
	if got := p.value(una, "select note from orders where tenant_id = $1", k); got != "still" {
		t.Fatal(got)
	}
	if got := p.value(una, "select current_user || count(*) from mine"); got != "una0" {
		t.Fatal(got)
	}
}

// testPassMany has many clients of a few users come and go at once: nobody ever runs as another.
func testPassMany(t *testing.T, p *passRig) {
	passwords := map[string]string{"una": "secret", "vera": "verasecret", "wim": "second"}
	k := p.tenants(1, 1)[0]
	var group sync.WaitGroup
	for user, password := range passwords {
		for range 8 {
			group.Go(func() {
				for range 5 {
					c, err := pgtest.Dial(p.addr, pgtest.Options{User: user, Password: password, Database: p.cluster.Database, Timeout: time.Minute})
					if err != nil {
						t.Errorf("%s: %v", user, err)
						return
					}
					lines, err := c.Query(fmt.Sprintf("select current_user from (select count(*) from orders where tenant_id = %d) o", k))
					if err != nil || !strings.Contains(strings.Join(lines, "\n"), "'"+user+"'") {
						t.Errorf("%s: %q, %v", user, lines, err)
					}
					_ = c.Close()
				}
			})
		}
	}
	group.Wait()
}
