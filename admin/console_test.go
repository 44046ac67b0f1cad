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

// run runs one statement.
func run(c *Console, sql string) (proxy.Table, error) {
	commands, err := c.Read(sql)
	if err != nil {
		return proxy.Table{}, err
	}
	if len(commands) != 1 {
		return proxy.Table{}, fmt.Errorf("%q is %d statements", sql, len(commands))
	}
	return commands[0].Run(context.Background(), "ops")
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
		"show config": "key", "show nodes": "database", "show stats_totals": "database", "show stats_averages": "database", "show totals": "name",
		"show traffic": "database", "show lists": "list", "show peers": "peer_id", "show state": "key", "show pools app": "database", "show clients 7": "type",
		"SHOW DATABASES 'app'": "name", "show config listen": "key",
	} {
		table, err := run(c, sql)
		if err != nil || len(table.Columns) == 0 || table.Columns[0].Name != first || table.Tag != "SHOW" {
			t.Errorf("%q: %v %v, %v", sql, table.Tag, table.Columns, err)
		}
	}
	for _, sql := range []string{
		"select 2", "show", "show nothing", "show pools all of them", "show 'pools'", "showpools", "show tenant", "show version 2", "set log_level = 1", "set",
		"kill client", "kill client 1 2", "pause a b", "disable", "enable", "drain node", "drain", "shutdown now", "commit prepared 'a'", "select version(), 1",
		"show tenant 'a' of b", "show tenant '1' in", "show tenant 'open", "reload now", "SHOW " + strings.Repeat("x", 500),
	} {
		_, err := run(c, sql)
		if e := refusal(t, err, "42601"); len(e.Message) > 200 {
			t.Errorf("%q: a message of %d bytes", sql, len(e.Message))
		}
	}
	_, err := run(c, "show me")
	if e := refusal(t, err, "42601"); !strings.Contains(e.Hint, "SHOW TENANT 'KEY' [IN DATABASE]") || !strings.Contains(e.Hint, "RELOAD") {
		t.Errorf("the hint is %q", e.Hint)
	}
}

func TestHelpListsEveryStatement(t *testing.T) {
	table, err := run(testConsole(t, nil), "show help")
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

func TestSplit(t *testing.T) {
	parts, err := split(`SHOW tenant 'it''s' "a""b" -42 'a'b/**/`)
	want := []token{{"SHOW", false}, {"tenant", false}, {"it's", true}, {`a"b`, true}, {"-42", false}, {"a", true}, {"b/**/", false}}
	if err != nil || len(parts) != 1 || fmt.Sprint(parts[0].tokens) != fmt.Sprint(want) {
		t.Errorf("got %v, %v", parts, err)
	}
	for text, want := range map[string][]string{
		"": nil, " ;; ": nil, "-- nothing": nil, "show pools": {"show pools"}, "a;b": {"a", "b"}, " show 'a;b' ; /* ; */ reload -- ;\n ;": {"show 'a;b'", "reload -- ;"},
	} {
		parts, err := split(text)
		var got []string
		for _, p := range parts {
			got = append(got, p.text)
		}
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%q: got %q, %v, want %q", text, got, err, want)
		}
	}
}

func FuzzSplit(f *testing.F) {
	for _, sql := range []string{"show pools", "show tenant 'it''s' in \"a\"", "/* open", "--", "'", ";;", "a;b"} {
		f.Add(sql)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		parts, err := split(sql)
		if err != nil && parts != nil {
			t.Errorf("%q: %v and %v", sql, parts, err)
		}
		for _, p := range parts {
			if len(p.tokens) == 0 || !strings.Contains(sql, p.text) {
				t.Errorf("%q: the part %+v", sql, p)
			}
			for _, tok := range p.tokens {
				if !tok.quoted && (tok.text == "" || strings.ContainsAny(tok.text, blanks+`;'"`)) {
					t.Errorf("%q: the word %q", sql, tok.text)
				}
			}
		}
	})
}

// TestWhatDriversSend: statements that no operator writes are taken, and those with rows say beforehand which columns they have.
func TestWhatDriversSend(t *testing.T) {
	c := testConsole(t, nil)
	for sql, tag := range map[string]string{
		"SET extra_float_digits = 3": "SET", "set application_name='x'": "SET", "SET client_encoding TO 'UTF8'": "SET", "SET SESSION TimeZone = 'UTC'": "SET",
		"SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY": "SET", "set transaction isolation level serializable": "SET", "SET NAMES 'utf8'": "SET",
		"DISCARD ALL": "DISCARD", "RESET ALL": "RESET", "DEALLOCATE x": "DEALLOCATE", "UNLISTEN *": "UNLISTEN", "CLOSE ALL": "CLOSE CURSOR ALL",
		"select version()": "SELECT 1", "SELECT pg_catalog.version();": "SELECT 1", "select 1": "SELECT 1", "select current_user": "SELECT 1",
		"SHOW TRANSACTION ISOLATION LEVEL": "SHOW", "show server_version": "SHOW", "show standard_conforming_strings": "SHOW", "SHOW transaction_read_only": "SHOW",
	} {
		commands, err := c.Read(sql)
		if err != nil || len(commands) != 1 || commands[0].Block != proxy.BlockNone {
			t.Errorf("%s: %+v, %v", sql, commands, err)
			continue
		}
		table, err := commands[0].Run(t.Context(), "ops")
		if err != nil || table.Tag != tag || fmt.Sprint(table.Columns) != fmt.Sprint(commands[0].Columns) {
			t.Errorf("%s: %+v, %v", sql, table, err)
		}
	}
	for sql, block := range map[string]proxy.Block{"BEGIN": proxy.BlockBegin, "begin isolation level serializable": proxy.BlockBegin,
		"START TRANSACTION READ ONLY": proxy.BlockBegin, "commit": proxy.BlockCommit, "END": proxy.BlockCommit, "ROLLBACK": proxy.BlockRollback, "abort": proxy.BlockRollback} {
		if commands, err := c.Read(sql); err != nil || commands[0].Block != block {
			t.Errorf("%s: %+v, %v", sql, commands, err)
		}
	}
	_, err := c.Read("SHOW TENANT $1")
	refusal(t, err, "42P02")
}

// TestColumnsAreKnownBeforehand: a driver that prepares a statement is told what it will get.
func TestColumnsAreKnownBeforehand(t *testing.T) {
	c := testConsole(t, nil)
	for _, s := range statements() {
		if s.columns == nil || s.words == "SHOW TENANT" {
			continue
		}
		commands, err := c.Read(s.words)
		if err != nil {
			t.Fatal(err)
		}
		table, err := commands[0].Run(t.Context(), "ops")
		if err != nil || len(table.Columns) == 0 || fmt.Sprint(table.Columns) != fmt.Sprint(commands[0].Columns) {
			t.Errorf("%s: %v, %v beforehand: %v", s.words, table.Columns, commands[0].Columns, err)
		}
	}
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
		parts, err := split(sql)
		if err != nil {
			t.Fatal(err)
		}
		key, in, err := tenantArgs(parts[0].tokens)
		if err != nil || key != want[0] || in != want[1] {
			t.Errorf("%s: %q in %q, %v", sql, key, in, err)
		}
	}
}

func TestReload(t *testing.T) {
	_, err := run(testConsole(t, nil), "reload")
	refusal(t, err, "0A000")
	var outcome error
	calls := 0
	c := testConsole(t, func(o *Options) {
		o.Reload = func(context.Context) error { calls++; return outcome }
	})
	table, err := run(c, "RELOAD;")
	if err != nil || table.Tag != "RELOAD" || table.Columns != nil || calls != 1 {
		t.Errorf("got %+v, %v after %d calls", table, err, calls)
	}
	outcome = errors.New("shardmap.yaml:3:7: no shard is called s9")
	_, err = run(c, "reload")
	if e := refusal(t, err, "F0000"); !strings.Contains(e.Message, "shardmap.yaml:3:7") {
		t.Errorf("the message is %q", e.Message)
	}
	outcome = fmt.Errorf("app: %w", &pgwire.Error{Code: "55P03", Message: "busy", Detail: "tenant 7"})
	_, err = run(c, "reload")
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
		o.Config = func() []Setting {
			return []Setting{{"listen", "127.0.0.1:6432", "", false}, {"limits.drain", "1s", "30s", true}}
		}
		o.Users = func() map[string]*proxy.User {
			return map[string]*proxy.User{
				"zoe": {Name: "zoe", Verifier: verifier, Databases: []string{"app", "web"}, Mode: proxy.ModeSession,
					Limits: proxy.Limits{Clients: 9, QueryWait: time.Second, IdleTransaction: time.Minute, Statement: 1500 * time.Millisecond}}, "ops": {Name: "ops", Verifier: verifier, Admin: true},
			}
		}
	})
	for sql, want := range map[string][]string{
		"show config":                {"listen|127.0.0.1:6432||no", "limits.drain|1s|30s|yes"},
		"show config 'limits.drain'": {"limits.drain|1s|30s|yes"},
		"show users":                 {"ops||||0|0|0|0|all|yes|0|0|0", "zoe|||session|0|0|9|0|app, web|no|1s|1m0s|1.5s"},
		"show users zoe":             {"zoe|||session|0|0|9|0|app, web|no|1s|1m0s|1.5s"},
		"show version":               {"PgDrover 1.2.3"},
	} {
		table, err := run(c, sql)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, c := range table.Columns {
			names = append(names, c.Name)
		}
		wantText(t, text(t, table, names...), want...)
	}
}

func TestConsoleBeforeTheProxy(t *testing.T) {
	c := testConsole(t, func(o *Options) { o.Server = func() *proxy.Server { return nil } })
	for _, s := range statements() {
		if s.columns == nil || s.words == "SHOW TENANT" {
			continue
		}
		if _, err := run(c, s.words); err != nil {
			t.Errorf("%s: %v", s.words, err)
		}
	}
	for _, sql := range []string{"show tenant '1'", "pause", "resume", "kill", "kill client 1", "disable app", "reconnect", "wait_close", "drain node a:1"} {
		_, err := run(c, sql)
		refusal(t, err, "3D000")
	}
	_, err := run(c, "shutdown")
	refusal(t, err, "0A000")
}
