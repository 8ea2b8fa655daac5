package lower

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"sort"
	"strconv"
	"strings"
)

// compiledIface reports whether t is an interface type declared by compiled code (error included).
func (l *Lowerer) compiledIface(t types.Type) bool {
	n, ok := types.Unalias(t).(*types.Named)
	if !ok || !isIface(t) {
		return false
	}
	if n.Obj().Pkg() == nil {
		return n.Obj().Name() == "error"
	}
	return !l.isUser(n.Obj().Pkg()) && n.Underlying().(*types.Interface).NumMethods() > 0
}

// tainted: the dynamic type cannot be told from the reflect type yaegi gives it.
func (l *Lowerer) tainted(t types.Type) bool {
	switch t := types.Unalias(t).(type) {
	case *types.Named:
		if t.Obj().Pkg() == nil {
			return false
		}
		return l.isUser(t.Obj().Pkg())
	case *types.Pointer:
		return l.tainted(t.Elem())
	case *types.Slice:
		return l.tainted(t.Elem())
	case *types.Array:
		return l.tainted(t.Elem())
	case *types.Chan:
		return l.tainted(t.Elem())
	case *types.Map:
		return l.tainted(t.Elem()) || l.tainted(t.Key())
	case *types.Signature:
		return l.tainted(t.Params()) || l.tainted(t.Results())
	case *types.Tuple:
		for i := 0; i < t.Len(); i++ {
			if l.tainted(t.At(i).Type()) {
				return true
			}
		}
	case *types.Struct:
		for i := 0; i < t.NumFields(); i++ {
			if l.tainted(t.Field(i).Type()) || t.Field(i).Embedded() || !t.Field(i).Exported() {
				return true
			}
		}
	case *types.Interface:
		return t.NumMethods() > 0
	}
	return false
}

// canon is a unique spelling of a type (interfaces are not erased).
func (l *Lowerer) canon(t types.Type) string {
	l.canonMode++
	defer func() { l.canonMode-- }()
	return l.typ(t)
}

// td returns the global that holds the run-time descriptor of t.
func (l *Lowerer) td(t types.Type) string {
	key := l.canon(t)
	if s, ok := l.tds[key]; ok {
		return s
	}
	s := l.fresh("td")
	remember(l, l.tds, key, s)
	rt := l.imp(rtPath)
	l.global(s, "*"+rt+".TD")
	pkg := ""
	if n, ok := types.Unalias(t).(*types.Named); ok {
		pkg = n.Obj().Pkg().Name()
	}
	fmt.Fprintf(&l.tdMake, "%s = %s.NewTD(%q, %q, %s)\n", s, rt, runtimeName(t), pkg, l.nilPointer(t))
	l.tdQueue = append(l.tdQueue, &tdInst{s, t, l.env})
	return s
}

// nilPointer spells a nil pointer to what a value of type t is inside an interface.
func (l *Lowerer) nilPointer(t types.Type) string {
	ts := l.typ(t)
	if l.endless(t) {
		ts = l.typ(under(t))
	} else if sg, ok := under(t).(*types.Signature); ok {
		ts = "func" + l.sig(sg, nil) // also where it is held as interface{}
	}
	return "(*" + ts + ")(nil)"
}

type tdInst struct {
	name string
	t    types.Type
	env  *fnEnv
}

func (l *Lowerer) emitTD(d *tdInst) {
	save := l.env
	l.env = d.env
	defer func() { l.env = save }()
	rt := l.imp(rtPath)
	sub := func(t types.Type) string {
		if l.tainted(t) && !l.compiledIface(t) {
			return l.td(t)
		}
		return "nil"
	}
	w := &l.tdInit
	elem := func(t types.Type) {
		if s := sub(t); s != "nil" {
			fmt.Fprintf(w, "%s.SetElem(%s, %s)\n", rt, d.name, s)
		}
	}
	u := l.under(d.t)
	switch u := u.(type) {
	case *types.Pointer:
		elem(u.Elem())
	case *types.Slice:
		elem(u.Elem())
	case *types.Array:
		elem(u.Elem())
	case *types.Chan:
		elem(u.Elem())
	case *types.Map:
		elem(u.Elem())
		if s := sub(u.Key()); s != "nil" {
			fmt.Fprintf(w, "%s.SetKey(%s, %s)\n", rt, d.name, s)
		}
	case *types.Struct:
		for i := 0; i < u.NumFields(); i++ {
			f := u.Field(i)
			fmt.Fprintf(w, "%s.AddField(%s, %q, %s, %t, %q)\n", rt, d.name, f.Name(), sub(f.Type()), f.Embedded(), u.Tag(i))
		}
	case *types.Signature:
		for _, ps := range []*types.Tuple{u.Params(), u.Results()} {
			for i := range ps.Len() {
				fmt.Fprintf(w, "%s.AddParam(%s, %s)\n", rt, d.name, sub(ps.At(i).Type()))
			}
		}
	}
	if isIface(d.t) {
		return
	}
	ms := types.NewMethodSet(d.t)
	if p := types.NewPointer(d.t); types.NewMethodSet(p).Len() > ms.Len() {
		fmt.Fprintf(w, "%s.SetPointer(%s, %s)\n", rt, d.name, l.td(p))
	}
	for i := 0; i < ms.Len(); i++ {
		sel := ms.At(i)
		m := sel.Obj().(*types.Func)
		if !l.isUser(m.Pkg()) && !m.Exported() {
			continue
		}
		sig := sel.Type().(*types.Signature)
		if !l.spellable(sig) { // SyscallConn of an embedded file
			continue
		}
		tbl := l.mtable(m.Name(), m.Pkg(), sig)
		_, args, hdr, res := l.paramList(sig)
		ret := ""
		if res != "" {
			ret = "return "
		}
		fn := l.methodCall("v", d.t, m.Name(), m.Pkg())
		body := ret + fn.call(args)
		unbox := "v := r.(" + l.typ(d.t) + ")"
		if l.typ(d.t) == "interface{}" {
			unbox = "v := r"
		}
		if st, ok := u.(*types.Struct); ok && st.NumFields() == 0 {
			unbox = "var v " + l.typ(d.t)
		}
		lit := fmt.Sprintf("func(r interface{}%s)%s {\n%s\n_ = v\n%s\n}", pre(hdr), res, unbox, body)
		f := l.fresh("m_" + m.Name())
		fmt.Fprintf(&l.funcs, "func %s%s\n", f, lit[4:])
		fmt.Fprintf(w, "%s[%s] = %s\n", tbl, d.name, f)
		if m.Exported() {
			fmt.Fprintf(w, "%s.SetMethod(%s, %q, %s, %s)\n", rt, d.name, m.Name(), f, sub(noResNames(sig)))
		}
	}
}

func pre(h string) string {
	if h == "" {
		return ""
	}
	return ", " + h
}

// paramList spells parameters a1.. with types, the argument list, and the results.
func (l *Lowerer) paramList(sig *types.Signature) (names, args []string, hdr, res string) {
	var hs []string
	n := sig.Params().Len()
	for i := 0; i < n; i++ {
		a := fmt.Sprintf("a%d", i+1)
		t := sig.Params().At(i).Type()
		if sig.Variadic() && i == n-1 {
			if s, ok := under(t).(*types.Slice); ok {
				hs = append(hs, a+" ..."+l.typ(s.Elem()))
				args = append(args, a+"...")
				names = append(names, a)
				continue
			}
		}
		hs = append(hs, a+" "+l.typ(t))
		names = append(names, a)
		args = append(args, a)
	}
	if sig.Results().Len() > 0 {
		res = " " + l.typ(sig.Results())
	}
	return names, args, strings.Join(hs, ", "), res
}

// mcall is a resolved method call: fn(recv, args) or recv.name(args).
type mcall struct{ fn, recv string }

func (m mcall) call(args []string) string {
	if m.recv != "" {
		return m.fn + "(" + strings.Join(append([]string{m.recv}, args...), ", ") + ")"
	}
	return m.fn + "(" + strings.Join(args, ", ") + ")"
}

// methodCall resolves method name on a value spelled base of type t (addressable when not a pointer).
func (l *Lowerer) methodCall(base string, t types.Type, name string, pkg *types.Package) mcall {
	o, ix, _ := types.LookupFieldOrMethod(t, true, pkg, name)
	if o == nil {
		panic(failure{fmt.Sprintf("no method %s in %v", name, t)})
	}
	cur := t
	path := base
	for k, i := range ix {
		if k == len(ix)-1 {
			break
		}
		u := l.under(cur)
		if p, ok := u.(*types.Pointer); ok {
			u = l.under(p.Elem())
		}
		f := u.(*types.Struct).Field(i)
		if !f.Exported() && !l.isUser(f.Pkg()) { // what compiled code promotes through a field that cells cannot reach
			return mcall{fn: path + "." + name}
		}
		path += "." + l.field(f)
		cur = f.Type()
	}
	m := o.(*types.Func)
	if isIface(cur) {
		if l.compiledIface(cur) {
			return mcall{fn: path + "." + name}
		}
		return mcall{fn: l.dispatch(name, pkg, m.Type().(*types.Signature)), recv: path}
	}
	if !l.isUser(m.Pkg()) {
		return mcall{fn: path + "." + name}
	}
	rt := m.Origin().Type().(*types.Signature).Recv().Type()
	_, ptrRecv := types.Unalias(rt).(*types.Pointer)
	_, isPtr := types.Unalias(cur).(*types.Pointer)
	nt := cur
	if isPtr {
		nt = types.Unalias(cur).(*types.Pointer).Elem()
	}
	fn := l.methodName(m, types.Unalias(nt).(*types.Named))
	switch {
	case ptrRecv && !isPtr:
		path = "&" + path
	case !ptrRecv && isPtr:
		path = "*" + path
	}
	return mcall{fn: fn, recv: path}
}

func (l *Lowerer) methodName(m *types.Func, nt *types.Named) string {
	m = m.Origin()
	key := fmt.Sprintf("%p@", m) + l.typeKey(nt)
	if n, ok := l.fnNames[key]; ok {
		return n
	}
	name := l.fresh(nt.Obj().Name() + "_" + m.Name())
	remember(l, l.fnNames, key, name)
	fd := l.decl(m)
	if fd == nil {
		panic(l.errf(m.Pos(), "no source for %v", m))
	}
	l.fnQueue = append(l.fnQueue, &fnInst{decl: fd, obj: m, name: name, targs: targs(nt), key: key})
	return name
}

func (l *Lowerer) sigKey(name string, pkg *types.Package, sig *types.Signature) string {
	k := name
	if !token.IsExported(name) && pkg != nil {
		k = pkg.Path() + "." + name
	}
	return k + l.canon(noResNames(sig))
}

func (l *Lowerer) mtable(name string, pkg *types.Package, sig *types.Signature) string {
	key := l.sigKey(name, pkg, sig)
	if s, ok := l.mts[key]; ok {
		return s
	}
	s := l.fresh("mt_" + name)
	remember(l, l.mts, key, s)
	_, _, hdr, res := l.paramList(sig)
	rt := l.imp(rtPath)
	l.global(s, fmt.Sprintf("map[*%s.TD]func(r interface{}%s)%s", rt, pre(hdr), res))
	fmt.Fprintf(&l.tdMake, "%s = map[*%s.TD]func(r interface{}%s)%s{}\n", s, rt, pre(hdr), res)
	return s
}

func (l *Lowerer) dispatch(name string, pkg *types.Package, sig *types.Signature) string {
	key := "d" + l.sigKey(name, pkg, sig)
	if s, ok := l.mts[key]; ok {
		return s
	}
	s := l.fresh("d_" + name)
	remember(l, l.mts, key, s)
	tbl := l.mtable(name, pkg, sig)
	_, args, hdr, res := l.paramList(sig)
	rt := l.imp(rtPath)
	ret, after := "return ", ""
	if res == "" {
		ret, after = "", "return\n"
	}
	nat := fmt.Sprintf("%s%s.MethodOf(x, %q).(func(%s)%s)(%s)", ret, rt, name, stripNames(l, sig), res, strings.Join(args, ", "))
	if l.tainted(sig) || !token.IsExported(name) {
		nat = rt + ".NilPanic()\npanic(\"unreachable\")"
	}
	fmt.Fprintf(&l.funcs, "func %s(x interface{}%s)%s {\nt, v := %s.Split(x)\nif t != nil {\n%s%s[t](%s)\n%s}\n%s\n}\n", s, pre(hdr), res, rt, ret, tbl, strings.Join(append([]string{"v"}, args...), ", "), after, nat)
	return s
}

func stripNames(l *Lowerer, sig *types.Signature) string {
	var hs []string
	n := sig.Params().Len()
	for i := 0; i < n; i++ {
		t := sig.Params().At(i).Type()
		if sig.Variadic() && i == n-1 {
			if s, ok := under(t).(*types.Slice); ok {
				hs = append(hs, "..."+l.typ(s.Elem()))
				continue
			}
		}
		hs = append(hs, l.typ(t))
	}
	return strings.Join(hs, ", ")
}

func (l *Lowerer) under(t types.Type) types.Type {
	return types.Unalias(t).Underlying()
}

func (l *Lowerer) ifaceMethods(t types.Type) []*types.Func {
	it := under(t).(*types.Interface)
	var ms []*types.Func
	for i := 0; i < it.NumMethods(); i++ {
		ms = append(ms, it.Method(i))
	}
	sort.Slice(ms, func(i, j int) bool { return ms[i].Name() < ms[j].Name() })
	return ms
}

// box spells the interface form of concrete value s of type t.
func (l *Lowerer) box(s string, t types.Type) string {
	rt := l.imp(rtPath)
	if l.endless(t) {
		s = l.core(s, t)
	}
	return rt + ".Mk(" + l.td(t) + ", " + s + ")"
}

// convert makes the conversion of s from type from to type to explicit.
func (l *Lowerer) convert(s string, from, to types.Type) string {
	if to == nil || from == nil {
		return s
	}
	if !isIface(to) {
		switch held, wanted := l.endless(from), l.endless(to); {
		case held && !wanted:
			return l.core(s, from)
		case wanted && !held:
			return l.made(s, to)
		}
		return s
	}
	if b, ok := from.(*types.Basic); ok {
		if b.Kind() == types.UntypedNil {
			return l.nilOf(to)
		}
		if b.Info()&types.IsUntyped != 0 {
			from = types.Default(b)
		}
	}
	switch {
	case !isIface(from) && l.tainted(from):
		s = l.box(s, from)
	case !isIface(from) && strings.IndexAny(strings.TrimLeft(s, "("), "!-^+") == 0: // the interpreter loses the result of such an operator in an interface
		return l.typ(from) + "(" + s + ")"
	case !isIface(from):
		return s
	}
	if l.compiledIface(to) && !types.Identical(from, to) {
		return l.wrapTo(s, to)
	}
	return s
}

// nilOf spells nil as an interface's value. The interpreter knows no type for a plain nil that stands for a compiled interface.
func (l *Lowerer) nilOf(t types.Type) string {
	if t == nil || !l.compiledIface(t) || types.Identical(t, universeError) {
		return "nil"
	}
	return l.once("nil", t, func(name string) { l.global(name, l.typ(t)) })
}

var universeError = types.Universe.Lookup("error").Type()

// wrapTo spells the conversion of an interface's value to a compiled interface that it implements.
func (l *Lowerer) wrapTo(s string, to types.Type) string {
	return l.once("wrap", to, func(name string) {
		ts := l.typ(to)
		fmt.Fprintf(&l.funcs, "func %s(x interface{}) %s {\nif x == nil { var z %s; return z }\nz, ok := x.(%s)\n_ = ok\nreturn z\n}\n", name, ts, ts, ts)
	}) + "(" + s + ")"
}

// assert returns the two-result assertion function from the erased form to t.
func (l *Lowerer) assert(t types.Type) string {
	return l.once("as", t, func(name string) { l.emitAssert(name, t) })
}

func (l *Lowerer) emitAssert(h string, t types.Type) {
	rt := l.imp(rtPath)
	ts := l.typ(t)
	switch {
	case isIface(t) && !l.compiledIface(t):
		ms := l.ifaceMethods(t)
		if len(ms) == 0 {
			fmt.Fprintf(&l.funcs, "func %s(x interface{}) (interface{}, bool) { return x, x != nil }\n", h)
			break
		}
		var c, n string
		for _, m := range ms {
			c += fmt.Sprintf("_, ok = %s[t]\nif !ok { return nil, false }\n", l.mtable(m.Name(), m.Pkg(), m.Type().(*types.Signature)))
			n += ", " + strconv.Quote(m.Name())
		}
		fmt.Fprintf(&l.funcs, "func %s(x interface{}) (interface{}, bool) {\nif x == nil { return nil, false }\nt, _ := %s.Split(x)\nif t != nil {\nok := false\n%sreturn x, true\n}\nif %s.HasMethods(x%s) { return x, true }\nreturn nil, false\n}\n", h, rt, c, rt, n)
	case l.tainted(t):
		val := "v.(" + ts + ")"
		if ts == "interface{}" {
			val = "v"
		}
		if st, ok := under(t).(*types.Struct); ok && st.NumFields() == 0 {
			val = "z"
		}
		fmt.Fprintf(&l.funcs, "func %s(x interface{}) (%s, bool) {\nvar z %s\nv, ok := %s.As(x, %s)\n_ = v\nif ok { return %s, true }\nreturn z, false\n}\n", h, ts, ts, rt, l.td(t), val)
	default:
		absent := ""
		if isIface(t) { // the interpreter's own assertion of nil to some of them is a nil dereference
			absent = fmt.Sprintf("if x == nil { var z %s; return z, false }\n", ts)
		}
		exact := ""
		switch types.Unalias(t).(type) {
		case *types.Named, *types.Basic, *types.Interface:
		default: // the interpreter's own assertion takes what is assignable for the same
			exact = fmt.Sprintf("if ok && !%s.Holds(x, (*%s)(nil)) { var none %s; return none, false }\n", rt, ts, ts)
		}
		fmt.Fprintf(&l.funcs, "func %s(x interface{}) (%s, bool) {\n%sz, ok := x.(%s)\n%sreturn z, ok\n}\n", h, ts, absent, ts, exact)
	}
}

// must returns the assertion function from the erased form to t that panics; it wants the name of the type that x has in the
// source, too.
func (l *Lowerer) must(t types.Type) string {
	return l.once("must", t, func(name string) {
		methods := ""
		if isIface(t) {
			for _, m := range l.ifaceMethods(t) {
				methods += ", " + strconv.Quote(m.Name())
			}
		}
		fmt.Fprintf(&l.funcs, "func %s(x interface{}, from string) %s {\nv, ok := %s(x)\nif !ok { panic(%s.AssertErr(x, from, %q, %t%s)) }\nreturn v\n}\n", name, l.typ(t), l.assert(t), l.imp(rtPath), runtimeName(t), isIface(t), methods)
	})
}

// methodFunc resolves the callee of a method call expression.
func (e *fnEnv) methodSel(f *ast.SelectorExpr) (types.Type, *types.Func, bool) {
	if id, ok := ast.Unparen(f.X).(*ast.Ident); ok {
		if _, ok := e.info.Uses[id].(*types.PkgName); ok {
			return nil, nil, false
		}
	}
	if e.info.Types[f.X].IsType() {
		return nil, nil, false
	}
	t := e.typeOf(f.X)
	o, _ := e.lookup(t, f.Sel.Name, e.packageOf(f.Sel))
	m, ok := o.(*types.Func)
	return t, m, ok
}
