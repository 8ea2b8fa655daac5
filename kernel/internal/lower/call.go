package lower

import (
	"fmt"
	"go/ast"
	"go/types"
	"strconv"
	"strings"
)

func (e *fnEnv) helper(name, code string) string {
	if !e.l.helpers[name] {
		remember(e.l, e.l.helpers, name, true)
		e.l.funcs.WriteString(code + "\n")
	}
	return name
}

// mangle makes a name of s, another for each s.
func mangle(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "ʹ%xʹ", r)
		}
	}
	return b.String()
}

func (e *fnEnv) call(x *ast.CallExpr) string {
	l := e.l
	fun := ast.Unparen(x.Fun)
	ftv := e.info.Types[x.Fun]
	if ftv.IsType() { // conversion
		t := e.sb.apply(ftv.Type)
		ts := l.typ(t)
		a := x.Args[0]
		if from := e.typeOf(a); l.endless(t) || l.endless(from) && !isIface(t) {
			return l.convert("("+l.typ(under(t))+")("+e.core(a)+")", under(t), t)
		}
		if e.info.Types[a].IsNil() {
			return "(" + ts + ")(nil)"
		}
		if isUnsafe(t) || isUnsafe(e.typeOf(a)) && !isIface(t) {
			return l.imp(rtPath) + ".Reinterpret(" + e.expr(a) + ", (*" + ts + ")(nil)).(" + ts + ")"
		}
		if !strings.ContainsAny(ts, " *()[]<{") || strings.HasPrefix(ts, "[]") || strings.HasPrefix(ts, "map") {
			return ts + "(" + e.exprConv(a, t) + ")"
		}
		return "(" + ts + ")(" + e.exprConv(a, t) + ")"
	}
	if ftv.IsBuiltin() {
		return e.builtinCall(x, fun)
	}
	sig, ok := under(e.typeOf(x.Fun)).(*types.Signature)
	if !ok {
		panic(l.errf(x.Pos(), "call of %v", e.typeOf(x.Fun)))
	}
	if tp := e.spread(x); tp != nil {
		ts := l.freshes("t", tp.Len())
		res := ""
		if sig.Results().Len() > 0 {
			res = " " + l.typ(sig.Results())
		}
		ret := ""
		if res != "" {
			ret = "return "
		}
		first, held := e.holdFunc(x.Fun)
		defer delete(e.held, held)
		return "func()" + res + " {\n" + first + strings.Join(ts, ", ") + " := " + e.expr(x.Args[0]) + "\n" + ret + e.callee(x, e.convTuple(ts, tp, sig)) + "\n}()"
	}
	if s, ok := e.errorsAs(x, sig); ok {
		return s
	}
	args := e.args(x, sig)
	if f, ok := fun.(*ast.SelectorExpr); ok {
		if t, m, ok := e.methodSel(f); ok {
			return e.method(f, t, m).call(args)
		}
	}
	return e.fun(x.Fun) + "(" + strings.Join(args, ", ") + ")"
}

// spread is what the only argument of a call gives, where that is several values.
func (e *fnEnv) spread(c *ast.CallExpr) *types.Tuple {
	if len(c.Args) != 1 {
		return nil
	}
	t, ok := e.info.TypeOf(c.Args[0]).(*types.Tuple)
	if !ok {
		return nil
	}
	return e.sb.apply(t).(*types.Tuple)
}

// isUnsafe reports whether t is an unsafe.Pointer by another name or none.
func isUnsafe(t types.Type) bool {
	b, ok := under(t).(*types.Basic)
	return ok && b.Kind() == types.UnsafePointer
}

// holdFunc is the statement that evaluates the function of a call, or a method's receiver, before the arguments, if it acts; x is what it
// evaluates, held from now on.
func (e *fnEnv) holdFunc(f ast.Expr) (first string, x ast.Expr) {
	x = f
	if sel, ok := ast.Unparen(f).(*ast.SelectorExpr); ok {
		if _, _, method := e.methodSel(sel); method {
			x = sel.X
		}
	}
	if e.acts(x) {
		t := e.l.fresh("t")
		first = t + " := " + e.expr(x) + "\n"
		e.hold(x, t)
	}
	return first, x
}

// hold says where the value of x is that was evaluated ahead.
func (e *fnEnv) hold(x ast.Expr, name string) {
	if e.held == nil {
		e.held = map[ast.Expr]string{}
	}
	e.held[x] = name
}

func (e *fnEnv) exprConv(a ast.Expr, t types.Type) string {
	if isIface(t) {
		return e.exprTo(a, t)
	}
	return e.expr(a)
}

func (e *fnEnv) callee(x *ast.CallExpr, args []string) string {
	if f, ok := ast.Unparen(x.Fun).(*ast.SelectorExpr); ok {
		if t, m, ok := e.methodSel(f); ok {
			return e.method(f, t, m).call(args)
		}
	}
	return e.fun(x.Fun) + "(" + strings.Join(args, ", ") + ")"
}

func (e *fnEnv) convTuple(ts []string, tp *types.Tuple, sig *types.Signature) []string {
	var r []string
	np := sig.Params().Len()
	for i := range ts {
		var pt types.Type
		if sig.Variadic() && i >= np-1 {
			pt = sig.Params().At(np - 1).Type()
			if s, ok := under(pt).(*types.Slice); ok {
				pt = s.Elem()
			}
		} else {
			pt = sig.Params().At(i).Type()
		}
		r = append(r, e.wrapIface(ts[i], tp.At(i).Type(), pt))
	}
	return r
}

func (e *fnEnv) fun(f ast.Expr) string {
	if e.direct(f) {
		e.calling = true
		s := e.expr(f)
		e.calling = false
		return s
	}
	if lit, ok := ast.Unparen(f).(*ast.FuncLit); ok {
		_, s := e.funcLit(lit)
		return s
	}
	s := e.expr(f)
	if sg, ok := under(e.typeOf(f)).(*types.Signature); ok && e.l.sigErased(sg) && !e.direct(f) {
		return e.postfixStr(f, s) + ".(func" + e.l.sig(sg, nil) + ")"
	}
	return e.postfixStr(f, s)
}

func (e *fnEnv) postfixStr(x ast.Expr, s string) string {
	switch ast.Unparen(x).(type) {
	case *ast.Ident, *ast.SelectorExpr, *ast.IndexExpr, *ast.CallExpr, *ast.IndexListExpr:
		if strings.HasPrefix(s, "func") {
			return "(" + s + ")"
		}
		return s
	}
	return "(" + s + ")"
}

func (e *fnEnv) args(x *ast.CallExpr, sig *types.Signature) []string {
	var args []string
	np := sig.Params().Len()
	for i, a := range x.Args {
		var pt types.Type
		switch {
		case sig.Variadic() && i >= np-1:
			pt = sig.Params().At(np - 1).Type()
			if x.Ellipsis == 0 {
				if s, ok := under(pt).(*types.Slice); ok {
					pt = s.Elem()
				}
			}
		default:
			pt = sig.Params().At(i).Type()
		}
		s := e.exprTo(a, pt)
		if pt != nil && !isIface(pt) {
			s = e.l.bare(s)
		}
		if _, isLit := ast.Unparen(a).(*ast.FuncLit); isLit && pt != nil && !isIface(pt) {
			if o := calleeObj(e.info, x.Fun); o != nil && !e.l.isUser(o.Pkg()) {
				ts := e.l.typ(pt)
				h := "h_id_" + mangle(e.l.canon(pt))
				e.helper(h, fmt.Sprintf("func %s(f %s) %s { return f }", h, ts, ts))
				s = h + "(" + s + ")"
			}
		}
		if sig, ok := under(e.typeOf(a)).(*types.Signature); ok && i == 0 && interact(e.info, x.Fun) {
			s = e.withNames(s, sig)
		}
		args = append(args, s)
	}
	if x.Ellipsis != 0 {
		args[len(args)-1] += "..."
	}
	return args
}

// interact reports whether f is widgets.Interact, which labels controls by the names of a function's parameters.
func interact(info *types.Info, f ast.Expr) bool {
	o := calleeObj(info, f)
	return o != nil && o.Pkg() != nil && o.Pkg().Path() == "gobayes/kernel/widgets" && o.Name() == "Interact"
}

// withNames hands a function over with the names of its parameters.
func (e *fnEnv) withNames(f string, sig *types.Signature) string {
	args := []string{f}
	for i := range sig.Params().Len() {
		args = append(args, strconv.Quote(sig.Params().At(i).Name()))
	}
	return e.l.imp(rtPath) + ".WithNames(" + strings.Join(args, ", ") + ")"
}

func calleeObj(info *types.Info, f ast.Expr) types.Object {
	switch f := ast.Unparen(f).(type) {
	case *ast.Ident:
		return info.Uses[f]
	case *ast.SelectorExpr:
		return info.Uses[f.Sel]
	}
	return nil
}

// direct: f names a declared function (an instance included), not a function value.
func (e *fnEnv) direct(f ast.Expr) bool {
	switch f := ast.Unparen(f).(type) {
	case *ast.IndexExpr:
		if id := instIdent(f.X); id != nil {
			_, ok := e.info.Instances[id]
			return ok
		}
	case *ast.IndexListExpr:
		return true
	case *ast.Ident:
		_, ok := e.info.Uses[f].(*types.Func)
		return ok
	case *ast.SelectorExpr:
		_, ok := e.info.Uses[f.Sel].(*types.Func)
		return ok
	}
	return false
}

// errorsAs lowers a call of errors.As for an interface that cells declare: compiled code does not know its methods.
func (e *fnEnv) errorsAs(x *ast.CallExpr, sig *types.Signature) (string, bool) {
	o, ok := calleeObj(e.info, x.Fun).(*types.Func)
	if !ok || o.Pkg() == nil || o.Pkg().Path() != "errors" || o.Name() != "As" {
		return "", false
	}
	pt, ok := under(e.typeOf(x.Args[1])).(*types.Pointer)
	if !ok || !isIface(pt.Elem()) || e.l.compiledIface(pt.Elem()) {
		return "", false
	}
	l, t := e.l, pt.Elem()
	v := l.fresh("p")
	return "func(" + v + " *" + l.typ(t) + ") bool { return " + l.imp(rtPath) + ".ErrorsAs(" + e.exprTo(x.Args[0], sig.Params().At(0).Type()) + ", func(x interface{}) bool {\nw, ok := " + l.assert(t) + "(x)\nif ok { *" + v + " = w }\nreturn ok\n}) }(" + e.expr(x.Args[1]) + ")", true
}

// spellable reports whether the interpreter can name t.
func (l *Lowerer) spellable(t types.Type) bool {
	switch t := types.Unalias(t).(type) {
	case *types.Named:
		if t.Obj().Pkg() == nil || l.isUser(t.Obj().Pkg()) {
			return true
		}
		return t.Obj().Exported() && l.bound(t.Obj().Pkg().Path())
	case *types.Pointer:
		return l.spellable(t.Elem())
	case *types.Slice:
		return l.spellable(t.Elem())
	case *types.Map:
		return l.spellable(t.Key()) && l.spellable(t.Elem())
	case *types.Chan:
		return l.spellable(t.Elem())
	case *types.Signature:
		return l.spellable(t.Params()) && l.spellable(t.Results())
	case *types.Tuple:
		for i := range t.Len() {
			if !l.spellable(t.At(i).Type()) {
				return false
			}
		}
	}
	return true
}
