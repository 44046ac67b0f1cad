package repocheck

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// modulePath is the path that go.mod gives this module.
const modulePath = "github.com/pgdrover/pgdrover"

// maxTextFile is the size in bytes above which a file is taken for an artefact and not read.
const maxTextFile = 1 << 20

// Finding is one broken rule at one place.
type Finding struct {
	Path string // slash-separated, from the repository's root
	Line int    // 0 when the finding is about the whole file
	Text string // what is wrong, and what to do
}

// Saying is the finding with that text.
func (f Finding) Saying(format string, args ...any) Finding {
	f.Text = fmt.Sprintf(format, args...)
	return f
}

// String renders the finding as compilers do: path:line: text.
func (f Finding) String() string {
	if f.Line == 0 {
		return f.Path + ": " + f.Text
	}
	return fmt.Sprintf("%s:%d: %s", f.Path, f.Line, f.Text)
}

// GoFile is one parsed Go file.
type GoFile struct {
	Path  string // slash-separated, from the repository's root
	Test  bool   // the name ends in _test.go
	Lines int
	Fset  *token.FileSet
	AST   *ast.File
}

// Dir is the file's folder from the repository's root, "." for the root itself.
func (f *GoFile) Dir() string { return path.Dir(f.Path) }

// Line is the line of pos.
func (f *GoFile) Line(pos token.Pos) int { return f.Fset.Position(pos).Line }

// At makes a finding at pos.
func (f *GoFile) At(pos token.Pos, format string, args ...any) Finding {
	return Finding{Path: f.Path, Line: f.Line(pos)}.Saying(format, args...)
}

// Tree is the repository as the rules see it.
type Tree struct {
	Go    []*GoFile         // every Go file outside testdata, by path
	Text  map[string]string // every text file, Go files among them, by path
	Dirs  map[string]bool   // every folder that holds a file, by path: git keeps no other
	Other map[string]bool   // files that are not text or too large to read
}

// Load reads the repository that lies at root. A file that does not parse is an error, because no rule could see it.
func Load(root string) (*Tree, error) {
	t := &Tree{Text: map[string]string{}, Dirs: map[string]bool{}, Other: map[string]bool{}}
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		return t.visit(name, filepath.ToSlash(rel), entry)
	})
	if err != nil {
		return nil, err
	}
	for _, name := range sortedKeys(t.Text) {
		if err := t.parse(name, t.Text[name]); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// FromSources makes a Tree of the given files, for trying a rule on a small source.
func FromSources(files map[string]string) (*Tree, error) {
	t := &Tree{Text: files, Dirs: map[string]bool{}, Other: map[string]bool{}}
	for _, name := range sortedKeys(files) {
		t.addDirs(name)
		if err := t.parse(name, files[name]); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// ignoredDirs are folders which hold nothing that people write.
var ignoredDirs = []string{".git", "bin", "dist", "vendor", "node_modules"}

func (t *Tree) visit(name, rel string, entry fs.DirEntry) error {
	if entry.IsDir() {
		if slices.Contains(ignoredDirs, entry.Name()) {
			return fs.SkipDir
		}
		return nil
	}
	if !entry.Type().IsRegular() {
		return nil
	}
	stat, err := entry.Info()
	if os.IsNotExist(err) {
		return nil // an editor's temporary file, gone between listing and looking
	}
	if err != nil {
		return err
	}
	t.addDirs(rel)
	if stat.Size() > maxTextFile {
		t.Other[rel] = true
		return nil
	}
	text, err := os.ReadFile(name)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if bytes.IndexByte(text, 0) >= 0 {
		t.Other[rel] = true
		return nil
	}
	t.Text[rel] = string(text)
	return nil
}

// addDirs notes the folders that a file lies in.
func (t *Tree) addDirs(name string) {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		t.Dirs[dir] = true
	}
}

func (t *Tree) parse(name, text string) error {
	if !strings.HasSuffix(name, ".go") || strings.Contains("/"+name, "/testdata/") {
		return nil
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	t.Go = append(t.Go, &GoFile{
		Path:  name,
		Test:  strings.HasSuffix(name, "_test.go"),
		Lines: strings.Count(text, "\n"),
		Fset:  fset,
		AST:   file,
	})
	return nil
}

// Has reports whether the tree holds a file or a folder of that path.
func (t *Tree) Has(name string) bool {
	name = strings.TrimSuffix(name, "/")
	_, text := t.Text[name]
	return text || t.Dirs[name] || t.Other[name]
}

// Matches reports whether any file's path matches the pattern, in the form of path.Match.
func (t *Tree) Matches(pattern string) bool {
	for name := range t.Text {
		if ok, err := path.Match(pattern, name); err == nil && ok {
			return true
		}
	}
	return false
}

// Lines goes through the lines of the text files below the given folders, or of those very files; of all files when none is given.
// The finding that comes with a line has its place and no text.
func (t *Tree) Lines(names ...string) iter.Seq2[Finding, string] {
	return func(yield func(Finding, string) bool) {
		for _, name := range sortedKeys(t.Text) {
			wanted := len(names) == 0 || slices.ContainsFunc(names, func(dir string) bool { return under(name, dir) })
			if wanted && !yieldLines(name, t.Text[name], yield) {
				return
			}
		}
	}
}

func yieldLines(name, text string, yield func(Finding, string) bool) bool {
	for i, line := range strings.Split(text, "\n") {
		if !yield(Finding{Path: name, Line: i + 1}, line) {
			return false
		}
	}
	return true
}

// Package lists the Go files of one folder that are not tests.
func (t *Tree) Package(dir string) []*GoFile {
	var files []*GoFile
	for _, file := range t.Go {
		if !file.Test && file.Dir() == dir {
			files = append(files, file)
		}
	}
	return files
}

// Root finds the repository: the nearest folder at or above start that holds go.mod.
func Root(start string) (string, error) {
	dir, err := filepath.Abs(start)
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("no go.mod at or above %s: run the checks inside the repository", start)
		}
		dir = parent
	}
}

// sortedKeys lists the keys of m in order, so that findings come in the same order each time.
func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
