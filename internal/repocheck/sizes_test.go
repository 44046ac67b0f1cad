package repocheck

import (
	"strings"
	"testing"
)

// nested gives a function whose deepest block lies that deep.
func nested(depth int) string {
	return "package p\n\nfunc f(a bool) {\n" + strings.Repeat("if a {\n", depth) + strings.Repeat("}\n", depth+1)
}

func TestSizes(t *testing.T) {
	long := "package p\n\nfunc f() {\n" + strings.Repeat("f()\n", maxFuncLines-2) + "}\n"
	longer := strings.Replace(long, "f()\n}", "f()\nf()\n}", 1)
	tests := []struct {
		name, path, source string
		want               []string
	}{
		{"a file of the limit", "p/a.go", "package p\n" + strings.Repeat("\n", maxFileLines-1), nil},
		{"a line more", "p/a.go", "package p\n" + strings.Repeat("\n", maxFileLines), []string{"lines 401, the limit is 400"}},
		{"a test file too", "p/a_test.go", "package p\n" + strings.Repeat("\n", maxFileLines), []string{"lines 401"}},
		{"a function of the limit", "p/a.go", long, nil},
		{"a longer one", "p/a.go", longer, []string{"p/a.go:3: p/a.go:f: lines 61, the limit is 60"}},
		{"a longer one in a test", "p/a_test.go", longer, nil},
		{"three blocks", "p/a.go", nested(3), nil},
		{"four blocks", "p/a.go", nested(4), []string{"p/a.go:f: nesting 4"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			expect(t, Sizes(sources(t, test.path, test.source), "list", nil), test.want...)
		})
	}
}

func TestNestingCountsBlocks(t *testing.T) {
	tests := []struct {
		body string
		want int
	}{
		{"f()", 0},
		{"{ { f() } }", 0},
		{"if a { f() }", 1},
		{"if a { f() } else if b { f() } else if c { f() } else { f() }", 1},
		{"switch { case a: if b { f() } }", 2},
		{"switch x.(type) { case int: f() }", 1},
		{"select { case <-c: for { f() } }", 2},
		{"for range x { go func() { if a { f() } }() }", 2},
		{"for { for { if a { switch { } } } }", 4},
		{"if g(func() { for { f() } }) { f() }", 1},
	}
	for _, test := range tests {
		tree := sources(t, "p/a.go", "package p\n\nfunc f() {\n"+test.body+"\n}\n")
		for _, m := range measures(tree.Go[0]) {
			if m.kind == "nesting" && m.size != test.want {
				t.Errorf("%s: nesting %d, want %d", test.body, m.size, test.want)
			}
		}
	}
}

func TestExceptionsShrink(t *testing.T) {
	tree := sources(t, "p/a.go", nested(5))
	try := func(list string) []Finding {
		t.Helper()
		exceptions, err := ParseExceptions(list)
		if err != nil {
			t.Fatal(err)
		}
		return Sizes(tree, "list", exceptions)
	}
	expect(t, try("# why\n\np/a.go:f nesting=5 a table of states\n"))
	expect(t, try("p/a.go:f nesting=6 a table of states"), "list:1: p/a.go:f has shrunk to 5")
	expect(t, try("p/a.go:f nesting=4 a table of states"), "nesting 5, the limit is 3")
	expect(t, try("p/a.go:f nesting=5 x\np/a.go:g lines=90 x"), "list:2: p/a.go:g needs no exception")
	for _, bad := range []string{"p/a.go lines=500", "p/a.go 500 why", "p/a.go lines=many why", "p/a.go width=200 why"} {
		if _, err := ParseExceptions(bad); err == nil {
			t.Errorf("ParseExceptions takes %q", bad)
		}
	}
}
