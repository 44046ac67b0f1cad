package proxy

import (
	"fmt"
	"strings"
	"testing"
)

// manyStatements is a conversation about more statements than a backend keeps: row 2 of the gotcha catalogue, in pipelines that have
// the proxy close statements of its own between the client's.
func manyStatements(count int) string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, "a: "+format+"\n", args...) }
	for i := range count {
		say("Parse s%d select %d + $1::int", i, i)
		say("Bind - s%d %d", i, i)
		say("Execute -")
	}
	say("Sync\na: ready")
	for i := range count {
		switch i % 4 {
		case 0:
			say("Close S s%d", i)
		case 1:
			say("Bind - s%d 1000\na: Execute -\na: Close S s%d", i, i)
		case 2:
			say("Close S s%d\na: Parse s%d select 'again %d', $1::int\na: Describe S s%d\na: Bind - s%d 1\na: Execute -", i, i, i, i, i)
		case 3:
			say("Bind - s%d 2000\na: Execute -", count-1-i)
		}
		if i == count/2 {
			say("Sync")
		}
	}
	say("Bind - s0 1")
	say("Execute -\na: Sync\na: ready 2")
	for i := range count / 4 {
		say("Close S s%d\na: Close S s%d", 4*i+2, 4*i+3)
	}
	say("Parse s3 select 'other'\na: Bind - s3\na: Execute -\na: Sync\na: ready")
	for i := range 30 {
		say("Query prepare p%d (int) as select %d + $1\na: ready", i, i)
	}
	all := "execute p0(0)"
	for i := range 30 {
		all += fmt.Sprintf("; execute p%d(%d)", i, i)
	}
	say("Query %s\na: ready", all)
	for i := range 30 {
		say("Bind - p%d %d\na: Execute -", 29-i, i)
	}
	say("Sync\na: ready")
	return b.String()
}

func testManyStatements(t *testing.T, th *theater) {
	steps, err := parseScript(manyStatements(250))
	if err != nil {
		t.Fatal(err)
	}
	truth, difference := th.compare(steps)
	if difference != "" {
		t.Error(difference)
	}
	if n := strings.Count(strings.Join(truth.trace, "\n"), "ErrorResponse"); n != 1 { // the statement that was closed
		t.Errorf("%d errors", n)
	}
}
