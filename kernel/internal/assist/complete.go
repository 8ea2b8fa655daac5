package assist

import (
	"go/ast"
	"go/doc"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"unicode/utf8"

	"gobayes/kernel/internal/check"
	"gobayes/kernel/internal/session"
	"gobayes/stdlib"
)

// Completion is one thing that could stand at the cursor.
type Completion struct {
	Text      string
	Kind      string // function, method, class (a type), instance (a variable), constant, property (a field), module (a package), keyword or path
	Signature string // of a function: its parameters and results; of the rest: its type
	Doc       string // the first sentence of its comment
}

// candidate is a completion with its rank; the smallest comes first.
type candidate struct {
	name, kind string
	object     types.Object // nil for keywords, packages and paths
	docPkg     *types.Package
	docName    string
	near       int
}

// How near a name is; of members, all are as near as can be.
const (
	ofLiteral = iota // a field of the literal at whose key the cursor stands
	inScope
	inSession
	aPackage
	inLanguage
)

// Complete returns what could stand at pos (in code points) of code, best first, and the range that it would replace.
func (a *Assistant) Complete(code string, pos int) (cs []Completion, start, end int) {
	at := byteOffset(code, pos)
	points := func(b int) int { return utf8.RuneCountInString(code[:b]) }
	if lit, inside := literal(code[:at]); inside {
		typed := strings.TrimLeft(code[lit.start:at], "\"`")
		if lit.tok == token.COMMENT {
			return nil, points(at), points(at)
		}
		from := at - len(typed)
		var names []string
		if importing(code[:lit.start]) {
			names = stdlib.Paths()
		} else {
			names = files(typed)
		}
		for _, n := range names {
			if strings.HasPrefix(n, typed) {
				cs = append(cs, Completion{Text: n, Kind: "path"})
			}
		}
		return cs, points(from), points(at)
	}
	from := identifierBefore(code, at)
	prefix := code[from:at]
	d := a.draft(code, at)
	keep := func(name string) bool { return fit(name, prefix) < noFit }
	candidates, want := a.candidates(d, keep)
	if d.path == nil { // what stands before the cursor makes no sense yet
		candidates = a.names(nil, keep)
	}
	ranked := a.rank(candidates, prefix, want)
	for _, c := range ranked[:min(len(ranked), maxCompletions)] {
		cs = append(cs, a.completion(c))
	}
	return cs, points(from), points(at)
}

// maxCompletions is how many names are offered: no one reads more.
const maxCompletions = 300

// How well a name fits what is typed.
const (
	begins = iota
	beginsInAnotherCase
	contains
	noFit
)

func fit(name, prefix string) int {
	low := strings.ToLower(prefix)
	switch {
	case strings.HasPrefix(name, prefix):
		return begins
	case strings.HasPrefix(strings.ToLower(name), low):
		return beginsInAnotherCase
	case len(prefix) > 1 && strings.Contains(strings.ToLower(name), low):
		return contains
	}
	return noFit
}

// importing reports whether the string after code is the path of an import.
func importing(code string) bool {
	ts := tokens(code)
	for i := len(ts) - 1; i >= 0; i-- {
		switch ts[i].tok {
		case token.IMPORT:
			return true
		case token.STRING, token.IDENT, token.LPAREN, token.PERIOD, token.COMMENT:
		default:
			return false
		}
		if ts[i].tok == token.LPAREN {
			return i > 0 && ts[i-1].tok == token.IMPORT
		}
	}
	return false
}

// files lists the paths that begin with typed; folders end in a slash.
func files(typed string) []string {
	ms, _ := filepath.Glob(typed + "*") // a pattern that is none has no files
	for i, m := range ms {
		if fi, err := os.Stat(m); err == nil && fi.IsDir() {
			ms[i] += "/"
		}
	}
	return ms
}

// candidates lists what could stand at the cursor of d, of the names of the session those that keep accepts, and the type that is wanted there, or
// nil.
func (a *Assistant) candidates(d *draft, keep func(name string) bool) (cs []candidate, want types.Type) {
	if d.path == nil {
		return nil, nil
	}
	if sel, ok := d.at(1).(*ast.SelectorExpr); ok && sel.Sel == d.at(0) {
		return a.selectable(d, sel.X), d.wanted(1)
	}
	cs = a.fields(d)
	if kv, ok := d.at(1).(*ast.KeyValueExpr); len(cs) > 0 && (!ok || kv.Key == d.at(0)) {
		return append(cs, a.names(d, keep)...), nil
	}
	return a.names(d, keep), d.wanted(0)
}

// selectable lists what may follow the dot after x.
func (a *Assistant) selectable(d *draft, x ast.Expr) (cs []candidate) {
	if id, ok := x.(*ast.Ident); ok {
		p, ok := d.Info.Uses[id].(*types.PkgName)
		if !ok && d.Info.Uses[id] == nil {
			if path, known := a.session.ImportPath(id.Name); known { // a package that the rest of the cell does not use
				if pkg, err := a.im.Import(path); err == nil {
					p, ok = types.NewPkgName(token.NoPos, nil, id.Name, pkg), true
				}
			}
		}
		if ok {
			scope := p.Imported().Scope()
			for _, n := range scope.Names() {
				if token.IsExported(n) {
					cs = append(cs, candidate{name: n, object: scope.Lookup(n), docPkg: p.Imported(), docName: n})
				}
			}
			return cs
		}
	}
	tv, ok := d.Info.Types[x]
	if !ok || tv.Type == nil {
		return nil
	}
	for _, m := range check.Members(tv.Type) {
		if _, isField := m.Object.(*types.Var); isField && tv.IsType() {
			continue
		}
		cs = append(cs, memberCandidate(m))
	}
	return cs
}

func memberCandidate(m check.Member) candidate {
	return candidate{name: m.Name(), object: m.Object, docPkg: m.Pkg(), docName: m.DocName()}
}

// fields lists the fields of the struct literal in which the cursor stands at the place of a key, without those that it sets.
func (a *Assistant) fields(d *draft) (cs []candidate) {
	up := 1
	if _, ok := d.at(1).(*ast.KeyValueExpr); ok {
		up = 2
	}
	lit, ok := d.at(up).(*ast.CompositeLit)
	if !ok {
		return nil
	}
	t := d.Info.TypeOf(lit)
	if t == nil {
		return nil
	}
	set := map[string]bool{}
	for _, e := range lit.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			if k, ok := kv.Key.(*ast.Ident); ok {
				set[k.Name] = true
			}
		}
	}
	for _, f := range check.Fields(t) {
		if !set[f.Name()] {
			cs = append(cs, memberCandidate(f))
		}
	}
	return cs
}

// wanted is the type of a value at the i-th node from the cursor upwards, if what stands around it says so.
func (d *draft) wanted(i int) types.Type {
	x, _ := d.at(i).(ast.Expr)
	switch p := d.at(i + 1).(type) {
	case *ast.CallExpr:
		sig, ok := d.Info.TypeOf(p.Fun).(*types.Signature)
		if !ok {
			return nil
		}
		for k, arg := range p.Args {
			if arg != x {
				continue
			}
			n := sig.Params().Len()
			switch {
			case sig.Variadic() && k >= n-1:
				return sig.Params().At(n - 1).Type().(*types.Slice).Elem()
			case k < n:
				return sig.Params().At(k).Type()
			}
		}
	case *ast.AssignStmt:
		for k, rhs := range p.Rhs {
			if rhs == x && len(p.Lhs) == len(p.Rhs) && p.Tok == token.ASSIGN {
				return d.Info.TypeOf(p.Lhs[k])
			}
		}
	case *ast.KeyValueExpr:
		if k, ok := p.Key.(*ast.Ident); ok && p.Value == x {
			if f := d.Info.Uses[k]; f != nil {
				return f.Type()
			}
		}
	}
	return nil
}

// names lists what an identifier of its own may mean at the cursor of d, which may be nil; of the session, what keep accepts.
func (a *Assistant) names(d *draft, keep func(name string) bool) (cs []candidate) {
	add := func(o types.Object, near int) {
		cs = append(cs, candidate{name: o.Name(), object: o, docPkg: o.Pkg(), docName: o.Name(), near: near})
	}
	if d != nil {
		pos := d.at(0).Pos()
		var inner *types.Scope
		for i := 0; inner == nil && i < len(d.path); i++ {
			n := d.at(i)
			if f, ok := n.(*ast.FuncDecl); ok {
				n = f.Type
			}
			if f, ok := n.(*ast.FuncLit); ok {
				n = f.Type
			}
			inner = d.Info.Scopes[n]
		}
		for s := inner; s != nil && s != types.Universe; s = s.Parent() {
			for _, n := range s.Names() {
				o := s.Lookup(n)
				if _, isPkg := o.(*types.PkgName); isPkg || strings.HasSuffix(n, mark) || strings.HasSuffix(n, draftName) {
					continue
				}
				if s == d.Types.Scope() || o.Pos() < pos {
					add(o, inScope)
				}
			}
		}
	}
	for _, n := range append(append(a.session.Names(keep), session.PreludeNames()...), "ctx") {
		if o := a.lookup(n); o != nil {
			add(o, inSession)
		}
	}
	for _, n := range session.PackageNames() {
		cs = append(cs, candidate{name: n, kind: "module", near: aPackage})
	}
	for t := token.BREAK; t <= token.VAR; t++ {
		if t.IsKeyword() {
			cs = append(cs, candidate{name: t.String(), kind: "keyword", near: inLanguage})
		}
	}
	for _, n := range types.Universe.Names() {
		add(types.Universe.Lookup(n), inLanguage)
	}
	return cs
}

// rank keeps the candidates that fit what is typed and sorts them: those of the wanted type, those that begin as typed, those
// that begin so in another case, those of the notebook that contain it; the nearer first.
func (a *Assistant) rank(cs []candidate, prefix string, want types.Type) []candidate {
	type ranked struct {
		candidate
		key [3]int
	}
	seen := map[string]bool{}
	var rs []ranked
	for _, c := range cs {
		f := fit(c.name, prefix)
		if f == noFit || f == contains && c.near > inSession || seen[c.name] {
			continue
		}
		seen[c.name] = true
		rs = append(rs, ranked{c, [3]int{f, unlike(c.object, want), c.near}})
	}
	sort.SliceStable(rs, func(i, j int) bool {
		for k := range rs[i].key {
			if rs[i].key[k] != rs[j].key[k] {
				return rs[i].key[k] < rs[j].key[k]
			}
		}
		return rs[i].name < rs[j].name
	})
	out := make([]candidate, len(rs))
	for i, r := range rs {
		out[i] = r.candidate
	}
	return out
}

// unlike says how far o is from what is wanted: 0 for a value of the type, 1 for a function that returns one, else 2.
func unlike(o types.Object, want types.Type) int {
	if o == nil || want == nil || want == types.Typ[types.Invalid] {
		return 2
	}
	if i, ok := want.Underlying().(*types.Interface); ok && i.Empty() {
		return 2 // everything fits
	}
	switch o := o.(type) {
	case *types.Var, *types.Const:
		if same(o.Type(), want) {
			return 0
		}
	case *types.Func:
		if same(o.Type(), want) {
			return 0
		}
		if r := o.Signature().Results(); r.Len() > 0 && same(r.At(0).Type(), want) {
			return 1
		}
	}
	return 2
}

// same is types.AssignableTo for types of two importers: named types are compared by name.
func same(t, want types.Type) bool {
	return types.AssignableTo(t, want) || types.TypeString(t, nil) == types.TypeString(want, nil)
}

func (a *Assistant) completion(c candidate) Completion {
	out := Completion{Text: c.name, Kind: c.kind}
	if c.object == nil {
		if c.kind == "module" {
			if path, ok := a.session.ImportPath(c.name); ok {
				out.Signature = path
				out.Doc = new(doc.Package).Synopsis(a.doc(types.NewPackage(path, c.name), ""))
			}
		}
		return out
	}
	t := c.object.Type()
	switch o := c.object.(type) {
	case *types.Func:
		out.Kind = "function"
		if o.Signature().Recv() != nil {
			out.Kind = "method"
		}
		out.Signature = strings.TrimPrefix(types.TypeString(t, session.Qualify), "func")
	case *types.TypeName:
		out.Kind, out.Signature = "class", kindOf(t)
	case *types.Const:
		out.Kind, out.Signature = "constant", types.TypeString(t, session.Qualify)
	case *types.Var:
		out.Kind, out.Signature = "instance", types.TypeString(t, session.Qualify)
		if o.IsField() {
			out.Kind = "property"
		}
	case *types.Builtin:
		out.Kind = "function"
	case *types.Nil:
		out.Kind = "constant"
	}
	out.Doc = new(doc.Package).Synopsis(a.doc(c.docPkg, c.docName))
	return out
}

// kindOf says what a type is made of, in a word.
func kindOf(t types.Type) string {
	switch u := t.Underlying().(type) {
	case *types.Struct:
		return "struct"
	case *types.Interface:
		return "interface"
	default:
		return types.TypeString(u, session.Qualify)
	}
}
