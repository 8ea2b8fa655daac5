package lower

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

func crossedRF(ts []*target) []*rfCtx {
	var r []*rfCtx
	for _, t := range ts {
		if t.kind == "rangefunc" {
			r = append(r, t.rf)
		}
	}
	return r
}

// rfExit leaves range-over-func bodies up to target t.
func (e *fnEnv) rfExit(w *writer, crossed []*target, t *target, cont bool) {
	kind, label := "break", ""
	if cont {
		kind = "continue"
	}
	switch {
	case t.kind == "rangefunc":
		kind = "rf-" + kind
	case t.label == "":
		kind += "-plain"
	default:
		label = e.lbl(t.label)
	}
	e.leaveBodies(w, crossedRF(crossed), kind, label)
}

// leaveBodies leaves range-over-func bodies, the innermost first, and goes on as kind says where the last one's loop stands.
func (e *fnEnv) leaveBodies(w *writer, rfs []*rfCtx, kind, label string) {
	last := len(rfs) - 1
	outer := rfs[last]
	code := 2 + len(outer.codes)
	outer.codes = append(outer.codes, rfCode{kind, label, code})
	for _, r := range rfs[:last] {
		w.f("%s = -1", r.st)
	}
	w.f("%s = %d", outer.st, code)
	e.leaveBody(w)
}

// rfGoto leaves the range-over-func bodies in which the label of s does not stand; it reports whether there are any.
func (e *fnEnv) rfGoto(w *writer, s *ast.BranchStmt) bool {
	to := e.info.Uses[s.Label].Pos()
	var rfs []*rfCtx
	for _, r := range slices.Backward(e.rf) {
		if r.body.Pos() <= to && to < r.body.End() {
			break
		}
		rfs = append(rfs, r)
	}
	if len(rfs) > 0 {
		e.leaveBodies(w, rfs, "goto", e.gotoLbl(s.Label.Name))
	}
	return len(rfs) > 0
}

// leaveBody ends the innermost range over a function from within its body.
func (e *fnEnv) leaveBody(w *writer) {
	w.f("%s = true\nreturn false", e.rf[len(e.rf)-1].done)
}

func containsReturn(b ast.Node) bool {
	r := false
	ast.Inspect(b, func(n ast.Node) bool {
		switch n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.ReturnStmt:
			r = true
		}
		return true
	})
	return r
}

func (e *fnEnv) rangeFunc(w *writer, s *ast.RangeStmt, sig *types.Signature, label string) {
	l := e.l
	w.f("{")
	st := l.fresh("st")
	done := l.fresh("done")
	rc := &rfCtx{st: st, done: done, body: s.Body}
	w.f("%s := 0\n_ = %s", st, st)
	hasRet := containsReturn(s.Body)
	top := len(e.rf) == 0
	saveRet := e.retVars
	if hasRet && top {
		e.retVars = nil
		if len(e.resVars) > 0 {
			e.retVars = e.resVars
		} else if e.sig != nil {
			for i := 0; i < e.sig.Results().Len(); i++ {
				rv := l.fresh("rv")
				w.f("var %s %s\n_ = %s", rv, l.typ(e.sb.apply(e.sig.Results().At(i).Type())), rv)
				e.retVars = append(e.retVars, rv)
			}
		}
	}
	yield := under(sig.Params().At(0).Type()).(*types.Signature)
	bw := &writer{}
	var ps []string
	var binds []func()
	for i := 0; i < yield.Params().Len(); i++ {
		p := l.fresh("y")
		ps = append(ps, p+" "+l.typ(yield.Params().At(i).Type()))
		var x ast.Expr
		if i == 0 {
			x = s.Key
		} else {
			x = s.Value
		}
		if x != nil && !isBlank(x) {
			binds = append(binds, func() {
				if s.Tok == token.DEFINE {
					o := e.info.Defs[x.(*ast.Ident)]
					bw.f("var %s %s = %s\n_ = %s", e.local(o), l.typ(e.sb.apply(o.Type())), p, e.local(o))
				} else {
					bw.f("%s = %s", e.expr(x), p)
				}
			})
		}
	}
	e.push(&target{label: label, kind: "rangefunc", rf: rc})
	e.rf = append(e.rf, rc)
	w.f("%s := false", done)
	bw.f("if %s { panic(\"range function continued iteration after function for loop body returned false\") }", done)
	for _, b := range binds {
		b()
	}
	inner := &writer{}
	e.stmts(inner, s.Body.List)
	bw.WriteString(inner.String())
	bw.f("return true")
	e.rf = e.rf[:len(e.rf)-1]
	e.pop()
	w.f("%s(func(%s) bool {\n%s})", e.fun(s.X), strings.Join(ps, ", "), bw)
	w.f("%s = true", done)
	if hasRet {
		if top {
			if e.defers != "" || e.sig == nil || e.sig.Results().Len() == 0 {
				w.f("if %s == 1 { return }", st)
			} else {
				w.f("if %s == 1 { return %s }", st, strings.Join(e.retVars, ", "))
			}
		} else {
			w.f("if %s == 1 {", st)
			e.leaveBody(w)
			w.f("}")
		}
	}
	inRF := len(e.rf) > 0
	if inRF {
		w.f("if %s == -1 {", st)
		e.leaveBody(w)
		w.f("}")
	}
	for _, c := range rc.codes {
		switch c.kind {
		case "break", "continue", "goto":
			w.f("if %s == %d { %s %s }", st, c.code, c.kind, c.label)
		case "rf-break":
			w.f("if %s == %d {", st, c.code)
			e.leaveBody(w)
			w.f("}")
		case "rf-continue":
			w.f("if %s == %d {\nreturn true\n}", st, c.code)
		case "break-plain":
			w.f("if %s == %d { break }", st, c.code)
		case "continue-plain":
			w.f("if %s == %d { continue }", st, c.code)
		}
	}
	w.f("}")
	if top {
		e.retVars = saveRet
	}
}
