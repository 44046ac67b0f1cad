package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// event is one line of `go test -json` (see `go doc test2json`).
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
}

// skip is one test that did not run.
type skip struct {
	Package, Test, Reason string
}

// account is what happened so far.
type account struct {
	out            io.Writer
	passed, failed int
	skips          []skip
	broken         []string             // packages that failed, whatever their tests said
	pending        map[[2]string][]byte // output of tests that have not ended, by package and test
}

func newAccount(out io.Writer) *account {
	return &account{out: out, pending: map[[2]string][]byte{}}
}

// read takes events until there are no more. A line that is no event is printed as it is.
func (a *account) read(events io.Reader) error {
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil || e.Action == "" {
				e = event{Action: "output", Output: string(line)}
			}
			a.take(e)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the events of go test: %w", err)
		}
	}
}

func (a *account) take(e event) {
	id := [2]string{e.Package, e.Test}
	switch {
	case e.Action == "output" && e.Test != "":
		a.pending[id] = append(a.pending[id], e.Output...)
	case e.Action == "output" && e.Output != "PASS\n", e.Action == "build-output":
		fmt.Fprint(a.out, e.Output)
	case e.Test != "":
		a.endTest(e, id)
	case e.Action == "fail":
		a.endPackage(e.Package)
	}
}

// endTest counts a test that has ended and prints what a failed one had to say.
func (a *account) endTest(e event, id [2]string) {
	switch e.Action {
	case "pass":
		a.passed++
	case "fail":
		a.failed++
		fmt.Fprintf(a.out, "%s", a.pending[id])
	case "skip":
		a.skips = append(a.skips, skip{e.Package, e.Test, reason(string(a.pending[id]))})
	default:
		return
	}
	delete(a.pending, id)
}

// endPackage prints what tests said that never came to their end: the package crashed or ran out of time.
func (a *account) endPackage(name string) {
	a.broken = append(a.broken, name)
	for id, text := range a.pending {
		if id[0] == name && !slices.Contains([]string{"", "=== RUN   " + id[1] + "\n"}, string(text)) {
			fmt.Fprintf(a.out, "%s", text)
		}
		if id[0] == name {
			delete(a.pending, id)
		}
	}
}

// reason is what a skipped test gave as its reason: its output, less the lines that go test adds and the place.
func reason(output string) string {
	var kept []string
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "=== ") || strings.HasPrefix(line, "--- ") {
			continue
		}
		if place, text, ok := strings.Cut(line, ": "); ok && strings.Contains(place, ".go:") {
			line = text
		}
		kept = append(kept, line)
	}
	return cmp.Or(strings.Join(kept, " "), "no reason given")
}

// close prints the skipped tests, then the last line.
func (a *account) close(expected []expectation) {
	for _, s := range a.skips {
		word := "skipped"
		if !s.expectedBy(expected) {
			word = "skipped unexpectedly"
		}
		fmt.Fprintf(a.out, "%s: %s %s: %s\n", word, s.Package, s.Test, s.Reason)
	}
	fmt.Fprintf(a.out, "%d passed, %d failed, %d skipped\n", a.passed, a.failed, len(a.skips))
}

// verdict says why the run is no success, nil when it is one. waited is how go test ended.
func (a *account) verdict(expected []expectation, waited error) error {
	var errs []error
	if len(a.broken) > 0 {
		errs = append(errs, fmt.Errorf("failed: %s", strings.Join(a.broken, ", ")))
	} else if waited != nil {
		errs = append(errs, fmt.Errorf("go test: %w", waited))
	}
	unexpected := 0
	for _, s := range a.skips {
		if !s.expectedBy(expected) {
			unexpected++
		}
	}
	if unexpected > 0 {
		errs = append(errs, fmt.Errorf("%d skipped unexpectedly: see above; internal/testlog/skips.txt lists what may be skipped", unexpected))
	}
	if a.passed == 0 && a.failed == 0 {
		errs = append(errs, errors.New("no test ran"))
	}
	return errors.Join(errs...)
}
