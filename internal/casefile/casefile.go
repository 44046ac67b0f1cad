// Package casefile reads test cases kept as text, and rewrites what they
// expect.
//
// A file is blocks separated by blank lines. A block is a command line, input
// lines, a line of four hyphens, and the expected output, which ends at a blank
// line:
//
//	# a comment
//	route tenant=42 note="two words"
//	SELECT * FROM orders
//	----
//	shard: s2
//
// Output that has blank lines of its own stands between two lines of four
// hyphens, after a first one. With the flag -rewrite a test writes what it got
// into the file instead of comparing.
package casefile

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write the output of data-driven tests into their files")

// separator is the line between input and output.
const separator = "----"

// Case is one block of a file.
type Case struct {
	File     string
	Line     int // of the command
	Command  string
	Input    string // without the last line's end
	Expected string // each line with its end

	args []arg
	head []string // the lines up to and with the first separator
}

type arg struct {
	key, value string
	read       bool
}

// Arg returns the value of an argument of the command line, "" for one without
// a value.
func (c *Case) Arg(key string) (value string, ok bool) {
	for i := range c.args {
		if c.args[i].key == key {
			c.args[i].read = true
			return c.args[i].value, true
		}
	}
	return "", false
}

// Has reports whether the command line has an argument.
func (c *Case) Has(key string) bool {
	_, ok := c.Arg(key)
	return ok
}

// Args returns the arguments of the command line, as key or key=value, in
// order.
func (c *Case) Args() []string {
	list := make([]string, len(c.args))
	for i := range c.args {
		c.args[i].read = true
		list[i] = c.args[i].key
		if c.args[i].value != "" {
			list[i] += "=" + c.args[i].value
		}
	}
	return list
}

// Unread returns an argument that no call has asked for: most likely a slip.
func (c *Case) Unread() (key string, ok bool) {
	for _, a := range c.args {
		if !a.read {
			return a.key, true
		}
	}
	return "", false
}

// Run runs f for each case of a file, in order, in a subtest named by its line.
// What f returns is compared with what the file expects; a missing line end is
// added. An argument of a command line that f does not read is an error.
func Run(t *testing.T, path string, f func(t *testing.T, c *Case) string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	parts, err := parse(path, string(text))
	if err != nil {
		t.Fatal(err)
	}
	for i := range parts {
		c := parts[i].c
		if c == nil {
			continue
		}
		t.Run(fmt.Sprintf("%s:%d", filepath.Base(path), c.Line), func(t *testing.T) {
			got := f(t, c)
			if key, ok := c.Unread(); ok {
				t.Errorf("%s:%d: %s has no argument %q", path, c.Line, c.Command, key)
			}
			compare(t, c, &parts[i], got)
		})
	}
	if !*rewrite || t.Failed() {
		return
	}
	if err := os.WriteFile(path, []byte(format(parts)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// RunDir runs f for the cases of all .txt files of a folder, each file in a
// subtest of its name.
func RunDir(t *testing.T, dir string, f func(t *testing.T, c *Case) string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		t.Fatalf("%s has no .txt files", dir)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) { Run(t, path, f) })
	}
}

func compare(t *testing.T, c *Case, p *part, got string) {
	t.Helper()
	if got != "" && !strings.HasSuffix(got, "\n") {
		got += "\n"
	}
	if *rewrite {
		p.expected = got
		return
	}
	if got != c.Expected {
		t.Errorf("%s:%d: %s\n%s\ngot:\n%s\nexpected:\n%s", c.File, c.Line, c.Command, c.Input, got, c.Expected)
	}
}
