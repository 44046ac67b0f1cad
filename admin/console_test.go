package admin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/proxy"
)

func testConsole(t *testing.T, change func(*Options)) *Console {
	t.Helper()
	srv := serverOver(t)
	o := Options{Server: func() *proxy.Server { return srv }, Version: "1.2.3", Log: discard}
	if change != nil {
		change(&o)
	}
	return NewConsole(o)
}

func refusal(t *testing.T, err error, code string) *pgwire.Error {
	t.Helper()
	var e *pgwire.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("got %v, want SQLSTATE %s", err, code)
	}
	if e.Hint == "" {
		t.Errorf("%v has no hint", e)
	}
	return e
}

func TestStatementsAreFound(t *testing.T) {
	c := testConsole(t, nil)
	for sql, first := range map[string]string{
		"SHOW VERSION": "version", "show version;": "version", "  Show\n\tversion ; ;": "version", "/* a */ show -- b\n version": "version",
		"show help": "statement", "show pools": "database", "show clients": "type", "show backends": "type", "show servers": "type",
		"show shards": "database", "show databases": "name", "show users": "name", "show stats": "database", "show cache": "database",
		"show config": "key",
	} {
		table, err := c.Run("ops", sql)
		if err != nil || len(table.Columns) == 0 || table.Columns[0] != first || table.Tag != "SHOW" {
			t.Errorf("%q: %v %v, %v", sql, table.Tag, table.Columns, err)
		}
	}
	for _, sql := range []string{
		"select 1", "show", "show nothing", "show pools all", "show 'pools'", "showpools", "show pools; show clients", "show tenant",
		"show tenant 'a' of b", "show tenant '1' in", "show tenant 'open", "reload now", "SHOW " + strings.Repeat("x", 500), "",
	} {
		_, err := c.Run("ops", sql)
		if e := refusal(t, err, "42601"); len(e.Message) > 200 {
			t.Errorf("%q: a message of %d bytes", sql, len(e.Message))
		}
	}
	_, err := c.Run("ops", "show me")
	if e := refusal(t, err, "42601"); !strings.Contains(e.Hint, "SHOW TENANT 'KEY' [IN DATABASE]") || !strings.Contains(e.Hint, "RELOAD") {
		t.Errorf("the hint is %q", e.Hint)
	}
}

func TestHelpListsEveryStatement(t *testing.T) {
	table, err := testConsole(t, nil).Run("ops", "show help")
	if err != nil {
		t.Fatal(err)
	}
	if len(table.Rows) != len(statements()) {
		t.Errorf("%d rows for %d statements", len(table.Rows), len(statements()))
	}
	for _, row := range table.Rows {
		if row[0] == "" || row[1] == "" {
			t.Errorf("row %q", row)
		}
	}
}

func TestTokens(t *testing.T) {
	got, err := tokenise(`SHOW tenant 'it''s' "a""b" -42 'a'b/**/`)
	want := []token{{"SHOW", false}, {"tenant", false}, {"it's", true}, {`a"b`, true}, {"-42", false}, {"a", true}, {"b/**/", false}}
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, %v", got, err)
	}
}

func FuzzTokenise(f *testing.F) {
	for _, sql := range []string{"show pools", "show tenant 'it''s' in \"a\"", "/* open", "--", "'", ";;", "a;b"} {
		f.Add(sql)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		tokens, err := tokenise(sql)
		if err != nil && tokens != nil {
			t.Errorf("%q: %v and %v", sql, tokens, err)
		}
		for _, tok := range tokens {
			if !tok.quoted && (tok.text == "" || strings.ContainsAny(tok.text, blanks+`;'"`)) {
				t.Errorf("%q: the word %q", sql, tok.text)
			}
		}
	})
}

func TestShowTenant(t *testing.T) {
	v := appView(t)
	m := v.databases[0].shards
	k, _ := m.TenantType().ParseText([]byte("42"))
	found, err := v.locate(" +42 ", "app")
	if err != nil || len(found) != 1 || found[0].key != k || found[0].shard().Name != m.Shard(m.Locate(k)).Name {
		t.Errorf("tenant 42: %+v, %v", found, err)
	}
	if found, err = v.locate("7", ""); err != nil || len(found) != 2 || found[0].shard().Name != "s2" || found[1].database != "web" {
		t.Errorf("tenant 7 of any database: %+v, %v", found, err)
	}
	if found, err = v.locate("acme", ""); err != nil || len(found) != 1 || found[0].database != "web" {
		t.Errorf("tenant acme of any database: %+v, %v", found, err)
	}
	_, err = v.locate("acme", "app")
	if e := refusal(t, err, "22P02"); !strings.Contains(e.Hint, "bigint") {
		t.Errorf("the hint is %q", e.Hint)
	}
	_, err = v.locate("1", "other")
	if e := refusal(t, err, "3D000"); !strings.Contains(e.Hint, "app, web") {
		t.Errorf("the hint is %q", e.Hint)
	}
}

func TestShowTenantInWords(t *testing.T) {
	for sql, want := range map[string][2]string{
		"'42'": {"42", ""}, "42": {"42", ""}, "-42 IN app": {"-42", "app"}, `'in' in "App"`: {"in", "App"},
	} {
		tokens, err := tokenise(sql)
		if err != nil {
			t.Fatal(err)
		}
		key, in, err := tenantArgs(tokens)
		if err != nil || key != want[0] || in != want[1] {
			t.Errorf("%s: %q in %q, %v", sql, key, in, err)
		}
	}
}

func TestReload(t *testing.T) {
	_, err := testConsole(t, nil).Run("ops", "reload")
	refusal(t, err, "0A000")
	var outcome error
	calls := 0
	c := testConsole(t, func(o *Options) {
		o.Reload = func(context.Context) error { calls++; return outcome }
	})
	table, err := c.Run("ops", "RELOAD;")
	if err != nil || table.Tag != "RELOAD" || table.Columns != nil || calls != 1 {
		t.Errorf("got %+v, %v after %d calls", table, err, calls)
	}
	outcome = errors.New("shardmap.yaml:3:7: no shard is called s9")
	_, err = c.Run("ops", "reload")
	if e := refusal(t, err, "F0000"); !strings.Contains(e.Message, "shardmap.yaml:3:7") {
		t.Errorf("the message is %q", e.Message)
	}
	outcome = fmt.Errorf("app: %w", &pgwire.Error{Code: "55P03", Message: "busy", Detail: "tenant 7"})
	_, err = c.Run("ops", "reload")
	if e := refusal(t, err, "55P03"); e.Detail != "tenant 7" || !strings.Contains(e.Message, "app: ") {
		t.Errorf("the error is %+v", e)
	}
}

func TestShowConfigUsersVersion(t *testing.T) {
	verifier, err := proxy.NewVerifier("very secret")
	if err != nil {
		t.Fatal(err)
	}
	c := testConsole(t, func(o *Options) {
		o.Config = func() [][2]string { return [][2]string{{"listen", "127.0.0.1:6432"}, {"users.ops.password", "***"}} }
		o.Users = func() map[string]*proxy.User {
			return map[string]*proxy.User{
				"zoe": {Name: "zoe", Verifier: verifier, Databases: []string{"app", "web"},
					Limits: proxy.Limits{Clients: 9, QueryWait: time.Second, IdleTransaction: time.Minute, Statement: 1500 * time.Millisecond}}, "ops": {Name: "ops", Verifier: verifier, Admin: true},
			}
		}
	})
	for sql, want := range map[string][]string{
		"show config":  {"listen|127.0.0.1:6432", "users.ops.password|***"},
		"show users":   {"ops|all|yes|0|0|0|0|0", "zoe|app, web|no|0|9|1s|1m0s|1.5s"},
		"show version": {"PgDrover 1.2.3"},
	} {
		table, err := c.Run("ops", sql)
		if err != nil {
			t.Fatal(err)
		}
		wantText(t, text(t, table, table.Columns...), want...)
	}
}

func TestConsoleBeforeTheProxy(t *testing.T) {
	c := testConsole(t, func(o *Options) { o.Server = func() *proxy.Server { return nil } })
	for _, s := range statements() {
		if s.args != "" || s.words == "RELOAD" {
			continue
		}
		if _, err := c.Run("ops", s.words); err != nil {
			t.Errorf("%s: %v", s.words, err)
		}
	}
	_, err := c.Run("ops", "show tenant '1'")
	refusal(t, err, "3D000")
}
