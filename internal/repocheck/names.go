package repocheck

import (
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// mapDocuments are the documents (and folders of them) whose file names are checked: they are the map of the repository.
var mapDocuments = []string{"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs", "testdata/README.md", "proxy/doc.go", "pool/doc.go"}

var (
	goName     = regexp.MustCompile(`[A-Za-z0-9_./-]*[A-Za-z0-9_]\.go\b`)
	backticked = regexp.MustCompile("`([^`\n]+)`")
	filePath   = regexp.MustCompile(`^[A-Za-z0-9_.*-]+(/[A-Za-z0-9_.*-]+)*(/|\.(go|md|txt|yaml|yml|sql|sh|json|lock|conf|mod))$`)
	metricRow  = regexp.MustCompile("^\\|\\s*`(pgdrover_[a-z0-9_]+)")
	metricUse  = regexp.MustCompile(`\bpgdrover_[a-z0-9_]+`)
)

// Files checks that the files and folders named in the documents exist.
func Files(t *Tree) []Finding {
	var found []Finding
	for at, line := range t.Lines(mapDocuments...) {
		for _, name := range namedFiles(line) {
			if !t.named(at.Path, name) {
				found = append(found, at.Saying("names %s, which does not exist", name))
			}
		}
	}
	return found
}

// namedFiles finds what a line of a document names: Go files anywhere, other files and folders in backticks.
func namedFiles(line string) []string {
	names := goName.FindAllString(line, -1)
	for _, match := range backticked.FindAllStringSubmatch(line, -1) {
		name := match[1]
		if strings.Contains(name, "/") && filePath.MatchString(name) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// named looks a name up from the root, beside the document, and, for a bare Go file, in any package.
func (t *Tree) named(doc, name string) bool {
	switch {
	case strings.Contains(name, "*"):
		return t.Matches(name)
	case t.Has(name), t.Has(path.Join(path.Dir(doc), name)):
		return true
	case strings.Contains(name, "/"):
		return false
	}
	return slices.ContainsFunc(t.Go, func(file *GoFile) bool { return path.Base(file.Path) == name })
}

// Metrics checks that README's table and the metrics of package admin name each other, and that what deploy uses exists.
func Metrics(t *Tree) []Finding {
	var found []Finding
	declared := map[string]Finding{}
	for _, file := range t.Package("admin") {
		found = append(found, builtNames(file)...)
		for name, at := range metricLiterals(file) {
			declared[name] = at
		}
	}
	listed := map[string]bool{}
	for at, line := range t.Lines("README.md") {
		match := metricRow.FindStringSubmatch(line)
		if match == nil {
			continue
		}
		listed[match[1]] = true
		if _, ok := declared[match[1]]; !ok {
			found = append(found, at.Saying("%s is no metric of package admin", match[1]))
		}
	}
	for _, name := range sortedKeys(declared) {
		if !listed[name] {
			found = append(found, declared[name].Saying("%s is missing in README's table of metrics", name))
		}
	}
	return append(found, deployedMetrics(t, declared)...)
}

// metricLiterals finds the string literals of a file that are metric names, with their places.
func metricLiterals(file *GoFile) map[string]Finding {
	names := map[string]Finding{}
	ast.Inspect(file.AST, func(node ast.Node) bool {
		lit, ok := node.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return true
		}
		text, err := strconv.Unquote(lit.Value)
		if err == nil && metricUse.FindString(text) == text && text != "" {
			names[text] = file.At(lit.Pos(), "")
		}
		return true
	})
	return names
}

// builtNames finds metrics whose name is put together by the library, where no search for the name would find it.
func builtNames(file *GoFile) []Finding {
	var found []Finding
	ast.Inspect(file.AST, func(node ast.Node) bool {
		pair, ok := node.(*ast.KeyValueExpr)
		if !ok {
			return true
		}
		if key, ok := pair.Key.(*ast.Ident); ok && (key.Name == "Namespace" || key.Name == "Subsystem") {
			found = append(found, file.At(pair.Pos(), "%s: write the metric's whole name in Name", key.Name))
		}
		return true
	})
	return found
}

// deployedMetrics checks the names that rules and dashboards use. Histograms have three suffixes.
func deployedMetrics(t *Tree, declared map[string]Finding) []Finding {
	var found []Finding
	for at, line := range t.Lines("deploy") {
		for _, metric := range metricUse.FindAllString(line, -1) {
			if !knownMetric(metric, declared) {
				found = append(found, at.Saying("%s is no metric of package admin", metric))
			}
		}
	}
	return found
}

func knownMetric(name string, declared map[string]Finding) bool {
	for _, suffix := range []string{"", "_bucket", "_sum", "_count"} {
		if _, ok := declared[strings.TrimSuffix(name, suffix)]; ok {
			return true
		}
	}
	return false
}
