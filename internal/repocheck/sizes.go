package repocheck

import (
	"fmt"
	"go/ast"
	"strconv"
	"strings"
)

// The budget of design and style: what fits one screen is read, what does not is skimmed.
const (
	maxFileLines = 400
	maxFuncLines = 60
	maxNesting   = 3
)

// measure is one measured size: of a file (name is its path) or of a function (name is path:Func or path:Type.Method).
type measure struct {
	name  string
	kind  string // "lines" or "nesting"
	size  int
	limit int
	line  int
}

// Exception lets one file or function have one size above its budget.
type Exception struct {
	Name   string // path, path:Func or path:Type.Method
	Kind   string // "lines" or "nesting"
	Limit  int
	Reason string
	Line   int // in the list
}

// ParseExceptions reads the list of exceptions: one a line, as "name kind=limit reason"; # starts a comment.
func ParseExceptions(text string) ([]Exception, error) {
	var list []Exception
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		fields := strings.Fields(line)
		if len(fields) < 3 {
			return nil, fmt.Errorf("line %d: want: name lines=N|nesting=N reason", i+1)
		}
		kind, number, _ := strings.Cut(fields[1], "=")
		limit, err := strconv.Atoi(number)
		if err != nil || kind != "lines" && kind != "nesting" {
			return nil, fmt.Errorf("line %d: %q: want lines=N or nesting=N", i+1, fields[1])
		}
		list = append(list, Exception{fields[0], kind, limit, strings.Join(fields[2:], " "), i + 1})
	}
	return list, nil
}

// Sizes checks the length of files, and the length and nesting of functions outside tests. listPath names the list the
// exceptions came from; an exception that is looser than it need be is a finding there.
func Sizes(t *Tree, listPath string, exceptions []Exception) []Finding {
	over := map[string]measure{}
	for _, file := range t.Go {
		for _, m := range measures(file) {
			if m.size > m.limit {
				over[m.name+" "+m.kind] = m
			}
		}
	}
	var found []Finding
	for _, e := range exceptions {
		key := e.Name + " " + e.Kind
		m, ok := over[key]
		switch {
		case !ok:
			found = append(found, Finding{listPath, e.Line, e.Name + " needs no exception any more: remove the line"})
		case m.size < e.Limit:
			found = append(found, Finding{listPath, e.Line, fmt.Sprintf("%s has shrunk to %d: lower the limit", e.Name, m.size)})
		}
		if ok && m.size <= e.Limit {
			delete(over, key)
		}
	}
	for _, key := range sortedKeys(over) {
		m := over[key]
		file, _, _ := strings.Cut(m.name, ":")
		text := fmt.Sprintf("%s: %s %d, the limit is %d: split it", m.name, m.kind, m.size, m.limit)
		found = append(found, Finding{file, m.line, text})
	}
	return found
}

// measures takes the sizes of one file and of the functions in it. The functions of a test may be long and are not
// measured: a test is a list of steps, and splitting it hides their order.
func measures(file *GoFile) []measure {
	list := []measure{{file.Path, "lines", file.Lines, maxFileLines, 0}}
	if file.Test {
		return list
	}
	for _, decl := range file.AST.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		name, first := file.Path+":"+funcName(fn), file.Line(fn.Pos())
		list = append(list,
			measure{name, "lines", file.Line(fn.End()) - first + 1, maxFuncLines, first},
			measure{name, "nesting", nesting(fn.Body), maxNesting, first})
	}
	return list
}

// nesting is how deep the control-flow blocks of a body lie in each other: if, for, range, switch and select count one
// each; an else-if continues its if, a case belongs to its switch, and the body of a function literal lies where it is
// written.
func nesting(body ast.Node) int {
	deepest := 0
	var walk func(node ast.Node, depth int)
	walk = func(node ast.Node, depth int) {
		deepest = max(deepest, depth)
		for _, child := range children(node) {
			walk(child, depth+blockWeight(node, child))
		}
	}
	walk(body, 0)
	return deepest
}

// blockWeight is 1 when child is the block of a control-flow statement and so lies one level deeper than it.
func blockWeight(node, child ast.Node) int {
	switch n := node.(type) {
	case *ast.IfStmt:
		if _, elseIf := child.(*ast.IfStmt); !elseIf && (child == n.Body || child == n.Else) {
			return 1
		}
	case *ast.ForStmt:
		return weightOf(child == n.Body)
	case *ast.RangeStmt:
		return weightOf(child == n.Body)
	case *ast.SwitchStmt:
		return weightOf(child == n.Body)
	case *ast.TypeSwitchStmt:
		return weightOf(child == n.Body)
	case *ast.SelectStmt:
		return weightOf(child == n.Body)
	}
	return 0
}

func weightOf(block bool) int {
	if block {
		return 1
	}
	return 0
}

// children lists the nodes directly below node.
func children(node ast.Node) []ast.Node {
	var list []ast.Node
	ast.Inspect(node, func(n ast.Node) bool {
		if n == node {
			return true
		}
		if n != nil {
			list = append(list, n)
		}
		return false
	})
	return list
}
