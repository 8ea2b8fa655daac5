package main

import (
	"bytes"
	"fmt"
	"go/types"
	"slices"
	"strings"
)

// symbolFile spells the table of pkg's functions, variables and types, and a wrapper for each interface that code in a cell may implement.
// Constants are absent: cells are lowered with their constants' values written out.
func symbolFile(pkg *types.Package) []byte {
	f := &file{pkg: pkg, alias: map[string]string{}}
	var rows []string
	wraps := map[string]string{}
	scope := pkg.Scope()
	for _, name := range scope.Names() {
		o := scope.Lookup(name)
		if !o.Exported() {
			continue
		}
		switch o := o.(type) {
		case *types.Func:
			if o.Type().(*types.Signature).TypeParams().Len() == 0 {
				rows = append(rows, fmt.Sprintf("%q: reflect.ValueOf(%s.%s),", name, f.use(pkg), name))
			}
		case *types.Var:
			rows = append(rows, fmt.Sprintf("%q: reflect.ValueOf(&%s.%s).Elem(),", name, f.use(pkg), name))
		case *types.TypeName:
			if generic(o.Type()) || !types.IsInterface(o.Type()) && constraint(o.Type()) {
				continue
			}
			if it, ok := o.Type().Underlying().(*types.Interface); ok && !it.IsMethodSet() {
				continue
			}
			rows = append(rows, fmt.Sprintf("%q: reflect.ValueOf((*%s.%s)(nil)),", name, f.use(pkg), name))
			if w := f.wrapper(o); w != "" {
				wraps[name] = w
			}
		}
	}
	var b bytes.Buffer
	b.WriteString(header + "package symbols\n\nimport (\n\"reflect\"\n")
	var paths []string
	for p := range f.alias {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	for _, p := range paths {
		fmt.Fprintf(&b, "%s %q\n", f.alias[p], p)
	}
	if len(wraps) > 0 {
		b.WriteString("\"gobayes/stdlib/dynamic\"\n")
	}
	id := ident(pkg.Path())
	fmt.Fprintf(&b, ")\n\nfunc %sTable() map[string]reflect.Value {\nreturn map[string]reflect.Value{\n%s\n}\n}\n\n", id, strings.Join(rows, "\n"))
	names := make([]string, 0, len(wraps))
	for n := range wraps {
		names = append(names, n)
	}
	slices.Sort(names)
	fmt.Fprintf(&b, "var %sWrap = map[string]Wrapper{\n", id)
	for _, n := range names {
		fmt.Fprintf(&b, "%q: {%s, func(v dynamic.Value) any { return w_%s_%s{dynamic.Wrapped{V: v}} }},\n", n, methodNames(scope.Lookup(n).Type()), id, n)
	}
	b.WriteString("}\n")
	for _, n := range names {
		b.WriteString("\n" + wraps[n])
	}
	return gofmt(b.Bytes())
}

func methodNames(t types.Type) string {
	it := t.Underlying().(*types.Interface)
	var ms []string
	for i := range it.NumMethods() {
		ms = append(ms, fmt.Sprintf("%q", it.Method(i).Name()))
	}
	return "[]string{" + strings.Join(ms, ", ") + "}"
}

// file gives each imported package an alias.
type file struct {
	pkg   *types.Package
	alias map[string]string
}

func (f *file) use(p *types.Package) string {
	if f.alias[p.Path()] == "" {
		f.alias[p.Path()] = "p_" + ident(p.Path())
	}
	return f.alias[p.Path()]
}

func generic(t types.Type) bool {
	switch t := t.(type) {
	case *types.Named:
		return t.TypeParams().Len() > 0
	case *types.Alias:
		return t.TypeParams().Len() > 0
	}
	return false
}

func constraint(t types.Type) bool {
	it, ok := t.Underlying().(*types.Interface)
	return ok && !it.IsMethodSet()
}

// wrapper spells a compiled type whose methods call those of an interpreted value; "" when some method cannot be spelled.
func (f *file) wrapper(o *types.TypeName) string {
	it, ok := o.Type().Underlying().(*types.Interface)
	if !ok || it.NumMethods() == 0 {
		return ""
	}
	for i := range it.NumMethods() {
		m := it.Method(i)
		if !m.Exported() || !spellable(m.Type(), map[types.Type]bool{}) {
			return ""
		}
	}
	name := "w_" + ident(f.pkg.Path()) + "_" + o.Name()
	var b strings.Builder
	fmt.Fprintf(&b, "type %s struct{ dynamic.Wrapped }\n", name)
	q := func(p *types.Package) string { return f.use(p) }
	for i := range it.NumMethods() {
		m := it.Method(i)
		sig := m.Type().(*types.Signature)
		var ps, ts, as []string
		for j := range sig.Params().Len() {
			t := types.TypeString(sig.Params().At(j).Type(), q)
			a := fmt.Sprintf("a%d", j)
			as = append(as, a)
			if sig.Variadic() && j == sig.Params().Len()-1 {
				t = "..." + strings.TrimPrefix(t, "[]")
				as[j] += "..."
			}
			ps = append(ps, a+" "+t)
			ts = append(ts, t)
		}
		var rs []string
		for j := range sig.Results().Len() {
			rs = append(rs, types.TypeString(sig.Results().At(j).Type(), q))
		}
		res, ret := "", ""
		if len(rs) > 0 {
			res, ret = " ("+strings.Join(rs, ", ")+")", "return "
		}
		fmt.Fprintf(&b, "func (w %s) %s(%s)%s {\n%sdynamic.Method[func(%s)%s](w.V, %q)(%s)\n}\n", name, m.Name(), strings.Join(ps, ", "), res,
			ret, strings.Join(append([]string{"any"}, ts...), ", "), res, m.Name(), strings.Join(append([]string{"w.V.Value()"}, as...), ", "))
	}
	return b.String()
}

// spellable says whether code of another package can name t.
func spellable(t types.Type, seen map[types.Type]bool) bool {
	if seen[t] {
		return true
	}
	seen[t] = true
	switch t := t.(type) {
	case *types.Named:
		p := t.Obj().Pkg()
		for i := range t.TypeArgs().Len() {
			if !spellable(t.TypeArgs().At(i), seen) {
				return false
			}
		}
		return p == nil || t.Obj().Exported() && !skipPart(p.Path())
	case *types.Alias:
		p := t.Obj().Pkg()
		return p == nil || t.Obj().Exported() && !skipPart(p.Path())
	case *types.Pointer:
		return spellable(t.Elem(), seen)
	case *types.Slice:
		return spellable(t.Elem(), seen)
	case *types.Array:
		return spellable(t.Elem(), seen)
	case *types.Chan:
		return spellable(t.Elem(), seen)
	case *types.Map:
		return spellable(t.Key(), seen) && spellable(t.Elem(), seen)
	case *types.Signature:
		return spellable(t.Params(), seen) && spellable(t.Results(), seen)
	case *types.Tuple:
		for i := range t.Len() {
			if !spellable(t.At(i).Type(), seen) {
				return false
			}
		}
	case *types.Struct:
		for i := range t.NumFields() {
			if !t.Field(i).Exported() || !spellable(t.Field(i).Type(), seen) {
				return false
			}
		}
	case *types.Interface:
		for i := range t.NumMethods() {
			if !t.Method(i).Exported() || !spellable(t.Method(i).Type(), seen) {
				return false
			}
		}
	}
	return true
}
