package main

import (
	"go/build"
	"go/importer"
	"go/token"
	"go/types"
	"log"
	"maps"
	"slices"
)

// bySystem are the packages whose constants differ by system: their values are those of the system that the kernel is built for.
var bySystem = map[string]bool{"os": true, "path/filepath": true, "runtime": true, "syscall": true}

// portable returns the exported names of a package that mean the same in the scope of each system, but for the values of constants.
func portable(scopes ...*types.Scope) map[string]bool {
	first := meanings(scopes[0])
	same := map[string]bool{}
	for name := range first {
		same[name] = true
	}
	for _, scope := range scopes[1:] {
		says := meanings(scope)
		maps.DeleteFunc(same, func(name string, _ bool) bool { return says[name] != first[name] })
	}
	for before := -1; len(same) != before; { // what mentions a type that differs differs, too
		before = len(same)
		maps.DeleteFunc(same, func(name string, _ bool) bool {
			return slices.ContainsFunc(scopes, func(scope *types.Scope) bool {
				o := scope.Lookup(name)
				return mentions(o, func(t *types.TypeName) bool { return t.Pkg() == o.Pkg() && !same[t.Name()] })
			})
		})
	}
	return same
}

// meanings spells each exported name of a package: constants without their values, types with what they are made of.
func meanings(scope *types.Scope) map[string]string {
	says := map[string]string{}
	for _, name := range scope.Names() {
		o := scope.Lookup(name)
		if !o.Exported() {
			continue
		}
		switch o := o.(type) {
		case *types.Func:
			says[name] = nameless(o)
		case *types.TypeName:
			says[name] = types.ObjectString(o, nil)
			ms := types.NewMethodSet(types.NewPointer(o.Type()))
			for i := range ms.Len() {
				says[name] += ";" + nameless(ms.At(i).Obj())
			}
		default:
			says[name] = o.Type().String()
		}
	}
	return says
}

// nameless spells a function without the names of its parameters.
func nameless(f types.Object) string {
	sig := f.Type().(*types.Signature)
	bare := func(ts *types.Tuple) *types.Tuple {
		var vs []*types.Var
		for v := range ts.Variables() {
			vs = append(vs, types.NewParam(token.NoPos, nil, "", v.Type()))
		}
		return types.NewTuple(vs...)
	}
	return f.Name() + types.NewSignatureType(nil, nil, nil, bare(sig.Params()), bare(sig.Results()), sig.Variadic()).String()
}

// mentions reports whether a type that o is spelled with is as asked.
func mentions(o types.Object, is func(*types.TypeName) bool) bool {
	seen := map[types.Type]bool{}
	var visit func(t types.Type) bool
	tuple := func(ts *types.Tuple) bool {
		for i := range ts.Len() {
			if visit(ts.At(i).Type()) {
				return true
			}
		}
		return false
	}
	visit = func(t types.Type) bool {
		if seen[t] {
			return false
		}
		seen[t] = true
		switch t := t.(type) {
		case *types.Named:
			return is(t.Obj())
		case *types.Pointer:
			return visit(t.Elem())
		case *types.Slice:
			return visit(t.Elem())
		case *types.Array:
			return visit(t.Elem())
		case *types.Chan:
			return visit(t.Elem())
		case *types.Map:
			return visit(t.Key()) || visit(t.Elem())
		case *types.Signature:
			return tuple(t.Params()) || tuple(t.Results())
		case *types.Struct:
			for i := range t.NumFields() {
				if visit(t.Field(i).Type()) {
					return true
				}
			}
		}
		return false
	}
	if _, ok := o.(*types.TypeName); ok {
		return visit(o.Type().Underlying())
	}
	return visit(o.Type())
}

// source is the scope of a package of std for a system, type-checked from its source.
func source(system, path string) *types.Scope {
	defer func(c build.Context) { build.Default = c }(build.Default)
	build.Default.GOOS, build.Default.GOARCH, build.Default.CgoEnabled = system, "amd64", false
	p, err := importer.ForCompiler(token.NewFileSet(), "source", nil).Import(path)
	if err != nil {
		log.Fatal(err)
	}
	return p.Scope()
}
