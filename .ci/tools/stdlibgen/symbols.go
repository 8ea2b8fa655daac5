package main

import (
	"bytes"
	"fmt"
	"go/types"
)

// symbolFile spells the table of pkg's functions, variables and types.
// Constants are absent: cells are lowered with their constants' values written out.
func symbolFile(pkg *types.Package) []byte {
	var rows bytes.Buffer
	scope := pkg.Scope()
	for _, name := range scope.Names() {
		o := scope.Lookup(name)
		if !o.Exported() {
			continue
		}
		switch o := o.(type) {
		case *types.Func:
			if o.Type().(*types.Signature).TypeParams().Len() == 0 {
				fmt.Fprintf(&rows, "%q: reflect.ValueOf(p.%s),\n", name, name)
			}
		case *types.Var:
			fmt.Fprintf(&rows, "%q: reflect.ValueOf(&p.%s).Elem(),\n", name, name)
		case *types.TypeName:
			if generic(o.Type()) || constraint(o.Type()) {
				continue
			}
			fmt.Fprintf(&rows, "%q: reflect.ValueOf((*p.%s)(nil)),\n", name, name)
		}
	}
	imports := "\"reflect\"\n"
	if rows.Len() > 0 {
		imports += fmt.Sprintf("p %q\n", pkg.Path())
	}
	return gofmt(fmt.Appendf(nil, "%spackage symbols\n\nimport (\n%s)\n\nfunc %sTable() map[string]reflect.Value {\nreturn map[string]reflect.Value{\n%s}\n}\n", header, imports, ident(pkg.Path()), &rows))
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
