package router

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
)

func FuzzLexer(f *testing.F) {
	for i, text := range corpus(f) {
		f.Add([]byte(text), i%2 == 0)
	}
	f.Fuzz(func(t *testing.T, text []byte, plain bool) { checkLexed(t, text, plain) })
}

// FuzzRoute checks that routing does not panic, that a second look at a text
// gives the same answer, and that blanks, comments and the case of words change
// nothing.
func FuzzRoute(f *testing.F) {
	for i, text := range corpus(f) {
		f.Add([]byte(text), uint64(i), i%3 == 0)
	}
	routers := []*Router{routerFor(f, "shardmap.yaml"), routerFor(f, "shardmap-one.yaml"), routerFor(f, "shardmap-text.yaml")}
	f.Fuzz(func(t *testing.T, text []byte, seed uint64, plain bool) {
		for _, r := range routers {
			checkRouted(t, r, text, seed, plain)
		}
	})
}

func TestRouteOfRespacedCorpus(t *testing.T) {
	r := routerFor(t, "shardmap.yaml")
	for i, text := range corpus(t) {
		checkRouted(t, r, []byte(text), uint64(i), false)
	}
}

func checkRouted(t *testing.T, r *Router, text []byte, seed uint64, plain bool) {
	t.Helper()
	env := Env{PlainBackslash: plain}
	params := textValues("42", "43", "acme", "null", "{42,43}")
	var q Query
	r.Analyse(&q, text, &env)
	first := outcome(r, &q, params, &env)
	for i := range q.Statements() {
		q.Text(i)
		q.Changes(i, params)
	}
	clone := q.Clone()
	r.Analyse(&q, text, &env)
	if again := outcome(r, &q, params, &env); again != first {
		t.Errorf("%q: first %s, then %s", text, first, again)
	}
	if again := outcome(r, clone, params, &env); again != first {
		t.Errorf("%q: first %s, the clone %s", text, first, again)
	}
	other, ok := respaced(text, plain, rand.New(rand.NewPCG(seed, 1)))
	if !ok {
		return
	}
	r.Analyse(&q, other, &env)
	if again := outcome(r, &q, params, &env); again != first {
		t.Errorf("%q: %s\n%q: %s", text, first, other, again)
	}
}

// outcome writes what does not depend on where in the text something stands.
func outcome(r *Router, q *Query, p Params, env *Env) string {
	route, err := r.Route(q, p, env)
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return route.Kind.String() + " " + itoa(route.Shard) + " " + route.Tenant.String() + " " +
		map[bool]string{true: "write", false: "read"}[route.Write]
}

// respaced returns a text of the same tokens with other blanks, comments and
// cases of words. False means a text that has no such form: one with a hint, or
// one that the lexer rejects.
func respaced(text []byte, plain bool, rng *rand.Rand) ([]byte, bool) {
	gaps := []string{" ", "\n", "\t ", " /* a */ ", "/* b /* c */ */", " -- d\n", "\r\n"}
	l := lexer{src: text, plain: plain}
	var b strings.Builder
	end := 0
	for tok := l.next(); tok.kind != tokEnd; tok = l.next() {
		quote := tok.kind == tokLiteral && strings.IndexByte("'NnUuEeBbXx", text[tok.off]) >= 0
		switch {
		case tok.kind == tokBad:
			return nil, false
		case tok.off == end && end > 0: // tokens that touch may mean another thing apart
		case quote: // a line end in the gap could continue the string before
			b.WriteString("  ")
		default:
			b.WriteString(gaps[rng.IntN(len(gaps))])
		}
		word := string(text[tok.off:tok.end])
		if tok.kind == tokWord {
			word = randomCase(word, rng)
		}
		b.WriteString(word)
		end = tok.end
	}
	return []byte(b.String()), l.hint.end == 0
}

func randomCase(word string, rng *rand.Rand) string {
	b := []byte(word)
	for i, c := range b {
		if c < 0x80 && isLetter(c) && c != '_' && rng.IntN(2) == 0 {
			b[i] = c ^ 0x20
		}
	}
	return string(b)
}
