package proxy

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5"

	"github.com/pgdrover/pgdrover/internal/pgtest"
	"github.com/pgdrover/pgdrover/pgwire"
)

func testBoundSession(t *testing.T, l *loginRig) {
	i := &issuer{t: t}
	key := newECKey(t)
	i.publish("k", key.Public())
	tokens := i.tokens(func(c *TokensConfig) { c.Tenant = "tenant" })
	defer l.with(t, nil)
	l.with(t, func(c *Config) {
		c.Tokens, c.Rules = tokens, []Rule{{Method: MethodJWT}}
		c.Users = map[string]*User{rigUser: {Name: rigUser, Admin: true}}
		c.Console = emptyConsole{}
	})
	token := func(tenant any) string {
		claims := goodClaims()
		if tenant != nil {
			claims["tenant"] = tenant
		}
		return i.token(jwt.SigningMethodES256, key, "k", claims)
	}
	open := func(url string) (*pgx.Conn, error) {
		c, err := pgx.Connect(t.Context(), url)
		if err == nil {
			t.Cleanup(func() { _ = c.Close(context.Background()) })
		}
		return c, err
	}
	mine, theirs := l.tenants(0, 1)[0], l.tenants(1, 1)[0]
	for _, k := range []int64{mine, theirs} {
		node := l.cluster.Shards[l.shardOf(k)].Primary
		l.on(node, fmt.Sprintf("insert into orders values (%d, 1, 'of %d') on conflict do nothing returning 1", k, k))
	}
	for _, mode := range []string{"default_query_exec_mode=exec", "default_query_exec_mode=simple_protocol"} {
		c, err := open(l.tokenURL(token(mine), mode))
		if err != nil {
			t.Fatal(err)
		}
		own := fmt.Sprint("of ", mine)
		if got := l.value(c, "select note from orders where tenant_id = $1", mine); got != own {
			t.Errorf("note %q, want %q", got, own)
		}
		if got := l.value(c, "show pgdrover.tenant"); got != fmt.Sprint(mine) {
			t.Errorf("the tenant is %q", got)
		}
		for _, sql := range []string{
			fmt.Sprintf("set pgdrover.tenant = '%d'", theirs), "set pgdrover.tenant = ''", fmt.Sprintf("set local pgdrover.tenant = '%d'", theirs),
			fmt.Sprintf("select set_config('pgdrover.tenant', '%d', false)", theirs),
			fmt.Sprintf("select note from orders where tenant_id = %d", theirs), "select note from orders",
			fmt.Sprintf("/* pgdrover: tenant=%d */ select note from orders where tenant_id = %d", theirs, theirs),
			fmt.Sprintf("insert into orders (tenant_id, id) values (%d, 7)", theirs), "delete from countries", "set role postgres", "set session authorization 'postgres'",
			"select set_config('role', 'postgres', false)", "create table x (id int)", "do $$begin perform 1; end$$", "copy orders to stdout",
		} {
			l.refuses(c, "42501", sql)
		}
		for _, sql := range []string{
			fmt.Sprintf("set pgdrover.tenant = '%d'", mine), "reset pgdrover.tenant", "reset all", "discard all", fmt.Sprintf("/* pgdrover: tenant=%d */ select 1", mine),
		} {
			l.exec(c, sql)
			if got := l.value(c, "select note from orders where tenant_id = "+itoa(mine)); got != own {
				t.Errorf("after %s: note %q, want %q", sql, got, own)
			}
			l.refuses(c, "42501", "select note from orders where tenant_id = "+itoa(theirs))
		}
		l.refuses(c, "42501", "select note from orders where tenant_id = $1", theirs)
		l.exec(c, "prepare x (bigint) as select note from orders where tenant_id = $1")
		l.exec(c, "prepare every as select note from orders")
		if got := l.value(c, fmt.Sprintf("execute x(%d)", mine)); got != own {
			t.Errorf("note %q, want %q", got, own)
		}
		l.refuses(c, "0A000", fmt.Sprintf("execute x(%d + 0)", mine))
		for _, sql := range []string{fmt.Sprintf("execute x(%d)", theirs), fmt.Sprintf("explain analyze execute x(%d)", theirs), "execute every",
			fmt.Sprintf("prepare y (bigint) as select note from orders where tenant_id = $1; execute y(%d)", theirs),
			fmt.Sprintf("create temp table z as execute x(%d)", theirs), "execute nosuch"} {
			l.refuses(c, "42501", sql)
		}
		l.exec(c, "deallocate all")
	}
	if _, err := open(l.tokenURL(token(mine), fmt.Sprintf("options=-c%%20pgdrover.tenant%%3D%d", theirs))); pgCode(err) != "42501" {
		t.Errorf("another tenant at startup: %v", err)
	}
	if _, err := open(l.tokenURL(token(mine), fmt.Sprintf("options=-c%%20pgdrover.tenant%%3D%d", mine))); err != nil {
		t.Errorf("its tenant at startup: %v", err)
	}
	for _, role := range []string{"role", "session_authorization", "ROLE"} {
		if _, err := open(l.tokenURL(token(mine), "options=-c%20"+role+"%3Dpostgres")); pgCode(err) != "42501" {
			t.Errorf("another %s at startup: %v", role, err)
		}
	}
	free, err := open(l.tokenURL(token(mine))) // with statements that are prepared once
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		l.value(free, "select note from orders where tenant_id = $1", mine)
		l.refuses(free, "42501", "select note from orders where tenant_id = $1", theirs)
		l.refuses(free, "42501", "select count(*) from orders where id = $1", 1)
	}
	for _, bad := range []any{nil, "", "x", true, 1.5} {
		if _, err := open(l.tokenURL(token(bad))); pgCode(err) != "28P01" {
			t.Errorf("tenant %v: %v", bad, err)
		}
	}
	console := strings.Replace(l.tokenURL(token(nil), "default_query_exec_mode=simple_protocol"), "/"+l.cluster.Database+"?", "/pgdrover?", 1)
	if _, err := open(console); err != nil {
		t.Errorf("the console has no tenants: %v", err)
	}

	// The fast-path interface calls any function by its number: a bound session may not.
	raw := pgtest.Connect(t, l.addr, pgtest.Options{User: rigUser, Password: token(mine), Database: l.cluster.Database})
	if err := raw.SendFrame(pgwire.MsgFunctionCall, []byte{0, 0, 0, 89, 0, 0, 0, 0, 0, 0}); err != nil {
		t.Fatal(err)
	}
	if lines, err := raw.ReadUntilReady(); err != nil || !strings.Contains(strings.Join(lines, "\n"), "42501") {
		t.Errorf("a function call: %q, %v", lines, err)
	}
}

type emptyConsole struct{}

func (emptyConsole) Read(string) ([]Command, error) { return nil, nil }

func testLoginLimits(t *testing.T, l *loginRig) {
	defer l.with(t, nil)
	l.with(t, func(c *Config) { c.PerAddress = 2 })
	o := pgtest.Options{User: rigUser, Password: rigPassword, Database: l.cluster.Database}
	awaitNone(t, l)
	first, second := pgtest.Connect(t, l.addr, o), pgtest.Connect(t, l.addr, o)
	if got := l.code(t, o); got != "53300" {
		t.Errorf("one session too many: SQLSTATE %q", got)
	}
	if err := first.Cancel(); err != nil {
		t.Errorf("a cancel request at the limit: %v", err)
	}
	_ = second.Close()
	await(t, "there is room again", func() bool { return l.code(t, o) == "" })
	var silent []*pgtest.Client // each stays, so that it is a matter of time until there are too many
	await(t, "connections without a word are counted", func() bool {
		c, err := pgtest.Open(l.addr, 3*time.Second) // who says nothing is accepted after a second
		if err != nil {
			t.Fatal(err)
		}
		silent = append(silent, c)
		return c.AwaitClose() == nil
	})
	if len(silent) > 4 {
		t.Errorf("%d connections without a word were taken", len(silent)-1)
	}
	for _, c := range silent {
		_ = c.Abort()
	}
	_ = first.Close()
	awaitNone(t, l)

	l.with(t, func(c *Config) { c.AuthTime = 50 * time.Millisecond })
	c, err := pgtest.Open(l.addr, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Abort() }()
	if _, err := c.RequestGSS(); err != nil {
		t.Fatal(err)
	}
	if frame, err := c.Read(); err != nil || !strings.Contains(string(frame), "57014") {
		t.Errorf("after the deadline: %q, %v", frame, err)
	}
	l.with(t, func(c *Config) { c.AuthDelay = 200 * time.Millisecond })
	began := time.Now()
	if got := l.code(t, pgtest.Options{User: rigUser, Password: "wrong"}); got != "28P01" || time.Since(began) < 200*time.Millisecond {
		t.Errorf("SQLSTATE %s after %v", got, time.Since(began))
	}
}

// awaitNone waits until no connection is counted.
func awaitNone(t *testing.T, l *loginRig) {
	t.Helper()
	await(t, "all connections are gone", func() bool {
		a := &l.server.addresses
		a.mu.Lock()
		defer a.mu.Unlock()
		return len(a.of) == 0
	})
}

// testHostileLogins sends what no client does in the place of an answer; each is refused with an error or a close, and quickly.
//
// Row 32: bytes behind an SSLRequest, where TLS is on.
func testHostileLogins(t *testing.T, l *loginRig) {
	l.with(t, func(c *Config) {
		c.Rules = []Rule{{Users: []string{"clear"}, Method: MethodJWT}, {}}
		c.Tokens = (&issuer{t: t}).tokens(nil)
	})
	defer l.with(t, nil)
	sasl := func(mechanism string, length int32, content string) []byte {
		b := append([]byte(mechanism), 0, byte(length>>24), byte(length>>16), byte(length>>8), byte(length))
		return pgtest.Frame('p', append(b, content...))
	}
	const opening = "n,,n=,r=abc"
	for _, test := range []struct {
		name, user, want string
		send             []byte
	}{
		{"a query", rigUser, "08P01", pgwire.AppendQuery(nil, "select 1")},
		{"nothing in it", rigUser, "08P01", pgtest.Frame('p', nil)},
		{"a password", rigUser, "08P01", pgtest.Frame('p', []byte("wonder land\x00"))},
		{"another mechanism", rigUser, "08P01", sasl("SCRAM-SHA-1", int32(len(opening)), opening)},
		{"PLUS without TLS", rigUser, "08P01", sasl(scramPlus, int32(len(opening)), opening)},
		{"a length beyond the message", rigUser, "08P01", sasl(scramMechanism, 1<<30, opening)},
		{"a negative length", rigUser, "08P01", sasl(scramMechanism, -2, opening)},
		{"a huge message", rigUser, "08P01", []byte{'p', 0x7f, 0xff, 0xff, 0xff}},
		{"a large message", rigUser, "08P01", append([]byte{'p', 0, 0, 8, 0}, make([]byte, 2044)...)},
		{"a length that is none", rigUser, "08P01", []byte{'p', 0, 0, 0, 3}},
		{"the last message first", rigUser, "08P01", sasl(scramMechanism, 25, "c=biws,r=abcdef,p=AAAAAAA=")},
		{"a token without its end", "clear", "08P01", pgtest.Frame('p', []byte("token"))},
		{"a token with two ends", "clear", "08P01", pgtest.Frame('p', []byte("token\x00token\x00"))},
		{"no token", "clear", "28P01", pgtest.Frame('p', []byte{0})},
		{"a huge token", "clear", "08P01", []byte{'p', 0, 1, 0, 100}},
		{"an early sync", rigUser, "08P01", pgtest.Frame('S', nil)},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := l.greeted(t, test.user)
			if err := c.SendBytes(test.send); err != nil {
				t.Fatal(err)
			}
			if frame, err := c.Read(); err != nil || frame[0] != 'E' || !strings.Contains(string(frame), "C"+test.want) {
				t.Fatalf("%q, %v; want SQLSTATE %s", frame, err, test.want)
			}
			if err := c.AwaitClose(); err != nil {
				t.Error(err)
			}
		})
	}
	// Without a first message the client is asked for one (RFC 4422, section 5).
	c := l.greeted(t, rigUser)
	if err := c.SendBytes(sasl(scramMechanism, -1, "")); err != nil {
		t.Fatal(err)
	}
	if frame, err := c.Read(); err != nil || frame[0] != 'R' || len(frame) != 9 {
		t.Fatalf("%q, %v; want an empty challenge", frame, err)
	}
	if err := c.SendFrame('p', []byte(opening)); err != nil {
		t.Fatal(err)
	}
	if frame, err := c.Read(); err != nil || !strings.HasPrefix(string(frame[9:]), "r=abc") {
		t.Fatalf("%q, %v; want a challenge", frame, err)
	}
	// Bytes behind an SSLRequest are refused (CVE-2021-23214).
	c, err := pgtest.Open(l.addr, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Abort() }()
	if err := c.SendBytes([]byte("\x00\x00\x00\x08\x04\xd2\x16\x2f\x16\x03\x01\x00\x05hello")); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 0, 8)
	for len(answer) < 1 {
		frame, err := c.RequestGSS()
		if err != nil {
			break
		}
		answer = append(answer, frame)
	}
	if err := c.AwaitClose(); err != nil {
		t.Errorf("bytes behind an SSLRequest: answered %q, then %v", answer, err)
	}
}

// greeted is a client that has been asked for its proof.
func (l *loginRig) greeted(t *testing.T, user string) *pgtest.Client {
	t.Helper()
	c, err := pgtest.Open(l.addr, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Abort() })
	packet := "\x00\x03\x00\x00user\x00" + user + "\x00database\x00" + l.cluster.Database + "\x00\x00"
	if err := c.SendBytes(append([]byte{0, 0, 0, byte(len(packet) + 4)}, packet...)); err != nil {
		t.Fatal(err)
	}
	if frame, err := c.Read(); err != nil || frame[0] != 'R' {
		t.Fatalf("%q, %v; want a request for a proof", frame, err)
	}
	return c
}

// testLoginStorm has many clients log in at once over TLS, one at a time computing: all are served.
func testLoginStorm(t *testing.T, l *loginRig) {
	l.with(t, func(c *Config) { c.Logins, c.AuthTime = 1, time.Minute })
	defer l.with(t, nil)
	const clients = 100
	failed := make(chan error, clients)
	var group sync.WaitGroup
	for n := range clients {
		group.Go(func() {
			o := pgtest.Options{User: rigUser, Password: rigPassword, Database: l.cluster.Database, TLS: l.clientTLS(), Timeout: time.Minute}
			wrong := n%4 == 0
			if wrong {
				o.Password = "wrong"
			}
			c, err := pgtest.Dial(l.addr, o)
			if err == nil {
				_ = c.Close()
			}
			if (err != nil) != wrong {
				failed <- fmt.Errorf("client %d: %w", n, err)
			}
		})
	}
	group.Wait()
	close(failed)
	for err := range failed {
		t.Error(err)
	}
}
