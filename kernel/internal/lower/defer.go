package lower

import (
	"go/ast"
	"go/types"
	"strings"
)

// goStmt starts a goroutine whose panic is reported. Gone is deferred by itself: of an interrupted goroutine only compiled calls still run.
func (e *fnEnv) goStmt(w *writer, call *ast.CallExpr) {
	l := e.l
	rt := l.imp(rtPath)
	fn, args := e.hoistCall(w, call)
	start := "go func() {\ndefer %s.Gone()\ndefer func() { if r := recover(); r != nil { %s.GoPanic(r) } }()\n%s(%s)\n}()"
	if e.inLoop() { // see ownFrame
		start = "func() {\n" + start + "\n}()"
	}
	w.f("%s.Go()\n"+start, rt, rt, rt, fn, strings.Join(args, ", "))
}

// hoistCall evaluates the function value and the arguments of a go/defer call now, in fresh scope variables.
func (e *fnEnv) hoistCall(w *writer, c *ast.CallExpr) (string, []string) {
	l := e.l
	ftv := e.info.Types[c.Fun]
	if ftv.IsBuiltin() || ftv.IsType() {
		if fn, args := e.heldBuiltin(w, c); fn != "" {
			return fn, args
		}
		return "func() { " + e.call(c) + " }", nil

	}
	sig := under(e.typeOf(c.Fun)).(*types.Signature)
	recv := ""
	fn := ""
	if f, ok := ast.Unparen(c.Fun).(*ast.SelectorExpr); ok {
		if _, _, ok := e.methodSel(f); !ok {
			fn = e.fun(c.Fun)
		}
	} else {
		fn = e.fun(c.Fun)
	}
	addRecv := func(args []string) []string {
		if recv != "" {
			return append([]string{recv}, args...)
		}
		return args
	}
	switch f := ast.Unparen(c.Fun).(type) {
	case *ast.FuncLit:
	case *ast.Ident:
		if _, ok := e.info.Uses[f].(*types.Func); !ok {
			n := l.fresh("f")
			w.f("%s := %s", n, fn)
			fn = n
		}
	case *ast.SelectorExpr:
		if id, ok := ast.Unparen(f.X).(*ast.Ident); ok {
			if _, ok := e.info.Uses[id].(*types.PkgName); ok {
				break
			}
		}
		if e.info.Types[f.X].IsType() {
			break
		}
		if t, m, ok := e.methodSel(f); ok {
			mc := e.method(f, t, m)
			if mc.recv != "" {
				n := l.fresh("r")
				w.f("%s := %s", n, mc.recv)
				e.checkNil(w, n, t)
				fn, recv = mc.fn, n
			} else {
				_, isPtr := under(t).(*types.Pointer)
				if !isPtr && !isIface(t) {
					fn = mc.fn
				} else {
					n := l.fresh("r")
					w.f("%s := %s", n, e.expr(f.X))
					e.checkNil(w, n, t)
					fn = e.l.methodCall(n, t, f.Sel.Name, m.Pkg()).fn
				}
			}
		} else {
			n := l.fresh("f")
			w.f("%s := %s", n, fn)
			fn = n
		}
	default:
		n := l.fresh("f")
		w.f("%s := %s", n, fn)
		fn = n
	}
	if tp := e.spread(c); tp != nil {
		ts := l.freshes("t", tp.Len())
		w.f("%s := %s", strings.Join(ts, ", "), e.expr(c.Args[0]))
		return fn, addRecv(e.convTuple(ts, tp, sig))
	}
	args := e.args(c, sig)
	for i, a := range c.Args {
		tv := e.info.Types[a]
		if tv.Value != nil || tv.IsNil() {
			continue
		}
		if _, ok := a.(*ast.FuncLit); ok {
			continue
		}
		n := l.fresh("a")
		suffix := ""
		v := args[i]
		if strings.HasSuffix(v, "...") {
			v = strings.TrimSuffix(v, "...")
			suffix = "..."
		}
		if _, ok := a.(*ast.CompositeLit); ok { // see assigned
			v = "(" + v + ")"
		}
		w.f("%s := %s", n, v)
		args[i] = n + suffix
	}
	return fn, addRecv(args)
}

// deferStmt hands a call to the run time, which makes it when the function ends.
func (e *fnEnv) deferStmt(w *writer, c *ast.CallExpr) {
	if e.defers == "" {
		fn, args := e.hoistCall(w, c)
		w.f("defer %s(%s)", fn, strings.Join(args, ", "))
		return
	}
	call := ""
	lit, ok := ast.Unparen(c.Fun).(*ast.FuncLit)
	if ok && len(c.Args) == 0 && e.typeOf(lit).(*types.Signature).Results().Len() == 0 {
		call = e.expr(lit)
	} else {
		fn, args := e.hoistCall(w, c)
		call = "func() { " + fn + "(" + strings.Join(args, ", ") + ") }"
	}
	h := e.helper("h_defer", "func h_defer(f func()) func() { return f }") // a literal handed over as it is shares its frame with those of other rounds
	w.f("%s.Defer(%s, %t, %s(%s))", e.l.imp(rtPath), e.defers, e.recovers(c.Fun), h, call)
}

// recovers reports whether the function that f names or spells calls recover itself; of a value, that it may.
func (e *fnEnv) recovers(f ast.Expr) bool {
	info, body := e.info, (*ast.BlockStmt)(nil)
	switch o := calleeObj(e.info, f).(type) {
	case nil:
		lit, ok := ast.Unparen(f).(*ast.FuncLit)
		if !ok {
			return true
		}
		body = lit.Body
	case *types.Func:
		sig := o.Type().(*types.Signature)
		if sig.Recv() != nil && isIface(sig.Recv().Type()) {
			return true
		}
		if !e.l.isUser(o.Pkg()) {
			return false
		}
		info, body = e.l.pkg(o.Pkg()).Info, e.l.decl(o.Origin()).Body
	default: // a variable, or a builtin
		return true
	}
	_, recovers := calls(body, info)
	return recovers
}

// checkNil panics where a method of a nil interface is looked up.
func (e *fnEnv) checkNil(w *writer, recv string, t types.Type) {
	if isIface(t) {
		w.f("if %s == nil { %s.NilPanic() }", recv, e.l.imp(rtPath))
	}
}

// heldBuiltin makes a function of a builtin that is a statement, to be called later with the arguments as they are now; "" for the
// others.
func (e *fnEnv) heldBuiltin(w *writer, c *ast.CallExpr) (fn string, args []string) {
	l := e.l
	id, ok := ast.Unparen(c.Fun).(*ast.Ident)
	if !ok {
		return "", nil
	}
	if e.spread(c) != nil {
		return "", nil
	}
	ts := make([]types.Type, len(c.Args))
	for i, a := range c.Args {
		if ts[i] = e.typeOf(a); ts[i] == nil {
			return "", nil
		}
		if b, ok := ts[i].(*types.Basic); ok && b.Info()&types.IsUntyped != 0 {
			ts[i] = types.Default(b)
		}
	}
	name := id.Name
	switch name {
	case "copy", "close":
	case "panic":
		ts[0] = types.NewInterfaceType(nil, nil)
	case "delete":
		ts[1] = under(ts[0]).(*types.Map).Key()
	case "print", "println":
		name = l.imp(rtPath) + map[string]string{"print": ".Print", "println": ".Println"}[name]
	default:
		return "", nil
	}
	var params, names []string
	for i, a := range c.Args {
		n := l.fresh("a")
		held := l.fresh("a")
		w.f("var %s %s = %s", held, l.typ(ts[i]), e.exprTo(a, ts[i]))
		params, names, args = append(params, n+" "+l.typ(ts[i])), append(names, n), append(args, held)
	}
	return "func(" + strings.Join(params, ", ") + ") { " + name + "(" + strings.Join(names, ", ") + ") }", args
}
