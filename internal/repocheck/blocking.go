package repocheck

import (
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"
)

// blocks says what about node may block, "" for nothing.
func (c *blockCheck) blocks(node ast.Node) string {
	switch n := node.(type) {
	case *ast.SendStmt:
		return "a channel send"
	case *ast.SelectStmt:
		return "a select"
	case *ast.UnaryExpr:
		if n.Op == token.ARROW {
			return "a channel receive"
		}
	case *ast.RangeStmt:
		if _, channel := c.scope.typeOf(n.X).(*ast.ChanType); channel {
			return "a range over a channel"
		}
	case *ast.SelectorExpr:
		return c.blockingName(n)
	case *ast.CallExpr:
		return c.blockingMethod(n)
	}
	return ""
}

// blockingName judges pkg.Name. The name alone is enough: a function that blocks is not passed around either.
func (c *blockCheck) blockingName(sel *ast.SelectorExpr) string {
	pkg, name, ok := qualified(sel, c.names)
	if !ok {
		return ""
	}
	blocking := false
	switch pkg {
	case "time":
		blocking = slices.Contains([]string{"Sleep", "After", "Tick"}, name)
	case "net", "crypto/tls":
		blocking = netCall(name)
	case "os":
		blocking = slices.Contains(fileCalls, name)
	case "io/ioutil", "os/exec", "net/http", "database/sql":
		blocking = true
	}
	if !blocking {
		return ""
	}
	return sel.X.(*ast.Ident).Name + "." + name
}

// netCall reports whether a name of package net or crypto/tls, or of their Dialer and Resolver, is a call that waits for the network.
func netCall(name string) bool {
	if slices.Contains([]string{"Dialer", "Listener", "ListenConfig", "Resolver"}, name) {
		return false
	}
	return slices.ContainsFunc([]string{"Dial", "Lookup", "Listen", "Resolve"}, func(p string) bool { return strings.HasPrefix(name, p) })
}

// dialers are the types whose methods are net calls.
var dialers = []string{"net.Dialer", "net.Resolver", "net.ListenConfig", "tls.Dialer"}

// fileCalls are the functions of package os that touch files or wait for processes.
var fileCalls = []string{
	"Chdir", "Chmod", "Chown", "Create", "CreateTemp", "DirFS", "FindProcess", "Link", "Lstat", "Mkdir", "MkdirAll", "MkdirTemp",
	"Open", "OpenFile", "OpenRoot", "Pipe", "ReadDir", "ReadFile", "Readlink", "Remove", "RemoveAll", "Rename", "StartProcess", "Stat",
	"Stdin", "Symlink", "Truncate", "WriteFile",
}

// connMethods are the methods of a raw connection that wait for its other end.
var connMethods = []string{"Read", "Write", "ReadFrom", "WriteTo", "Handshake", "HandshakeContext", "Accept", "AcceptTCP"}

// rawConns are the types of connections that block a goroutine instead of parking a task.
var rawConns = []string{"net.Conn", "net.TCPConn", "net.UnixConn", "tls.Conn", "net.Listener", "net.TCPListener", "os.File"}

// waiters are the types whose Wait waits for other goroutines or processes.
var waiters = []string{"sync.WaitGroup", "sync.Cond", "errgroup.Group", "exec.Cmd", "task.Group"}

// blockingMethod judges calls: x.Method(…) of a type that waits, functions that read or write a raw connection for their
// caller, and functions that say of themselves that they belong in Await.
func (c *blockCheck) blockingMethod(call *ast.CallExpr) string {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		id, ok := call.Fun.(*ast.Ident)
		if ok && c.awaited[c.file.AST.Name.Name+"."+id.Name] {
			return id.Name + " (its comment says that it blocks)"
		}
		return ""
	}
	if pkg, name, ok := qualified(sel, c.names); ok {
		return c.blockingFunc(call, pkg, name)
	}
	kind := c.typeText(sel.X)
	switch {
	case c.awaitedMethod(kind, sel.Sel.Name):
		return sel.Sel.Name + " (its comment says that it blocks)"
	case slices.Contains(connMethods, sel.Sel.Name) && slices.Contains(rawConns, kind):
		return sel.Sel.Name + " of a " + kind
	case slices.Contains(dialers, kind) && netCall(sel.Sel.Name):
		return sel.Sel.Name + " of a " + kind
	case sel.Sel.Name == "Wait" && slices.Contains(waiters, kind):
		return "Wait of a " + kind
	case sel.Sel.Name == "Wait" && kind == "" && len(call.Args) == 0:
		return "a Wait without events"
	}
	return ""
}

// blockingFunc judges pkg.Func(…) by its arguments and by what it says of itself.
func (c *blockCheck) blockingFunc(call *ast.CallExpr, pkg, name string) string {
	raw := slices.ContainsFunc(call.Args, func(arg ast.Expr) bool { return slices.Contains(rawConns, c.typeText(arg)) })
	switch {
	case pkg == "io" && raw:
		return "io." + name + " on a raw connection"
	case under(pkg, modulePath) && c.awaited[path.Base(pkg)+"."+name]:
		return path.Base(pkg) + "." + name + " (its comment says that it blocks)"
	}
	return ""
}

// awaitedMethod looks a method up by its receiver's type, or by its name alone when the type cannot be told.
func (c *blockCheck) awaitedMethod(kind, method string) bool {
	switch {
	case kind == "":
		return c.awaited["."+method]
	case strings.Contains(kind, "."):
		return c.awaited[kind+"."+method]
	}
	return c.awaited[c.file.AST.Name.Name+"."+kind+"."+method]
}

// contracts are the words with which a doc comment says that a function waits for others.
var contracts = []string{"call it in Await", "It blocks", "may block"}

// saysAwait reports whether a function's doc comment has one of those words.
func saysAwait(fn *ast.FuncDecl) bool {
	doc := strings.Join(strings.Fields(fn.Doc.Text()), " ")
	return slices.ContainsFunc(contracts, func(words string) bool { return strings.Contains(doc, words) })
}

// awaitedFunctions lists the functions of this module that say so, as pkg.Func, pkg.Type.Method and .Method.
func awaitedFunctions(t *Tree) map[string]bool {
	names := map[string]bool{}
	for _, file := range t.Go {
		for _, decl := range file.AST.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || file.Test || !saysAwait(fn) {
				continue
			}
			names[file.AST.Name.Name+"."+funcName(fn)] = true
			if fn.Recv != nil {
				names["."+fn.Name.Name] = true
			}
		}
	}
	return names
}

// typeText gives an expression's type as pkg.Name, without its star; "" when it cannot be told.
func (c *blockCheck) typeText(expr ast.Expr) string {
	kind := c.scope.typeOf(expr)
	if star, ok := kind.(*ast.StarExpr); ok {
		kind = star.X
	}
	switch k := kind.(type) {
	case *ast.SelectorExpr:
		if pkg, ok := k.X.(*ast.Ident); ok {
			return pkg.Name + "." + k.Sel.Name
		}
	case *ast.Ident:
		return k.Name
	}
	return ""
}
