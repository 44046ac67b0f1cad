package repocheck

import (
	"go/ast"
	"strings"
)

// foreignWords belong to the machines this was written on, never to the repository. They are put together here so that
// this file does not hold them.
var foreignWords = []string{
	"/wo" + "rk/", "helper" + " agent", "proxy.golang" + ".org", "sum.golang" + ".org", "deb.debian" + ".org", "registry.npmjs" + ".org",
}

// Foreign checks that no text file names a path or host of a machine it was written on.
func Foreign(t *Tree) []Finding {
	var found []Finding
	for at, line := range t.Lines() {
		for _, word := range foreignWords {
			if strings.Contains(strings.ToLower(line), word) {
				found = append(found, at.Saying("names %s, which means nothing to a reader of the repository", word))
			}
		}
	}
	return found
}

// Contexts checks that no struct keeps a context: it belongs to a call, and a kept one outlives it.
func Contexts(t *Tree) []Finding {
	var found []Finding
	for _, file := range t.Go {
		names := importNames(file)
		ast.Inspect(file.AST, func(node ast.Node) bool {
			structure, ok := node.(*ast.StructType)
			if !ok {
				return true
			}
			for _, field := range structure.Fields.List {
				if pkg, name, ok := qualified(field.Type, names); ok && pkg == "context" && name == "Context" {
					found = append(found, file.At(field.Pos(), "a context in a struct: pass it as the first argument"))
				}
			}
			return true
		})
	}
	return found
}

// excuse is what the comment beside a panic must say.
const excuse = "programmer's mistake"

// Panics checks that a panic outside tests is said to answer a programmer's mistake, on its line or the one above.
func Panics(t *Tree) []Finding {
	var found []Finding
	for _, file := range t.Go {
		if file.Test {
			continue
		}
		excused := excusedLines(file)
		ast.Inspect(file.AST, func(node ast.Node) bool {
			call, ok := node.(*ast.CallExpr)
			if !ok {
				return true
			}
			id, ok := call.Fun.(*ast.Ident)
			if ok && id.Name == "panic" && !excused[file.Line(call.Pos())] {
				found = append(found, file.At(call.Pos(), "panic without %q in a comment here or above: return an error, or say whose mistake it is", excuse))
			}
			return true
		})
	}
	return found
}

// excusedLines are the lines on which, or directly above which, a comment says that a panic is a programmer's mistake.
func excusedLines(file *GoFile) map[int]bool {
	lines := map[int]bool{}
	for _, group := range file.AST.Comments {
		if strings.Contains(group.Text(), excuse) {
			last := file.Line(group.End())
			lines[last], lines[last+1] = true, true
		}
	}
	return lines
}
