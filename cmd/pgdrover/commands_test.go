package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	pgquery "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgdrover/pgdrover/internal/casefile"
	"github.com/pgdrover/pgdrover/router"
)

const commandConfig = `databases:
  app:
    shardmap: shardmap.yaml
    backend: {user: app, password: hunter2, tls: disable}
    pool: {connect_timeout: 1s}
    cache: {tables: {orders: {ttl: 1m}}}
users: [{name: app, password: hunter2}]
`

const commandMap = `database: app
tenant: {column: tenant_id, type: bigint}
shards:
  - {name: s1, primary: {host: 127.0.0.1, port: 1}}
  - {name: s2, weight: 3, primary: {host: 127.0.0.1, port: 2}, replicas: [{host: 127.0.0.1, port: 3}]}
tables: {countries: reference, migrations: {on: s1}}
pins: {"7": s1}
`

// commandCatalog has the tables that the cases speak of.
func commandCatalog() *router.Catalog {
	column := func(name string) router.Column { return router.Column{Name: name, Type: 20, Deterministic: true} }
	table := func(name string, columns ...router.Column) router.Relation {
		return router.Relation{Schema: "public", Name: name, Kind: "r", Persistence: "p", Identity: "d", Columns: columns}
	}
	return &router.Catalog{
		Encoding: "UTF8", Server: 150000, Schemas: []string{"pg_catalog", "public"},
		Relations: []router.Relation{
			table("orders", column("tenant_id"), column("id"), column("note")), table("countries", column("id")), table("migrations", column("id")),
		},
		Functions: []router.Function{
			{Schema: "pg_catalog", Name: "lower", Volatility: "i"}, {Schema: "pg_catalog", Name: "count", Volatility: "i", Aggregate: true},
		},
		Types: []router.Type{{OID: 20, Schema: "pg_catalog", Name: "int8"}},
	}
}

// pgdrover runs a command line and returns what it printed and its exit status.
func pgdrover(t *testing.T, args ...string) (out, errs string, status int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status = run(context.Background(), args, stdio{in: strings.NewReader(""), out: &stdout, err: &stderr})
	return stdout.String(), stderr.String(), status
}

// TestCommandCases runs the command lines of testdata/config/commands.txt one after the other in a folder of their own.
func TestCommandCases(t *testing.T) {
	casefile.Run(t, "../../testdata/config/commands.txt", func(t *testing.T, c *casefile.Case) string {
		t.Chdir(t.TempDir())
		t.Setenv("PGDROVER_CONFIG", "")
		writeFile(t, "pgdrover.yaml", commandConfig)
		writeFile(t, "shardmap.yaml", commandMap)
		writeFile(t, "catalog.json", string(commandCatalog().Encode()))
		var answer strings.Builder
		script := strings.Split(c.Input, "\n")
		for len(script) > 0 {
			line := script[0]
			script = script[1:]
			if name, isFile := strings.CutPrefix(line, "== "); isFile {
				var text string
				text, script = fileOf(script)
				writeFile(t, name, text)
				continue
			}
			out, errs, status := pgdrover(t, splitArgs(line)...)
			noSecret(t, out+errs)
			for errLine := range strings.Lines(errs) {
				out += "! " + errLine
			}
			fmt.Fprintf(&answer, "> %s\n%sexit %d\n", line, out, status)
		}
		return answer.String()
	})
}

// commandNames are the first words that a line of a script can have.
var commandNames = []string{"check", "route", "shardmap", "version", "shardmaps", "install"}

// fileOf takes the lines of a file off a script: up to the next command or file.
func fileOf(script []string) (text string, rest []string) {
	for i, line := range script {
		word, _, _ := strings.Cut(line, " ")
		for _, name := range commandNames {
			if word == name {
				return text, script[i:]
			}
		}
		if strings.HasPrefix(line, "== ") {
			return text, script[i:]
		}
		text += line + "\n"
	}
	return text, nil
}

// splitArgs splits a command line at blanks outside double quotes.
func splitArgs(line string) []string {
	var args []string
	for i, part := range strings.Split(line, `"`) {
		if i%2 == 1 {
			args = append(args, part)
			continue
		}
		args = append(args, strings.Fields(part)...)
	}
	return args
}

// TestHelp checks that every command teaches: what it is for, in a line and at length, and no error.
func TestHelp(t *testing.T) {
	root := newRootCommand()
	root.InitDefaultHelpCmd()
	for _, cmd := range root.Commands() {
		for _, sub := range append(cmd.Commands(), cmd) {
			args := append(strings.Fields(sub.CommandPath())[1:], "--help")
			out, errs, status := pgdrover(t, args...)
			if status != exitOK || errs != "" || !strings.Contains(out, "Usage:") || sub.Short == "" {
				t.Errorf("%v: exit %d, stderr %q, stdout:\n%s", args, status, errs, out)
			}
		}
	}
	out, _, status := pgdrover(t)
	if status != exitOK || !strings.Contains(out, "pgdrover.yaml") || strings.Contains(out, "healthcheck") {
		t.Errorf("without arguments: exit %d, stdout:\n%s", status, out)
	}
}

func TestVersion(t *testing.T) {
	out, _, status := pgdrover(t, "version")
	tree, err := pgquery.Parse("select 1")
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"pgdrover ", "commit ", "go1.", fmt.Sprintf("PostgreSQL %d", tree.Version/10000)} {
		if status != exitOK || !strings.Contains(out, word) {
			t.Errorf("exit %d, no %q in:\n%s", status, word, out)
		}
	}
}

// TestConfigFromEnvironment checks where a command finds its files.
func TestConfigFromEnvironment(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("PGDROVER_CONFIG", "")
	if got := (&configFlag{}).files(); len(got) != 1 || got[0] != "pgdrover.yaml" {
		t.Errorf("without a word: %v", got)
	}
	t.Setenv("PGDROVER_CONFIG", "a.yaml"+string(os.PathListSeparator)+"b.yaml")
	if got := (&configFlag{}).files(); len(got) != 2 || got[1] != "b.yaml" {
		t.Errorf("from the environment: %v", got)
	}
	if got := (&configFlag{paths: []string{"c.yaml"}}).files(); len(got) != 1 || got[0] != "c.yaml" {
		t.Errorf("from the flag: %v", got)
	}
}

func TestHealthcheck(t *testing.T) {
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte("no shard answers"))
	}))
	defer server.Close()
	if _, errs, code := pgdrover(t, "healthcheck", "--url", server.URL); code != exitOK {
		t.Errorf("200: exit %d: %s", code, errs)
	}
	status = http.StatusServiceUnavailable
	if _, errs, code := pgdrover(t, "healthcheck", "--url", server.URL); code != exitError || !strings.Contains(errs, "no shard answers") {
		t.Errorf("503: exit %d: %s", code, errs)
	}
	server.Close()
	if _, _, code := pgdrover(t, "healthcheck", "--url", server.URL); code != exitError {
		t.Errorf("nobody there: exit %d", code)
	}
}

// TestPaint checks that what is no terminal gets no colour.
func TestPaint(t *testing.T) {
	if got := paintFor(&bytes.Buffer{}).red("x"); got != "x" {
		t.Errorf("a buffer gets %q", got)
	}
	if got := paint(true).red("x"); got != "\x1b[31mx\x1b[0m" {
		t.Errorf("a terminal gets %q", got)
	}
}

// TestRouteWithoutUsers routes where the configuration lists nobody: "$user" is whom backends are logged in as.
func TestRouteWithoutUsers(t *testing.T) {
	t.Chdir(t.TempDir())
	writeFile(t, "shardmap.yaml", commandMap)
	writeFile(t, "catalog.json", string(commandCatalog().Encode()))
	writeFile(t, "pgdrover.yaml", "auth: {query: \"select usename, passwd from pg_shadow where usename = $1\"}\ndatabases: {app: {shardmap: shardmap.yaml, backend: {user: app, password: x}}}\n")
	if out, errs, status := pgdrover(t, "route", "--catalog", "catalog.json", "select 1"); status != 0 || !strings.HasPrefix(out, "shard  any") {
		t.Errorf("status %d: %s%s", status, out, errs)
	}
}
