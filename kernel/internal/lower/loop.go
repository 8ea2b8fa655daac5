package lower

import (
	"go/ast"
	"go/token"
	"go/types"
	"strings"
)

// captured reports whether any of the objects is used inside a function literal or has its address taken.
func (e *fnEnv) captured(objs map[types.Object]bool, n ast.Node) bool {
	found := false
	var walk func(n ast.Node, in bool)
	walk = func(n ast.Node, in bool) {
		ast.Inspect(n, func(m ast.Node) bool {
			switch m := m.(type) {
			case *ast.FuncLit:
				if !in {
					walk(m.Body, true)
					return false
				}
			case *ast.UnaryExpr:
				if m.Op == token.AND {
					if id, ok := baseIdent(m.X); ok && objs[e.info.ObjectOf(id)] {
						found = true
					}
				}
			case *ast.SelectorExpr:
				if id, ok := ast.Unparen(m.X).(*ast.Ident); ok && objs[e.info.ObjectOf(id)] {
					found = true // method with pointer receiver, be conservative
				}
			case *ast.RangeStmt:
				if !in {
					if _, ok := under(e.typeOf(m.X)).(*types.Signature); ok {
						walk(m.Body, true)
						return false
					}
				}
			case *ast.SliceExpr:
				if id, ok := baseIdent(m.X); ok && objs[e.info.ObjectOf(id)] {
					found = true
				}
			case *ast.Ident:
				if in && objs[e.info.ObjectOf(m)] {
					found = true
				}
			}
			return true
		})
	}
	walk(n, false)
	return found
}

func baseIdent(x ast.Expr) (*ast.Ident, bool) {
	for {
		switch y := x.(type) {
		case *ast.Ident:
			return y, true
		case *ast.SelectorExpr:
			x = y.X
		case *ast.IndexExpr:
			x = y.X
		case *ast.ParenExpr:
			x = y.X
		default:
			return nil, false
		}
	}
}

func (e *fnEnv) forStmt(w *writer, s *ast.ForStmt, label string) {
	l := e.l
	e.push(&target{label: label, kind: "loop"})
	defer e.pop()
	objs := map[types.Object]bool{}
	if a, ok := s.Init.(*ast.AssignStmt); ok && a.Tok == token.DEFINE {
		for _, x := range a.Lhs {
			if o := e.info.Defs[x.(*ast.Ident)]; o != nil {
				objs[o] = true
			}
		}
	}
	lb := func() {
		if label != "" {
			w.f("%s:", e.lbl(label))
		}
	}
	if len(objs) > 0 && e.captured(objs, s) {
		// Go 1.22 per-iteration variables, through pointers to the previous copy
		w.f("{")
		e.stmt(w, s.Init, "")
		type pv struct{ p, n, t string }
		var pvs []pv
		var os []types.Object
		for _, x := range s.Init.(*ast.AssignStmt).Lhs {
			o := e.info.Defs[x.(*ast.Ident)]
			if o == nil {
				continue
			}
			os = append(os, o)
			p := l.fresh("pp")
			pvs = append(pvs, pv{p, e.local(o), l.typ(e.sb.apply(o.Type()))})
			w.f("%s := &%s", p, e.local(o))
		}
		first := l.fresh("first")
		w.f("%s := true", first)
		lb()
		w.f("for {")
		for i, o := range os {
			delete(e.names, o)
			n := e.local(o)
			w.f("%s := *%s\n%s = &%s", n, pvs[i].p, pvs[i].p, n)
		}
		w.f("if %s { %s = false } else {", first, first)
		if s.Post != nil {
			e.stmt(w, s.Post, "")
		}
		w.f("}")
		if s.Cond != nil {
			w.f("if !%s { break }", e.postfixStr(nil, e.expr(s.Cond)))
		}
		e.stmts(w, s.Body.List)
		w.f("}\n}")
		return
	}
	if s.Init != nil {
		w.f("{")
		e.stmt(w, s.Init, "")
	}
	cond, post := "", ""
	if s.Cond != nil {
		cond = e.l.bare(e.expr(s.Cond))
	}
	complexPost := false
	if s.Post != nil {
		post = e.simple(w, s.Post)
		if strings.Contains(post, "\n") {
			complexPost = true
		}
	}
	if complexPost {
		first := l.fresh("first")
		w.f("%s := true", first)
		lb()
		w.f("for {\nif %s { %s = false } else {\n%s\n}", first, first, post)
		if cond != "" {
			w.f("if !%s { break }", "("+cond+")")
		}
	} else {
		lb()
		w.f("for ; %s; %s {", cond, post)
	}
	e.stmts(w, s.Body.List)
	w.f("}")
	if s.Init != nil {
		w.f("}")
	}
}

func (e *fnEnv) rangeStmt(w *writer, s *ast.RangeStmt, label string) {
	l := e.l
	t := e.typeOf(s.X)
	if b, ok := t.(*types.Basic); ok && b.Info()&types.IsUntyped != 0 {
		t = types.Default(b)
	}
	hasK := s.Key != nil && !isBlank(s.Key)
	hasV := s.Value != nil && !isBlank(s.Value)
	// bind k/v inside the body
	bindTo := func(w *writer, x ast.Expr, val string) {
		if x == nil || isBlank(x) {
			return
		}
		if s.Tok == token.DEFINE {
			o := e.info.Defs[x.(*ast.Ident)]
			delete(e.names, o)
			w.f("var %s %s = %s\n_ = %s", e.local(o), l.typ(e.sb.apply(o.Type())), val, e.local(o))
			return
		}
		w.f("%s = %s", e.expr(x), val)
	}
	bindBoth := func(w *writer, k, v string) {
		if s.Tok == token.ASSIGN && hasK && hasV { // operands on the left before either is assigned
			kl, vl := e.lhsOperand(w, s.Key), e.lhsOperand(w, s.Value)
			w.f("%s = %s\n%s = %s", kl, k, vl, v)
			return
		}
		bindTo(w, s.Key, k)
		bindTo(w, s.Value, v)
	}
	lb := func() {
		if label != "" {
			w.f("%s:", e.lbl(label))
		}
	}
	switch u := under(t).(type) {
	case *types.Basic:
		if u.Info()&types.IsInteger != 0 {
			n, i := l.fresh("n"), l.fresh("i")
			if s.Key != nil && !isBlank(s.Key) {
				if o := e.info.TypeOf(s.Key); o != nil {
					t = e.sb.apply(o)
				}
			}
			ts := l.typ(t)
			w.f("var %s %s = %s", n, ts, e.exprTo(s.X, t))
			e.push(&target{label: label, kind: "loop"})
			lb()
			w.f("for %s := %s(0); %s < %s; %s++ {", i, ts, i, n, i)
			bindTo(w, s.Key, i)
			e.stmts(w, s.Body.List)
			e.pop()
			w.f("}")
			return
		}
	case *types.Signature:
		e.rangeFunc(w, s, u, label)
		return
	}
	// slices, arrays, maps, strings, channels: fresh temporaries, then per-iteration copies
	e.push(&target{label: label, kind: "loop"})
	defer e.pop()
	x := e.core(s.X)
	arr := under(t)
	p, behind := arr.(*types.Pointer)
	if behind {
		arr = under(p.Elem())
	}
	if at, ok := arr.(*types.Array); ok && !hasV {
		i := l.fresh("i")
		if e.acts(s.X) {
			w.f("_ = %s", x)
		}
		lb()
		w.f("for %s := 0; %s < %d; %s++ {", i, i, at.Len(), i)
		bindTo(w, s.Key, i)
		e.stmts(w, s.Body.List)
		w.f("}")
		return
	}
	if behind {
		x = "(*" + x + ")[:]"
	}
	rx := l.fresh("rx")
	w.f("%s := %s", rx, x)
	if b, ok := under(t).(*types.Basic); ok && b.Info()&types.IsString != 0 {
		i, n, r := l.fresh("i"), l.fresh("n"), l.fresh("r")
		if _, isN := types.Unalias(t).(*types.Named); isN {
			w.f("%s = %s", rx, rx)
		}
		w.f("%s := 0", n)
		lb()
		w.f("for %s := 0; %s < len(%s); %s += %s {", i, i, rx, i, n)
		w.f("%s := rune(%s[%s])\n%s = 1\nif %s >= 128 { %s, %s = %s.DecodeRuneInString(string(%s[%s:])) }\n_ = %s", r, rx, i, n, r, r, n, l.imp("unicode/utf8"), rx, i, r)
		bindBoth(w, i, r)
		e.stmts(w, s.Body.List)
		w.f("}")
		return
	}
	k, v := "_", "_"
	channel := false // the interpreter takes a range that binds one for a range over it
	if c, ok := arr.(interface{ Elem() types.Type }); ok && hasV {
		_, channel = under(c.Elem()).(*types.Chan)
	}
	if hasK || channel {
		k = l.fresh("k")
	}
	if hasV {
		v = l.fresh("v")
	}
	lb()
	switch {
	case channel:
		w.f("for %s := range %s {\n%s := %s[%s]", k, rx, v, rx, k)
	case hasV:
		w.f("for %s, %s := range %s {", k, v, rx)
	case hasK:
		w.f("for %s := range %s {", k, rx)
	default:
		w.f("for range %s {", rx)
	}
	bindBoth(w, k, v)
	e.stmts(w, s.Body.List)
	w.f("}")
}

// acts reports whether evaluating x calls a function or receives from a channel: the length of such an array is no constant,
// so a range over it evaluates it.
func (e *fnEnv) acts(x ast.Expr) bool {
	found := false
	ast.Inspect(x, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.CallExpr:
			tv := e.info.Types[n.Fun]
			found = found || !tv.IsType() && e.info.Types[n].Value == nil
		case *ast.UnaryExpr:
			found = found || n.Op == token.ARROW
		}
		return true
	})
	return found
}
