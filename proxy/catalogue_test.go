package proxy

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// gotcha is a trap that poolers have fallen into.
type gotcha struct {
	row   int
	what  string
	later string // which feature it is about that this version does not have; empty: it has a case
}

// catalogue are the known traps by number. Each has a case that is named after it: a script of testdata/session whose name has the
// number (play "12 …", or 12b; "11 …; 12 …" counts for both), or a Go test whose comment has a line "Row 12: …".
var catalogue = []gotcha{
	{row: 1, what: "DEALLOCATE ALL and a new Parse in one pipeline"},
	{row: 2, what: "many Closes in one batch: their replies stay in order"},
	{row: 3, what: "a statement's name is used twice: 42P05, and the session lives"},
	{row: 4, what: "PREPARE by SQL and Bind by the protocol share names"},
	{row: 5, what: "a Parse that the proxy sends itself fails"},
	{row: 6, what: "a Query while everything up to Sync is skipped is not answered"},
	{row: 7, what: "Flush without Sync"},
	{row: 8, what: "one error for a batch, not two"},
	{row: 9, what: "a portal that is suspended after some rows"},
	{row: 10, what: "Describe of a statement that the backend knows already"},
	{row: 11, what: "COPY data that arrives after the server's error"},
	{row: 12, what: "COPY in pipelines, prepared, in strings of statements"},
	{row: 13, what: "much in both directions at once, and a client that does not read"},
	{row: 14, what: "many Syncs at once: a backend is kept until the last reply"},
	{row: 15, what: "a cancel request never hits the next client of a backend"},
	{row: 16, what: "a storm of cancel requests"},
	{row: 17, what: "SET does not reach the next client"},
	{row: 18, what: "set_config, SET ROLE, and what ALTER ROLE SET has said"},
	{row: 19, what: "ROLLBACK and ROLLBACK TO take settings back"},
	{row: 20, what: "a string of statements is one transaction"},
	{row: 21, what: "savepoints of a failed transaction"},
	{row: 22, what: "what a session has on its backend keeps the backend"},
	{row: 23, what: "DISCARD ALL releases advisory locks"},
	{row: 24, what: "DISCARD ALL at every close of a driver's connection"},
	{row: 25, what: "a setting that changes while a statement runs is reported"},
	{row: 26, what: "questions about users run on a clean session"},
	{row: 27, what: "what a client says at startup reaches no query about users"},
	{row: 28, what: "a password that has ended"},
	{row: 29, what: "lengths that are too small, negative or huge"},
	{row: 30, what: "an error without its SQLSTATE"},
	{row: 31, what: "SCRAM with a hostile server: huge iteration counts and salts"},
	{row: 32, what: "bytes behind an SSLRequest"},
	{row: 33, what: "GSSENCRequest, then SSLRequest, then startup"},
	{row: 34, what: "direct TLS without the protocol's name"},
	{row: 35, what: "channel binding that is talked away"},
	{row: 36, what: "protocol 3.9999 and options that nobody knows"},
	{row: 37, what: "cancel keys of up to 256 bytes"},
	{row: 38, what: "a CTE that writes, or FOR UPDATE, never goes to a replica"},
	{row: 39, what: "a plan that DDL has made stale"},
	{row: 40, what: "another server_version after a failover"},
	{row: 41, what: "everybody reconnects at once"},
	{row: 42, what: "a breaker whose probe hangs", later: "circuit breakers"},
	{row: 43, what: "an LSN at the edge of a page", later: "reads that wait for an LSN"},
	{row: 44, what: "a timeline that ends while floors are out", later: "reads that wait for an LSN, and promotions that are followed"},
	{row: 45, what: "the cache is not filled from a replica that lags behind a write"},
	{row: 46, what: "a write of unknown outcome makes the cache stale"},
	{row: 47, what: "a client that dies inside a transaction"},
	{row: 48, what: "Terminate inside a transaction"},
	{row: 49, what: "FunctionCall"},
	{row: 50, what: "notices and notifications between replies that the client does not see"},
}

// TestCatalogue finds the cases of each row. With -v it prints the table.
func TestCatalogue(t *testing.T) {
	found := map[int][]string{}
	scriptRows(t, found)
	commentRows(t, found)
	for i, g := range catalogue {
		if g.row != i+1 {
			t.Fatalf("row %d stands where %d belongs", g.row, i+1)
		}
		cases := found[g.row]
		delete(found, g.row)
		switch {
		case len(cases) == 0 && g.later == "":
			t.Errorf("row %d (%s) has no case", g.row, g.what)
		case len(cases) > 0 && g.later != "":
			t.Errorf("row %d (%s) waits for nothing any more: it has %s", g.row, g.what, cases[0])
		case g.later != "":
			t.Logf("%2d %s: later, with %s", g.row, g.what, g.later)
		default:
			t.Logf("%2d %s:\n\t\t%s", g.row, g.what, strings.Join(cases, "\n\t\t"))
		}
	}
	for row, cases := range found {
		t.Errorf("there is no row %d, which %s names", row, cases[0])
	}
	if n := len(slices.DeleteFunc(slices.Clone(catalogue), func(g gotcha) bool { return g.later == "" })); n != 3 {
		t.Errorf("%d rows wait for features; three do", n)
	}
}

var (
	playLine    = regexp.MustCompile(`(?m)^play "(.*)"$`)
	rowsInName  = regexp.MustCompile(`(?:^|[,;] )(\d+)[a-z]? `)
	rowsComment = regexp.MustCompile(`(?m)^Row (\d+): `)
)

// scriptRows finds the rows that scripts are named after.
func scriptRows(t *testing.T, found map[int][]string) {
	files, err := filepath.Glob("../testdata/session/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range playLine.FindAllSubmatch(text, -1) {
			for _, row := range rowsInName.FindAllSubmatch(name[1], -1) {
				n, _ := strconv.Atoi(string(row[1]))
				found[n] = append(found[n], fmt.Sprintf("%s: %s", filepath.Base(file), name[1]))
			}
		}
	}
}

// commentRows finds the rows that the comments of tests name, in all packages.
func commentRows(t *testing.T, found map[int][]string) {
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(text, []byte("// Row ")) {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range f.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Doc == nil || !isTest(fn.Name.Name) {
				continue
			}
			for _, row := range rowsComment.FindAllStringSubmatch(fn.Doc.Text(), -1) {
				n, _ := strconv.Atoi(row[1])
				found[n] = append(found[n], fmt.Sprintf("%s: %s", filepath.Base(filepath.Dir(path)), fn.Name.Name))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// isTest reports whether go test runs a function, or a test of the package does.
func isTest(name string) bool {
	return strings.HasPrefix(name, "Test") || strings.HasPrefix(name, "Fuzz") || strings.HasPrefix(name, "test")
}
