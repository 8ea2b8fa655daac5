package lower

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"strings"
)

// target is what break and continue can leave.
type target struct {
	label string
	kind  string // loop switch rangefunc
	rf    *rfCtx
}

// rfCtx is a range over a function: its body is a function literal, and what leaves it goes through a state variable.
type rfCtx struct {
	st    string
	done  string // the variable that tells that the loop has been left
	body  *ast.BlockStmt
	codes []rfCode
}

// rfCode is a value of that variable and what follows the call for it.
type rfCode struct {
	kind, label string
	code        int
}

// fnEnv is the function that is being lowered.
type fnEnv struct {
	l       *Lowerer
	sb      subst
	instKey string
	info    *types.Info
	pkg     *types.Package
	sig     *types.Signature
	names   map[types.Object]string
	resVars []string // the variables of the results; none for results without names in a function that defers nothing
	defers  string   // the variable of the deferred calls; "" in a function that defers nothing
	panicOf string   // the variable of the panic that recover takes
	targets []*target
	rf      []*rfCtx // enclosing rangefuncs in this function
	retVars []string
	decl    ast.Node
	labels  map[string]string
	calling bool
	held    map[ast.Expr]string // expressions that were evaluated ahead, and where their values are
}

// declares reports whether o is declared inside the function.
func (e *fnEnv) declares(o types.Object) bool {
	return e.decl != nil && o.Pos() >= e.decl.Pos() && o.Pos() <= e.decl.End()
}

func (l *Lowerer) newEnv(p *types.Package) *fnEnv {
	return &fnEnv{l: l, info: l.pkg(p).Info, pkg: p, names: map[types.Object]string{}, labels: map[string]string{}}
}

// emitFn emits a queued function; methods take their receiver as the first parameter.
func (l *Lowerer) emitFn(f *fnInst) {
	if f.decl.Body == nil {
		panic(l.errf(f.decl.Pos(), "function without body"))
	}
	e := l.newEnv(f.obj.Pkg())
	e.decl = f.decl
	sig := f.obj.Type().(*types.Signature)
	var tps *types.TypeParamList
	if sig.Recv() != nil {
		tps = sig.RecvTypeParams()
	} else {
		tps = sig.TypeParams()
	}
	if tps.Len() > 0 {
		e.sb = subst{}
		for i := 0; i < tps.Len(); i++ {
			e.sb[tps.At(i)] = f.targs[i]
		}
		e.instKey = f.key
	}
	save := l.env
	l.env = e
	defer func() { l.env = save }()
	e.sig = e.sb.apply(sig).(*types.Signature)
	if e.sb == nil {
		e.sig = sig
	}
	w := &writer{}
	hdr := "func "
	ps := e.funcSig(sig)
	if sig.Recv() != nil {
		r := e.local(sig.Recv()) + " " + l.typ(e.sb.apply(sig.Recv().Type()))
		if sig.Params().Len() > 0 {
			r += ", "
		}
		ps = "(" + r + ps[1:]
	}
	hdr += f.name + ps
	w.f("%s {", hdr)
	e.body(w, sig, f.decl.Body)
	w.f("}\n//line _.go:1") // what is generated after it is of no cell
	l.funcs.WriteString(w.String())
}

// funcSig writes parameters with local names (blank ones get names).
func (e *fnEnv) funcSig(sig *types.Signature) string {
	var b strings.Builder
	b.WriteString("(")
	for i := 0; i < sig.Params().Len(); i++ {
		p := sig.Params().At(i)
		if i > 0 {
			b.WriteString(", ")
		}
		n := e.local(p)
		t := e.sb.apply(p.Type())
		if sig.Variadic() && i == sig.Params().Len()-1 {
			if s, ok := t.Underlying().(*types.Slice); ok {
				b.WriteString(n + " ..." + e.l.typ(s.Elem()))
				continue
			}
		}
		b.WriteString(n + " " + e.l.typ(t))
	}
	b.WriteString(")")
	if r := sig.Results(); r.Len() > 0 {
		b.WriteString(" (")
		for i := 0; i < r.Len(); i++ {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(e.l.typ(e.sb.apply(r.At(i).Type())))
		}
		b.WriteString(")")
	}
	return b.String()
}

// body lowers the body of a function: its results are variables, and what it defers is kept by the run time.
func (e *fnEnv) body(w *writer, sig *types.Signature, b *ast.BlockStmt) {
	rt := e.l.imp(rtPath)
	defers, recovers := calls(b, e.info)
	deferring := defers > 0 && !(defers == 1 && e.plain(sig, b))
	for i := range sig.Results().Len() {
		if v := sig.Results().At(i); v.Name() != "" || deferring {
			n := e.local(v)
			e.resVars = append(e.resVars, n)
			w.f("var %s %s\n_ = %s", n, e.l.typ(e.sb.apply(v.Type())), n)
		}
	}
	if recovers {
		e.panicOf = e.l.fresh("panicking")
		w.f("%s := %s.PanicOf()", e.panicOf, rt)
	}
	if !deferring {
		e.stmts(w, b.List)
		return
	}
	e.deferring(w, b.List[0].Pos(), func() { e.stmts(w, b.List) })
	if len(e.resVars) > 0 {
		w.f("return %s", strings.Join(e.resVars, ", "))
	}
}

// deferring lowers a body with what it defers; both stand at pos, by which the frame of the body is known as a part of its function's.
func (e *fnEnv) deferring(w *writer, pos token.Pos, body func()) {
	rt := e.l.imp(rtPath)
	e.defers = e.l.fresh("defers")
	e.line(w, pos)
	w.f("%s.Deferring(func(%s *%s.Defers) {", rt, e.defers, rt)
	e.line(w, pos)
	body()
	w.f("})")
}

// plain reports whether the one deferred call of a body is such that the interpreter's own defer, which is four times as fast, does it
// right: an Unlock or Done at the top of a function whose results have no names. (Others would be made after os.Exit, too.)
func (e *fnEnv) plain(sig *types.Signature, b *ast.BlockStmt) bool {
	if r := sig.Results(); r.Len() > 0 && r.At(0).Name() != "" {
		return false
	}
	for _, s := range b.List {
		if d, ok := s.(*ast.DeferStmt); ok {
			o := calleeObj(e.info, d.Call.Fun)
			return o != nil && o.Pkg() != nil && o.Pkg().Path() == "sync"
		}
	}
	return false
}

// calls counts the calls that a function with this body defers, and reports whether it calls recover.
func calls(b *ast.BlockStmt, info *types.Info) (defers int, recovers bool) {
	ast.Inspect(b, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.DeferStmt:
			defers++
		case *ast.CallExpr:
			if id, ok := ast.Unparen(n.Fun).(*ast.Ident); ok {
				_, builtin := info.Uses[id].(*types.Builtin)
				recovers = recovers || builtin && id.Name == "recover"
			}
		}
		return true
	})
	return defers, recovers
}

// local returns the unique name of a local variable.
func (e *fnEnv) local(o types.Object) string {
	if s, ok := e.names[o]; ok {
		return s
	}
	n := o.Name()
	if n == "_" || n == "" {
		n = "b"
	}
	s := e.l.fresh(n)
	e.names[o] = s
	return s
}

// writer collects emitted code. With noLines it leaves out line directives, for code that must stay on one line.
type writer struct {
	bytes.Buffer
	noLines bool
}

// line says where the code that follows stands in its cell.
func (e *fnEnv) line(w *writer, pos token.Pos) {
	if w.noLines || !pos.IsValid() {
		return
	}
	if p := e.l.im.Fset.Position(pos); p.IsValid() {
		fmt.Fprintf(w, "//line _.go:%d\n", e.l.lines.Encode(p.Filename, p.Line)) // _.go: the interpreter's own name for its input
	}
}

func (w *writer) f(s string, a ...any) {
	if len(a) == 0 {
		w.WriteString(s)
	} else {
		fmt.Fprintf(w, s, a...)
	}
	w.WriteByte('\n')
}

// typeOf is the type of x with the type arguments of the instance.
func (e *fnEnv) typeOf(x ast.Expr) types.Type {
	t := e.info.TypeOf(x)
	if t == nil {
		panic(e.l.errf(x.Pos(), "no type for %T", x))
	}
	return e.sb.apply(t)
}

func under(t types.Type) types.Type { return types.Unalias(t).Underlying() }

func isIface(t types.Type) bool {
	if t == nil {
		return false
	}
	_, ok := under(t).(*types.Interface)
	return ok
}
