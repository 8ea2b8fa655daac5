// Package session keeps what the cells of a notebook have declared, and runs new cells against it.
package session

import (
	"context"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"runtime/debug"
	"slices"
	"sort"
	"strings"
	"sync"

	"gobayes/kernel/internal/cell"
	"gobayes/kernel/internal/check"
	"gobayes/kernel/internal/engine"
	"gobayes/kernel/internal/exports"
	"gobayes/kernel/internal/lower"
)

// Session is the state of a notebook. Prepare and Run belong to one goroutine; Lookup, Names and Text may be called from
// any, also while a cell runs.
type Session struct {
	im     *exports.Importer
	lines  *cell.Lines
	low    *lower.Lowerer
	engine *engine.Engine
	given  map[string]*types.Var // the predeclared names that a cell has used

	mu      sync.Mutex // guards what follows against readers
	live    map[string]types.Object
	imports map[string]string
	decls   map[string]*declared
	texts   map[string]string // of each cell, by name
	labels  map[int]string
	last    string // name of the cell that was prepared last
}

// declared is a function, method ("T.M"), type or constant, and the objects of the session that it uses.
type declared struct {
	name string
	unit cell.Unit
	uses map[types.Object]bool
}

// New returns an empty session.
func New() *Session {
	im, lines := exports.New(token.NewFileSet()), cell.NewLines()
	return &Session{
		im: im, lines: lines, low: lower.New(im, engine.Bound, lines), engine: engine.New(lines), given: map[string]*types.Var{},
		live: map[string]types.Object{}, imports: map[string]string{}, decls: map[string]*declared{}, texts: map[string]string{}, labels: map[int]string{},
	}
}

// Ready is a cell that has been checked, lowered and loaded, but has not run.
type Ready struct {
	cell int
	runs []string
}

// Prepare checks the n-th cell and loads its declarations; nothing of it runs. The error is a check.Errors, a
// scanner.ErrorList, a *Failure, or says what the interpreter refused; then the session is as it was.
func (s *Session) Prepare(n int, src string) (ready *Ready, err error) {
	defer func() {
		if r := recover(); r != nil {
			ready, err = nil, &Failure{r, string(debug.Stack())}
		}
	}()
	return s.prepare(n, src)
}

// Failure is a fault of the kernel itself, met while it read a cell.
type Failure struct {
	Panic any
	Stack string
}

func (f *Failure) Error() string {
	return fmt.Sprintf("the kernel has a fault that this cell has met: %v; nothing of the cell ran, and the session is as it was", f.Panic)
}

func (s *Session) prepare(n int, src string) (*Ready, error) {
	name := cell.Name(n)
	s.mu.Lock()
	s.texts[name], s.last = src, name
	s.mu.Unlock()
	s.lines.Add(name, src)
	units, err := cell.Split(name, src)
	if err != nil {
		return nil, err
	}
	if line := mainAlone(units); line > 0 {
		call, err := cell.Split(name, strings.Repeat("\n", line-1)+"main()")
		if err != nil {
			return nil, err
		}
		units = append(units, call...)
	}
	ready := &Ready{cell: n}
	d := &draft{s: s, live: map[string]types.Object{}, imports: map[string]string{}, decls: map[string]*declared{}}
	parts := [][]cell.Unit{units}
	d.program = len(units) > 0 && units[0].Kind == cell.Import && units[0].Decl == nil // a package clause
	if !d.program {
		parts = split(units, func(name string) bool { return s.live[name] != nil })
	}
	for i, part := range parts {
		run, err := d.part(n, name, fmt.Sprintf("cell_%d_%d", n, i), part, i == len(parts)-1)
		if err != nil {
			return nil, err
		}
		ready.runs = append(ready.runs, run)
	}
	d.commit()
	return ready, nil
}

// mainAlone returns the line of func main in a cell that is a program, pasted whole or without its package clause: one that
// declares main and has no statement. Such a cell runs. 0 for other cells.
func mainAlone(units []cell.Unit) (line int) {
	for _, u := range units {
		if u.Stmt != nil {
			return 0
		}
		if f, ok := u.Decl.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "main" {
			line = u.Line
		}
	}
	return line
}

// Run runs a prepared cell. It returns ctx's error if that ends first, a *engine.Panic, or nil.
func (s *Session) Run(ctx context.Context, r *Ready) error {
	for _, fn := range r.runs {
		if err := s.engine.Run(ctx, r.cell, fn); err != nil {
			return err
		}
	}
	return nil
}

// Call runs compiled code that calls functions of cells, as a cell of its own. Its errors are those of Run.
func (s *Session) Call(ctx context.Context, cell int, f func()) error {
	return s.engine.Call(ctx, cell, f)
}

// Label is the name of a cell that users see.
func (s *Session) Label(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l, ok := s.labels[cell.Number(name)]; ok {
		return l
	}
	return strings.Replace(name, "_", " ", 1)
}

// Lookup returns the session's object of that name, or nil.
func (s *Session) Lookup(name string) types.Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live[name]
}

// Names lists the names that the session has declared and keep accepts, sorted.
func (s *Session) Names(keep func(name string) bool) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ns []string
	for n := range s.live {
		if keep(n) {
			ns = append(ns, n)
		}
	}
	sort.Strings(ns)
	return ns
}

// ImportPath returns the import path that a package name stands for in the next cell.
func (s *Session) ImportPath(name string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p, ok := s.imports[name]; ok {
		return p, true
	}
	p, ok := packages[name]
	return p, ok
}

// PackageNames lists the names of packages that need no import line.
func PackageNames() []string {
	ns := make([]string, 0, len(packages))
	for n := range packages {
		ns = append(ns, n)
	}
	sort.Strings(ns)
	return ns
}

// draft is what a cell declares, part by part, before all of it is known to be good.
type draft struct {
	s       *Session
	program bool // the cell is a Go file
	live    map[string]types.Object
	imports map[string]string
	decls   map[string]*declared
	dropped []string
}

func (d *draft) lookup(name string) types.Object {
	if o, ok := d.live[name]; ok {
		return o
	}
	if o, ok := d.s.live[name]; ok {
		return o
	}
	return d.s.predeclared(name)
}

// names lists what the next part may name.
func (d *draft) names() []string {
	ns := append(append(d.s.Names(func(string) bool { return true }), PackageNames()...), PreludeNames()...)
	for n, o := range d.live {
		if o != nil {
			ns = append(ns, n)
		}
	}
	return ns
}

func (d *draft) importPath(name string) (string, bool) {
	for _, m := range []map[string]string{d.imports, d.s.imports, packages} {
		if p, ok := m[name]; ok {
			return p, true
		}
	}
	return "", false
}

// all iterates over the declarations of the session as the draft sees them.
func (d *draft) all() map[string]*declared {
	m := map[string]*declared{}
	for k, v := range d.s.decls {
		m[k] = v
	}
	for k, v := range d.decls {
		m[k] = v
	}
	for _, k := range d.dropped {
		if d.decls[k] == nil {
			delete(m, k)
		}
	}
	return m
}

// part checks, lowers and loads one part of a cell. Declarations that use something it redefines are declared again.
func (d *draft) part(n int, name, fn string, units []cell.Unit, last bool) (run string, err error) {
	own := map[string]*declared{}
	var changed []string
	for _, u := range units {
		for _, n := range names(u) {
			own[n] = &declared{name: n, unit: u}
			changed = append(changed, n)
		}
	}
	again := map[string]*declared{}
	d.dependents(own, again, changed)
	var c *check.Cell
	for {
		c, err = check.Check(d.s.im, check.Input{
			Name: name, Func: fn, Units: units, Redeclare: unitsOf(again), Program: d.program, Last: last, Live: d.lookup, Names: d.names, Imports: d.importPath,
		})
		if err != nil {
			return "", err
		}
		before := len(again)
		d.dependents(own, again, d.retyped(c))
		if len(again) == before {
			break
		}
	}
	scope := c.Types.Scope()
	for _, n := range c.Own {
		v, isVar := scope.Lookup(n).(*types.Var)
		if old, ok := d.lookup(n).(*types.Var); isVar && ok && !d.s.low.Predeclared(old) && types.Identical(old.Type(), v.Type()) {
			d.s.low.SameStorage(v, old)
		}
	}
	p, err := d.s.low.Cell(c, n)
	if err != nil {
		return "", err
	}
	if err := d.s.engine.Load(p); err != nil {
		d.s.low.Rollback()
		return "", err
	}
	d.record(c, own, again)
	return p.Run, nil
}

// retyped lists the variables that c declares with another type than they had.
func (d *draft) retyped(c *check.Cell) []string {
	var names []string
	for _, n := range c.Own {
		v, ok := c.Types.Scope().Lookup(n).(*types.Var)
		if !ok {
			continue
		}
		old := d.lookup(n)
		if old == nil {
			continue
		}
		if _, wasVar := old.(*types.Var); !wasVar || !types.Identical(old.Type(), v.Type()) {
			names = append(names, n)
		}
	}
	return names
}

// dependents adds to again the declarations that use one of the changed names, directly or not, and what must come with
// them: a type with all its methods.
func (d *draft) dependents(own, again map[string]*declared, changed []string) {
	if !slices.ContainsFunc(changed, func(name string) bool { t, _, _ := strings.Cut(name, "."); return d.lookup(t) != nil }) {
		return // all names are new: a session of any age has nothing that uses them
	}
	all := d.all()
	var keys []string
	for k := range all {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	done := map[string]bool{}
	for len(changed) > 0 {
		name := changed[0]
		changed = changed[1:]
		if t, _, isMethod := strings.Cut(name, "."); isMethod {
			if own[t] == nil && again[t] == nil && all[t] != nil { // a method for an earlier type: the type comes anew
				again[t] = all[t]
				for _, k := range keys {
					if strings.HasPrefix(k, t+".") && own[k] == nil {
						again[k] = all[k]
					}
				}
			}
			name = t
		}
		if done[name] {
			continue
		}
		done[name] = true
		old := d.lookup(name)
		if old == nil {
			continue
		}
		for _, k := range keys {
			if own[k] != nil || again[k] != nil || !all[k].uses[old] {
				continue
			}
			t, _, isMethod := strings.Cut(k, ".")
			if isMethod && own[t] != nil { // methods of a type that the cell itself redefines go with the old type
				continue
			}
			again[k] = all[k]
			changed = append(changed, k)
			if isMethod && again[t] == nil {
				again[t] = all[t]
				changed = append(changed, t)
			}
			for _, m := range keys {
				if strings.HasPrefix(m, t+".") && own[m] == nil && again[m] == nil && again[t] != nil {
					again[m] = all[m]
				}
			}
		}
	}
}

// record keeps what the part declared, with the objects that each declaration uses.
func (d *draft) record(c *check.Cell, own, again map[string]*declared) {
	scope := c.Types.Scope()
	for _, n := range c.Own {
		o, before := scope.Lookup(n), d.lookup(n)
		if v, ok := o.(*types.Var); ok {
			if old, ok := before.(*types.Var); ok && !d.s.low.Predeclared(old) && types.Identical(old.Type(), v.Type()) {
				continue // it lives in the old variable
			}
		}
		d.live[n] = o
		if own[n] == nil && again[n] == nil {
			d.dropped = append(d.dropped, n)
		}
		if tn, ok := o.(*types.TypeName); ok && own[tn.Name()] != nil && before != nil {
			for k := range d.all() {
				if strings.HasPrefix(k, n+".") && own[k] == nil {
					d.dropped = append(d.dropped, k)
				}
			}
		}
	}
	for n, p := range c.Imports {
		d.imports[n] = p
		d.live[n] = nil // the import takes the name back from a variable
	}
	for _, n := range c.Own {
		if _, ok := c.Imports[n]; ok {
			d.live[n] = scope.Lookup(n)
		}
	}
	uses := usesOf(c)
	for _, m := range []map[string]*declared{own, again} {
		for k, e := range m {
			if u, ok := uses[k]; ok {
				d.decls[k] = &declared{name: k, unit: e.unit, uses: u}
			}
		}
	}
}

func (d *draft) commit() {
	s := d.s
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range d.dropped {
		delete(s.decls, k)
	}
	for k, v := range d.decls {
		s.decls[k] = v
	}
	for k, v := range d.imports {
		s.imports[k] = v
	}
	for k, v := range d.live {
		if v == nil {
			delete(s.live, k)
		} else if !strings.HasSuffix(k, hidden) {
			s.live[k] = v
		}
	}
}

// names lists what a declaration declares; methods as "T.M".
func names(u cell.Unit) []string {
	switch d := u.Decl.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			return []string{d.Name.Name}
		}
		return []string{receiver(d) + "." + d.Name.Name}
	case *ast.GenDecl:
		if u.Kind != cell.Type {
			return nil
		}
		return specNames(d)
	}
	return nil
}

func specNames(d *ast.GenDecl) []string {
	var ns []string
	for _, s := range d.Specs {
		switch s := s.(type) {
		case *ast.TypeSpec:
			ns = append(ns, s.Name.Name)
		case *ast.ValueSpec:
			for _, n := range s.Names {
				ns = append(ns, n.Name)
			}
		}
	}
	return ns
}

// receiver is the type of a method's receiver, "" where there is none.
func receiver(d *ast.FuncDecl) string {
	if d.Recv.NumFields() == 0 {
		return ""
	}
	t := d.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.ParenExpr:
			t = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

// unitsOf lists the declarations' units once each, in a fixed order.
func unitsOf(m map[string]*declared) []cell.Unit {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	type place struct {
		cell         string
		line, column int
	}
	seen := map[place]bool{}
	var us []cell.Unit
	for _, k := range keys {
		u := m[k].unit
		if p := (place{u.Cell, u.Line, u.Column}); !seen[p] {
			seen[p] = true
			us = append(us, u)
		}
	}
	return us
}

// usesOf maps each function, method, type and constant of a checked cell to the session's objects that it mentions.
func usesOf(c *check.Cell) map[string]map[types.Object]bool {
	out := map[string]map[types.Object]bool{}
	note := func(name string, n ast.Node) {
		uses := map[types.Object]bool{}
		ast.Inspect(n, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok {
				if o := c.Info.Uses[id]; o != nil && o.Pkg() != nil && o.Pkg().Path() == "main" && o.Parent() == o.Pkg().Scope() {
					uses[o] = true
				}
			}
			return true
		})
		out[name] = uses
	}
	for _, d := range c.Files[0].Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d == c.Func {
				continue
			}
			n := d.Name.Name
			if d.Recv != nil {
				n = receiver(d) + "." + n
			}
			note(n, d)
		case *ast.GenDecl:
			if d.Tok == token.TYPE || d.Tok == token.CONST {
				for _, n := range specNames(d) {
					note(n, d)
				}
			}
		}
	}
	return out
}
