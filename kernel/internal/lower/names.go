package lower

import (
	"fmt"
	"go/types"
	"strconv"
	"strings"
)

// display is a type as a reader of the cell writes it.
func display(t types.Type) string {
	return types.TypeString(t, func(p *types.Package) string { return p.Name() })
}

// runtimeName is a type as %T prints it.
func runtimeName(t types.Type) string {
	switch t := types.Unalias(t).(type) {
	case *types.Named:
		if t.TypeArgs().Len() == 0 {
			return display(t)
		}
		var args []string
		for _, a := range targs(t) {
			args = append(args, runtimeName(a))
		}
		return t.Obj().Pkg().Name() + "." + t.Obj().Name() + "[" + strings.Join(args, ",") + "]"
	case *types.Basic:
		return display(types.Typ[t.Kind()]) // of byte and rune, too
	case *types.Pointer:
		return "*" + runtimeName(t.Elem())
	case *types.Slice:
		return "[]" + runtimeName(t.Elem())
	case *types.Array:
		return fmt.Sprintf("[%d]%s", t.Len(), runtimeName(t.Elem()))
	case *types.Map:
		return "map[" + runtimeName(t.Key()) + "]" + runtimeName(t.Elem())
	case *types.Chan:
		elem := runtimeName(t.Elem())
		if strings.HasPrefix(elem, "<-") {
			elem = "(" + elem + ")"
		}
		return [...]string{types.SendRecv: "chan ", types.SendOnly: "chan<- ", types.RecvOnly: "<-chan "}[t.Dir()] + elem
	case *types.Signature:
		return "func" + runtimeSignature(t)
	case *types.Struct:
		var fs []string
		for i := range t.NumFields() {
			f := t.Field(i)
			s := " " + runtimeName(f.Type())
			if !f.Embedded() {
				s = " " + f.Name() + s
			}
			if tag := t.Tag(i); tag != "" {
				s += " " + strconv.Quote(tag)
			}
			fs = append(fs, s)
		}
		return braces("struct", fs)
	case *types.Interface:
		var ms []string
		for i := range t.NumMethods() {
			m := t.Method(i)
			name := " " + m.Name()
			if !m.Exported() {
				name = " " + m.Pkg().Name() + "." + m.Name()
			}
			ms = append(ms, name+runtimeSignature(m.Signature()))
		}
		return braces("interface", ms)
	}
	return display(t)
}

func braces(kind string, parts []string) string {
	if len(parts) == 0 {
		return kind + " {}"
	}
	return kind + " {" + strings.Join(parts, ";") + " }"
}

// runtimeSignature are the parameters and results of a function type as %T prints them.
func runtimeSignature(t *types.Signature) string {
	list := func(ts *types.Tuple) (names []string) {
		for i := range ts.Len() {
			names = append(names, runtimeName(ts.At(i).Type()))
		}
		return names
	}
	in, out := list(t.Params()), list(t.Results())
	if t.Variadic() {
		in[len(in)-1] = "..." + strings.TrimPrefix(in[len(in)-1], "[]")
	}
	s := "(" + strings.Join(in, ", ") + ")"
	switch len(out) {
	case 0:
		return s
	case 1:
		return s + " " + out[0]
	}
	return s + " (" + strings.Join(out, ", ") + ")"
}
