package repocheck

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
)

// ServerSide is an entry of the list of code in package proxy that runs in no session.
type ServerSide struct {
	Name   string // path, path:Func or path:Type.Method
	Reason string
	Line   int // in the list
}

// ParseServerSide reads that list: one entry a line, as "name reason"; # starts a comment.
func ParseServerSide(text string) ([]ServerSide, error) {
	var list []ServerSide
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, reason, ok := strings.Cut(line, " ")
		if !ok {
			return nil, fmt.Errorf("line %d: %s has no reason", i+1, name)
		}
		list = append(list, ServerSide{name, strings.TrimSpace(reason), i + 1})
	}
	return list, nil
}

// Blocking checks that session code parks nowhere but in its task: no channel operation, no sleep, no wait on others, no
// network or file call, and no call of a function of this module whose doc comment says that it blocks ("It blocks", "may
// block", "call it in Await"). What may block stands in a function literal that is handed to Await, in a function which says those words of itself, or in code
// that the list says runs in no session. An entry of the list in whose code nothing blocks is a finding in listPath.
func Blocking(t *Tree, listPath string, serverSide []ServerSide) []Finding {
	var found []Finding
	used := make([]bool, len(serverSide))
	files := t.Package("proxy")
	decls, awaited := declarationsOf(files), awaitedFunctions(t)
	for _, file := range files {
		for _, decl := range file.AST.Decls {
			blocked := blockingIn(file, decl, decls, awaited)
			if len(blocked) == 0 {
				continue
			}
			entry := slices.IndexFunc(serverSide, func(s ServerSide) bool { return s.covers(file, decl) })
			if entry >= 0 {
				used[entry] = true
				continue
			}
			found = append(found, blocked...)
		}
	}
	for i, entry := range serverSide {
		if !used[i] {
			found = append(found, Finding{listPath, entry.Line, "nothing blocks in " + entry.Name + ": remove the line"})
		}
	}
	return found
}

func (s ServerSide) covers(file *GoFile, decl ast.Decl) bool {
	fn, ok := decl.(*ast.FuncDecl)
	return s.Name == file.Path || ok && s.Name == file.Path+":"+funcName(fn)
}

// blockingIn finds what may block in one declaration.
func blockingIn(file *GoFile, decl ast.Decl, decls *declarations, awaited map[string]bool) []Finding {
	check := blockCheck{file: file, names: importNames(file), scope: &scope{decls, nil}, awaited: awaited}
	if fn, ok := decl.(*ast.FuncDecl); ok {
		if saysAwait(fn) {
			return nil
		}
		check.scope = decls.scopeOf(fn)
	}
	check.walk(decl)
	return check.found
}

type blockCheck struct {
	file    *GoFile
	names   map[string]string
	scope   *scope
	awaited map[string]bool // what may be called in Await only, as awaitedFunctions gives it
	found   []Finding
}

func (c *blockCheck) walk(root ast.Node) {
	ast.Inspect(root, func(node ast.Node) bool {
		if call, ok := node.(*ast.CallExpr); ok && isAwait(call) {
			c.walkAwait(call)
			return false
		}
		if text := c.blocks(node); text != "" {
			c.found = append(c.found, c.file.At(node.Pos(),
				"%s in session code: a session parks in its task only; put it in a function literal for Await", text))
		}
		return true
	})
}

// walkAwait looks at all of a call to Await but the functions it is given, whose job it is to block.
func (c *blockCheck) walkAwait(call *ast.CallExpr) {
	c.walk(call.Fun)
	for _, arg := range call.Args {
		switch arg.(type) {
		case *ast.FuncLit, *ast.Ident, *ast.SelectorExpr:
		default:
			c.walk(arg)
		}
	}
}

// isAwait recognises x.Await(…), task.Await(…) and task.Await[T](…).
func isAwait(call *ast.CallExpr) bool {
	fun := call.Fun
	switch f := fun.(type) {
	case *ast.IndexExpr:
		fun = f.X
	case *ast.IndexListExpr:
		fun = f.X
	}
	sel, ok := fun.(*ast.SelectorExpr)
	return ok && sel.Sel.Name == "Await"
}
