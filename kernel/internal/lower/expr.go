package lower

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"strconv"
	"strings"
)

func (e *fnEnv) exprs(xs []ast.Expr) []string {
	var r []string
	for _, x := range xs {
		r = append(r, e.expr(x))
	}
	return r
}

func (e *fnEnv) expr(x ast.Expr) string {
	if v, ok := e.held[x]; ok {
		return v
	}
	l := e.l
	if tv, ok := e.info.Types[x]; ok && tv.Value != nil {
		t := e.sb.apply(tv.Type)
		if _, ok := under(t).(*types.Basic); ok || isIface(t) {
			return e.constant(tv.Value, t)
		}
	}
	if tv, ok := e.info.Types[x]; ok && tv.IsType() {
		return l.typ(e.sb.apply(tv.Type))
	}
	switch x := x.(type) {
	case *ast.ParenExpr:
		return "(" + e.expr(x.X) + ")"
	case *ast.Ident:
		return e.ident(x)
	case *ast.BasicLit:
		return x.Value
	case *ast.FuncLit:
		return e.ownFrame(x)
	case *ast.CompositeLit:
		return e.compLit(x)
	case *ast.SelectorExpr:
		return e.selector(x)
	case *ast.IndexExpr:
		if id := instIdent(x.X); id != nil {
			if in, ok := e.info.Instances[id]; ok {
				return e.instance(id, in)
			}
		}
		bt := e.typeOf(x.X)
		if m, ok := under(bt).(*types.Map); ok {
			return e.operand(x.X) + "[" + e.key(x.Index, m) + "]"
		}
		if _, ok := under(bt).(*types.Pointer); ok {
			return "(*" + e.core(x.X) + ")[" + l.bare(e.expr(x.Index)) + "]"
		}
		return e.operand(x.X) + "[" + l.bare(e.expr(x.Index)) + "]"
	case *ast.IndexListExpr:
		if id := instIdent(x.X); id != nil {
			if in, ok := e.info.Instances[id]; ok {
				return e.instance(id, in)
			}
		}
		panic(l.errf(x.Pos(), "index list"))
	case *ast.SliceExpr:
		s := e.operand(x.X)
		if _, ok := under(e.typeOf(x.X)).(*types.Pointer); ok {
			s = "(*" + s + ")"
		}
		s += "["
		if x.Low != nil {
			s += e.expr(x.Low)
		}
		s += ":"
		if x.High != nil {
			s += e.expr(x.High)
		}
		if x.Slice3 {
			s += ":" + e.expr(x.Max)
		}
		if s += "]"; l.endless(e.typeOf(x)) {
			s = l.made(s, e.typeOf(x))
		}
		return s
	case *ast.StarExpr:
		return "*" + e.operand(x.X)
	case *ast.UnaryExpr:
		if x.Op == token.AND {
			if cl, ok := ast.Unparen(x.X).(*ast.CompositeLit); ok {
				return e.address(e.compLit(cl), e.typeOf(cl))
			}
		}
		if x.Op == token.ARROW {
			if _, ok := e.info.TypeOf(x).(*types.Tuple); ok {
				return "<-" + e.operand(x.X)
			}
			return "(<-" + e.operand(x.X) + ")"
		}
		operand := e.postfix(x.X)
		if x.Op == token.AND && strings.HasPrefix(operand, "(*&") { // see ident
			return strings.TrimSuffix(operand[2:], ")")
		}
		return x.Op.String() + operand
	case *ast.BinaryExpr:
		return e.binary(x)
	case *ast.KeyValueExpr:
		return e.expr(x.Key) + ": " + e.expr(x.Value)
	case *ast.TypeAssertExpr:
		xs := e.expr(x.X)
		tt := e.typeOf(x.Type)
		if _, ok := e.info.TypeOf(x).(*types.Tuple); ok {
			return l.assert(tt) + "(" + xs + ")"
		}
		return l.must(tt) + "(" + xs + ", " + strconv.Quote(runtimeName(e.typeOf(x.X))) + ")"
	case *ast.CallExpr:
		return e.call(x)
	}
	panic(l.errf(x.Pos(), "expr %T", x))
}

// key lowers x as a key of a map: a nil has the key's type, which the interpreter does not give it.
func (e *fnEnv) key(x ast.Expr, m *types.Map) string {
	if e.info.Types[x].IsNil() && !isIface(m.Key()) {
		return "(" + e.l.typ(m.Key()) + ")(nil)"
	}
	return e.exprTo(x, m.Key())
}

func instIdent(x ast.Expr) *ast.Ident {
	switch x := ast.Unparen(x).(type) {
	case *ast.Ident:
		return x
	case *ast.SelectorExpr:
		return x.Sel
	}
	return nil
}

// core lowers x to a value of its type's structure.
func (e *fnEnv) core(x ast.Expr) string {
	if t := e.typeOf(x); e.l.endless(t) {
		return e.l.core(e.expr(x), t)
	}
	return e.expr(x)
}

// operand is core for what stands before an index, or after an operator.
func (e *fnEnv) operand(x ast.Expr) string {
	if e.l.endless(e.typeOf(x)) {
		return e.core(x)
	}
	return e.postfix(x)
}

func (e *fnEnv) postfix(x ast.Expr) string {
	s := e.expr(x)
	switch ast.Unparen(x).(type) {
	case *ast.Ident, *ast.SelectorExpr, *ast.IndexExpr, *ast.CallExpr:
		return s
	}
	if strings.HasPrefix(s, "(") && strings.HasSuffix(s, ")") && strings.Count(s, "(") == 1 {
		return s
	}
	return "(" + s + ")"
}

func (e *fnEnv) binary(x *ast.BinaryExpr) string {
	op := x.Op.String()
	switch x.Op {
	case token.SHL, token.SHR:
		y := e.count(x.Y)
		left := e.expr(x.X)
		if e.info.Types[x.X].Value != nil && e.info.Types[x.Y].Value == nil { // the interpreter takes a constant for untyped
			ts := e.l.typ(e.typeOf(x.X))
			h := "h_value_" + mangle(ts)
			e.helper(h, "func "+h+"(v "+ts+") "+ts+" { return v }")
			left = h + "(" + e.exprTo(x.X, e.typeOf(x.X)) + ")"
		}
		return "(" + left + " " + op + " " + y + ")"
	case token.EQL, token.NEQ:
		tx, ty := e.typeOf(x.X), e.typeOf(x.Y)
		var a, b string
		nx, ny := e.info.Types[x.X].IsNil(), e.info.Types[x.Y].IsNil()
		if nx || ny {
			return "(" + e.core(x.X) + " " + op + " " + e.core(x.Y) + ")"
		}
		switch {
		case isIface(tx) || isIface(ty):
			any := types.NewInterfaceType(nil, nil)
			r := e.l.imp(rtPath) + ".Eq(" + l2(e, x.X, any) + ", " + l2(e, x.Y, any) + ")"
			if x.Op == token.NEQ {
				r = "(!" + r + ")"
			}
			if nt, ok := types.Unalias(e.typeOf(x)).(*types.Named); ok {
				r = e.l.typ(nt) + "(" + r + ")"
			}
			return r
		default:
			a, b = e.alike(e.core(x.X), tx, e.core(x.Y), ty)
		}
		r := e.l.spell(a, x.Op, b)
		if nt, ok := types.Unalias(e.typeOf(x)).(*types.Named); ok {
			r = e.l.typ(nt) + r
		}
		return r
	}
	left := e.expr(x.X)
	if (x.Op == token.LAND || x.Op == token.LOR) && strings.Contains(left, "{") {
		left = "(true && " + left + ")" // the interpreter takes a composite literal that comes first for the condition itself
	}
	right := e.expr(x.Y)
	if v := e.info.Types[x.Y].Value; x.Op == token.QUO && v != nil && constant.Sign(v) == 0 { // the interpreter refuses an untyped zero
		right = e.l.typ(e.typeOf(x.Y)) + "(" + right + ")"
	}
	r := e.l.spell(left, x.Op, right)
	if x.Op == token.LSS || x.Op == token.GTR || x.Op == token.LEQ || x.Op == token.GEQ {
		if nt, ok := types.Unalias(e.typeOf(x)).(*types.Named); ok {
			r = e.l.typ(nt) + r
		}
	}
	return r
}

// spell spells a binary expression, in parentheses. Of operands it takes those away that are not needed: each pair costs the interpreter
// a step.
func (l *Lowerer) spell(left string, op token.Token, right string) string {
	p := op.Precedence()
	if p > token.LAND.Precedence() {
		if l.infix[left] >= p {
			left = l.bare(left)
		}
		if l.infix[right] > p {
			right = l.bare(right)
		}
	}
	s := "(" + left + " " + op.String() + " " + right + ")"
	if p > token.LAND.Precedence() && !strings.ContainsAny(s, "{\n") {
		l.infix[s] = p
	}
	return s
}

// bare takes the parentheses from what spell has spelled.
func (l *Lowerer) bare(s string) string {
	if l.infix[s] > 0 {
		return s[1 : len(s)-1]
	}
	return s
}

// count lowers the right side of a shift, with its type: the interpreter would give the operands in it that of the left side.
func (e *fnEnv) count(x ast.Expr) string {
	if tv := e.info.Types[x]; tv.Value != nil {
		return e.constant(constant.ToInt(tv.Value), types.Typ[types.Uint])
	}
	if _, ok := ast.Unparen(x).(*ast.BinaryExpr); ok {
		return e.l.typ(e.typeOf(x)) + "(" + e.expr(x) + ")"
	}
	return e.expr(x)
}

// alike converts one of two values that are compared to the other's type where the interpreter wants that: of channels the direction,
// of arrays and structs the name.
func (e *fnEnv) alike(a string, ta types.Type, b string, tb types.Type) (string, string) {
	switch under(ta).(type) {
	case *types.Array, *types.Struct:
		if _, named := types.Unalias(ta).(*types.Named); named {
			return a, e.l.typ(ta) + "(" + b + ")"
		}
		if _, named := types.Unalias(tb).(*types.Named); named {
			return e.l.typ(tb) + "(" + a + ")", b
		}
	}
	ca, ok := under(ta).(*types.Chan)
	cb, ok2 := under(tb).(*types.Chan)
	switch {
	case !ok || !ok2 || ca.Dir() == cb.Dir():
	case ca.Dir() == types.SendRecv:
		a = "(" + e.l.typ(tb) + ")(" + a + ")"
	default:
		b = "(" + e.l.typ(ta) + ")(" + b + ")"
	}
	return a, b
}

func (e *fnEnv) instance(id *ast.Ident, in types.Instance) string {
	o, _ := e.info.Uses[id].(*types.Func)
	if o == nil {
		panic(e.l.errf(id.Pos(), "instance of %v", e.info.Uses[id]))
	}
	var ta []types.Type
	for i := 0; i < in.TypeArgs.Len(); i++ {
		ta = append(ta, types.Unalias(e.sb.apply(in.TypeArgs.At(i))))
	}
	if !e.l.isUser(o.Pkg()) {
		for i, t := range ta { // what is compiled is the instance for the constraints themselves
			c := o.Type().(*types.Signature).TypeParams().At(i).Constraint()
			if _, comparable := c.(*types.Named); !types.Identical(t, c) && !(comparable && types.Identical(t, types.Universe.Lookup("any").Type())) {
				panic(e.l.errf(id.Pos(), "compiled generic %v", o))
			}
		}
		return e.l.imp(o.Pkg().Path()) + "." + o.Name()
	}
	n := e.l.fnName(o, ta)
	return e.funcValue(n, e.sb.apply(in.Type))
}

// funcValue spells a declared function used as a value: yaegi keeps bare names as nodes inside interfaces and fields.
func (e *fnEnv) funcValue(name string, t types.Type) string {
	sig, ok := under(t).(*types.Signature)
	if e.calling || !ok {
		return name
	}
	sig = e.sb.apply(sig).(*types.Signature)
	_, args, hdr, res := e.l.paramList(sig)
	ret := ""
	if res != "" {
		ret = "return "
	}
	return "func(" + hdr + ")" + res + " { " + ret + name + "(" + strings.Join(args, ", ") + ") }"
}

func (e *fnEnv) ident(x *ast.Ident) string {
	l := e.l
	if in, ok := e.info.Instances[x]; ok {
		if _, ok := e.info.Uses[x].(*types.Func); ok {
			return e.instance(x, in)
		}
	}
	if x.Name == "_" {
		return "_"
	}
	o := e.info.ObjectOf(x)
	switch o := o.(type) {
	case *types.Nil:
		return "nil"
	case *types.Builtin:
		return o.Name()
	case *types.Var:
		if g, ok := l.given[o]; ok {
			return l.imp(g.path) + "." + g.expr
		}
		if o.Parent() == o.Pkg().Scope() {
			if l.isUser(o.Pkg()) {
				return l.gname(o)
			}
			name := l.imp(o.Pkg().Path()) + "." + o.Name()
			if _, ok := under(o.Type()).(*types.Basic); ok { // the interpreter takes it for a constant
				return "(*&" + name + ")"
			}
			return name
		}
		return e.local(o)
	case *types.Func:
		if !l.isUser(o.Pkg()) {
			return l.imp(o.Pkg().Path()) + "." + o.Name()
		}
		return e.funcValue(l.fnName(o, nil), e.typeOf(x))
	case *types.TypeName:
		return l.typ(e.sb.apply(o.Type()))
	}
	panic(l.errf(x.Pos(), "ident %s %T", x.Name, o))
}

// lookup finds the field or method that a selector names, through embedded fields.
func (e *fnEnv) lookup(t types.Type, name string, pkg *types.Package) (types.Object, []int) {
	o, ix, _ := types.LookupFieldOrMethod(t, true, pkg, name)
	if o == nil {
		if p, ok := under(t).(*types.Pointer); ok {
			o, ix, _ = types.LookupFieldOrMethod(p, true, pkg, name)
		}
	}
	return o, ix
}

// packageOf is the package in which a selected name is looked up: its own, which counts for unexported names.
func (e *fnEnv) packageOf(sel *ast.Ident) *types.Package {
	if o := e.info.Uses[sel]; o != nil && o.Pkg() != nil {
		return o.Pkg()
	}
	return e.pkg
}

func (e *fnEnv) selector(x *ast.SelectorExpr) string {
	l := e.l
	if id, ok := ast.Unparen(x.X).(*ast.Ident); ok {
		if _, ok := e.info.Uses[id].(*types.PkgName); ok {
			if in, ok := e.info.Instances[x.Sel]; ok {
				return e.instance(x.Sel, in)
			}
			return e.ident(x.Sel)
		}
	}
	tvx := e.info.Types[x.X]
	pkg := e.packageOf(x.Sel)
	if tvx.IsType() { // method expression
		rt := e.sb.apply(tvx.Type)
		sig := e.typeOf(x).(*types.Signature)
		var args []string
		i := 0
		hdr := l.sig(noResNames(sig), func(v *types.Var) string { i++; return fmt.Sprintf("a%d", i) })
		for j := 2; j <= i; j++ {
			a := fmt.Sprintf("a%d", j)
			if j == i && sig.Variadic() {
				a += "..."
			}
			args = append(args, a)
		}
		ret := ""
		if sig.Results().Len() > 0 {
			ret = "return "
		}
		return "func" + hdr + " { " + ret + l.methodCall("a1", rt, x.Sel.Name, pkg).call(args) + " }"
	}
	t := e.typeOf(x.X)
	base := e.postfix(x.X)
	o, _ := e.lookup(t, x.Sel.Name, pkg)
	if o == nil {
		panic(l.errf(x.Pos(), "selector %s on %v", x.Sel.Name, t))
	}
	if m, ok := o.(*types.Func); ok {
		return e.methodValue(x, base, t, m)
	}
	return base + "." + e.selPath(t, x.Sel.Name, pkg)
}

// methodValue binds the receiver now, in a function literal. Compiled methods are bound so too: the interpreter's own method
// values have the receiver among their parameters when it compares types.
func (e *fnEnv) methodValue(x *ast.SelectorExpr, base string, t types.Type, m *types.Func) string {
	l := e.l
	pkg := e.packageOf(x.Sel)
	mc := e.method(x, t, m)
	recv, call, rt := mc.recv, mcall{mc.fn, "r"}, ""
	if recv != "" {
		rt = e.recvType(t, x.Sel.Name, pkg)
	} else {
		recv, call, rt = base, l.methodCall("r", t, m.Name(), m.Pkg()), l.typ(t)
		_, ptr := types.Unalias(m.Origin().Type().(*types.Signature).Recv().Type()).(*types.Pointer)
		if _, already := under(t).(*types.Pointer); ptr && !already && !isIface(t) {
			rt, recv = "*"+rt, "&"+recv
		}
	}
	_, args, hdr, res := l.paramList(e.typeOf(x).(*types.Signature))
	ret := ""
	if res != "" {
		ret = "return "
	}
	check := ""
	if rt == "interface{}" || isIface(t) {
		check = "if r == nil { " + l.imp(rtPath) + ".NilPanic() }; "
	}
	return "func(r " + rt + ") func(" + hdr + ")" + res + " { " + check + "return func(" + hdr + ")" + res + " { " + ret + call.call(args) + " } }(" + recv + ")"
}

func (e *fnEnv) method(x *ast.SelectorExpr, t types.Type, m *types.Func) mcall {
	base := e.postfix(x.X)
	mc := e.l.methodCall(base, t, x.Sel.Name, m.Pkg())
	return mc
}

// recvType is the lowered type of the receiver argument.
func (e *fnEnv) recvType(t types.Type, name string, pkg *types.Package) string {
	o, ix, _ := types.LookupFieldOrMethod(t, true, pkg, name)
	cur := t
	for k, i := range ix {
		if k == len(ix)-1 {
			break
		}
		u := under(cur)
		if p, ok := u.(*types.Pointer); ok {
			u = under(p.Elem())
		}
		cur = u.(*types.Struct).Field(i).Type()
	}
	if isIface(cur) {
		return "interface{}"
	}
	if p, ok := types.Unalias(cur).(*types.Pointer); ok {
		cur = p.Elem()
	}
	_, ptr := types.Unalias(o.(*types.Func).Origin().Type().(*types.Signature).Recv().Type()).(*types.Pointer)
	if ptr {
		return "*" + e.l.typ(cur)
	}
	return e.l.typ(cur)
}

func noResNames(sig *types.Signature) *types.Signature {
	var rs []*types.Var
	for j := 0; j < sig.Results().Len(); j++ {
		rs = append(rs, types.NewParam(0, nil, "", sig.Results().At(j).Type()))
	}
	return types.NewSignatureType(nil, nil, nil, sig.Params(), types.NewTuple(rs...), sig.Variadic())
}

func (e *fnEnv) selPath(t types.Type, name string, pkg *types.Package) string {
	o, ix := e.lookup(t, name, pkg)
	if o == nil {
		panic(failure{fmt.Sprintf("no field %s in %v", name, t)})
	}
	if _, isf := o.(*types.Func); isf && len(ix) == 1 {
		return name
	}
	cur := t
	var parts []string
	for k, i := range ix {
		cur = under(cur)
		if p, ok := cur.(*types.Pointer); ok {
			cur = under(p.Elem())
		}
		if _, isf := o.(*types.Func); isf && k == len(ix)-1 {
			parts = append(parts, name)
			break
		}
		f := cur.(*types.Struct).Field(i)
		parts = append(parts, e.l.field(f))
		cur = f.Type()
	}
	return strings.Join(parts, ".")
}

func l2(e *fnEnv, x ast.Expr, t types.Type) string {
	if isIface(e.typeOf(x)) {
		return e.expr(x)
	}
	return e.exprTo(x, t)
}
