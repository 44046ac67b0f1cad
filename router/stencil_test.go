package router

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// lexed is what the lexer makes of a text. Its template knows only its bytes.
func lexed(text []byte) *Query {
	q := &Query{text: text}
	normalise(q)
	q.tpl = &Template{norm: q.norm}
	return q
}

// checkStencil checks that a text which fits the stencil of another is read as the lexer reads it, and is found by the same key.
func checkStencil(t testing.TB, of, text []byte) (fits bool) {
	t.Helper()
	return checkFit(t, newStencil(lexed(of), 0), text)
}

// checkFit is checkStencil for a stencil, which may be nil.
func checkFit(t testing.TB, st *stencil, text []byte) (fits bool) {
	t.Helper()
	got := &Query{text: text}
	if st == nil || !st.fit(got) {
		return false
	}
	if err := differs(got, lexed(text)); err != "" {
		t.Fatalf("%q, by the stencil of %q: %s", text, st.text, err)
	}
	if a, b := st.text[:literalAt(st.text)], text[:literalAt(text)]; !bytes.Equal(a, b) {
		t.Fatalf("%q fits the stencil of %q, and is looked for by %q, not %q", text, st.text, b, a)
	}
	return true
}

// differs says in what a Query differs from one that the lexer made of the same text; empty: in nothing that is to be seen.
func differs(got, want *Query) string {
	for _, f := range []struct {
		name      string
		got, want any
	}{
		{"text", string(got.text), string(want.text)}, {"plain", got.plain, want.plain}, {"template", string(got.tpl.norm), string(want.norm)},
		{"slots", append([]slot{}, got.slots...), append([]slot{}, want.slots...)}, {"runs", append([]run{}, got.runs...), append([]run{}, want.runs...)},
		{"pieces", append([]piece{}, got.pieces...), append([]piece{}, want.pieces...)}, {"hint", got.hint, want.hint},
	} {
		if !reflect.DeepEqual(f.got, f.want) {
			return fmt.Sprintf("%s %v, want %v", f.name, f.got, f.want)
		}
	}
	return ""
}

// fillings are literals, and what could be taken for one.
var fillings = []string{
	"", "5", "007", "-5", "- 5", "--5", "--5\n", "/*5*/", "/* ' */", "12 34", "1.5", ".5", "5.", "5..6", "1..2", "1e5", "1E-5", "1e", "1_000", "1__0", "0x1F", "0b1", "0o7",
	"0x", "123abc", "99999999999999999999", "5.0000", "5a", "a5", "e5", "5é", "5$", "5$1", "$1", "$12", "$$5$$", "$a$'$a$", "''", "'5'", "'it''s'", `'\'`, `'\''`, "'a\x00b'", "\x00", "'é'",
	"'", "'5", "E'5'", "e'5'", `E'\''`, "N'5'", "n '5'", "U&'5'", "u&'5'", `U&"5"`, "B'1'", "x'1F'", "'5'::int", "5::int", "'5' '6'", "'5'\n'6'", "'5' \n\t '6'", "'5'--\n'6'",
	"'5'/**/\n'6'", "\n'6'", "interval '5' day", "'5' day", "LIMIT 5", `"quoted 'ident' 5"`, `"`, `""`, ",", ";", "; 5", "(", ")", "5)", ":5", "::", "now", "'now'", "?5", "&'5'", "\n", " ", "-", "5-",
	"5--'\n", "5/*'*/", "/* pgdrover: tenant=5 */", "-- pgdrover: tenant=5", "values (5), (6)", "uescape '!'",
}

// contexts are texts with places for fillings.
var contexts = []string{
	"%s", "SELECT %s", "SELECT %s, %s", "SELECT %s%s", "SELECT %s %s", "SELECT %s\n%s", "SELECT %s-%s", "SELECT %s;", "SELECT %s; %s", "SELECT a%s", "SELECT %sa", "SELECT .%s", "SELECT %s.", "SELECT 5%s",
	"SELECT %s5", "SELECT %s'x'", "SELECT %s\n'x'", "SELECT 'x'%s", "SELECT 'x'\n%s", "SELECT 'x'--\n%s", "SELECT e%s", "SELECT u&%s", "SELECT N%s", "SELECT $%s", "SELECT %s.5", "SELECT 5.%s", "SELECT %se5", "SELECT 1e%s", "SELECT 1e-%s",
	"SELECT 'a%s'", "SELECT 'a%s', %s", "/*%s*/ SELECT %s", "SELECT %s -- %s", "SELECT %s -- 'x\n, %s", `SELECT "%s", %s`, "SELECT U&%s UESCAPE %s", "SELECT %s UESCAPE '!'", "VALUES (%s), (%s)", "VALUES (%s, 'a') , (%s, 'b')",
	"SET a = %s", "BEGIN%s", "SAVEPOINT %s", "PREPARE a AS SELECT %s", "SELECT x[%s:%s]", "SELECT (%s)", "SELECT f(%s,%s)", "SELECT * FROM t WHERE a=%s AND b =%s LIMIT 5", "SELECT $1, %s", "SELECT %s, $1, %s, 'it''s', %s, $$x$$",
	"EXPLAIN SELECT %s", "INSERT INTO t VALUES (%s, %s)", "SELECT a::%s", "SELECT a:%s", "SELECT a %% %s", "SELECT %s::int", "%sSELECT 5", "; SELECT %s ;", "SELECT é%s", "SELECT <%s>", "COPY t TO '%s'", "DECLARE c CURSOR FOR SELECT %s",
}

// withFillings writes fillings into a context: those from the n-th on.
func withFillings(context string, n int) []byte {
	args := make([]any, strings.Count(strings.ReplaceAll(context, "%%", ""), "%s"))
	for i := range args {
		args[i] = fillings[(n+i*(1+n/len(fillings)))%len(fillings)]
	}
	return fmt.Appendf(nil, context, args...)
}

// TestStencilsReadAsTheLexer checks every filling against the stencil of every other, in every context.
func TestStencilsReadAsTheLexer(t *testing.T) {
	fits := 0
	for _, context := range contexts {
		var texts [][]byte
		for n := range min(strings.Count(context, "%s"), 2) * len(fillings) {
			texts = append(texts, withFillings(context, n))
		}
		for _, of := range texts {
			st := newStencil(lexed(of), 0)
			for _, text := range texts {
				if checkFit(t, st, text) && !bytes.Equal(of, text) {
					fits++
				}
			}
		}
	}
	if fits < 5000 {
		t.Errorf("only %d texts fitted the stencil of another", fits)
	}
}

// TestStencilsOfTheCorpus checks texts against stencils of what they were before something about their literals changed.
func TestStencilsOfTheCorpus(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	fits := 0
	for _, text := range corpus(t) {
		checkStencil(t, []byte(text), []byte(text))
		for range 50 {
			if other := changed([]byte(text), rng); checkStencil(t, []byte(text), other) && string(other) != text {
				fits++
			}
		}
	}
	if fits < 5000 {
		t.Errorf("only %d texts fitted the stencil of another", fits)
	}
}

// changed returns a text that has something else in the place of literals, or next to them.
func changed(text []byte, rng *rand.Rand) []byte {
	var b []byte
	from := 0
	for _, s := range lexed(text).slots {
		off, end := int(s.off), int(s.end)
		switch rng.IntN(12) {
		case 0, 1: // as it is
			continue
		case 2:
			off = end
		case 3:
			end = off
		case 4:
			off, end = max(from, off-rng.IntN(3)), min(len(text), end+rng.IntN(3))
		}
		filling := fillings[rng.IntN(len(fillings))]
		if like := likeIt(s.kind, rng); rng.IntN(4) > 0 && like != "" {
			filling = like
		}
		b = append(append(b, text[from:max(from, off)]...), filling...)
		from = max(from, end)
	}
	b = append(b, text[from:]...)
	if rng.IntN(8) == 0 && len(b) > 0 {
		b[rng.IntN(len(b))] = "05'-\n e.$\\\"/*\x00;"[rng.IntN(15)]
	}
	return b
}

// likeIt returns a literal of a kind; empty for those that are nothing but themselves.
func likeIt(k slotKind, rng *rand.Rand) string {
	switch k {
	case slotInt:
		return fmt.Sprint(rng.IntN(1000))
	case slotDecimal:
		return fmt.Sprintf("%d.%d", rng.IntN(1000), rng.IntN(1000))
	case slotString:
		return []string{"''", "'5'", "'it''s'", `'\'`, "'''x'", "'-- pgdrover: x'", "'a\nb'"}[rng.IntN(7)]
	}
	return ""
}

// FuzzStencil checks what fits the stencil of a text after something was put in the place of a literal, or anywhere.
func FuzzStencil(f *testing.F) {
	for i, text := range corpus(f) {
		f.Add([]byte(text), []byte(fillings[i%len(fillings)]), uint16(i), uint8(i))
	}
	for i, context := range contexts {
		f.Add(withFillings(context, i), []byte(fillings[i%len(fillings)]), uint16(i), uint8(i))
	}
	f.Fuzz(func(t *testing.T, text, filling []byte, at uint16, length uint8) {
		for _, s := range lexed(text).slots {
			checkStencil(t, text, bytes.Join([][]byte{text[:s.off], text[s.end:]}, filling))
		}
		off := min(int(at), len(text))
		end := min(off+int(length), len(text))
		checkStencil(t, text, bytes.Join([][]byte{text[:off], text[end:]}, filling))
		rng := rand.New(rand.NewPCG(uint64(at), uint64(length)))
		checkStencil(t, text, changed(text, rng))
		checkStencil(t, changed(text, rng), changed(text, rng))
	})
}
