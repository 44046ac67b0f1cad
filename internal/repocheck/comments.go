package repocheck

import (
	"go/ast"
	"go/token"
	"strings"
)

// Comments checks that each package has a package comment, and each exported declaration a doc comment.
func Comments(t *Tree) []Finding {
	var found []Finding
	packages := map[string][]*GoFile{}
	for _, file := range t.Go {
		packages[file.Dir()] = append(packages[file.Dir()], file)
		if !file.Test {
			found = append(found, undocumented(file)...)
		}
	}
	for _, dir := range sortedKeys(packages) {
		if !packageComment(packages[dir]) {
			found = append(found, Finding{Path: dir, Text: "no package comment: say in doc.go what the package is, in one sentence"})
		}
	}
	return found
}

// packageComment reports whether a file carries the package's comment: a file that is no test, unless the package has
// tests only.
func packageComment(files []*GoFile) bool {
	onlyTests := true
	for _, file := range files {
		onlyTests = onlyTests && file.Test
	}
	for _, file := range files {
		doc := strings.TrimSpace(file.AST.Doc.Text())
		named := strings.HasPrefix(doc, "Package "+file.AST.Name.Name) || file.AST.Name.Name == "main" && doc != ""
		if named && file.Test == onlyTests {
			return true
		}
	}
	return false
}

func undocumented(file *GoFile) []Finding {
	var found []Finding
	for _, decl := range file.AST.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if exportedFunc(d) && d.Doc.Text() == "" {
				found = append(found, file.At(d.Pos(), "%s has no doc comment", funcName(d)))
			}
		case *ast.GenDecl:
			found = append(found, undocumentedSpecs(file, d)...)
		}
	}
	return found
}

// exportedFunc reports whether a declaration is part of the package's face: a method of an unexported type is not.
func exportedFunc(decl *ast.FuncDecl) bool {
	if !decl.Name.IsExported() {
		return false
	}
	return decl.Recv == nil || ast.IsExported(receiver(decl))
}

// undocumentedSpecs looks at types, constants and variables. A comment on a group, above a name or behind it will do.
func undocumentedSpecs(file *GoFile, decl *ast.GenDecl) []Finding {
	if decl.Tok == token.IMPORT {
		return nil
	}
	grouped := decl.Doc.Text() != ""
	var found []Finding
	for _, spec := range decl.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			if s.Name.IsExported() && s.Doc.Text() == "" && !grouped {
				found = append(found, file.At(s.Pos(), "type %s has no doc comment", s.Name.Name))
			}
		case *ast.ValueSpec:
			documented := grouped || s.Doc.Text() != "" || s.Comment.Text() != ""
			if !documented && s.Names[0].IsExported() {
				found = append(found, file.At(s.Pos(), "%s has no doc comment", s.Names[0].Name))
			}
		}
	}
	return found
}
