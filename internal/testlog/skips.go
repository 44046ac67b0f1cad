package main

import (
	"fmt"
	"regexp"
	"strings"
)

// expectation is a line of skips.txt.
type expectation struct {
	folder, test string
	reason       *regexp.Regexp
}

// parseSkips reads the text of skips.txt.
func parseSkips(text string) ([]expectation, error) {
	var all []expectation
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.SplitN(line, " ", 3)
		if len(fields) < 3 {
			return nil, fmt.Errorf("skips.txt:%d: want PACKAGE TEST REASON, got %q", number, line)
		}
		pattern, err := regexp.Compile(fields[2])
		if err != nil {
			return nil, fmt.Errorf("skips.txt:%d: %w", number, err)
		}
		all = append(all, expectation{fields[0], fields[1], pattern})
	}
	return all, nil
}

// expectedBy reports whether a line of skips.txt speaks of s.
func (s skip) expectedBy(all []expectation) bool {
	top, _, _ := strings.Cut(s.Test, "/")
	for _, e := range all {
		inFolder := e.folder == "*" || s.Package == e.folder || strings.HasSuffix(s.Package, "/"+e.folder)
		if inFolder && (e.test == "*" || e.test == top) && e.reason.MatchString(s.Reason) {
			return true
		}
	}
	return false
}
