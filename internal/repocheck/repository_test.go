package repocheck

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Where the lists lie, from the repository's root.
const (
	exceptionList  = "internal/repocheck/exceptions.txt"
	serverSideList = "internal/repocheck/serverside.txt"
)

// repository reads the tree once for all tests.
var repository = sync.OnceValues(func() (*Tree, error) {
	root, err := Root(".")
	if err != nil {
		return nil, err
	}
	return Load(root)
})

// TestRepository runs every rule on the repository itself.
func TestRepository(t *testing.T) {
	tree, err := repository()
	if err != nil {
		t.Fatal(err)
	}
	exceptions, err := ParseExceptions(tree.Text[exceptionList])
	if err != nil {
		t.Fatalf("%s: %v", exceptionList, err)
	}
	serverSide, err := ParseServerSide(tree.Text[serverSideList])
	if err != nil {
		t.Fatalf("%s: %v", serverSideList, err)
	}
	rules := []struct {
		name  string
		check func(*Tree) []Finding
	}{
		{"imports", Imports},
		{"clock", Clock},
		{"sizes", func(t *Tree) []Finding { return Sizes(t, exceptionList, exceptions) }},
		{"comments", Comments},
		{"words", Words},
		{"unfinished", Unfinished},
		{"files", Files},
		{"metrics", Metrics},
		{"settings", Settings},
		{"blocking", func(t *Tree) []Finding { return Blocking(t, serverSideList, serverSide) }},
		{"foreign", Foreign},
		{"contexts", Contexts},
		{"panics", Panics},
	}
	for _, rule := range rules {
		t.Run(rule.name, func(t *testing.T) {
			for _, finding := range rule.check(tree) {
				t.Error(finding)
			}
		})
	}
}

// TestTreeSeesTheRepository fails when the rules would pass because they saw nothing.
func TestTreeSeesTheRepository(t *testing.T) {
	tree, err := repository()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"go.mod", "README.md", "ARCHITECTURE.md", "internal/repocheck/doc.go", serverSideList} {
		if !tree.Has(name) {
			t.Errorf("the tree does not hold %s", name)
		}
	}
	if !strings.Contains(tree.Text["go.mod"], "module "+modulePath+"\n") {
		t.Errorf("go.mod does not say module %s", modulePath)
	}
	for dir := range arrows {
		if !tree.Dirs[dir] {
			t.Logf("arrows names %s, which is not in the tree", dir)
		}
	}
}

// TestDoorsAndGoMod compares the doors, go.mod's direct requirements and the page that gives the reasons for them.
func TestDoorsAndGoMod(t *testing.T) {
	tree, err := repository()
	if err != nil {
		t.Fatal(err)
	}
	direct, required := requirements(tree.Text["go.mod"])
	for _, module := range direct {
		if !strings.Contains(tree.Text["docs/dependencies.md"], "`"+module+"`") {
			t.Errorf("docs/dependencies.md does not say why %s is there", module)
		}
		if doorOf(module).module == "" {
			t.Errorf("go.mod requires %s, which has no door", module)
		}
	}
	for _, d := range doors {
		if !slices.ContainsFunc(required, func(module string) bool { return under(d.module, module) }) {
			t.Errorf("the door of %s leads to no module of go.mod", d.module)
		}
	}
}

// requirements reads the modules that a go.mod requires: those that the source imports, and all.
func requirements(text string) (direct, all []string) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(strings.TrimPrefix(line, "require "))
		if len(fields) < 2 || !strings.HasPrefix(fields[1], "v") {
			continue
		}
		all = append(all, fields[0])
		if !strings.Contains(line, "// indirect") {
			direct = append(direct, fields[0])
		}
	}
	return direct, all
}

// sources makes a tree of one file, or of several given as name, text, name, text.
func sources(t *testing.T, files ...string) *Tree {
	t.Helper()
	all := map[string]string{}
	for i := 0; i < len(files); i += 2 {
		all[files[i]] = files[i+1]
	}
	tree, err := FromSources(all)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// expect compares findings with the wanted ones, each given as a piece of its text. None wanted means that none may come.
func expect(t *testing.T, found []Finding, want ...string) {
	t.Helper()
	texts := make([]string, len(found))
	for i, f := range found {
		texts[i] = f.String()
	}
	if len(found) != len(want) {
		t.Fatalf("%d findings, want %d:\n%s", len(found), len(want), strings.Join(texts, "\n"))
	}
	for i, text := range texts {
		if !strings.Contains(text, want[i]) {
			t.Errorf("finding %d is %q, want %q in it", i, text, want[i])
		}
	}
}

// inFunction puts a body into a function of package proxy.
func inFunction(imports, body string) string {
	return fmt.Sprintf("// Package proxy is a test's source.\npackage proxy\n\nimport (\n%s\n)\n\nfunc f() {\n%s\n}\n", imports, body)
}
