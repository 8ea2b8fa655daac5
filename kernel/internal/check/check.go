// Package check type-checks one cell, whole, before anything of it runs: with the objects of earlier cells in scope and
// with the cell's own positions in every error.
package check

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"sort"
	"strings"

	"gobayes/kernel/internal/cell"
	"gobayes/kernel/internal/exports"
)

// Input is a cell, or the part of one that is checked together.
type Input struct {
	Name  string // file name in positions, cell.Name
	Func  string // name of the function that will run the statements
	Units []cell.Unit
	// Program says that the cell is a Go file with a package clause: its variables are initialised in the order of their
	// dependencies, and its init functions run before the statements.
	Program bool
	// Last says that the cell ends with these units: the value of a final expression is shown.
	Last bool
	// Redeclare holds declarations of earlier cells that use something this cell redefines.
	Redeclare []cell.Unit
	// Live returns the session's object of that name, or nil.
	Live func(name string) types.Object
	// Names lists what a cell may name without declaring it: what Live and Imports know. It is asked when a name is undefined.
	Names func() []string
	// Imports returns the import path behind a package name: the session's own imports, then the automatic ones.
	Imports func(name string) (path string, ok bool)
}

// Step is one thing that the cell does when it runs. One field is set.
type Step struct {
	Vars *ast.ValueSpec // declare and assign variables of the session
	Init *ast.FuncDecl  // call an init function of a program
	Stmt ast.Stmt
	Expr ast.Expr // evaluate; Shown says what becomes of the value

	Pos      token.Pos
	Shown    bool
	CheckErr bool // a non-nil err stops the cell after this step
}

// Cell is a checked cell.
type Cell struct {
	*exports.Package
	Func  *ast.FuncDecl // holds the statements
	Steps []Step
	// Own lists the names that the cell declares at top level.
	Own []string
	// Imports are the cell's own import lines: name → path. A dot import has the name "." + path.
	Imports map[string]string
}

// Error is one compile error.
type Error struct {
	Cell         string
	Line, Column int // column in bytes, from 1
	Msg          string
	Hint         string // what the user may have meant; often empty
}

func (e Error) Error() string { return fmt.Sprintf("%s:%d:%d: %s", e.Cell, e.Line, e.Column, e.Msg) }

// Errors are all errors of a cell.
type Errors []Error

func (es Errors) Error() string {
	if len(es) == 1 {
		return es[0].Error()
	}
	return fmt.Sprintf("%s (and %d more)", es[0].Error(), len(es)-1)
}

// Check type-checks in. Its error is an Errors, or that of a broken installation.
func Check(im *exports.Importer, in Input) (*Cell, error) {
	b := newBuilder(in)
	f, err := parser.ParseFile(im.Fset, in.Name, b.source(), parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("check: %w", err)
	}
	values := b.steps(f)
	found := b.errors(im, f, values)
	if b.keyed(f, found) { // literals that only seemed to be of another package
		found = b.errors(im, f, values)
	}
	if len(found) > 0 {
		h := &hints{b, f}
		var errs Errors
		for _, e := range found {
			p := im.Fset.Position(e.Pos)
			errs = append(errs, Error{Cell: p.Filename, Line: p.Line, Column: p.Column, Msg: e.Msg, Hint: h.of(e.Msg, e.Pos)})
		}
		return nil, errs
	}
	if in.Program {
		b.programOrder(f)
	}
	b.errRule()
	return b.cell, nil
}

// errors type-checks the file and returns what is wrong with it.
func (b *builder) errors(im *exports.Importer, f *ast.File, values map[token.Pos]bool) (found []types.Error) {
	b.types(im, im.Fset, f, func(err error) {
		if te, ok := err.(types.Error); ok && !tolerated(te, values) {
			found = append(found, te)
		}
	})
	return found
}

// keyed gives names to the fields of literals that go/types refuses without: those of structs from earlier cells, which are of
// other packages to it, with unexported fields. It reports whether there were any.
func (b *builder) keyed(f *ast.File, found []types.Error) (any bool) {
	refused := map[token.Pos]bool{}
	for _, e := range found {
		if strings.HasPrefix(e.Msg, "implicit assignment to unexported field") {
			refused[e.Pos] = true
		}
	}
	if len(refused) == 0 {
		return false
	}
	ast.Inspect(f, func(n ast.Node) bool {
		lit, ok := n.(*ast.CompositeLit)
		if !ok || b.cell.Info.TypeOf(lit) == nil {
			return true
		}
		t := b.cell.Info.TypeOf(lit).Underlying()
		if p, ok := t.(*types.Pointer); ok {
			t = p.Elem().Underlying()
		}
		s, ok := t.(*types.Struct)
		if !ok || s.NumFields() != len(lit.Elts) {
			return true
		}
		hit := false
		for i, e := range lit.Elts {
			hit = hit || refused[e.Pos()] && s.Field(i).Pkg().Path() == "main"
		}
		for i, e := range lit.Elts {
			if hit {
				lit.Elts[i] = &ast.KeyValueExpr{Key: &ast.Ident{NamePos: e.Pos(), Name: s.Field(i).Name()}, Colon: e.Pos(), Value: e}
				any = true
			}
		}
		return true
	})
	return any
}

// Draft type-checks what can be checked of a cell that is being written, and leaves out its Steps. fset receives the
// positions.
func Draft(im *exports.Importer, fset *token.FileSet, in Input) *Cell {
	b := newBuilder(in)
	f, _ := parser.ParseFile(fset, in.Name, b.source(), parser.SkipObjectResolution|parser.AllErrors) // f is what could be parsed
	b.types(im, fset, f, func(error) {})
	return b.cell
}

// tolerated are errors of a file that are none in a cell: unused variables, imports and labels, and top-level expressions.
func tolerated(e types.Error, values map[token.Pos]bool) bool {
	if e.Soft && (strings.HasPrefix(e.Msg, "declared and not used") || strings.Contains(e.Msg, "imported and not used") || strings.HasSuffix(e.Msg, "declared and not used")) {
		return true
	}
	return values[e.Pos] && strings.HasSuffix(e.Msg, "is not used")
}

// builder writes the file that go/types sees: imports, declarations, variables, and one function with the statements.
type builder struct {
	in       Input
	cell     *Cell
	own      map[string]bool
	imported map[string]bool
	importAt map[string]string // name → where the path in the cell's import stands, as a comment
	decls    strings.Builder
	vars     strings.Builder
	body     strings.Builder
	plan     []planned
	varDecls int
}

// planned says where a step will be found in the parsed file.
type planned struct {
	unit  cell.Unit
	vars  bool
	index int // of the var declaration, or of the statement in the function
}

func newBuilder(in Input) *builder {
	b := &builder{in: in, cell: &Cell{Imports: map[string]string{}}, own: map[string]bool{}, importAt: map[string]string{}}
	for _, u := range in.Units {
		b.unit(u)
	}
	for _, u := range in.Redeclare {
		b.decl(u)
	}
	for n := range b.own {
		b.cell.Own = append(b.cell.Own, n)
	}
	sort.Strings(b.cell.Own)
	return b
}

// types runs the type checker over the file.
func (b *builder) types(im *exports.Importer, fset *token.FileSet, f *ast.File, report func(error)) {
	pkg := types.NewPackage("main", "main")
	// only the live objects that the cell names: its cost does not grow with the session's age
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Ident:
			if b.own[n.Name] || b.imported[n.Name] {
				break
			}
			if o := b.in.Live(n.Name); o != nil && pkg.Scope().Lookup(n.Name) == nil {
				pkg.Scope().Insert(o)
			}
		case *ast.TypeSpec:
			// The checker follows type B A by name through the package, and fails on an A that it has not seen declared: not on (A).
			if id, ok := n.Type.(*ast.Ident); ok && !b.own[id.Name] {
				n.Type = &ast.ParenExpr{Lparen: id.Pos(), X: id, Rparen: id.End()}
			}
		}
		return true
	})
	info := exports.NewInfo()
	cfg := &types.Config{Importer: im, Context: im.Context, GoVersion: "go1.26", Error: report}
	_ = types.NewChecker(cfg, fset, pkg, info).Files([]*ast.File{f}) // every error has gone to report
	b.cell.Package = &exports.Package{Types: pkg, Info: info, Files: []*ast.File{f}}
}

func (b *builder) unit(u cell.Unit) {
	at := cell.Position(u.Cell, u.Line, u.Column)
	switch u.Kind {
	case cell.Import:
		if gd, ok := u.Decl.(*ast.GenDecl); ok {
			for _, s := range gd.Specs {
				im := s.(*ast.ImportSpec)
				path := strings.Trim(im.Path.Value, "\"`")
				name := BaseName(path)
				if im.Name != nil {
					name = im.Name.Name
				}
				if name == "." || name == "_" {
					name += path
				}
				b.cell.Imports[name] = path
				line, column := u.At(int(im.Path.Pos() - gd.Pos()))
				b.importAt[name] = cell.Position(u.Cell, line, column)
			}
		}
	case cell.Func, cell.Type:
		b.decl(u)
	case cell.Var:
		text := u.Text
		if a, ok := u.Stmt.(*ast.AssignStmt); ok {
			text = "var " + at + strings.Replace(u.Text, ":=", " =", 1)
			for _, x := range a.Lhs {
				b.declare(x.(*ast.Ident).Name)
			}
		} else {
			text = at + text
			for _, s := range u.Decl.(*ast.GenDecl).Specs {
				for _, n := range s.(*ast.ValueSpec).Names {
					b.declare(n.Name)
				}
			}
		}
		b.vars.WriteString(text + "\n")
		b.plan = append(b.plan, planned{unit: u, vars: true, index: b.varDecls})
		b.varDecls++
	default:
		b.body.WriteString(at + u.Text + "\n")
		if labelOfNothing(u.Stmt) { // it is not that of the next statement
			b.body.WriteString(";\n")
		}
		b.plan = append(b.plan, planned{unit: u, index: len(b.plan) - b.varDecls})
	}
}

// labelOfNothing reports whether s is a label that no statement follows.
func labelOfNothing(s ast.Stmt) bool {
	for {
		l, ok := s.(*ast.LabeledStmt)
		if !ok {
			return false
		}
		if _, empty := l.Stmt.(*ast.EmptyStmt); empty {
			return true
		}
		s = l.Stmt
	}
}

func (b *builder) declare(name string) {
	if name != "_" {
		b.own[name] = true
	}
}

func (b *builder) decl(u cell.Unit) {
	b.decls.WriteString(cell.Position(u.Cell, u.Line, u.Column) + u.Text + "\n")
	switch d := u.Decl.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil && d.Name.Name != "init" {
			b.declare(d.Name.Name)
		}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				b.declare(s.Name.Name)
			case *ast.ValueSpec:
				for _, n := range s.Names {
					b.declare(n.Name)
				}
			}
		}
	}
}

// source spells the whole file. Imports are those of the cell and those that its selectors name.
func (b *builder) source() string {
	rest := b.decls.String() + b.vars.String() + "func " + b.in.Func + "() {\n" + b.body.String() + "\n}\n"
	paths := map[string]string{}
	for name, path := range b.cell.Imports {
		paths[name] = path
	}
	for _, name := range b.packageNames(rest) {
		if b.own[name] || paths[name] != "" || b.in.Live(name) != nil {
			continue
		}
		if path, ok := b.in.Imports(name); ok {
			paths[name] = path
		}
	}
	b.imported = map[string]bool{}
	var names []string
	for n := range paths {
		if b.own[n] {
			continue // a variable of this cell hides the package
		}
		names = append(names, n)
		b.imported[n] = true
	}
	sort.Strings(names)
	var s strings.Builder
	s.WriteString("package main;")
	for _, n := range names {
		alias := n
		if strings.HasPrefix(n, ".") || strings.HasPrefix(n, "_") && strings.Contains(n, paths[n]) {
			alias = n[:1]
		}
		fmt.Fprintf(&s, "import %s %s%q;", alias, b.importAt[n], paths[n])
	}
	s.WriteString("\n" + rest)
	return s.String()
}

// packageNames lists the identifiers that stand before a dot.
func (b *builder) packageNames(src string) []string {
	f, _ := parser.ParseFile(token.NewFileSet(), "", "package p\n"+src, parser.SkipObjectResolution) // what does not parse is reported later
	seen := map[string]bool{}
	var names []string
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if id, ok := s.X.(*ast.Ident); ok && !seen[id.Name] {
				seen[id.Name] = true
				names = append(names, id.Name)
			}
		}
		return true
	})
	return names
}

// steps finds the planned steps in the parsed file and returns the positions of top-level expressions.
func (b *builder) steps(f *ast.File) map[token.Pos]bool {
	var specs [][]*ast.ValueSpec
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.GenDecl:
			if d.Tok == token.VAR {
				var vs []*ast.ValueSpec
				for _, s := range d.Specs {
					vs = append(vs, s.(*ast.ValueSpec))
				}
				specs = append(specs, vs)
			}
		case *ast.FuncDecl:
			if d.Name.Name == b.in.Func {
				b.cell.Func = d
			}
		}
	}
	var body []ast.Stmt
	for _, s := range b.cell.Func.Body.List {
		if _, ok := s.(*ast.EmptyStmt); !ok {
			body = append(body, s)
		}
	}
	values := map[token.Pos]bool{}
	n := 0
	for i, p := range b.plan {
		if p.vars {
			for _, s := range specs[p.index] {
				b.cell.Steps = append(b.cell.Steps, Step{Vars: s, Pos: s.Pos()})
			}
			continue
		}
		if _, ok := p.unit.Stmt.(*ast.EmptyStmt); ok {
			continue
		}
		s := body[n]
		n++
		if x, ok := s.(*ast.ExprStmt); ok {
			values[x.X.Pos()] = true
			b.cell.Steps = append(b.cell.Steps, Step{Expr: x.X, Pos: s.Pos(), Shown: b.in.Last && i == len(b.plan)-1 && !p.unit.Silent})
			continue
		}
		b.cell.Steps = append(b.cell.Steps, Step{Stmt: s, Pos: s.Pos()})
	}
	return values
}

// programOrder puts the variables of a program in the order of initialisation, its init functions after them, and the
// statements last.
func (b *builder) programOrder(f *ast.File) {
	place := map[types.Object]int{}
	for i, in := range b.cell.Info.InitOrder {
		for _, v := range in.Lhs {
			place[v] = i + 1
		}
	}
	for _, d := range f.Decls {
		if fd, ok := d.(*ast.FuncDecl); ok && fd.Recv == nil && fd.Name.Name == "init" {
			b.cell.Steps = append(b.cell.Steps, Step{Init: fd, Pos: fd.Pos()})
		}
	}
	rank := func(s Step) int {
		switch {
		case s.Init != nil:
			return len(place) + 1
		case s.Vars == nil:
			return len(place) + 2
		}
		n := 0 // without a value
		for _, name := range s.Vars.Names {
			n = max(n, place[b.cell.Info.Defs[name]])
		}
		return n
	}
	sort.SliceStable(b.cell.Steps, func(i, j int) bool { return rank(b.cell.Steps[i]) < rank(b.cell.Steps[j]) })
}

// errRule marks the steps after which a non-nil err stops the cell: those that assign a variable err of type error,
// unless the next step is an if that tests err, or the value is an error made on the spot (errors.New, fmt.Errorf).
func (b *builder) errRule() {
	steps := b.cell.Steps
	for i := range steps {
		o := b.assignsErr(steps[i])
		if o == nil || !types.Identical(o.Type(), types.Universe.Lookup("error").Type()) {
			continue
		}
		if i+1 < len(steps) && tests(steps[i+1].Stmt, "err") || b.makesError(steps[i]) {
			continue
		}
		steps[i].CheckErr = true
	}
}

func (b *builder) assignsErr(s Step) types.Object {
	if b.in.Program {
		return nil // a program handles its errors itself
	}
	if s.Vars != nil {
		if len(s.Vars.Values) > 0 {
			for _, n := range s.Vars.Names {
				if n.Name == "err" {
					return b.cell.Info.Defs[n]
				}
			}
		}
		return nil
	}
	if a, ok := s.Stmt.(*ast.AssignStmt); ok {
		for _, x := range a.Lhs {
			if id, ok := x.(*ast.Ident); ok && id.Name == "err" {
				return b.cell.Info.Uses[id]
			}
		}
	}
	return nil
}

func (b *builder) makesError(s Step) bool {
	var rhs []ast.Expr
	if s.Vars != nil {
		rhs = s.Vars.Values
	} else if a, ok := s.Stmt.(*ast.AssignStmt); ok {
		rhs = a.Rhs
	}
	for _, x := range rhs {
		call, ok := ast.Unparen(x).(*ast.CallExpr)
		if !ok {
			continue
		}
		if sel, ok := call.Fun.(*ast.SelectorExpr); ok {
			if o := b.cell.Info.Uses[sel.Sel]; o != nil && o.Pkg() != nil {
				switch o.Pkg().Path() + "." + o.Name() {
				case "errors.New", "errors.Join", "fmt.Errorf":
					return true
				}
			}
		}
	}
	return false
}

func tests(s ast.Stmt, name string) bool {
	f, ok := s.(*ast.IfStmt)
	if !ok || f.Init != nil {
		return false
	}
	found := false
	ast.Inspect(f.Cond, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && id.Name == name {
			found = true
		}
		return true
	})
	return found
}

// BaseName is the name a package is called by: the last element of its path, before a major version.
func BaseName(path string) string {
	elems := strings.Split(path, "/")
	n := elems[len(elems)-1]
	if len(elems) > 1 && len(n) > 1 && n[0] == 'v' && strings.Trim(n[1:], "0123456789") == "" {
		n = elems[len(elems)-2]
	}
	return n
}
