package repocheck

import (
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// bannedWords say nothing (what does a manager do?) or have a better word in ARCHITECTURE.md's list.
var bannedWords = []string{
	"manager", "managers", "mgr", "impl", "helper", "helpers", "util", "utils", "common", "info", "base", "master", "slave",
}

// givenNames are names that others have given: testing.TB's method, which a small interface repeats, and a level of log/slog.
var givenNames = []string{"Helper", "LogInfo"}

// unfinished finds the marks of work put off. The words are put together so that this file does not hold them.
var unfinished = regexp.MustCompile(`\b(` + strings.Join([]string{"TO" + "DO", "FIX" + "ME", "XX" + "X"}, "|") + `)\b`)

// Words checks identifiers and file names for words that this project does not say.
func Words(t *Tree) []Finding {
	var found []Finding
	for _, file := range t.Go {
		for _, name := range []string{strings.TrimSuffix(path.Base(file.Path), ".go"), file.AST.Name.Name} {
			if word := bannedWord(name); word != "" {
				found = append(found, Finding{Path: file.Path, Text: "the name says " + word + ": name the thing or the step"})
			}
		}
		for _, id := range declared(file.AST) {
			if word := bannedWord(id.Name); word != "" && !slices.Contains(givenNames, id.Name) {
				found = append(found, file.At(id.Pos(), "%s says %s: use the thing's own word", id.Name, word))
			}
		}
		found = append(found, prefixes(file)...)
	}
	return found
}

// Unfinished checks that no text file of the repository carries a mark of work put off.
func Unfinished(t *Tree) []Finding {
	var found []Finding
	for at, line := range t.Lines() {
		if mark := unfinished.FindString(line); mark != "" {
			found = append(found, at.Saying("%s: do it, or open an issue", mark))
		}
	}
	return found
}

// prefixes finds functions called GetX and exported names that repeat their package's name.
func prefixes(file *GoFile) []Finding {
	var found []Finding
	for _, decl := range file.AST.Decls {
		for _, id := range topLevel(decl) {
			if stutters(id.Name, file.AST.Name.Name) && !file.Test {
				found = append(found, file.At(id.Pos(), "%s.%s stutters: callers write the package's name already", file.AST.Name.Name, id.Name))
			}
		}
	}
	ast.Inspect(file.AST, func(node ast.Node) bool {
		for _, id := range functionNames(node) {
			words := camelWords(id.Name)
			if len(words) > 1 && strings.EqualFold(words[0], "get") {
				found = append(found, file.At(id.Pos(), "%s: no Get prefix, name what is returned", id.Name))
			}
		}
		return true
	})
	return found
}

// functionNames gives the names of functions and interface methods that node declares.
func functionNames(node ast.Node) []*ast.Ident {
	switch n := node.(type) {
	case *ast.FuncDecl:
		return []*ast.Ident{n.Name}
	case *ast.InterfaceType:
		var names []*ast.Ident
		for _, method := range n.Methods.List {
			names = append(names, method.Names...)
		}
		return names
	}
	return nil
}

// topLevel gives the exported types and functions that a declaration makes.
func topLevel(decl ast.Decl) []*ast.Ident {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil && d.Name.IsExported() {
			return []*ast.Ident{d.Name}
		}
	case *ast.GenDecl:
		var names []*ast.Ident
		for _, spec := range d.Specs {
			if s, ok := spec.(*ast.TypeSpec); ok && s.Name.IsExported() {
				names = append(names, s.Name)
			}
		}
		return names
	}
	return nil
}

// stutters reports whether an exported name begins with the package's name and goes on with another word.
func stutters(name, pkg string) bool {
	if len(name) <= len(pkg) || !strings.EqualFold(name[:len(pkg)], pkg) {
		return false
	}
	return unicode.IsUpper(rune(name[len(pkg)]))
}

// declared lists the identifiers that a file gives names with: what it merely uses has been named by someone else.
func declared(file *ast.File) []*ast.Ident {
	var names []*ast.Ident
	ast.Inspect(file, func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.FuncDecl:
			names = append(names, n.Name)
		case *ast.TypeSpec:
			names = append(names, n.Name)
		case *ast.ValueSpec:
			names = append(names, n.Names...)
		case *ast.Field:
			names = append(names, n.Names...)
		case *ast.AssignStmt:
			names = append(names, defined(n.Tok, n.Lhs...)...)
		case *ast.RangeStmt:
			names = append(names, defined(n.Tok, n.Key, n.Value)...)
		}
		return true
	})
	return names
}

// defined gives the plain names on the left of :=, none for another token.
func defined(tok token.Token, left ...ast.Expr) []*ast.Ident {
	if tok != token.DEFINE {
		return nil
	}
	var names []*ast.Ident
	for _, expr := range left {
		if id, ok := expr.(*ast.Ident); ok {
			names = append(names, id)
		}
	}
	return names
}

// bannedWord gives the first banned word in a name, "" when there is none.
func bannedWord(name string) string {
	for _, word := range camelWords(name) {
		if slices.Contains(bannedWords, strings.ToLower(word)) {
			return strings.ToLower(word)
		}
	}
	return ""
}

// camelWords splits a name into its words: at underscores and dots, before a capital that follows a small letter or a digit,
// and before the last capital of a run that a small letter follows (HTTPServer is HTTP and Server). A digit belongs to the word
// before it (base64 is one word).
func camelWords(name string) []string {
	var words []string
	runes, start := []rune(name), 0
	for i := range runes {
		if !unicode.IsLetter(runes[i]) && !unicode.IsDigit(runes[i]) {
			words = appendWord(words, runes[start:i])
			start = i + 1
			continue
		}
		if i > start && wordStarts(runes, i) {
			words = appendWord(words, runes[start:i])
			start = i
		}
	}
	return appendWord(words, runes[start:])
}

func wordStarts(runes []rune, i int) bool {
	if !unicode.IsUpper(runes[i]) {
		return false
	}
	return !unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])
}

func appendWord(words []string, word []rune) []string {
	if len(word) == 0 {
		return words
	}
	return append(words, string(word))
}
