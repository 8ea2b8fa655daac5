package lower

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

func (e *fnEnv) ifStmt(w *writer, s *ast.IfStmt) {
	if s.Init != nil {
		w.f("{")
		e.stmt(w, s.Init, "")
	}
	w.f("if %s {", e.l.bare(e.expr(s.Cond)))
	e.stmts(w, s.Body.List)
	if s.Else != nil {
		w.f("} else {")
		if b, ok := s.Else.(*ast.BlockStmt); ok {
			e.stmts(w, b.List)
		} else {
			e.stmt(w, s.Else, "")
		}
	}
	w.f("}")
	if s.Init != nil {
		w.f("}")
	}
}

func (e *fnEnv) switchStmt(w *writer, s *ast.SwitchStmt, label string) {
	l := e.l
	w.f("{")
	if s.Init != nil {
		e.stmt(w, s.Init, "")
	}
	e.push(&target{label: label, kind: "switch"})
	defer e.pop()
	tag := ""
	var tt types.Type
	if s.Tag != nil {
		tt = e.typeOf(s.Tag)
		if b, ok := tt.(*types.Basic); ok && b.Info()&types.IsUntyped != 0 {
			tt = types.Default(b)
		}
		tag = l.fresh("t")
		w.f("var %s %s = %s\n_ = %s", tag, l.typ(tt), e.exprTo(s.Tag, tt), tag)
	}
	conds := make([]string, len(s.Body.List)) // "" is the default
	for i, c := range s.Body.List {
		conds[i] = e.caseCond(c.(*ast.CaseClause), tag, tt)
	}
	which := ""
	if d := slices.Index(conds, ""); d >= 0 && d < len(conds)-1 && (fallsThrough(s.Body.List[d]) || d > 0 && fallsThrough(s.Body.List[d-1])) {
		// the interpreter moves the default to the end, where nothing falls into it or out of it: choose first, then go
		which = l.fresh("case")
		w.f("var %s int = %d\nswitch {", which, d)
		for i, c := range conds {
			if c != "" {
				w.f("case %s: %s = %d", c, which, i)
			}
		}
		w.f("}")
	}
	if label != "" {
		w.f("%s:", e.lbl(label))
	}
	w.f("switch {")
	for i, c := range s.Body.List {
		switch {
		case which != "":
			w.f("case %s == %d:", which, i)
		case conds[i] == "":
			w.f("default:")
		default:
			w.f("case %s:", conds[i])
		}
		e.clause(w, c.(*ast.CaseClause).Body)
	}
	w.f("}")
	w.f("}")
}

// clause lowers the body of a clause: to a block if a label stands in it, which the interpreter looks for in blocks only.
func (e *fnEnv) clause(w *writer, body []ast.Stmt) {
	if !slices.ContainsFunc(body, func(s ast.Stmt) bool { _, ok := s.(*ast.LabeledStmt); return ok }) {
		e.stmts(w, body)
		return
	}
	last := len(body)
	if b, ok := body[last-1].(*ast.BranchStmt); ok && b.Tok == token.FALLTHROUGH {
		last--
	}
	w.f("{")
	e.stmts(w, body[:last])
	w.f("}")
	e.stmts(w, body[last:])
}

func fallsThrough(c ast.Stmt) bool {
	body := c.(*ast.CaseClause).Body
	if len(body) == 0 {
		return false
	}
	b, ok := body[len(body)-1].(*ast.BranchStmt)
	return ok && b.Tok == token.FALLTHROUGH
}

// caseCond is the condition of a clause, "" for the default. tag is the variable that holds the switch's value of type tt, ""
// without one.
func (e *fnEnv) caseCond(cc *ast.CaseClause, tag string, tt types.Type) string {
	l := e.l
	any := types.NewInterfaceType(nil, nil)
	var cs []string
	for _, x := range cc.List {
		switch xt := e.typeOf(x); {
		case tag == "" && isIface(xt): // equal to true
			cs = append(cs, l.imp(rtPath)+".Eq(true, "+e.exprTo(x, any)+")")
		case tag == "":
			cs = append(cs, e.expr(x))
		case e.info.Types[x].IsNil():
			cs = append(cs, tag+" == nil")
		case isIface(tt) || isIface(xt):
			cs = append(cs, l.imp(rtPath)+".Eq("+l.convert(tag, tt, any)+", "+e.exprTo(x, any)+")")
		default:
			a, b := e.alike(tag, tt, e.exprTo(x, tt), xt)
			cs = append(cs, a+" == "+b)
		}
	}
	return strings.Join(cs, " || ")
}

func (e *fnEnv) typeSwitch(w *writer, s *ast.TypeSwitchStmt, label string) {
	l := e.l
	w.f("{")
	if s.Init != nil {
		e.stmt(w, s.Init, "")
	}
	var x ast.Expr
	bind := ""
	switch a := s.Assign.(type) {
	case *ast.ExprStmt:
		x = a.X.(*ast.TypeAssertExpr).X
	case *ast.AssignStmt:
		bind = a.Lhs[0].(*ast.Ident).Name
		x = a.Rhs[0].(*ast.TypeAssertExpr).X
	}
	xt := e.typeOf(x)
	tmp := l.fresh("t")
	w.f("var %s interface{} = %s\n_ = %s", tmp, e.expr(x), tmp)
	orig := tmp
	if l.compiledIface(xt) {
		orig = l.wrapTo(tmp, xt)
	}
	e.push(&target{label: label, kind: "switch"})
	defer e.pop()
	if label != "" {
		w.f("%s:", e.lbl(label))
	}
	// an if chain inside a one-clause switch so that break keeps its meaning
	w.f("switch {\ndefault:")
	closers := 0
	var def *ast.CaseClause
	for _, c := range s.Body.List {
		cc := c.(*ast.CaseClause)
		if cc.List == nil {
			def = cc
			continue
		}
		obj := e.info.Implicits[cc]
		if len(cc.List) == 1 {
			ty := cc.List[0]
			if e.info.Types[ty].IsNil() {
				w.f("if %s == nil {", tmp)
				if obj != nil && bind != "" {
					w.f("var %s %s = %s\n_ = %s", e.local(obj), l.typ(xt), orig, e.local(obj))
				}
			} else {
				v, ok := "_", l.fresh("ok")
				if obj != nil && bind != "" {
					v = e.local(obj)
				}
				w.f("%s, %s := %s(%s)", v, ok, l.assert(e.typeOf(ty)), tmp)
				if v != "_" {
					w.f("_ = %s", v)
				}
				w.f("if %s {", ok)
			}
		} else {
			m := l.fresh("m")
			w.f("%s := false", m)
			for _, ty := range cc.List {
				if e.info.Types[ty].IsNil() {
					w.f("if %s == nil { %s = true }", tmp, m)
				} else {
					w.f("if !%s { _, %s = %s(%s) }", m, m, l.assert(e.typeOf(ty)), tmp)
				}
			}
			w.f("if %s {", m)
			if obj != nil && bind != "" {
				w.f("var %s %s = %s\n_ = %s", e.local(obj), l.typ(xt), orig, e.local(obj))
			}
		}
		e.stmts(w, cc.Body)
		w.f("} else {")
		closers++
	}
	if def != nil {
		if obj := e.info.Implicits[def]; obj != nil && bind != "" {
			w.f("var %s %s = %s\n_ = %s", e.local(obj), l.typ(xt), orig, e.local(obj))
		}
		e.stmts(w, def.Body)
	}
	w.f("%s", strings.Repeat("}\n", closers))
	w.f("}\n}")
}
