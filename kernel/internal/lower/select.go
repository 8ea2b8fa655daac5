package lower

import (
	"go/ast"
	"go/token"
	"go/types"
	"strings"
)

// selectStmt lowers a select to a switch over the case that the run time takes. Channels and values to send are evaluated before, in
// the order of the source.
func (e *fnEnv) selectStmt(w *writer, s *ast.SelectStmt, label string) {
	l := e.l
	if len(s.Body.List) == 0 { // for ever: of a switch without cases the interpreter makes nothing
		w.f("%s.Select(true)", l.imp(rtPath))
		return
	}
	e.push(&target{label: label, kind: "switch"})
	defer e.pop()
	args := []string{"true"}
	received := make([]func(w *writer), len(s.Body.List)) // what a case does first
	w.f("{")
	for i, c := range s.Body.List {
		switch c := c.(*ast.CommClause).Comm.(type) {
		case nil:
			args[0] = "false"
		case *ast.SendStmt:
			ch, elem := e.channel(w, c.Chan)
			v := l.fresh("v")
			w.f("var %s %s = %s", v, l.typ(elem), e.exprTo(c.Value, elem))
			args = append(args, "true", ch, "&"+v, "nil")
		case *ast.ExprStmt:
			ch, _ := e.channel(w, ast.Unparen(c.X).(*ast.UnaryExpr).X)
			args = append(args, "false", ch, "nil", "nil")
		case *ast.AssignStmt:
			ch, elem := e.channel(w, ast.Unparen(c.Rhs[0]).(*ast.UnaryExpr).X)
			v, ok := l.fresh("v"), l.fresh("ok")
			w.f("var %s %s\nvar %s bool", v, l.typ(elem), ok)
			args = append(args, "false", ch, "&"+v, "&"+ok)
			received[i] = func(w *writer) { e.received(w, c, []string{v, ok}, []types.Type{elem, types.Typ[types.Bool]}) }
		}
	}
	if label != "" {
		w.f("%s:", e.lbl(label))
	}
	w.f("switch %s.Select(%s) {", l.imp(rtPath), strings.Join(args, ", "))
	n := 0
	for i, c := range s.Body.List {
		cc := c.(*ast.CommClause)
		if cc.Comm == nil {
			w.f("default:")
		} else {
			w.f("case %d:", n)
			n++
		}
		if f := received[i]; f != nil {
			f(w)
		}
		e.clause(w, cc.Body)
	}
	w.f("}\n}")
}

// channel evaluates a channel of a select and returns where its value is, and the type of its elements.
func (e *fnEnv) channel(w *writer, x ast.Expr) (name string, elem types.Type) {
	c := e.l.fresh("c")
	w.f("var %s %s = %s", c, e.l.typ(under(e.typeOf(x))), e.core(x))
	return c, under(e.typeOf(x)).(*types.Chan).Elem()
}

// received assigns what a case has received.
func (e *fnEnv) received(w *writer, s *ast.AssignStmt, from []string, ts []types.Type) {
	l := e.l
	for i, x := range s.Lhs {
		if isBlank(x) {
			continue
		}
		if s.Tok == token.DEFINE {
			o := e.info.Defs[x.(*ast.Ident)]
			t := e.sb.apply(o.Type())
			w.f("var %s %s = %s\n_ = %s", e.local(o), l.typ(t), e.wrapIface(from[i], ts[i], t), e.local(o))
			continue
		}
		w.f("%s = %s", e.expr(x), e.wrapIface(from[i], ts[i], e.typeOf(x)))
	}
}
