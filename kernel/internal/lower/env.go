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
	kind  string // loop switch select rangefunc
	rf    *rfCtx
}

// rfCtx is a range over a function: its body is a function literal, and what leaves it goes through a state variable.
type rfCtx struct {
	st    string
	codes []rfCode
	fn    *fnEnv
}

// rfCode is a value of that variable and what follows the call for it.
type rfCode struct {
	kind, label string
	code        int
}

// fnEnv is the function that is being lowered.
type fnEnv struct {
	l        *Lowerer
	sb       subst
	instKey  string
	info     *types.Info
	pkg      *types.Package
	sig      *types.Signature
	names    map[types.Object]string
	resVars  []string // named results
	targets  []*target
	rf       []*rfCtx // enclosing rangefuncs in this function
	retVars  []string
	decl     ast.Node
	labels   map[string]string
	resLocal bool
	calling  bool
	prologue string
	held     map[ast.Expr]string // expressions that were evaluated ahead, and where their values are
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
	e.resLocal = !hasDefer(f.decl.Body)
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
	w.WriteString(e.prologue)
	e.stmts(w, f.decl.Body.List)
	w.f("}")
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
	e.resVars = nil
	if r := sig.Results(); r.Len() > 0 {
		b.WriteString(" (")
		for i := 0; i < r.Len(); i++ {
			if i > 0 {
				b.WriteString(", ")
			}
			v := r.At(i)
			ts := e.l.typ(e.sb.apply(v.Type()))
			if v.Name() != "" {
				n := e.local(v)
				e.resVars = append(e.resVars, n)
				if e.resLocal {
					e.prologue += "var " + n + " " + ts + "\n_ = " + n + "\n"
				} else {
					b.WriteString(n + " ")
					z := e.l.fresh("z")
					e.prologue += "var " + z + " " + ts + "\n" + n + " = " + z + "\n"
				}
			}
			b.WriteString(ts)
		}
		b.WriteString(")")
	}
	return b.String()
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
