package session

import (
	"go/ast"
	"strings"

	"gobayes/kernel/internal/cell"
)

// hidden marks the variables behind x := f(x), where the new x starts from the old one.
const hidden = "ʹ"

// split groups the units of a cell into parts that are checked and lowered one after the other. A part is like a Go
// package, in which a name has one meaning; a new part begins where a variable is declared whose name already meant
// something in the part. Most cells are one part.
func split(units []cell.Unit, live func(name string) bool) [][]cell.Unit {
	var imports, decls []cell.Unit
	parts := [][]cell.Unit{nil}
	firstPart := map[string]int{} // variable → the part that first declares it
	declared, mentioned := map[string]bool{}, map[string]bool{}
	next := func() {
		parts = append(parts, nil)
		declared, mentioned = map[string]bool{}, map[string]bool{}
	}
	add := func(u cell.Unit) {
		n := len(parts) - 1
		parts[n] = append(parts[n], u)
		for _, name := range variables(u) {
			declared[name] = true
			if _, ok := firstPart[name]; !ok {
				firstPart[name] = n
			}
		}
		for name := range mentions(u) {
			mentioned[name] = true
		}
	}
	for _, u := range units {
		switch u.Kind {
		case cell.Import:
			imports = append(imports, u)
			continue
		case cell.Func, cell.Type:
			if d, ok := u.Decl.(*ast.FuncDecl); ok && isInit(d) {
				add(called(u, d))
			} else {
				decls = append(decls, u)
			}
			continue
		case cell.Var:
			self := false
			used := mentions(u)
			for _, name := range variables(u) {
				if declared[name] || mentioned[name] {
					next()
				}
				_, earlier := firstPart[name]
				self = self || used[name] && (earlier || live(name))
			}
			if a, ok := u.Stmt.(*ast.AssignStmt); ok && self {
				from, to := throughHidden(u, a)
				add(from)
				next()
				add(to)
				continue
			}
		}
		add(u)
	}
	for i, u := range decls {
		at := place(u, decls, i, firstPart)
		parts[at] = append([]cell.Unit{u}, parts[at]...)
	}
	for i := range parts {
		parts[i] = append(append([]cell.Unit{}, imports...), parts[i]...)
	}
	return parts
}

// isInit reports whether d is an init function as it has to be.
func isInit(d *ast.FuncDecl) bool {
	return d.Name.Name == "init" && d.Recv == nil && d.Body != nil && d.Type.Params.NumFields()+d.Type.Results.NumFields() == 0 && d.Type.TypeParams == nil
}

// called is an init function as what a cell means by it: a statement that calls it where it stands.
func called(u cell.Unit, d *ast.FuncDecl) cell.Unit {
	name, end := d.Name.Pos()-d.Pos(), d.Body.End()-d.Pos()
	u.Text = u.Text[:name] + strings.Repeat(" ", len("init")) + u.Text[int(name)+len("init"):end] + "()"
	u.Kind, u.Decl = cell.Expr, nil
	u.Stmt = &ast.ExprStmt{X: &ast.CallExpr{Fun: &ast.FuncLit{Type: d.Type, Body: d.Body}}}
	return u
}

// place is the part that a declaration belongs to: the first in which all variables that it mentions, itself or through
// other declarations of the cell, exist.
func place(u cell.Unit, decls []cell.Unit, self int, firstPart map[string]int) int {
	at := 0
	seen := map[int]bool{self: true}
	var walk func(u cell.Unit)
	walk = func(u cell.Unit) {
		for name := range mentions(u) {
			at = max(at, firstPart[name])
			for j, d := range decls {
				if seen[j] {
					continue
				}
				for _, n := range names(d) {
					if n == name || strings.HasPrefix(n, name+".") {
						seen[j] = true
						walk(d)
						break
					}
				}
			}
		}
	}
	walk(u)
	return at
}

// throughHidden splits x := f(x) into xʹ := f(x) and x := xʹ.
func throughHidden(u cell.Unit, a *ast.AssignStmt) (from, to cell.Unit) {
	var olds, news []string
	for _, x := range a.Lhs {
		n := x.(*ast.Ident).Name
		if n == "_" {
			olds = append(olds, "_")
			continue
		}
		olds = append(olds, n+hidden)
		news = append(news, n)
	}
	var hiddens []string
	for _, o := range olds {
		if o != "_" {
			hiddens = append(hiddens, o)
		}
	}
	_, rhs, _ := strings.Cut(u.Text, ":=")
	from, to = u, u
	from.Text = strings.Join(olds, ", ") + " :=" + rhs
	to.Text = strings.Join(news, ", ") + " := " + strings.Join(hiddens, ", ")
	from.Stmt, to.Stmt = define(olds), define(news)
	return from, to
}

func define(names []string) *ast.AssignStmt {
	a := &ast.AssignStmt{}
	for _, n := range names {
		a.Lhs = append(a.Lhs, ast.NewIdent(n))
	}
	return a
}

// variables lists the names that a Var unit declares.
func variables(u cell.Unit) []string {
	if u.Kind != cell.Var {
		return nil
	}
	var ns []string
	if a, ok := u.Stmt.(*ast.AssignStmt); ok {
		for _, x := range a.Lhs {
			if n := x.(*ast.Ident).Name; n != "_" {
				ns = append(ns, n)
			}
		}
		return ns
	}
	return specNames(u.Decl.(*ast.GenDecl))
}

// mentions are the identifiers that a unit uses, without those that it declares at its own top and those after a dot.
func mentions(u cell.Unit) map[string]bool {
	out := map[string]bool{}
	var walk func(n ast.Node) bool
	walk = func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			ast.Inspect(n.X, walk)
			return false
		case *ast.Ident:
			out[n.Name] = true
		}
		return true
	}
	if a, ok := u.Stmt.(*ast.AssignStmt); ok && u.Kind == cell.Var {
		for _, x := range a.Rhs {
			ast.Inspect(x, walk)
		}
		return out
	}
	if g, ok := u.Decl.(*ast.GenDecl); ok && u.Kind == cell.Var {
		for _, s := range g.Specs {
			v := s.(*ast.ValueSpec)
			if v.Type != nil {
				ast.Inspect(v.Type, walk)
			}
			for _, x := range v.Values {
				ast.Inspect(x, walk)
			}
		}
		return out
	}
	if u.Decl != nil {
		ast.Inspect(u.Decl, walk)
	}
	if u.Stmt != nil {
		ast.Inspect(u.Stmt, walk)
	}
	return out
}
