// Package lower turns a type-checked cell into the part of Go that the interpreter does well: closures, control flow,
// structs, slices, maps, channels and calls of compiled symbols.
//
// Generics are instantiated, methods become functions, interfaces of the user become interface{} with dispatch tables,
// constants become their values, and every name is unique, so that shadowing and redefinition need nothing from the
// interpreter. What the emitted code needs at run time is in package rt.
package lower

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"sort"
	"strings"

	"gobayes/kernel/internal/cell"
	"gobayes/kernel/internal/check"
	"gobayes/kernel/internal/exports"
)

const rtPath = "gobayes/kernel/internal/rt"

// Program is a lowered cell.
type Program struct {
	Types   string   // declarations of types, to be evaluated once and first; "" for none
	Named   []string // what they declare
	Source  string   // the other declarations; "" for none
	Vars    []string // the variables among them
	Main    string   // the function that runs the cell, to be evaluated after Source and called once
	Run     string   // its name
	Imports []string // compiled packages that it imports for the first time
}

// Lowerer lowers the cells of one session. It remembers what it has emitted.
type Lowerer struct {
	im    *exports.Importer
	bound func(path string) bool // whether the interpreter has the package's symbols
	lines *cell.Lines
	cells map[*types.Package]*exports.Package

	imports   map[string]string // path → alias
	aliases   map[string]bool
	typeNames map[string]*typeInst
	fnNames   map[string]string
	tds, mts  map[string]string // emitted type descriptors; method tables, dispatchers and helpers
	helpers   map[string]bool
	gnames    map[types.Object]string
	funcDecl  map[types.Object]*ast.FuncDecl
	indexed   map[*types.Package]bool
	pkgInit   map[*types.Package]bool
	sigMemo   map[string]bool
	given     map[*types.Var]given
	n         int      // for unique names
	undo      []func() // takes back what the current cell added to the maps above

	// the current cell
	cell      int
	infix     map[string]int // precedence of the operator in what spell has spelled
	main      *types.Package
	env       *fnEnv
	canonMode int // > 0 while spelling a type's identity
	typeQueue []*typeInst
	fnQueue   []*fnInst
	tdQueue   []*tdInst
	types     bytes.Buffer
	declared  []string // what types declares
	funcs     bytes.Buffer
	globals   bytes.Buffer
	vars      []string // what globals declares
	tdMake    bytes.Buffer
	tdInit    bytes.Buffer
	initBuf   bytes.Buffer
}

// New returns a Lowerer for one session. bound says whether the interpreter has symbols of a package.
func New(im *exports.Importer, bound func(path string) bool, lines *cell.Lines) *Lowerer {
	return &Lowerer{
		im: im, bound: bound, lines: lines, cells: map[*types.Package]*exports.Package{}, imports: map[string]string{}, aliases: map[string]bool{},
		typeNames: map[string]*typeInst{}, fnNames: map[string]string{}, tds: map[string]string{}, mts: map[string]string{}, helpers: map[string]bool{},
		gnames: map[types.Object]string{}, funcDecl: map[types.Object]*ast.FuncDecl{}, indexed: map[*types.Package]bool{}, pkgInit: map[*types.Package]bool{},
		sigMemo: map[string]bool{}, given: map[*types.Var]given{},
	}
}

// given says what a predeclared name stands for.
type given struct{ path, expr string }

// Predeclare makes the variable v stand for an expression over the package with the given path: rt's "Context()".
func (l *Lowerer) Predeclare(v *types.Var, path, expr string) { l.given[v] = given{path, expr} }

// Predeclared reports whether v stands for something that no cell has declared.
func (l *Lowerer) Predeclared(v *types.Var) bool { return l.given[v].path != "" }

// Name is the name under which a variable of the session is declared in the lowered code.
func (l *Lowerer) Name(v *types.Var) string { return l.gnames[v] }

// SameStorage makes the variable v live where the earlier variable old, of the same type, lives: functions and closures
// that use old see what is assigned to v.
func (l *Lowerer) SameStorage(v, old types.Object) {
	l.gnames[v] = l.gname(old)
}

// fnInst is a function, or an instance of a generic one, to be emitted.
type fnInst struct {
	decl  *ast.FuncDecl
	obj   *types.Func
	name  string
	targs []types.Type
	key   string
}

// failure is what the lowering panics with when it meets something it cannot express.
type failure struct{ msg string }

func (l *Lowerer) errf(p token.Pos, f string, a ...any) failure {
	return failure{l.im.Fset.Position(p).String() + ": not supported in a cell: " + fmt.Sprintf(f, a...)}
}

// Rollback forgets what the last cell added, because its Source could not be evaluated.
func (l *Lowerer) Rollback() {
	for _, f := range l.undo {
		f()
	}
	l.undo = nil
}

func remember[V any](l *Lowerer, m map[string]V, key string, v V) {
	m[key] = v
	l.undo = append(l.undo, func() { delete(m, key) })
}

// Cell lowers the n-th cell of the session.
func (l *Lowerer) Cell(c *check.Cell, n int) (p Program, err error) {
	l.undo = nil
	defer func() {
		if r := recover(); r != nil {
			f, ok := r.(failure)
			if !ok {
				panic(r)
			}
			l.Rollback()
			err = fmt.Errorf("%s", f.msg)
		}
	}()
	l.cell, l.main, l.infix = n, c.Types, map[string]int{}
	l.typeQueue, l.fnQueue, l.tdQueue, l.declared, l.vars, l.env, l.canonMode = nil, nil, nil, nil, nil, nil, 0
	for _, b := range []*bytes.Buffer{&l.types, &l.funcs, &l.globals, &l.tdMake, &l.tdInit, &l.initBuf} {
		b.Reset()
	}
	known := map[string]bool{}
	for path := range l.imports {
		known[path] = true
	}
	l.cells[c.Types] = c.Package
	l.index(c.Package)
	l.pkgInit[c.Types] = true
	scope := c.Types.Scope()
	for _, name := range scope.Names() {
		if v, ok := scope.Lookup(name).(*types.Var); ok && v.Pkg() == c.Types && l.gnames[v] == "" {
			l.global(l.gname(v), l.typ(v.Type()))
		}
	}
	declares := false
	for _, d := range c.Files[0].Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d != c.Func {
				declares = true
				l.funcNamed(c, d)
			}
		case *ast.GenDecl:
			declares = declares || d.Tok == token.TYPE
		}
	}
	body := l.run(c)
	l.drain()
	if !declares { // nothing later can need this cell's syntax
		delete(l.cells, c.Types)
		delete(l.indexed, c.Types)
		delete(l.pkgInit, c.Types)
	}
	delete(l.funcDecl, c.Info.Defs[c.Func.Name]) // nothing calls it by its name
	p.Run = l.fresh("run")
	const clause = "package main\n"
	var b bytes.Buffer
	b.WriteString(clause)
	for path, alias := range l.imports {
		if !known[path] {
			p.Imports = append(p.Imports, path)
			fmt.Fprintf(&b, "import %s %q\n", alias, path)
		}
	}
	sort.Strings(p.Imports)
	if l.types.Len() > 0 {
		b.Write(l.types.Bytes())
		p.Types, p.Named = b.String(), l.declared
		b.Reset()
		b.WriteString(clause)
	}
	b.Write(l.globals.Bytes())
	b.Write(l.funcs.Bytes())
	if b.Len() > len(clause) {
		p.Source, p.Vars = b.String(), l.vars
	}
	p.Main = fmt.Sprintf("%sfunc %s() {\n%s%s%s%s}\n", clause, p.Run, l.tdMake.String(), l.tdInit.String(), l.initBuf.String(), body)
	return p, nil
}

// global declares a variable that outlives the cell.
func (l *Lowerer) global(name, typ string) {
	fmt.Fprintf(&l.globals, "var %s %s\n", name, typ)
	l.vars = append(l.vars, name)
}

// funcNamed queues a function declared in the cell; methods and generic functions follow when something uses them.
func (l *Lowerer) funcNamed(c *check.Cell, d *ast.FuncDecl) {
	o, _ := c.Info.Defs[d.Name].(*types.Func)
	if o == nil || d.Name.Name == "_" {
		return
	}
	sig := o.Type().(*types.Signature)
	if sig.Recv() == nil && sig.TypeParams().Len() == 0 {
		l.fnName(o, nil)
	}
}

// run lowers the steps of the cell to the body of its function.
func (l *Lowerer) run(c *check.Cell) string {
	e := l.newEnv(c.Types)
	e.decl = c.Func
	e.sig = c.Info.Defs[c.Func.Name].Type().(*types.Signature)
	save := l.env
	l.env = e
	defer func() { l.env = save }()
	w := &writer{}
	if defers, _ := calls(c.Func.Body, c.Info); defers > 0 {
		e.deferring(w, c.Steps[0].Pos, func() { e.steps(w, c) })
	} else {
		e.steps(w, c)
	}
	return w.String()
}

func (e *fnEnv) steps(w *writer, c *check.Cell) {
	l := e.l
	for _, s := range c.Steps {
		w.f("%s.At(%d, %d)", l.imp(rtPath), l.cell, l.im.Fset.Position(s.Pos).Line)
		e.line(w, s.Pos)
		switch {
		case s.Vars != nil:
			e.vars(w, s.Vars)
		case s.Init != nil:
			w.f("%s()", l.fnName(c.Info.Defs[s.Init.Name].(*types.Func), nil))
		case s.Stmt != nil:
			e.stmt(w, s.Stmt, "")
		default:
			e.show(w, s.Expr, s.Shown)
		}
		if s.CheckErr {
			w.f("%s.CheckErr(%s)", l.imp(rtPath), e.errName(s))
		}
	}
}

func (e *fnEnv) errName(s check.Step) string {
	if s.Vars != nil {
		for _, n := range s.Vars.Names {
			if n.Name == "err" {
				return e.l.gname(e.info.Defs[n])
			}
		}
	}
	for _, x := range s.Stmt.(*ast.AssignStmt).Lhs {
		if id, ok := x.(*ast.Ident); ok && id.Name == "err" {
			return e.varName(e.info.Uses[id])
		}
	}
	return "nil"
}

// vars assigns the variables that a step declares; without values they get zero, for they may live in old storage.
func (e *fnEnv) vars(w *writer, s *ast.ValueSpec) {
	l := e.l
	var lhs []string
	var ts []types.Type
	for _, n := range s.Names {
		if n.Name == "_" {
			lhs, ts = append(lhs, "_"), append(ts, nil)
			continue
		}
		o := e.info.Defs[n]
		lhs, ts = append(lhs, l.gname(o)), append(ts, o.Type())
	}
	switch {
	case len(s.Values) == 0:
		for i, h := range lhs {
			if h != "_" {
				z := l.fresh("z")
				w.f("var %s %s\n%s = %s", z, l.typ(ts[i]), h, z)
			}
		}
	case len(lhs) == 1:
		x := s.Values[0]
		if lhs[0] == "_" {
			w.f("_ = %s", e.expr(x))
			return
		}
		w.f("%s = %s", lhs[0], e.assigned(x, ts[0]))
	case len(s.Values) == len(lhs):
		var rhs []string
		for i, x := range s.Values {
			if ts[i] == nil {
				ts[i] = e.typeOf(x)
			}
			rhs = append(rhs, e.exprTo(x, ts[i]))
		}
		e.parallel(w, lhs, rhs, ts, s.Values)
	default:
		e.parallel(w, lhs, []string{e.expr(s.Values[0])}, ts, s.Values)
	}
}

// show evaluates a top-level expression; the last of a cell is handed to the run time with its static types.
func (e *fnEnv) show(w *writer, x ast.Expr, shown bool) {
	l := e.l
	if tv := e.info.Types[x]; tv.IsVoid() || !shown || e.prints(x) {
		if _, ok := ast.Unparen(x).(*ast.CallExpr); ok {
			e.stmt(w, &ast.ExprStmt{X: x}, "")
		} else if tv.IsValue() && !tv.IsNil() {
			w.f("_ = %s", e.expr(x))
		}
		return
	}
	if e.info.Types[x].IsType() {
		w.f("%s.Show(false, %q, %q)", l.imp(rtPath), "", display(e.typeOf(x)))
		return
	}
	_, isCall := ast.Unparen(x).(*ast.CallExpr)
	empty := types.NewInterfaceType(nil, nil)
	var as []string
	if t, ok := e.typeOf(x).(*types.Tuple); ok {
		var ts []string
		for i := range t.Len() {
			n := l.fresh("t")
			ts = append(ts, n)
			as = append(as, fmt.Sprintf("%q", display(t.At(i).Type())), l.convert(n, t.At(i).Type(), empty))
		}
		w.f("%s := %s", strings.Join(ts, ", "), e.expr(x))
	} else {
		as = []string{fmt.Sprintf("%q", display(e.typeOf(x))), e.exprTo(x, empty)}
	}
	w.f("%s.Show(%t, %s)", l.imp(rtPath), isCall, strings.Join(as, ", "))
}

// prints: x is a call of fmt's printing functions, whose count of bytes nobody wants to see.
func (e *fnEnv) prints(x ast.Expr) bool {
	c, ok := ast.Unparen(x).(*ast.CallExpr)
	if !ok {
		return false
	}
	o := calleeObj(e.info, c.Fun)
	return o != nil && o.Pkg() != nil && o.Pkg().Path() == "fmt" && (strings.HasPrefix(o.Name(), "Print") || strings.HasPrefix(o.Name(), "Fprint"))
}

// drain emits what is queued, and what that queues, until nothing is left.
func (l *Lowerer) drain() {
	for len(l.typeQueue) > 0 || len(l.fnQueue) > 0 || len(l.tdQueue) > 0 {
		for len(l.tdQueue) > 0 {
			t := l.tdQueue[0]
			l.tdQueue = l.tdQueue[1:]
			l.emitTD(t)
		}
		for len(l.typeQueue) > 0 {
			t := l.typeQueue[0]
			l.typeQueue = l.typeQueue[1:]
			l.emitType(t)
		}
		if len(l.fnQueue) > 0 {
			f := l.fnQueue[0]
			l.fnQueue = l.fnQueue[1:]
			l.emitFn(f)
		}
		if len(l.undo) > 20000 {
			panic(failure{"a generic function or type instantiates itself without end"})
		}
	}
}

// pkg returns the syntax of a cell or of a generic package of std.
func (l *Lowerer) pkg(p *types.Package) *exports.Package {
	if c := l.cells[p]; c != nil {
		return c
	}
	return l.im.Source(p)
}

// isUser: p's code is lowered, not compiled.
func (l *Lowerer) isUser(p *types.Package) bool {
	return p != nil && (p.Path() == "main" || l.im.Source(p) != nil)
}

func (l *Lowerer) index(p *exports.Package) {
	l.indexed[p.Types] = true
	for _, f := range p.Files {
		for _, d := range f.Decls {
			if fd, ok := d.(*ast.FuncDecl); ok {
				if o := p.Info.Defs[fd.Name]; o != nil {
					l.funcDecl[o] = fd
				}
			}
		}
	}
}

func (l *Lowerer) decl(o *types.Func) *ast.FuncDecl {
	if fd := l.funcDecl[o]; fd != nil {
		return fd
	}
	if p := l.pkg(o.Pkg()); p != nil && !l.indexed[o.Pkg()] {
		l.index(p)
	}
	return l.funcDecl[o]
}

func (l *Lowerer) fresh(base string) string {
	l.n++
	return fmt.Sprintf("%s_%d", base, l.n)
}

// freshes are n fresh names.
func (l *Lowerer) freshes(base string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = l.fresh(base)
	}
	return names
}

// imp returns the alias under which the emitted code knows a compiled package.
func (l *Lowerer) imp(path string) string {
	if a, ok := l.imports[path]; ok {
		return a
	}
	base := path[strings.LastIndexByte(path, '/')+1:]
	base = strings.NewReplacer(".", "_", "-", "_").Replace(base)
	a := "p_" + base
	for l.aliases[a] {
		a += "_"
	}
	l.aliases[a] = true
	remember(l, l.imports, path, a)
	return a
}

// gname returns the unique name of a package-level variable.
func (l *Lowerer) gname(o types.Object) string {
	if s, ok := l.gnames[o]; ok {
		return s
	}
	s := l.fresh(o.Name())
	l.gnames[o] = s
	if p := o.Pkg(); p != l.main && l.im.Source(p) != nil {
		l.initPkg(p)
	}
	return s
}

// initPkg declares and initialises the variables of a generic package of std.
func (l *Lowerer) initPkg(p *types.Package) {
	if l.pkgInit[p] {
		return
	}
	l.pkgInit[p] = true
	sp := l.pkg(p)
	scope := p.Scope()
	for _, name := range scope.Names() {
		if v, ok := scope.Lookup(name).(*types.Var); ok {
			l.global(l.gname(v), l.typ(v.Type()))
		}
	}
	e := l.newEnv(p)
	save := l.env
	l.env = e
	defer func() { l.env = save }()
	w := &writer{}
	for _, in := range sp.Info.InitOrder {
		var lhs []string
		var ts []types.Type
		for _, v := range in.Lhs {
			if v.Name() == "_" {
				lhs = append(lhs, "_")
			} else {
				lhs = append(lhs, l.gname(v))
			}
			ts = append(ts, v.Type())
		}
		if len(lhs) > 1 {
			e.parallel(w, lhs, []string{e.expr(in.Rhs)}, ts, []ast.Expr{in.Rhs})
		} else {
			w.f("%s = %s", lhs[0], e.assigned(in.Rhs, ts[0]))
		}
	}
	l.initBuf.WriteString(w.String())
}

// fnName returns the emitted name of a function or of an instance of a generic one, and queues it when it is new.
func (l *Lowerer) fnName(o *types.Func, targs []types.Type) string {
	o = o.Origin()
	key := fmt.Sprintf("%p", o)
	for _, t := range targs {
		key += "|" + l.canon(t)
	}
	if n, ok := l.fnNames[key]; ok {
		return n
	}
	name := l.fresh(o.Name())
	remember(l, l.fnNames, key, name)
	fd := l.decl(o)
	if fd == nil {
		panic(l.errf(o.Pos(), "the source of %v is not at hand", o))
	}
	l.fnQueue = append(l.fnQueue, &fnInst{decl: fd, obj: o, name: name, targs: targs, key: key})
	return name
}
