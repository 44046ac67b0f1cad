package router

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"unsafe"
)

// fresh is a text read by the lexer, with the template that r has or makes of it.
func fresh(r *Router, text []byte, env *Env) *Query {
	q := &Query{}
	q.reset(r, text, env.PlainBackslash)
	if path, user := q.follow(env), r.schemaOf(env); !r.lookUp(q, path, user) {
		q.tpl = r.compile(q, path, user)
	}
	return q
}

// checkRecalled has r read a text into q, which has read others before, and compares it with what the lexer and the parser make of it.
func checkRecalled(t testing.TB, r *Router, q *Query, text []byte, env *Env) {
	t.Helper()
	r.Analyse(q, text, env)
	want := fresh(r, text, env)
	err := differs(q, want)
	switch {
	case err != "":
	case q.tpl.searchPath != want.tpl.searchPath || q.tpl.user != want.tpl.user:
		err = fmt.Sprintf("analysed for %q, %q", q.tpl.searchPath, q.tpl.user)
	case q.Router() != r:
		err = "it has another Router"
	default:
		if got, want := outcome(r, q, nil, env), outcome(r, want, nil, env); got != want {
			err = fmt.Sprintf("it goes to %s, not %s", got, want)
		}
	}
	if err != "" {
		t.Fatalf("%q under %+v: %s", text, *env, err)
	}
}

// differentSettings are those that texts mean different things under.
var differentSettings = []Env{
	{}, {SearchPath: "audit"}, {SearchPath: "audit, public"}, {User: "audit"}, {User: "nobody"}, {PlainBackslash: true}, {SearchPath: "t42, public"}, {SearchPath: "t43, public"},
}

// TestStencilsUnderSettings has sessions with different settings and Routers read the same texts with other literals, in any order.
func TestStencilsUnderSettings(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	texts := append(corpus(t), `SELECT * FROM log WHERE tenant_id = 42`, `SELECT '\'`, `SELECT '\', 5`, `SELECT '\' || 'a', '`)
	routers := []*Router{routerFor(t, "shardmap.yaml"), routerFor(t, "shardmap-one.yaml"), routerFor(t, "shardmap-schemas.yaml")}
	var one Query
	for at := 0; at < len(texts); at += 5 {
		few := texts[at:min(at+5, len(texts))]
		for range 30 {
			r, env := routers[rng.IntN(len(routers))], differentSettings[rng.IntN(len(differentSettings))]
			text := []byte(few[rng.IntN(len(few))])
			if rng.IntN(4) == 0 {
				text = changed(text, rng)
			}
			checkRecalled(t, r, &one, text, &env)
		}
	}
}

// TestStencilsAtOnce has several sessions read texts at once, of which there are more than have room in a set.
func TestStencilsAtOnce(t *testing.T) {
	r := routerFor(t, "shardmap.yaml")
	var wg sync.WaitGroup
	for n := range 4 {
		wg.Go(func() {
			var q Query
			for i := range 3000 {
				text := fmt.Appendf(nil, "SELECT id FROM orders WHERE tenant_id = %d AND c%d = 'x%d'", i, i%(1+i/100), n)
				r.Analyse(&q, text, &Env{})
				if err := differs(&q, lexed(text)); err != "" {
					t.Errorf("%q: %s", text, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestStencilsKeepWhatIsUsed checks that texts which come once do not drive out those that come again, and that those get in.
func TestStencilsKeepWhatIsUsed(t *testing.T) {
	r := routerFor(t, "shardmap.yaml")
	text := func(n int) []byte {
		return fmt.Appendf(nil, "SELECT * FROM orders WHERE tenant_id = %d AND 1e%d > 2", n, n)
	}
	read := func(text []byte) *stencil {
		var q Query
		r.Analyse(&q, text, &Env{})
		q.reset(r, text, false)
		return r.stencils.read(&q, r.hash(text[:literalAt(text)], "", ""), "", "")
	}
	read(text(0))
	first := read(text(0))
	if first == nil {
		t.Fatal("a text that came twice has no stencil")
	}
	replaced := 0
	for n := range 20 * replaceEach {
		if read(text(n)) != nil {
			replaced++
		}
		if read(text(0)) != first {
			t.Fatalf("after %d others the stencil of a text that comes often is another, or gone", n)
		}
	}
	var session Query // which looks for nothing that it expects
	for n := range 20 * replaceEach {
		read(text(-n))
		if r.Analyse(&session, text(0), &Env{}); n > 0 && session.habit.expected() != first {
			t.Fatalf("after %d others the stencil that a session expects is another", n)
		}
	}
	if read(text(0)) != first {
		t.Error("the stencil of a text that came often, as expected, is gone")
	}
	if replaced < 10 || replaced > 20+stencilWays {
		t.Errorf("of %d texts that come once %d have a stencil", 20*replaceEach, replaced)
	}
	for n := 0; read(text(-1)) == nil; n++ {
		if n > replaceEach*stencilWays {
			t.Fatalf("a text that came %d times has no stencil", n)
		}
	}
}

// TestStencilsCompareWhole checks that stencils of one key are not taken for each other, whatever of them differs.
func TestStencilsCompareWhole(t *testing.T) {
	list := newStencils(1)
	q := lexed([]byte("SELECT a = 1, 'x'"))
	q.tpl.searchPath, q.tpl.user = "x", "u"
	list.add(q, 7)
	for _, test := range []struct {
		text, path, user string
		key              uint64
		found            bool
	}{
		{"SELECT a = 2, 'y'", "x", "u", 7, true}, {"SELECT a = 2, 'y'", "y", "u", 7, false}, {"SELECT a = 2, 'y'", "x", "", 7, false},
		{"SELECT a = 2, 'y'", "x", "u", 8, false}, {"SELECT b = 2, 'y'", "x", "u", 7, false}, {"SELECT a = 2, 'y' ", "x", "u", 7, false},
	} {
		if got := list.read(&Query{text: []byte(test.text)}, test.key, test.path, test.user) != nil; got != test.found {
			t.Errorf("%+v: found %v", test, got)
		}
	}
}

// TestStencilsAreBounded checks how many are kept of a number of templates, and that one is no larger than they say.
func TestStencilsAreBounded(t *testing.T) {
	for _, test := range []struct{ templates, most int }{{1, 8}, {16, 8}, {31, 8}, {32, 16}, {100, 48}, {8192, 4096}, {1 << 20, 4096}} {
		if got := len(newStencils(test.templates).sets) * stencilWays; got > test.most || got*4 <= min(test.templates, 8192) {
			t.Errorf("of %d templates %d stencils are kept", test.templates, got)
		}
	}
	text := []byte("SELECT " + strings.Repeat("1,", maxCuts-1) + "1")
	text = append(text, bytes.Repeat([]byte(" "), maxStencil-len(text))...)
	st := newStencil(lexed(text), 0)
	if size := int(unsafe.Sizeof(*st)) + cap(st.text) + cap(st.cuts)*int(unsafe.Sizeof(cut{})); size > 4<<10 {
		t.Errorf("a stencil takes %d bytes", size)
	}
	if newStencil(lexed(append(text, ' ')), 0) != nil || newStencil(lexed([]byte("SELECT "+strings.Repeat("1,", maxCuts)+"1")), 0) != nil {
		t.Error("a larger text has a stencil")
	}
}

// TestHabit checks that what comes over and over in one order is expected, and that nothing is which another Router, path or user had.
func TestHabit(t *testing.T) {
	r, other := routerFor(t, "shardmap.yaml"), routerFor(t, "shardmap.yaml")
	for n := 1; n <= 20; n++ {
		var q Query
		expected := 0
		for i := range 10 * n {
			text := fmt.Appendf(nil, "SELECT c%d FROM orders WHERE tenant_id = %d", i%n, i)
			q.reset(r, text, false)
			if st := q.habitOf("", "").expected(); st != nil && st.fit(&q) {
				expected++
			}
			r.Analyse(&q, text, &Env{})
		}
		if n <= len(q.habit.stencils) && expected < 7*n {
			t.Errorf("of %d texts that come in turn only %d of %d were expected", n, expected, 10*n)
		}
		for _, under := range []struct {
			r          *Router
			path, user string
		}{{other, "", ""}, {r, "audit", ""}, {r, "", "app"}} {
			r.Analyse(&q, []byte("SELECT c0 FROM orders WHERE tenant_id = 1"), &Env{})
			q.r = under.r
			if h := q.habitOf(under.path, under.user); h.expected() != nil {
				t.Errorf("under %+v a text is expected that came under another", under)
			}
		}
	}
}
