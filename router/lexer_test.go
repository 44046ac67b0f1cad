package router

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	pg "github.com/pganalyze/pg_query_go/v6"
	"github.com/pgdrover/pgdrover/internal/casefile"
)

// corpus is the statements of the routing cases and of the schema, with some
// that try the scanner.
func corpus(t testing.TB) []string {
	t.Helper()
	list := []string{
		"SELECT 1.5, .5, 5., 1e10, 1.5e-3, 1..2", "SELECT a[1:2], a[:], a[$1:$2]", "SELECT x'1F', b'01', X'ab' || B'1'",
		"SELECT 'a' || 'b', E'\\'', e'\\\\', U&'d\\0061t\\+000061', u&\"d\\0061\"", "SELECT $$a$$, $x$ $$ $x$, $é$ß$é$",
		"SELECT 1+-1, 1 - -1, 2*-3, @-1, |/ 4, 1<-1, a->>'b', a#>>'{x}', a<->b, a@>b, a?|b, ~-1, 1!=-1, 5%-2, a||-1",
		"SELECT /* a /* b */ c */ 1 -- x\n, 2 --", "SELECT 'a'\n'b'", "SELECT 'a' \n\t 'b'", "SELECT \"a\"\"b\".\"c\", é, _x$1, A",
		"SELECT a::int, b :: text, c:d", "SELECT 'x'::bit(3), numeric '1.5', interval '1' day, timestamp with time zone 'now'",
		"SELECT f(a => 1, b := 2)", "SELECT 0x1F, 0o17, 0b11, 1_000, 0x_1f, 1_0.5_0e1_0", "SELECT a.b.c.*, (a).b, (f(1)).*",
		"SELECT ARRAY[1,2][1], ROW(1, 'a'), (1, 2)", "SELECT 1 WHERE a OPERATOR(pg_catalog.+) 1 > 2", "SELECT 'it''s', ''",
		"SELECT CASE WHEN a THEN 'x' ELSE $1 END, $2::text", "VALUES (1, 'a'), (2, 'b'), (3, NULL), (4, 'd')",
		"INSERT INTO t VALUES ((1), f('x', (2))), ((3), f('y', (4)))", "SELECT N'x', n 'y'", "SELECT 1 AS \"select\"",
		"SELECT 'a' --x\n 'b'", "select $1,$2 ,$65535", "SELECT a*/*c*/b, a-/*c*/-b", "SELECT a- -b, a--b\n", "SELECT 1;SELECT 2;;",
	}
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(routingDir, "*.txt"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	block := regexp.MustCompile(`(?s)(?:^|\n\n)(?:route|both|statement)[^\n]*\n(.*?)\n----\n`)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range block.FindAllStringSubmatch(string(text), -1) {
			list = append(list, m[1])
		}
	}
	schema, err := os.ReadFile(filepath.Join(routingDir, "schema.sql"))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range Split(schema) {
		list = append(list, string(part))
	}
	return list
}

// literalKinds are pg_query's tokens for what the lexer calls a literal.
var literalKinds = []pg.Token{
	pg.Token_ICONST, pg.Token_FCONST, pg.Token_SCONST, pg.Token_USCONST, pg.Token_BCONST, pg.Token_XCONST, pg.Token_PARAM,
}

// TestLexerAgainstScanner compares where literals begin and end with
// PostgreSQL's own scanner.
func TestLexerAgainstScanner(t *testing.T) {
	compared := 0
	for _, text := range corpus(t) {
		if slices.Contains(knownDifferences, text) {
			continue
		}
		scan, err := pg.Scan(text)
		mine, bad := literals(text)
		if err != nil {
			if !bad {
				t.Errorf("%q: the scanner says %v, the lexer accepts it", text, err)
			}
			continue
		}
		if bad {
			t.Errorf("%q: the lexer rejects it, the scanner does not", text)
			continue
		}
		var theirs []string
		for _, tok := range scan.Tokens {
			if slices.Contains(literalKinds, tok.Token) {
				theirs = append(theirs, fmt.Sprintf("%d-%d", tok.Start, tok.End))
			}
		}
		if !slices.Equal(mine, theirs) {
			t.Errorf("%q: literals at %v, the scanner has them at %v", text, mine, theirs)
		}
		compared++
	}
	if compared < 400 {
		t.Errorf("only %d texts were compared", compared)
	}
}

// knownDifferences are texts that a server reads as the lexer does, and
// libpg_query does not: a string continued after a comment. The others it scans
// but no server accepts.
var knownDifferences = []string{
	"SELECT $1a", `SELECT 1 \ 2`,
	"SELECT 'a' --x\n 'b'",
	"SELECT * FROM orders WHERE status = 'a'\n-- comment\n'b' AND tenant_id = 42",
}

func literals(text string) (places []string, bad bool) {
	l := lexer{src: []byte(text)}
	for tok := l.next(); tok.kind != tokEnd; tok = l.next() {
		switch tok.kind {
		case tokBad:
			return nil, true
		case tokLiteral:
			places = append(places, fmt.Sprintf("%d-%d", tok.off, tok.end))
		}
	}
	return places, false
}

// TestLexerPrefixes lexes every prefix of every text, in both settings.
func TestLexerPrefixes(t *testing.T) {
	for _, text := range corpus(t) {
		for n := range len(text) + 1 {
			for _, plain := range []bool{false, true} {
				checkLexed(t, []byte(text[:n]), plain)
			}
		}
	}
}

// checkLexed checks that tokens are in order, and that only blanks and comments
// lie between them.
func checkLexed(t testing.TB, text []byte, plain bool) {
	t.Helper()
	l := lexer{src: text, plain: plain}
	end := 0
	for tok := l.next(); tok.kind != tokEnd; tok = l.next() {
		if tok.off < end || tok.end <= tok.off || tok.end > len(text) {
			t.Fatalf("%q: token %d-%d after %d", text, tok.off, tok.end, end)
		}
		if !blank(text[end:tok.off]) {
			t.Fatalf("%q: %q lies between tokens", text, text[end:tok.off])
		}
		end = tok.end
	}
	if !blank(text[end:]) {
		t.Fatalf("%q: %q comes after the last token", text, text[end:])
	}
	q := Query{text: text, plain: plain}
	normalise(&q)
	last := int32(0)
	for _, s := range q.slots {
		if s.off < last || s.end <= s.off || int(s.end) > len(text) {
			t.Fatalf("%q: slots %v", text, q.slots)
		}
		last = s.end
		if value, ok := q.decode(s); ok && len(value) > len(text)*4 {
			t.Fatalf("%q: a literal of %d bytes", text, len(value))
		}
	}
	for _, r := range q.runs {
		if n, _ := q.locate(r.slot); int(n+r.perRow*r.rows) > len(q.slots) || r.rows < 2 {
			t.Fatalf("%q: run %+v of %d slots", text, r, len(q.slots))
		}
	}
}

// blank reports text that PostgreSQL ignores.
func blank(b []byte) bool {
	b = bytes.TrimLeft(b, " \t\r\n\f\v")
	switch {
	case len(b) == 0:
		return true
	case bytes.HasPrefix(b, []byte("--")):
		return blank(b[lineEnd(b, 0):])
	case bytes.HasPrefix(b, []byte("/*")):
		l := lexer{src: b}
		return l.blockComment() && blank(b[l.pos:])
	}
	return false
}

// TestSplit runs the cases of testdata/split.
func TestSplit(t *testing.T) {
	casefile.RunDir(t, "testdata/split", func(_ *testing.T, c *casefile.Case) string {
		var parts []string
		for _, p := range Split([]byte(c.Input)) {
			parts = append(parts, fmt.Sprintf("%q", p))
		}
		return strings.Join(parts, "\n")
	})
}

// TestPartsStopWhereTextIsNone checks that a script is read up to what is no SQL, and where that is.
func TestPartsStopWhereTextIsNone(t *testing.T) {
	const text = ";; SELECT ';' ; -- one;\n CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END; SELECT (1;2); SELECT 'open; SELECT 2"
	var got []string
	for p := range Parts([]byte(text)) {
		got = append(got, fmt.Sprint(text[p.Off:p.End], p.Bad))
	}
	want := []string{"SELECT ';'false", "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; ENDfalse", "SELECT (1;2)false", "'open; SELECT 2true"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for p := range Parts([]byte("SELECT 1; SELECT 2")) {
		if p.Off != 0 {
			t.Errorf("a reader that stops is given %v", p)
		}
		break
	}
}
