package router

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What tells one kind of refusal from another is left when names, numbers and the like are taken out.
var refusalNames = []struct {
	pattern *regexp.Regexp
	put     string
}{
	{regexp.MustCompile(`"[^"]*"|'[^']*'`), `"…"`},
	{regexp.MustCompile(`^.* would give the reference table`), `… would give the reference table`},
	{regexp.MustCompile(`(a statement that writes is not run on all shards|only SELECT may be answered from all shards).*`), `$1`},
	{regexp.MustCompile(`^\S+ may touch`), `f may touch`},
	{regexp.MustCompile(`\d+(\.\d+)?`), `n`},
}

// refusals are the kinds of answers of SQLSTATE 0A000 in a file of cases, with the line of the first of each kind.
func refusals(t *testing.T, path string) map[string]int {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		kind, ok := strings.CutPrefix(line, "error 0A000: ")
		if !ok {
			continue
		}
		if _, reason, ok := strings.Cut(lines[i+1], "It is not split by shard: "); ok {
			kind += ": " + reason
		}
		for _, n := range refusalNames {
			kind = n.pattern.ReplaceAllString(kind, n.put)
		}
		if kinds[kind] == 0 {
			kinds[kind] = i + 1
		}
	}
	return kinds
}

// TestRefusalsAreListed finds each kind of refusal that any case has in unsupported.txt, so that a user who looks there finds all of them.
func TestRefusalsAreListed(t *testing.T) {
	listed := refusals(t, filepath.Join(routingDir, "unsupported.txt"))
	files, err := filepath.Glob(filepath.Join(routingDir, "*.txt"))
	if err != nil || len(files) < 20 || len(listed) < 20 {
		t.Fatal(len(files), len(listed), err)
	}
	for _, file := range files {
		for kind, line := range refusals(t, file) {
			if listed[kind] == 0 {
				t.Errorf("%s:%d: a case of this kind is to be in unsupported.txt, too: %s", filepath.Base(file), line, kind)
			}
		}
	}
}
