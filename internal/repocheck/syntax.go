package repocheck

import (
	"go/ast"
	"path"
	"strconv"
	"strings"
)

// importNames maps the names under which a file sees its imports to their paths. The name of an import without one of
// its own is taken from the path: its last element, or the one before a version such as v5.
func importNames(file *GoFile) map[string]string {
	names := map[string]string{}
	for _, spec := range file.AST.Imports {
		target, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		name := path.Base(target)
		if len(name) > 1 && name[0] == 'v' && strings.Trim(name[1:], "0123456789") == "" {
			name = path.Base(path.Dir(target))
		}
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = target
	}
	return names
}

// qualified takes node for pkg.Name where pkg is an import of the file, and gives the import's path and the name.
func qualified(node ast.Node, names map[string]string) (pkg, name string, ok bool) {
	sel, isSel := node.(*ast.SelectorExpr)
	if !isSel {
		return "", "", false
	}
	id, isIdent := sel.X.(*ast.Ident)
	if !isIdent {
		return "", "", false
	}
	pkg, ok = names[id.Name]
	return pkg, sel.Sel.Name, ok
}

// funcName names a declaration as the lists do: Func, or Type.Method.
func funcName(decl *ast.FuncDecl) string {
	if decl.Recv == nil || len(decl.Recv.List) == 0 {
		return decl.Name.Name
	}
	return receiver(decl) + "." + decl.Name.Name
}

// receiver is the name of the type that a method belongs to, "" for a function.
func receiver(decl *ast.FuncDecl) string {
	if decl.Recv == nil || len(decl.Recv.List) == 0 {
		return ""
	}
	return typeName(decl.Recv.List[0].Type)
}

// typeName is the name of a type written as T, *T or T[P], "" for any other.
func typeName(expr ast.Expr) string {
	switch e := expr.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.StarExpr:
		return typeName(e.X)
	case *ast.ParenExpr:
		return typeName(e.X)
	case *ast.IndexExpr:
		return typeName(e.X)
	case *ast.IndexListExpr:
		return typeName(e.X)
	}
	return ""
}
