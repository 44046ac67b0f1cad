package casefile

import (
	"strings"
	"testing"
)

const sample = `# about

echo times=2 note="two words"
a
b
----
a
b

blank
----
----
one

two
----
----

# the end
`

func TestParse(t *testing.T) {
	parts, err := parse("sample", sample)
	if err != nil {
		t.Fatal(err)
	}
	var cases []*Case
	for _, p := range parts {
		if p.c != nil {
			cases = append(cases, p.c)
		}
	}
	if len(cases) != 2 {
		t.Fatalf("%d cases, expected 2", len(cases))
	}
	c := cases[0]
	if c.Command != "echo" || c.Line != 3 || c.Input != "a\nb" || c.Expected != "a\nb\n" {
		t.Errorf("first case: %+v", c)
	}
	if v, ok := c.Arg("note"); !ok || v != "two words" {
		t.Errorf("note is %q, %v", v, ok)
	}
	if key, ok := c.Unread(); !ok || key != "times" {
		t.Errorf("unread argument is %q, %v", key, ok)
	}
	if !c.Has("times") || c.Has("no") {
		t.Error("Has is wrong")
	}
	if _, ok := c.Unread(); ok {
		t.Error("all arguments are read")
	}
	if cases[1].Expected != "one\n\ntwo\n" {
		t.Errorf("fenced output: %q", cases[1].Expected)
	}
	if got := format(parts); got != sample {
		t.Errorf("format changes the file:\n%s", got)
	}
}

func TestFormatRewrites(t *testing.T) {
	parts, err := parse("sample", "run\nx\n----\nold\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ out, want string }{
		{"new\n", "run\nx\n----\nnew\n"},
		{"", "run\nx\n----\n"},
		{"a\n\nb\n", "run\nx\n----\n----\na\n\nb\n----\n----\n"},
	} {
		parts[0].expected = test.out
		got := format(parts)
		if got != test.want {
			t.Errorf("got %q, expected %q", got, test.want)
		}
		again, err := parse("sample", got)
		if err != nil || again[0].c.Expected != test.out {
			t.Errorf("read back %q, %v", again[0].c.Expected, err)
		}
	}
}

func TestFaults(t *testing.T) {
	for text, want := range map[string]string{
		"run\nx\n":             "sample:1: the case has no line",
		"run \"x\n----\n":      "sample:1: a quote is not closed",
		"run\n----\n----\na\n": "sample:1: the output does not end",
	} {
		if _, err := parse("sample", text); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: error %v, expected %q", text, err, want)
		}
	}
}

func TestRun(t *testing.T) {
	seen := 0
	RunDir(t, "testdata", func(t *testing.T, c *Case) string {
		seen++
		return strings.ToUpper(c.Input)
	})
	if seen != 2 {
		t.Errorf("%d cases ran, expected 2", seen)
	}
}
