package main

import (
	"bytes"
	"fmt"
	"go/types"
)

// symbolFile spells the table of pkg's functions, variables and types, of those that keep accepts, under the name of ident. Constants
// are absent, since cells are lowered with their constants' values written out, but for those of bySystem, which have a table of their own.
func symbolFile(pkg *types.Package, ident, head string, keep func(name string) bool) []byte {
	var rows, values bytes.Buffer
	scope := pkg.Scope()
	for _, name := range scope.Names() {
		o := scope.Lookup(name)
		if !o.Exported() || !keep(name) {
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
		case *types.Const:
			if bySystem[pkg.Path()] {
				fmt.Fprintf(&values, "%q: reflect.ValueOf(p.%s),\n", name, name)
			}
		}
	}
	imports := "\"reflect\"\n"
	if rows.Len() > 0 {
		imports += fmt.Sprintf("p %q\n", pkg.Path())
	}
	table := fmt.Sprintf("func %sTable() map[string]reflect.Value {\nreturn map[string]reflect.Value{\n%s}\n}\n", ident, &rows)
	if values.Len() > 0 {
		table += fmt.Sprintf("\nfunc %sConstants() map[string]reflect.Value {\nreturn map[string]reflect.Value{\n%s}\n}\n", ident, &values)
	}
	return gofmt(fmt.Appendf(nil, "%spackage symbols\n\nimport (\n%s)\n\n%s", head, imports, table))
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
