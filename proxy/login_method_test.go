package proxy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgdrover/pgdrover/internal/pgtest"
	"github.com/pgdrover/pgdrover/pool"
)

func testMD5(t *testing.T, l *loginRig) {
	verifier := MD5Verifier(rigUser, rigPassword)
	stored, err := l.cluster.Shards[0].Primary.Query(t.Context(), "begin; set local password_encryption = 'md5'; create role alice password 'wonder land'; "+
		"select rolpassword from pg_authid where rolname = 'alice'; rollback")
	if err != nil || len(stored) != 1 || stored[0][0] != "md5"+verifier {
		t.Errorf("PostgreSQL stores %q (%v), want md5%s", stored, err, verifier)
	}
	users := func(c *Config, rules ...Rule) {
		c.Users = map[string]*User{rigUser: {Name: rigUser, MD5: verifier}, "new": {Name: "new", Verifier: c.Users[rigUser].Verifier}}
		c.Rules = rules
	}
	l.with(t, func(c *Config) { users(c, Rule{Method: MethodMD5}) })
	l.works(t, "sslmode=disable")
	l.works(t, "channel_binding=disable")
	l.works(t, "user=new", "channel_binding=require")
	l.fails(t, "channel binding required", "channel_binding=require")
	l.fails(t, "password authentication failed", "password=wrong")
	l.fails(t, "password authentication failed", "user=nobody")
	l.with(t, func(c *Config) { users(c) })
	l.fails(t, "password authentication failed", "sslmode=disable")
}

func testRules(t *testing.T, l *loginRig) {
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	rules := func(rules ...Rule) { l.with(t, func(c *Config) { c.Rules = rules }) }
	plain := pgtest.Options{User: rigUser, Password: rigPassword}
	secure := plain
	secure.TLS = l.clientTLS()
	nobody := pgtest.Options{User: "nobody"}
	for _, test := range []struct {
		name                  string
		rules                 []Rule
		plain, secure, nobody string // SQLSTATE
	}{
		{"none", nil, "", "", "28P01"},
		{"one for others", []Rule{{From: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}, "28000", "28000", "28000"},
		{"reject", []Rule{{From: loopback, Method: MethodReject}, {}}, "28000", "28000", "28000"},
		{"reject a user", []Rule{{Users: []string{"nobody"}, Method: MethodReject}, {From: loopback}}, "", "", "28000"},
		{"TLS only", []Rule{{TLS: RuleRequireTLS}}, "28000", "", "28000"},
		{"no TLS", []Rule{{TLS: RuleNoTLS}}, "", "28000", "28P01"},
		{"another database", []Rule{{Databases: []string{"other"}, Method: MethodReject}, {Databases: []string{l.cluster.Database}}}, "", "", "28P01"},
		{"trust", []Rule{{From: loopback, Method: MethodTrust}}, "", "", "28000"},
		{"trust without TLS only", []Rule{{TLS: RuleNoTLS, Method: MethodTrust}, {}}, "", "", "28000"},
	} {
		rules(test.rules...)
		if p, s, n := l.code(t, plain), l.code(t, secure), l.code(t, nobody); p != test.plain || s != test.secure || n != test.nobody {
			t.Errorf("%s: %q, %q, %q; want %q, %q, %q", test.name, p, s, n, test.plain, test.secure, test.nobody)
		}
	}
	trusted := plain
	trusted.Password = "wrong"
	rules(Rule{Method: MethodTrust})
	if got := l.code(t, trusted); got != "" {
		t.Errorf("trust: SQLSTATE %s", got)
	}
}

// testAuthQuery logs in users that a query finds in the database.
//
// Row 26: the search path that a client asks for is not that of the question.
// Row 27: neither its name nor its settings get into the question.
// Row 28: VALID UNTIL has passed.
func testAuthQuery(t *testing.T, l *loginRig) {
	node := l.cluster.Shards[0].Primary
	for _, sql := range []string{
		"create role dora login password 'dora''s'", "create role old login password 'old' valid until '2020-01-01'", "create role gone login password 'gone'", "create role group_only password 'x'",
		"create role new login password 'new' valid until 'infinity'", "set password_encryption = 'md5'; create role eve login password 'eve'",
		"create role \"Robert'); DROP TABLE orders;--\" login password 'bobby'",
		`create or replace function public.find_login(name) returns table(n name, p text) language sql security definer set search_path = pg_catalog
		 as 'select rolname, rolpassword from pg_authid where rolname = $1 and not rolsuper'`,
	} {
		if _, err := node.Query(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for _, name := range []string{"dora", "old", "gone", "group_only", "new", "eve", "\"Robert'); DROP TABLE orders;--\""} {
			_, _ = node.Query(context.Background(), "drop role if exists "+name)
		}
	})
	q := NewAuthQuery(AuthQueryConfig{SQL: "SELECT n, p FROM public.find_login($1) -- who is it?", Log: testLogger(t), TTL: time.Hour,
		Run: func(ctx context.Context, database, sql string) (*pool.Rows, error) {
			return l.db.Cluster().Exec(ctx, "s1", pool.Primary, sql)
		}})
	t.Cleanup(q.Close)
	defer l.with(t, nil)
	l.with(t, func(c *Config) {
		c.Query = q
		c.Rules = []Rule{{Users: []string{"eve"}, Method: MethodMD5}, {Databases: []string{l.cluster.Database}}}
	})
	l.works(t)
	l.works(t, "user=dora", `password='dora\'s'`, "channel_binding=require")
	l.works(t, "user=new", "password=new")
	l.works(t, "user=eve", "password=eve", "sslmode=disable")
	l.works(t, `user='Robert\'); DROP TABLE orders;--'`, "password=bobby")
	const wrong = "password authentication failed"
	l.fails(t, wrong, "user=dora", "password=wrong")
	l.fails(t, wrong, "user=old", "password=old")
	l.fails(t, wrong, "user=group_only", "password=x")
	l.fails(t, wrong, "user=postgres", "password=x")
	l.fails(t, wrong, "user="+strings.Repeat("x", 64), "password=x")
	l.fails(t, "no rule for host", "user=dora", "dbname=pgdrover", `password='dora\'s'`)
	// What a client says at startup reaches no query of PgDrover's (CVE-2025-12819).
	l.works(t, "user=gone", "password=gone", "options='-c search_path=evil -c standard_conforming_strings=off'")

	// Who is listed without a verifier has the database's, and what the list says besides.
	list := maps.Clone(l.present.Users)
	list["new"], list["eve"] = &User{Name: "new", Databases: []string{"elsewhere"}}, &User{Name: "eve", Limits: Limits{Clients: 1}}
	list["nobody"] = &User{Name: "nobody", Admin: true}
	l.with(t, func(c *Config) {
		c.Query, c.Users, c.Console = q, list, emptyConsole{}
		c.Rules = []Rule{{Users: []string{"eve"}, Method: MethodMD5}, {Users: []string{"new", "nobody"}}}
	})
	l.works(t, "user=eve", "password=eve")
	if first, refused := l.login("eve", l.cluster.Database, nil); first != nil {
		t.Errorf("a wrong password: came in: %s", refused)
	}
	l.fails(t, "permission denied for database", "user=new", "password=new")
	l.fails(t, wrong, "user=new", "password=wrong")
	l.fails(t, wrong, "user=nobody", "password=x")
	l.fails(t, wrong, "user=nobody", "password=x", "dbname=pgdrover")
	l.with(t, func(c *Config) {
		c.Query = q
		c.Rules = []Rule{{Databases: []string{l.cluster.Database}}}
	})

	// A password that was changed: the old one's verifier is doubted after a wrong password.
	if _, err := node.Query(t.Context(), "alter role dora password 'changed'"); err != nil {
		t.Fatal(err)
	}
	q.mu.Lock()
	for of, a := range q.known {
		a.at = a.at.Add(-2 * doubtAfter)
		q.known[of] = a
	}
	q.mu.Unlock()
	await(t, "the new password is good", func() bool {
		return l.code(t, pgtest.Options{User: "dora", Password: "changed"}) == ""
	})
}

func testTokenLogin(t *testing.T, l *loginRig) {
	i := &issuer{t: t}
	key, next := newRSAKey(t), newECKey(t)
	i.publish("k", key.Public())
	tokens := i.tokens(nil)
	defer l.with(t, nil)
	l.with(t, func(c *Config) {
		c.Tokens = tokens
		c.Rules = []Rule{{TLS: RuleRequireTLS, Method: MethodJWT}}
	})
	good := i.token(jwt.SigningMethodRS256, key, "k", goodClaims())
	l.works(t, "password="+good)
	l.fails(t, "no rule for host", "password="+good, "sslmode=disable")
	l.fails(t, "JWT authentication failed for user \"alice\"")
	l.fails(t, "Its claim \"sub\" is \"alice\".", "password="+good, "user=bob")
	l.fails(t, "no password supplied", "password=")
	claims := goodClaims()
	claims["sub"] = "somebody.new@example.com"
	l.works(t, "user=somebody.new@example.com", "password="+i.token(jwt.SigningMethodRS256, key, "k", claims))
	claims = goodClaims()
	claims["exp"] = time.Now().Add(-time.Hour).Unix()
	l.fails(t, "token is expired", "password="+i.token(jwt.SigningMethodRS256, key, "k", claims))

	// A key that is new is fetched when a token names it.
	i.publish("next", next.Public())
	tokens.mu.Lock()
	tokens.fetched = tokens.fetched.Add(-keyFetchGap)
	tokens.mu.Unlock()
	l.works(t, "password="+i.token(jwt.SigningMethodES256, next, "next", goodClaims()))
	l.fails(t, "no known key fits the token", "password="+i.token(jwt.SigningMethodES256, next, "never", goodClaims()))
}

// pgCode is the SQLSTATE of an error of pgx.
func pgCode(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return fmt.Sprint(err)
}

// tokenURL is a DSN with a token for a password.
func (l *loginRig) tokenURL(token string, params ...string) string {
	return fmt.Sprintf("postgres://%s:%s@%s/%s?sslmode=require&%s", rigUser, url.QueryEscape(token), l.addr, l.cluster.Database, strings.Join(params, "&"))
}
