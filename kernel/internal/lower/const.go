package lower

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/types"
	"math"
	"strconv"
	"strings"
)

func (e *fnEnv) constant(v constant.Value, t types.Type) string {
	l := e.l
	if isIface(t) {
		switch v.Kind() {
		case constant.Bool:
			t = types.Typ[types.Bool]
		case constant.String:
			t = types.Typ[types.String]
		case constant.Int:
			t = types.Typ[types.Int]
		case constant.Float:
			t = types.Typ[types.Float64]
		default:
			t = types.Typ[types.Complex128]
		}
	}
	b, ok := under(t).(*types.Basic)
	if !ok {
		panic(failure{fmt.Sprintf("const of type %v", t)})
	}
	if b.Info()&types.IsUntyped != 0 {
		t = types.Default(b)
		b = t.(*types.Basic)
	}
	var s string
	switch {
	case b.Info()&types.IsBoolean != 0:
		s = strconv.FormatBool(constant.BoolVal(v))
	case b.Info()&types.IsString != 0:
		if v.Kind() == constant.Int {
			i, _ := constant.Int64Val(v)
			s = strconv.Quote(string(rune(i)))
		} else {
			s = strconv.Quote(constant.StringVal(v))
		}
	case b.Info()&types.IsInteger != 0:
		s = constant.ToInt(v).ExactString()
	case b.Info()&types.IsFloat != 0:
		s = floatLit(constant.ToFloat(v))
	case b.Info()&types.IsComplex != 0:
		c := constant.ToComplex(v)
		// the interpreter's own complex returns zero in a return statement
		s = l.imp(rtPath) + ".Complex(" + floatLit(constant.Real(c)) + ", " + floatLit(constant.Imag(c)) + ")"
		if t == types.Typ[types.Complex128] {
			return s
		}
	default:
		s = constant.ToInt(v).ExactString()
	}
	switch t {
	case types.Typ[types.Int], types.Typ[types.String], types.Typ[types.Bool]:
		return s
	case types.Typ[types.Float64]:
		if strings.ContainsAny(s, ".e") {
			if strings.HasPrefix(s, "-") {
				return "(" + s + ")"
			}
			return s
		}
	}
	return l.typ(t) + "(" + s + ")"
}

func floatLit(v constant.Value) string {
	f, _ := constant.Float64Val(v)
	if math.IsInf(f, 0) {
		f = math.MaxFloat64
	}
	s := strconv.FormatFloat(f, 'g', -1, 64)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return s
}

// exprTo lowers x for assignment to a location of type to.
func (e *fnEnv) exprTo(x ast.Expr, to types.Type) string {
	tv := e.info.Types[x]
	to = e.sb.apply(to)
	if isIface(to) {
		if s := e.stdStream(x); s != "" {
			return s
		}
	}
	if tv.Value != nil && to != nil {
		if b, ok := tv.Type.(*types.Basic); ok && b.Info()&types.IsUntyped != 0 || hasTP(tv.Type) {
			if !isIface(to) {
				if _, ok := under(to).(*types.Basic); ok {
					return e.constant(tv.Value, to)
				}
			}
		}
		return e.wrapIface(e.expr(x), e.typeOf(x), to)
	}
	if tv.IsNil() {
		return e.l.nilOf(to)
	}
	return e.wrapIface(e.expr(x), e.typeOf(x), to)
}

// stdStream: os.Stdin, os.Stdout and os.Stderr, where a reader or writer is wanted, are the streams of the calling
// goroutine's cell.
func (e *fnEnv) stdStream(x ast.Expr) string {
	s, ok := ast.Unparen(x).(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	o, ok := e.info.Uses[s.Sel].(*types.Var)
	if !ok || o.Pkg() == nil || o.Pkg().Path() != "os" || o.IsField() {
		return ""
	}
	switch o.Name() {
	case "Stdin", "Stdout", "Stderr":
		return e.l.imp(rtPath) + "." + o.Name()
	}
	return ""
}

func hasTP(t types.Type) bool { _, ok := types.Unalias(t).(*types.TypeParam); return ok }

// wrapIface: hook for making interface conversions explicit.
func (e *fnEnv) wrapIface(s string, from, to types.Type) string {
	return e.l.convert(s, from, e.sb.apply(to))
}
