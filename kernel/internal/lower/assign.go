package lower

import (
	"go/ast"
	"go/token"
	"go/types"
	"strings"
)

// define lowers var a, b = x, y and the all-new form of :=.
func (e *fnEnv) define(w *writer, names []*ast.Ident, values []ast.Expr) {
	l := e.l
	if len(values) == 1 && len(names) > 1 {
		var ns []string
		var post []string
		for _, n := range names {
			if n.Name == "_" {
				ns = append(ns, "_")
				continue
			}
			o := e.info.Defs[n]
			s := e.local(o)
			ns = append(ns, s)
			post = append(post, s)
		}
		rt, _ := e.typeOf(values[0]).(*types.Tuple)
		// by way of others where an interface takes one, and what the interpreter would put into the variables of the round before
		need := false
		switch x := ast.Unparen(values[0]).(type) {
		case *ast.IndexExpr:
			need = true
		case *ast.UnaryExpr:
			need = x.Op == token.ARROW
		}
		for i, n := range names {
			if n.Name != "_" && rt != nil && !types.Identical(e.sb.apply(e.info.Defs[n].Type()), rt.At(i).Type()) {
				need = true
			}
		}
		if len(post) == 0 {
			w.f("%s = %s", strings.Join(ns, ", "), e.expr(values[0]))
			return
		}
		if need {
			ts := l.freshes("t", len(ns))
			w.f("%s := %s", strings.Join(ts, ", "), e.expr(values[0]))
			for i, n := range names {
				if n.Name == "_" {
					w.f("_ = %s", ts[i])
					continue
				}
				w.f("var %s %s = %s", ns[i], l.typ(e.sb.apply(e.info.Defs[n].Type())), e.wrapIface(ts[i], rt.At(i).Type(), e.info.Defs[n].Type()))
			}
		} else {
			w.f("%s := %s", strings.Join(ns, ", "), e.expr(values[0]))
		}
		for _, p := range post {
			w.f("_ = %s", p)
		}
		return
	}
	if len(names) == 1 {
		n := names[0]
		if n.Name == "_" {
			w.f("_ = %s", e.expr(values[0]))
			return
		}
		o := e.info.Defs[n]
		t := e.sb.apply(o.Type())
		rhs := e.assigned(values[0], t) // before the name is in scope
		if !l.spellable(t) {
			w.f("%s := %s", e.local(o), rhs)
			w.f("_ = %s", e.local(o))
			return
		}
		w.f("var %s %s = %s", e.local(o), l.typ(t), rhs)
		w.f("_ = %s", e.local(o))
		return
	}
	// all rhs first into the new variables (names are unique so order is safe)
	var rhs []string
	for i, n := range names {
		var t types.Type
		if n.Name != "_" {
			t = e.sb.apply(e.info.Defs[n].Type())
		}
		rhs = append(rhs, e.assigned(values[i], t))
	}
	for i, n := range names {
		if n.Name == "_" {
			w.f("_ = %s", rhs[i])
			continue
		}
		o := e.info.Defs[n]
		w.f("var %s %s = %s", e.local(o), l.typ(e.sb.apply(o.Type())), rhs[i])
		w.f("_ = %s", e.local(o))
	}
}

func isBlank(x ast.Expr) bool {
	id, ok := x.(*ast.Ident)
	return ok && id.Name == "_"
}

func (e *fnEnv) assign(w *writer, s *ast.AssignStmt) {
	l := e.l
	if s.Tok == token.DEFINE {
		allNew := true
		var names []*ast.Ident
		for _, x := range s.Lhs {
			id := x.(*ast.Ident)
			names = append(names, id)
			if id.Name != "_" && e.info.Defs[id] == nil {
				allNew = false
			}
		}
		if allNew {
			e.define(w, names, s.Rhs)
			return
		}
		// mixed: declare new vars then assign
		var lhs, rhsT []string
		var types_ []types.Type
		for _, id := range names {
			if id.Name == "_" {
				types_ = append(types_, nil)
				continue
			}
			o := e.info.ObjectOf(id)
			types_ = append(types_, e.sb.apply(o.Type()))
		}
		if len(s.Rhs) == len(names) {
			for i, r := range s.Rhs {
				rhsT = append(rhsT, e.exprTo(r, types_[i]))
			}
		} else {
			rhsT = []string{e.expr(s.Rhs[0])}
		}
		for i, id := range names {
			if id.Name == "_" {
				lhs = append(lhs, "_")
				continue
			}
			o := e.info.ObjectOf(id)
			n := e.varName(o)
			if e.info.Defs[id] != nil {
				w.f("var %s %s", n, l.typ(types_[i]))
				w.f("_ = %s", n)
			}
			lhs = append(lhs, n)
		}
		e.parallel(w, lhs, rhsT, types_, s.Rhs)
		return
	}
	if s.Tok != token.ASSIGN {
		// op-assign
		op := s.Tok.String()
		t := e.typeOf(s.Lhs[0])
		var r string
		if s.Tok == token.SHL_ASSIGN || s.Tok == token.SHR_ASSIGN {
			t, r = e.typeOf(s.Rhs[0]), e.count(s.Rhs[0])
		} else {
			r = e.exprTo(s.Rhs[0], t)
		}
		lhs, r := e.callsFirst(w, s.Lhs[0], s.Rhs[0], t, r)
		w.f("%s %s %s", lhs, op, l.bare(r))
		return
	}
	if len(s.Lhs) == 1 {
		if isBlank(s.Lhs[0]) {
			e.discard(w, s.Rhs[0])
			return
		}
		lt := e.typeOf(s.Lhs[0])
		lhs, r := e.callsFirst(w, s.Lhs[0], s.Rhs[0], lt, e.assigned(s.Rhs[0], lt))
		if e.isLocal(s.Lhs[0]) && !isIface(lt) { // the interpreter computes it in the variable's place; that of a global it would not find
			r = l.bare(r)
		}
		w.f("%s = %s", lhs, r)
		return
	}
	var lhs []string
	var ts []types.Type
	for _, x := range s.Lhs {
		if isBlank(x) {
			lhs = append(lhs, "_")
			ts = append(ts, nil)
			continue
		}
		ts = append(ts, e.typeOf(x))
		lhs = append(lhs, "")
	}
	// operands of index/deref on the left are evaluated first
	for i, x := range s.Lhs {
		if lhs[i] == "" {
			lhs[i] = e.lhsOperand(w, x)
		}
	}
	var rhs []string
	if len(s.Rhs) == len(s.Lhs) {
		for i, r := range s.Rhs {
			rhs = append(rhs, e.exprTo(r, ts[i]))
		}
	} else {
		rhs = []string{e.expr(s.Rhs[0])}
	}
	e.parallel(w, lhs, rhs, ts, s.Rhs)
}

// assigned lowers x, which a variable of type t gets. The interpreter would build a composite literal in the variable's place: that of a
// struct where pointers and function literals do not see it, the others in the variable of the round before.
func (e *fnEnv) assigned(x ast.Expr, t types.Type) string {
	s := e.exprTo(x, t)
	if _, ok := x.(*ast.CompositeLit); ok {
		return "(" + s + ")"
	}
	return s
}

// isLocal reports whether x is a variable of the function.
func (e *fnEnv) isLocal(x ast.Expr) bool {
	id, ok := ast.Unparen(x).(*ast.Ident)
	return ok && !isGlobal(e.info.ObjectOf(id))
}

// isGlobal reports whether o is a variable of a package.
func isGlobal(o types.Object) bool {
	v, ok := o.(*types.Var)
	return ok && v.Pkg() != nil && v.Parent() == v.Pkg().Scope()
}

// discard evaluates x for what it does.
func (e *fnEnv) discard(w *writer, x ast.Expr) {
	if e.info.Types[x].IsNil() {
		return
	}
	if p, ok := ast.Unparen(x).(*ast.StarExpr); ok { // the interpreter does not look at what it throws away
		w.f("if %s == nil { %s.NilPanic() }", e.expr(p.X), e.l.imp(rtPath))
		return
	}
	w.f("_ = %s", e.expr(x))
}

func (e *fnEnv) varName(o types.Object) string {
	if isGlobal(o) {
		return e.l.gname(o)
	}
	return e.local(o)
}

// callsFirst spells the left side of an assignment and its value, spelled r, of type t. As the compiler does, it takes the element or the
// field to assign to after the calls, which may move it or panic; the interpreter would take it before.
func (e *fnEnv) callsFirst(w *writer, lhs, rhs ast.Expr, t types.Type, r string) (left, right string) {
	if _, plain := ast.Unparen(lhs).(*ast.Ident); plain || !e.acts(rhs) {
		return e.expr(lhs), r
	}
	if e.acts(lhs) {
		left = e.lhsOperand(w, lhs)
	}
	v := e.l.fresh("v")
	w.f("var %s %s = %s", v, e.l.typ(t), r)
	if left == "" {
		left = e.expr(lhs)
	}
	return left, v
}

// lhsOperand hoists index and pointer operands of a left-hand side so a parallel assignment keeps the spec order.
func (e *fnEnv) lhsOperand(w *writer, x ast.Expr) string {
	switch x := ast.Unparen(x).(type) {
	case *ast.Ident:
		return e.expr(x)
	case *ast.IndexExpr:
		bt := under(e.typeOf(x.X))
		var b string
		switch bt.(type) {
		case *types.Slice, *types.Map, *types.Pointer:
			b = e.l.fresh("b")
			w.f("%s := %s", b, e.core(x.X))
			if _, ok := bt.(*types.Pointer); ok {
				b = "(*" + b + ")"
			}
		default:
			b = e.lhsOperand(w, x.X)
		}
		i := ""
		if tv := e.info.Types[x.Index]; tv.Value != nil {
			i = e.expr(x.Index)
			if m, ok := bt.(*types.Map); ok {
				i = e.key(x.Index, m)
			}
		} else {
			i = e.l.fresh("i")
			if m, ok := bt.(*types.Map); ok {
				w.f("var %s %s = %s", i, e.l.typ(m.Key()), e.key(x.Index, m))
			} else {
				w.f("%s := %s", i, e.expr(x.Index))
			}
		}
		return b + "[" + i + "]"
	case *ast.StarExpr:
		p := e.l.fresh("p")
		w.f("%s := %s", p, e.core(x.X))
		return "*" + p
	case *ast.SelectorExpr:
		if id, ok := ast.Unparen(x.X).(*ast.Ident); ok {
			if _, ok := e.info.Uses[id].(*types.PkgName); ok {
				return e.expr(x)
			}
		}
		t := e.typeOf(x.X)
		pkg := e.packageOf(x.Sel)
		if _, ok := under(t).(*types.Pointer); ok {
			p := e.l.fresh("p")
			w.f("%s := %s", p, e.expr(x.X))
			return p + "." + e.selPath(t, x.Sel.Name, pkg)
		}
		return e.lhsOperand(w, x.X) + "." + e.selPath(t, x.Sel.Name, pkg)
	}
	return e.expr(x)
}

func (e *fnEnv) parallel(w *writer, lhs, rhs []string, ts []types.Type, rx []ast.Expr) {
	var tmps []string
	allBlank := true
	for _, h := range lhs {
		t := "_"
		if h != "_" {
			t = e.l.fresh("t")
			allBlank = false
		}
		tmps = append(tmps, t)
	}
	if len(rhs) == 1 {
		if allBlank {
			w.f("%s = %s", strings.Join(lhs, ", "), rhs[0])
			return
		}
		w.f("%s := %s", strings.Join(tmps, ", "), rhs[0])
		if tp, ok := e.typeOf(rx[0]).(*types.Tuple); ok {
			for i := range lhs {
				if lhs[i] != "_" {
					tmps[i] = e.wrapIface(tmps[i], tp.At(i).Type(), ts[i])
				}
			}
		}
	} else {
		for i := range rhs {
			if tmps[i] == "_" {
				e.discard(w, rx[i])
				continue
			}
			w.f("var %s %s = %s", tmps[i], e.l.typ(ts[i]), rhs[i])
		}
	}
	for i, h := range lhs {
		if h != "_" {
			w.f("%s = %s", h, tmps[i])
		}
	}
}
