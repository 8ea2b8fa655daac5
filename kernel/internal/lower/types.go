package lower

import (
	"fmt"
	"go/types"
	"sort"
	"strconv"
	"strings"
)

type subst map[*types.TypeParam]types.Type

func (s subst) apply(t types.Type) types.Type {
	if t == nil || len(s) == 0 {
		return t
	}
	return s.do(t, map[types.Type]types.Type{})
}

func (s subst) do(t types.Type, seen map[types.Type]types.Type) types.Type {
	switch t := t.(type) {
	case *types.TypeParam:
		if r, ok := s[t]; ok {
			return r
		}
		return t
	case *types.Alias:
		return s.do(types.Unalias(t), seen)
	case *types.Basic:
		return t
	case *types.Named:
		ta := t.TypeArgs()
		if ta.Len() == 0 {
			return t
		}
		args := make([]types.Type, ta.Len())
		ch := false
		for i := range args {
			args[i] = s.do(ta.At(i), seen)
			if args[i] != ta.At(i) {
				ch = true
			}
		}
		if !ch {
			return t
		}
		r, err := types.Instantiate(nil, t.Origin(), args, false)
		if err != nil {
			panic(err)
		}
		return r
	case *types.Pointer:
		return types.NewPointer(s.do(t.Elem(), seen))
	case *types.Slice:
		return types.NewSlice(s.do(t.Elem(), seen))
	case *types.Array:
		return types.NewArray(s.do(t.Elem(), seen), t.Len())
	case *types.Map:
		return types.NewMap(s.do(t.Key(), seen), s.do(t.Elem(), seen))
	case *types.Chan:
		return types.NewChan(t.Dir(), s.do(t.Elem(), seen))
	case *types.Tuple:
		return s.tuple(t, seen)
	case *types.Signature:
		return types.NewSignatureType(nil, nil, nil, s.tuple(t.Params(), seen), s.tuple(t.Results(), seen), t.Variadic())
	case *types.Struct:
		var fs []*types.Var
		var tags []string
		for i := 0; i < t.NumFields(); i++ {
			f := t.Field(i)
			fs = append(fs, types.NewField(f.Pos(), f.Pkg(), f.Name(), s.do(f.Type(), seen), f.Embedded()))
			tags = append(tags, t.Tag(i))
		}
		return types.NewStruct(fs, tags)
	case *types.Interface:
		var ms []*types.Func
		for i := 0; i < t.NumExplicitMethods(); i++ {
			m := t.ExplicitMethod(i)
			ms = append(ms, types.NewFunc(m.Pos(), m.Pkg(), m.Name(), s.do(m.Type(), seen).(*types.Signature)))
		}
		var es []types.Type
		for i := 0; i < t.NumEmbeddeds(); i++ {
			es = append(es, s.do(t.EmbeddedType(i), seen))
		}
		r := types.NewInterfaceType(ms, es)
		r.Complete()
		return r
	case *types.Union:
		return t
	}
	panic(fmt.Sprintf("subst: %T", t))
}

func (s subst) tuple(t *types.Tuple, seen map[types.Type]types.Type) *types.Tuple {
	if t == nil {
		return nil
	}
	var vs []*types.Var
	for i := 0; i < t.Len(); i++ {
		v := t.At(i)
		vs = append(vs, types.NewParam(v.Pos(), v.Pkg(), v.Name(), s.do(v.Type(), seen)))
	}
	return types.NewTuple(vs...)
}

// typ writes a (substituted) type.
func (l *Lowerer) typ(t types.Type) string {
	switch t := t.(type) {
	case *types.Alias:
		return l.typ(types.Unalias(t))
	case *types.Basic:
		if t.Info()&types.IsUntyped != 0 {
			if t.Kind() == types.UntypedNil {
				return "any"
			}
			return l.typ(types.Default(t))
		}
		if t.Kind() == types.UnsafePointer {
			return l.imp(rtPath) + ".UnsafePointer"
		}
		return t.Name()
	case *types.Named:
		return l.named(t)
	case *types.Pointer:
		return "*" + l.typ(t.Elem())
	case *types.Slice:
		return "[]" + l.typ(t.Elem())
	case *types.Array:
		return "[" + strconv.FormatInt(t.Len(), 10) + "]" + l.typ(t.Elem())
	case *types.Map:
		return "map[" + l.typ(t.Key()) + "]" + l.typ(t.Elem())
	case *types.Chan:
		switch t.Dir() {
		case types.SendOnly:
			return "chan<- (" + l.typ(t.Elem()) + ")"
		case types.RecvOnly:
			return "<-chan (" + l.typ(t.Elem()) + ")"
		}
		return "chan (" + l.typ(t.Elem()) + ")"
	case *types.Signature:
		if l.canonMode == 0 && l.sigErased(t) {
			return "interface{}"
		}
		return "func" + l.sig(t, nil)
	case *types.Struct:
		var b strings.Builder
		b.WriteString("struct{")
		for i := 0; i < t.NumFields(); i++ {
			f := t.Field(i)
			if i > 0 {
				b.WriteString("; ")
			}
			// embedded fields: keep embedding only when the lowered type name equals field name
			ts := l.typ(f.Type())
			if f.Embedded() {
				base := strings.TrimPrefix(ts, "*")
				if k := strings.LastIndexByte(base, '.'); k >= 0 {
					base = base[k+1:]
				}
				if base == f.Name() {
					b.WriteString(ts)
				} else {
					b.WriteString(f.Name() + " " + ts)
				}
			} else if f.Name() == "_" {
				fmt.Fprintf(&b, "Blank_%d %s", i, ts)
			} else {
				b.WriteString(l.field(f) + " " + ts)
			}
			if tag := t.Tag(i); tag != "" {
				b.WriteString(" " + strconv.Quote(tag))
			}
		}
		b.WriteString("}")
		return b.String()
	case *types.Interface:
		if t.NumMethods() == 0 || l.canonMode == 0 {
			return "interface{}"
		}
		var ms []string
		for i := 0; i < t.NumMethods(); i++ {
			m := t.Method(i)
			ms = append(ms, m.Name()+l.sig(m.Type().(*types.Signature), nil))
		}
		sort.Strings(ms)
		return "interface{" + strings.Join(ms, "; ") + "}"
	case *types.Tuple:
		var ss []string
		for i := 0; i < t.Len(); i++ {
			ss = append(ss, l.typ(t.At(i).Type()))
		}
		return "(" + strings.Join(ss, ", ") + ")"
	}
	panic(fmt.Sprintf("typ: %T %v", t, t))
}

func (l *Lowerer) field(f *types.Var) string {
	return f.Name()
}

func (l *Lowerer) sig(t *types.Signature, names func(v *types.Var) string) string {
	var b strings.Builder
	b.WriteString("(")
	for i := 0; i < t.Params().Len(); i++ {
		p := t.Params().At(i)
		if i > 0 {
			b.WriteString(", ")
		}
		if names != nil {
			b.WriteString(names(p) + " ")
		}
		if t.Variadic() && i == t.Params().Len()-1 {
			if s, ok := types.Unalias(p.Type()).Underlying().(*types.Slice); ok {
				b.WriteString("..." + l.typ(s.Elem()))
			} else {
				b.WriteString(l.typ(p.Type()))
			}
		} else {
			b.WriteString(l.typ(p.Type()))
		}
	}
	b.WriteString(")")
	if r := t.Results(); r.Len() > 0 {
		b.WriteString(" (")
		for i := 0; i < r.Len(); i++ {
			if i > 0 {
				b.WriteString(", ")
			}
			if names != nil && r.At(i).Name() != "" {
				b.WriteString(names(r.At(i)) + " ")
			}
			b.WriteString(l.typ(r.At(i).Type()))
		}
		b.WriteString(")")
	}
	return b.String()
}

func (l *Lowerer) named(t *types.Named) string {
	obj := t.Obj()
	if obj.Pkg() == nil {
		if obj.Name() == "comparable" {
			return "interface{}"
		}
		return obj.Name()
	}
	if !l.isUser(obj.Pkg()) {
		if t.TypeArgs().Len() > 0 {
			panic(l.errf(obj.Pos(), "compiled generic type %v", t))
		}
		return l.imp(obj.Pkg().Path()) + "." + obj.Name()
	}
	key := l.typeKey(t)
	if l.canonMode > 0 {
		return key
	}
	if isIface(t) || l.endless(t) {
		return "interface{}"
	}
	if s, ok := t.Underlying().(*types.Signature); ok && l.sigErased(l.curSb().apply(s).(*types.Signature)) {
		return "interface{}"
	}
	if n, ok := l.typeNames[key]; ok {
		return n.name
	}
	name := l.fresh(obj.Name())
	n := &typeInst{name: name, t: t, env: l.env}
	remember(l, l.typeNames, key, n)
	// compute the local type's substitution: local types inside generic functions
	l.typeQueue = append(l.typeQueue, n)
	return name
}

// key of a named type, including the enclosing instance for local types in generics.
func (l *Lowerer) typeKey(t *types.Named) string {
	s := fmt.Sprintf("%p", t.Origin().Obj())
	if t.TypeArgs().Len() > 0 {
		s += "["
		for i := 0; i < t.TypeArgs().Len(); i++ {
			s += l.canon(t.TypeArgs().At(i)) + ","
		}
		s += "]"
	}
	if ob := t.Obj(); ob.Pkg() != nil && ob.Parent() != ob.Pkg().Scope() && l.env != nil && l.env.instKey != "" && l.env.declares(ob) {
		s += "@" + l.env.instKey
	}
	return s
}

type typeInst struct {
	name string
	t    *types.Named
	env  *fnEnv
	done bool
}

func (l *Lowerer) emitType(n *typeInst) {
	if n.done {
		return
	}
	n.done = true
	save := l.env
	l.env = n.env
	defer func() { l.env = save }()
	var sb subst
	if n.env != nil {
		sb = n.env.sb
	}
	u := sb.apply(n.t.Underlying())
	body := l.typ(u)
	l.declared = append(l.declared, n.name)
	l.types.WriteString("type " + n.name + " " + body + "\n")
}

// endless reports whether t is a type of the user's that leads back to itself by pointers, slices, arrays, maps and channels alone.
// The interpreter cannot hold such a type: its values are held as interface{}, see core and made.
func (l *Lowerer) endless(t types.Type) bool {
	named, ok := types.Unalias(t).(*types.Named)
	if !ok || !l.isUser(named.Obj().Pkg()) {
		return false
	}
	switch named.Underlying().(type) {
	case *types.Pointer, *types.Slice, *types.Map, *types.Chan:
	default:
		return false
	}
	seen := map[types.Type]bool{}
	var leads func(t types.Type) bool
	leads = func(t types.Type) bool {
		t = types.Unalias(t)
		if seen[t] {
			return false
		}
		seen[t] = true
		switch t := t.(type) {
		case *types.Named:
			return types.Identical(t, named) || leads(t.Underlying())
		case *types.Pointer:
			return leads(t.Elem())
		case *types.Slice:
			return leads(t.Elem())
		case *types.Array:
			return leads(t.Elem())
		case *types.Chan:
			return leads(t.Elem())
		case *types.Map:
			return leads(t.Key()) || leads(t.Elem())
		}
		return false
	}
	return leads(named.Underlying())
}

// core spells what a value of an endless type holds: a value of the underlying type, nil for none.
func (l *Lowerer) core(s string, t types.Type) string {
	return l.once("core", t, func(name string) {
		u := l.typ(under(t))
		fmt.Fprintf(&l.funcs, "func %s(x interface{}) %s {\nvar z %s\nif x == nil { return z }\nreturn x.(%s)\n}\n", name, u, u, u)
	}) + "(" + s + ")"
}

// made is the opposite of core.
func (l *Lowerer) made(s string, t types.Type) string {
	return l.once("made", t, func(name string) {
		fmt.Fprintf(&l.funcs, "func %s(x %s) interface{} { return x }\n", name, l.typ(under(t)))
	}) + "(" + s + ")"
}

// once returns the name of the function that does something for a type, which emit writes when it is new.
func (l *Lowerer) once(what string, t types.Type, emit func(name string)) string {
	key := what + l.canon(t)
	if name, ok := l.mts[key]; ok {
		return name
	}
	name := l.fresh(what)
	remember(l, l.mts, key, name)
	emit(name)
	return name
}

func targs(t *types.Named) []types.Type {
	var r []types.Type
	for i := 0; i < t.TypeArgs().Len(); i++ {
		r = append(r, t.TypeArgs().At(i))
	}
	return r
}

func (l *Lowerer) curSb() subst {
	if l.env != nil {
		return l.env.sb
	}
	return nil
}

// sigErased: a function type that is part of a recursive type cannot be built by reflect.FuncOf; it is held as interface{}.
func (l *Lowerer) sigErased(s *types.Signature) bool {
	key := "sig" + l.canon(s)
	if r, ok := l.sigMemo[key]; ok {
		return r
	}
	l.sigMemo[key] = false
	seen := map[types.Type]bool{}
	found := false
	var walk func(t types.Type, top bool)
	walk = func(t types.Type, top bool) {
		if found || t == nil {
			return
		}
		switch t := types.Unalias(t).(type) {
		case *types.Named:
			if t.Obj().Pkg() == nil || !l.isUser(t.Obj().Pkg()) || seen[t] || isIface(t) {
				return
			}
			seen[t] = true
			if len(seen) > 200 {
				return
			}
			walk(t.Underlying(), false)
		case *types.Pointer:
			walk(t.Elem(), false)
		case *types.Slice:
			walk(t.Elem(), false)
		case *types.Array:
			walk(t.Elem(), false)
		case *types.Chan:
			walk(t.Elem(), false)
		case *types.Map:
			walk(t.Key(), false)
			walk(t.Elem(), false)
		case *types.Struct:
			for i := 0; i < t.NumFields(); i++ {
				walk(t.Field(i).Type(), false)
			}
		case *types.Tuple:
			for i := 0; i < t.Len(); i++ {
				walk(t.At(i).Type(), false)
			}
		case *types.Signature:
			if !top && types.Identical(t, s) {
				found = true
				return
			}
			walk(t.Params(), false)
			walk(t.Results(), false)
		}
	}
	walk(s, true)
	l.sigMemo[key] = found
	return found
}
