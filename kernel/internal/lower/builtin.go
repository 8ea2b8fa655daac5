package lower

import (
	"fmt"
	"go/ast"
	"go/types"
	"runtime"
	"strings"
)

// builtinCall lowers a call of a builtin, also of one whose arguments are the results of one call.
func (e *fnEnv) builtinCall(x *ast.CallExpr, fun ast.Expr) string {
	results := e.spread(x)
	if results == nil {
		return e.builtin(x, fun)
	}
	names := e.l.freshes("t", results.Len())
	call := *x
	call.Args = nil
	e.info.Types[&call] = e.info.Types[x]
	defer delete(e.info.Types, &call)
	for i, name := range names {
		id := &ast.Ident{Name: name, NamePos: x.Args[0].Pos()}
		e.info.Types[id] = types.TypeAndValue{Type: results.At(i).Type()}
		defer delete(e.info.Types, id)
		e.hold(id, name)
		defer delete(e.held, id)
		call.Args = append(call.Args, id)
	}
	start := "func() {\n"
	body := strings.Join(names, ", ") + " := " + e.expr(x.Args[0]) + "\n"
	if !e.info.Types[x].IsVoid() {
		start = "func() " + e.l.typ(e.typeOf(x)) + " {\n"
		body += "return "
	}
	return start + body + e.builtin(&call, fun) + "\n}()"
}

func (e *fnEnv) builtin(x *ast.CallExpr, fun ast.Expr) string {
	l := e.l
	name := ""
	switch f := fun.(type) {
	case *ast.Ident:
		name = f.Name
	case *ast.SelectorExpr:
		name = "unsafe." + f.Sel.Name
	}
	switch name {
	case "min", "max":
		t := e.typeOf(x)
		ts := l.typ(t)
		op := "<"
		if name == "max" {
			op = ">"
		}
		h := "h_" + name + "_" + mangle(ts+l.canon(t))
		nan := ""
		if b, ok := under(t).(*types.Basic); ok && b.Info()&types.IsFloat != 0 {
			nan = "if a != a { return a }\nif b != b { return b }\n"
			if name == "min" {
				nan += "if a == 0 && b == 0 { if 1/a < 0 { return a }; return b }\n"
			} else {
				nan += "if a == 0 && b == 0 { if 1/a > 0 { return a }; return b }\n"
			}
		}
		e.helper(h, fmt.Sprintf("func %s(a %s, b %s) %s {\n%sif a %s b { return a }\nreturn b }", h, ts, ts, ts, nan, op))
		s := e.exprTo(x.Args[0], t)
		for _, a := range x.Args[1:] {
			s = h + "(" + s + ", " + e.exprTo(a, t) + ")"
		}
		return s
	case "clear":
		t := e.typeOf(x.Args[0])
		ts := l.typ(t)
		h := "h_clear_" + mangle(ts+l.canon(t))
		switch u := under(t).(type) {
		case *types.Map:
			return l.imp(rtPath) + ".ClearMap(" + e.core(x.Args[0]) + ")"
		case *types.Slice:
			e.helper(h, fmt.Sprintf("func %s(s %s) { var z %s; for i := 0; i < len(s); i++ { s[i] = z } }", h, ts, l.typ(u.Elem())))
		}
		return h + "(" + e.expr(x.Args[0]) + ")"
	case "new":
		if tv := e.info.Types[x.Args[0]]; !tv.IsType() {
			t := e.typeOf(x).(*types.Pointer).Elem()
			return e.newOf(t) + "(" + e.exprTo(x.Args[0], t) + ")"
		}
		return "new(" + l.typ(e.typeOf(x.Args[0])) + ")"
	case "make":
		mt := e.typeOf(x.Args[0])
		if l.endless(mt) {
			return l.made(e.make(x, under(mt)), mt)
		}
		return e.make(x, mt)
	case "append":
		t := e.typeOf(x)
		et := under(t).(*types.Slice).Elem()
		var a0 string
		if e.info.Types[x.Args[0]].IsNil() {
			a0 = l.typ(under(t)) + "(nil)"
		} else {
			a0 = e.core(x.Args[0])
		}
		args := []string{a0}
		for _, a := range x.Args[1:] {
			if x.Ellipsis != 0 {
				s := e.core(a)
				if b, ok := under(e.typeOf(a)).(*types.Basic); ok && b.Info()&types.IsString != 0 {
					s = "[]byte(" + s + ")"
				}
				args = append(args, s+"...")
			} else if e.info.Types[a].IsNil() && !isIface(et) {
				args = append(args, "("+l.typ(et)+")(nil)")
			} else {
				args = append(args, e.exprTo(a, et))
			}
		}
		s := "append(" + strings.Join(args, ", ") + ")"
		if l.endless(t) {
			return l.made(s, t)
		}
		return s
	case "copy":
		return "copy(" + e.core(x.Args[0]) + ", " + e.core(x.Args[1]) + ")"
	case "recover":
		if e.panicOf == "" { // in a cell, outside of functions
			return "interface{}(nil)"
		}
		return l.imp(rtPath) + ".Recovered(" + e.panicOf + ")"
	case "panic":
		value := e.exprTo(x.Args[0], types.NewInterfaceType(nil, nil))
		if isIface(e.typeOf(x.Args[0])) || e.info.Types[x.Args[0]].IsNil() {
			value = l.imp(rtPath) + ".NotNil(" + value + ")"
		}
		return "panic(" + value + ")"
	case "print", "println":
		args := e.exprs(x.Args)
		n := ".Print("
		if name == "println" {
			n = ".Println("
		}
		return l.imp(rtPath) + n + strings.Join(args, ", ") + ")"
	case "complex":
		t := e.typeOf(x)
		ft := types.Typ[types.Float64]
		if b, ok := under(t).(*types.Basic); ok && b.Kind() == types.Complex64 {
			ft = types.Typ[types.Float32]
		}
		return "complex(" + l.typ(ft) + "(" + e.exprTo(x.Args[0], ft) + "), " + l.typ(ft) + "(" + e.exprTo(x.Args[1], ft) + "))"
	case "delete":
		m := under(e.typeOf(x.Args[0])).(*types.Map)
		return "delete(" + e.core(x.Args[0]) + ", " + e.key(x.Args[1], m) + ")"
	case "len", "cap":
		if p, ok := under(e.typeOf(x.Args[0])).(*types.Pointer); ok { // to an array, which need not be there
			ts := l.typ(e.typeOf(x.Args[0]))
			h := "h_len_" + mangle(ts)
			e.helper(h, fmt.Sprintf("func %s(%s) int { return %d }", h, ts, under(p.Elem()).(*types.Array).Len()))
			return h + "(" + e.expr(x.Args[0]) + ")"
		}
		return name + "(" + e.core(x.Args[0]) + ")"
	case "unsafe.StringData", "unsafe.String", "unsafe.Add", "unsafe.SliceData", "unsafe.Slice":
		args := e.exprs(x.Args)
		if len(args) == 2 {
			args[1] = "int(" + args[1] + ")"
		}
		call := l.imp(rtPath) + strings.TrimPrefix(name, "unsafe") + "(" + strings.Join(args, ", ") + ")"
		if strings.HasPrefix(name, "unsafe.Slice") {
			call += ".(" + l.typ(e.typeOf(x)) + ")"
		}
		return call
	case "unsafe.Sizeof", "unsafe.Alignof": // of a type parameter; the others are constants
		size := sizes.Sizeof
		if name == "unsafe.Alignof" {
			size = sizes.Alignof
		}
		return fmt.Sprintf("uintptr(%d)", size(e.typeOf(x.Args[0])))
	case "unsafe.Offsetof":
		f := ast.Unparen(x.Args[0]).(*ast.SelectorExpr)
		return fmt.Sprintf("uintptr(%d)", e.offset(f))
	case "real", "imag", "close":
		return name + "(" + e.core(x.Args[0]) + ")"
	}
	panic(l.errf(x.Pos(), "builtin %s", name))
}

// newOf returns a function that puts a value of type t into memory of its own.
func (e *fnEnv) newOf(t types.Type) string {
	ts := e.l.typ(t)
	h := "h_new_" + mangle(ts+e.l.canon(t))
	return e.helper(h, fmt.Sprintf("func %s(v %s) *%s { p := new(%s); *p = v; return p }", h, ts, ts, ts))
}

// offset is where the field that f selects lies in the struct before the last dot, also by way of embedded structs.
func (e *fnEnv) offset(f *ast.SelectorExpr) (sum int64) {
	t := under(e.typeOf(f.X))
	if p, ok := t.(*types.Pointer); ok {
		t = under(p.Elem())
	}
	_, path := e.lookup(t, f.Sel.Name, e.packageOf(f.Sel))
	for _, i := range path {
		s := under(t).(*types.Struct)
		fields := make([]*types.Var, s.NumFields())
		for k := range fields {
			fields[k] = s.Field(k)
		}
		sum += sizes.Offsetsof(fields)[i]
		t = s.Field(i).Type()
	}
	return sum
}

// sizes are those of the compiler.
var sizes = types.SizesFor("gc", runtime.GOARCH)

// make spells the call x of make for the type t.
func (e *fnEnv) make(x *ast.CallExpr, t types.Type) string {
	s, end := "make("+e.l.typ(t), ""
	if c, ok := under(t).(*types.Chan); ok && c.Dir() != types.SendRecv {
		s, end = "("+e.l.typ(t)+")(make(chan "+e.l.typ(c.Elem()), ")"
	}
	for _, a := range x.Args[1:] {
		s += ", " + e.exprTo(a, types.Typ[types.Int])
	}
	return s + ")" + end
}
