package lower

import (
	"go/ast"
	"go/token"
	"go/types"
	"strings"
)

func (e *fnEnv) push(t *target) { e.targets = append(e.targets, t) }

func (e *fnEnv) pop() { e.targets = e.targets[:len(e.targets)-1] }

// stmts lowers a list of statements.
func (e *fnEnv) stmts(w *writer, list []ast.Stmt) {
	for _, s := range list {
		e.stmt(w, s, "")
	}
}

func (e *fnEnv) simple(w *writer, s ast.Stmt) string {
	sw := &writer{noLines: true}
	e.stmt(sw, s, "")
	return strings.TrimSpace(sw.String())
}

func (e *fnEnv) lbl(name string) string {
	if s, ok := e.labels[name]; ok {
		return s
	}
	e.labels[name] = e.l.fresh("L" + name)
	return e.labels[name]
}

// gotoLbl is the label that a goto goes to: before what lbl's statement needs to begin, such as a loop's variable.
func (e *fnEnv) gotoLbl(name string) string { return e.lbl("goto_" + name) }

func (e *fnEnv) stmt(w *writer, s ast.Stmt, label string) {
	l := e.l
	if s != nil {
		e.line(w, s.Pos())
	}
	switch s := s.(type) {
	case nil, *ast.EmptyStmt:
	case *ast.BlockStmt:
		w.f("{")
		e.stmts(w, s.List)
		w.f("}")
	case *ast.ExprStmt:
		x := e.expr(s.X)
		if strings.HasPrefix(x, "func") {
			x = "(" + x + ")"
		}
		if strings.HasPrefix(x, "(func") && !strings.HasSuffix(x, ")()") && strings.HasSuffix(x, "())") {
			x = x[1 : len(x)-1]
		}
		if strings.HasPrefix(x, "(<-") {
			x = strings.TrimSuffix(strings.TrimPrefix(x, "("), ")")
		}
		w.f("%s", x)
	case *ast.SendStmt:
		ct := under(e.typeOf(s.Chan)).(*types.Chan)
		w.f("%s <- %s", e.operand(s.Chan), e.exprTo(s.Value, ct.Elem()))
	case *ast.IncDecStmt:
		if b, ok := under(e.typeOf(s.X)).(*types.Basic); ok && b.Kind() == types.Uintptr { // the interpreter knows no increment of it
			w.f("%s %c= 1", e.expr(s.X), s.Tok.String()[0])
			return
		}
		w.f("%s%s", e.expr(s.X), s.Tok)
	case *ast.AssignStmt:
		e.assign(w, s)
	case *ast.GoStmt:
		e.goStmt(w, s.Call)
	case *ast.DeferStmt:
		e.deferStmt(w, s.Call)
	case *ast.ReturnStmt:
		e.ret(w, s)
	case *ast.BranchStmt:
		e.branch(w, s)
	case *ast.IfStmt:
		e.ifStmt(w, s)
	case *ast.SwitchStmt:
		e.switchStmt(w, s, label)
	case *ast.TypeSwitchStmt:
		e.typeSwitch(w, s, label)
	case *ast.SelectStmt:
		e.selectStmt(w, s, label)
	case *ast.ForStmt:
		e.forStmt(w, s, label)
	case *ast.RangeStmt:
		e.rangeStmt(w, s, label)
	case *ast.LabeledStmt:
		w.f("%s: {}", e.gotoLbl(s.Label.Name)) // the interpreter forgets a label of a labelled statement
		e.stmt(w, s.Stmt, s.Label.Name)
	case *ast.DeclStmt:
		gd := s.Decl.(*ast.GenDecl)
		if gd.Tok != token.VAR {
			return
		}
		for _, sp := range gd.Specs {
			vs := sp.(*ast.ValueSpec)
			if len(vs.Values) == 0 {
				for _, n := range vs.Names {
					o := e.info.Defs[n]
					w.f("var %s %s", e.local(o), l.typ(e.sb.apply(o.Type())))
					w.f("_ = %s", e.local(o))
				}
				continue
			}
			e.define(w, vs.Names, vs.Values)
		}
	default:
		panic(l.errf(s.Pos(), "stmt %T", s))
	}
}

func (e *fnEnv) ret(w *writer, s *ast.ReturnStmt) {
	l := e.l
	if len(e.rf) > 0 {
		if len(s.Results) > 0 { // inside the body of a range over a function
			e.setResults(w, s, e.retVars)
		}
		w.f("%s = 1", e.rf[0].st)
		for _, r := range e.rf {
			if r.st != e.rf[0].st {
				w.f("%s = 1", r.st)
			}
		}
		e.leaveBody(w)
		return
	}
	if len(s.Results) == 0 {
		e.leave(w)
		return
	}
	res := e.sig.Results()
	if e.defers != "" { // into the variables, which the deferred calls may change
		e.setResults(w, s, e.resVars)
		e.leave(w)
		return
	}
	if len(s.Results) == 1 && res.Len() > 1 {
		tp := e.typeOf(s.Results[0]).(*types.Tuple)
		ts := l.freshes("t", res.Len())
		w.f("%s := %s", strings.Join(ts, ", "), e.expr(s.Results[0]))
		for i := range ts {
			ts[i] = e.wrapIface(ts[i], tp.At(i).Type(), res.At(i).Type())
		}
		w.f("return %s", strings.Join(ts, ", "))
		return
	}
	var rs []string
	for i, r := range s.Results {
		rs = append(rs, e.exprTo(r, e.sb.apply(res.At(i).Type())))
	}
	if len(e.resVars) > 0 && len(rs) > 1 {
		var ts []string
		for i, r := range rs {
			if e.info.Types[s.Results[i]].Value != nil || e.info.Types[s.Results[i]].IsNil() {
				ts = append(ts, r)
				continue
			}
			t := l.fresh("t")
			w.f("var %s %s = %s", t, l.typ(e.sb.apply(res.At(i).Type())), r)
			ts = append(ts, t)
		}
		rs = ts
	}
	if len(rs) == 1 && !isIface(e.sb.apply(res.At(0).Type())) { // it is computed in the result's place
		rs[0] = l.bare(rs[0])
	}
	w.f("return %s", strings.Join(rs, ", "))
}

// setResults assigns what a return statement returns to the variables of the results.
func (e *fnEnv) setResults(w *writer, s *ast.ReturnStmt, vars []string) {
	res := e.sig.Results()
	var ts []types.Type
	for i := range res.Len() {
		ts = append(ts, e.sb.apply(res.At(i).Type()))
	}
	if len(ts) == 1 {
		w.f("%s = %s", vars[0], e.assigned(s.Results[0], ts[0]))
		return
	}
	var rs []string
	if len(s.Results) == 1 {
		rs = append(rs, e.expr(s.Results[0]))
	} else {
		for i, r := range s.Results {
			rs = append(rs, e.exprTo(r, ts[i]))
		}
	}
	e.parallel(w, vars, rs, ts, s.Results)
}

// leave returns with what the results' variables hold.
func (e *fnEnv) leave(w *writer) {
	if e.defers != "" || len(e.resVars) == 0 {
		w.f("return")
		return
	}
	w.f("return %s", strings.Join(e.resVars, ", "))
}

func (e *fnEnv) branch(w *writer, s *ast.BranchStmt) {
	switch s.Tok {
	case token.GOTO:
		if !e.rfGoto(w, s) {
			w.f("goto %s", e.gotoLbl(s.Label.Name))
		}
		return
	case token.FALLTHROUGH:
		w.f("fallthrough")
		return
	}
	label := ""
	if s.Label != nil {
		label = s.Label.Name
	}
	isCont := s.Tok == token.CONTINUE
	// find the target
	var crossed []*target
	for i := len(e.targets) - 1; i >= 0; i-- {
		t := e.targets[i]
		match := false
		if label != "" {
			match = t.label == label
		} else if isCont {
			match = t.kind == "loop" || t.kind == "rangefunc"
		} else {
			match = true
		}
		if match {
			if t.kind == "rangefunc" {
				if len(crossedRF(crossed)) == 0 {
					if isCont {
						w.f("return true")
					} else {
						e.leaveBody(w)
					}
					return
				}
				e.rfExit(w, crossed, t, isCont)
				return
			}
			if len(crossedRF(crossed)) > 0 {
				e.rfExit(w, crossed, t, isCont)
				return
			}
			if label == "" {
				w.f("%s", s.Tok)
			} else {
				w.f("%s %s", s.Tok, e.lbl(label))
			}
			return
		}
		crossed = append(crossed, t)
	}
	if label != "" {
		w.f("%s %s", s.Tok, e.lbl(label))
		return
	}
	panic(e.l.errf(s.Pos(), "branch target"))
}
