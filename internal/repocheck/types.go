package repocheck

import "go/ast"

// declarations knows the types that a package's source gives to its names: enough to tell a net.Conn from a task's
// connection without a type checker. What it cannot tell it leaves open.
type declarations struct {
	fields  map[string]map[string]ast.Expr // struct type → field → type
	results map[string]ast.Expr            // Func or Type.Method → type of its first result
	vars    map[string]ast.Expr            // package-level variables
}

// declarationsOf reads the declarations of one package.
func declarationsOf(files []*GoFile) *declarations {
	d := &declarations{map[string]map[string]ast.Expr{}, map[string]ast.Expr{}, map[string]ast.Expr{}}
	for _, file := range files {
		for _, decl := range file.AST.Decls {
			d.addDecl(decl)
		}
	}
	return d
}

func (d *declarations) addDecl(decl ast.Decl) {
	switch n := decl.(type) {
	case *ast.FuncDecl:
		if n.Type.Results != nil && len(n.Type.Results.List) > 0 {
			d.results[funcName(n)] = n.Type.Results.List[0].Type
		}
	case *ast.GenDecl:
		for _, spec := range n.Specs {
			d.addSpec(spec)
		}
	}
}

func (d *declarations) addSpec(spec ast.Spec) {
	switch s := spec.(type) {
	case *ast.ValueSpec:
		for _, name := range s.Names {
			d.vars[name.Name] = s.Type
		}
	case *ast.TypeSpec:
		structure, ok := s.Type.(*ast.StructType)
		if !ok {
			return
		}
		fields := map[string]ast.Expr{}
		for _, field := range structure.Fields.List {
			for _, name := range field.Names {
				fields[name.Name] = field.Type
			}
			if len(field.Names) == 0 {
				fields[embeddedName(field.Type)] = field.Type
			}
		}
		d.fields[s.Name.Name] = fields
	}
}

// embeddedName is the name under which an embedded field is reached.
func embeddedName(expr ast.Expr) string {
	switch e := expr.(type) {
	case *ast.StarExpr:
		return embeddedName(e.X)
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return typeName(expr)
}

// scope is the names of one function, literals within it included. A name that is declared twice with different types
// keeps the first one, which is right often enough for a reader of its own package.
type scope struct {
	*declarations
	locals map[string]ast.Expr
}

// scopeOf reads the receiver, parameters, results and local variables of a function.
func (d *declarations) scopeOf(fn *ast.FuncDecl) *scope {
	s := &scope{d, map[string]ast.Expr{}}
	s.addFields(fn.Recv)
	s.addFields(fn.Type.Params)
	s.addFields(fn.Type.Results)
	ast.Inspect(fn, func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.FuncLit:
			s.addFields(n.Type.Params)
		case *ast.ValueSpec:
			s.addSpecLocals(n)
		case *ast.AssignStmt:
			s.addAssigned(n)
		}
		return true
	})
	return s
}

func (s *scope) addFields(list *ast.FieldList) {
	if list == nil {
		return
	}
	for _, field := range list.List {
		for _, name := range field.Names {
			s.add(name.Name, field.Type)
		}
	}
}

func (s *scope) addSpecLocals(spec *ast.ValueSpec) {
	for i, name := range spec.Names {
		switch {
		case spec.Type != nil:
			s.add(name.Name, spec.Type)
		case i < len(spec.Values):
			s.add(name.Name, s.typeOf(spec.Values[i]))
		}
	}
}

// addAssigned follows a, b := x, y and a, err := f().
func (s *scope) addAssigned(assign *ast.AssignStmt) {
	for i, left := range assign.Lhs {
		id, ok := left.(*ast.Ident)
		if ok && i < len(assign.Rhs) {
			s.add(id.Name, s.typeOf(assign.Rhs[i]))
		}
	}
}

func (s *scope) add(name string, expr ast.Expr) {
	if _, known := s.locals[name]; !known && expr != nil {
		s.locals[name] = expr
	}
}

// typeOf finds the type of an expression as it is written in the source, nil when it cannot be told.
func (s *scope) typeOf(expr ast.Expr) ast.Expr {
	switch e := expr.(type) {
	case *ast.Ident:
		if local, ok := s.locals[e.Name]; ok {
			return local
		}
		return s.vars[e.Name]
	case *ast.ParenExpr:
		return s.typeOf(e.X)
	case *ast.UnaryExpr:
		return s.typeOf(e.X)
	case *ast.StarExpr:
		return s.typeOf(e.X)
	case *ast.CompositeLit:
		return e.Type
	case *ast.TypeAssertExpr:
		return e.Type
	case *ast.IndexExpr:
		return element(s.typeOf(e.X))
	case *ast.SelectorExpr:
		return s.fields[typeName(s.typeOf(e.X))][e.Sel.Name]
	case *ast.CallExpr:
		return s.resultOf(e)
	}
	return nil
}

// resultOf finds the type of a call's first result: make and new give theirs, a function or method of the package its own.
func (s *scope) resultOf(call *ast.CallExpr) ast.Expr {
	switch fun := call.Fun.(type) {
	case *ast.Ident:
		if (fun.Name == "make" || fun.Name == "new") && len(call.Args) > 0 {
			return call.Args[0]
		}
		return s.results[fun.Name]
	case *ast.SelectorExpr:
		return s.results[typeName(s.typeOf(fun.X))+"."+fun.Sel.Name]
	}
	return nil
}

// element is what indexing a value of that type gives.
func element(expr ast.Expr) ast.Expr {
	switch e := expr.(type) {
	case *ast.ArrayType:
		return e.Elt
	case *ast.MapType:
		return e.Value
	}
	return nil
}
