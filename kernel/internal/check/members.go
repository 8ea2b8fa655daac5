package check

import "go/types"

// owner is the named type that declares the methods of t, or nil.
func owner(t types.Type) *types.TypeName {
	if p, ok := types.Unalias(t).(*types.Pointer); ok {
		t = p.Elem()
	}
	if n, ok := types.Unalias(t).(*types.Named); ok {
		return n.Obj()
	}
	return nil
}

// Member is a field or method and the type that declares it.
type Member struct {
	types.Object
	Of *types.TypeName
}

// DocName is what the package's documentation calls m.
func (m Member) DocName() string {
	if m.Of == nil {
		return m.Name()
	}
	return m.Of.Name() + "." + m.Name()
}

// nameable says whether a cell may name o.
func nameable(o types.Object) bool {
	return (o.Exported() || o.Pkg() == nil || o.Pkg().Path() == "main") && o.Name() != "_"
}

// Fields lists the fields that a literal of t, a struct or a pointer to one, can set.
func Fields(t types.Type) (fields []Member) {
	if p, ok := t.Underlying().(*types.Pointer); ok { // an element of []*T
		t = p.Elem()
	}
	s, ok := t.Underlying().(*types.Struct)
	if !ok {
		return nil
	}
	for f := range s.Fields() {
		if nameable(f) {
			fields = append(fields, Member{f, owner(t)})
		}
	}
	return fields
}

// Members lists the fields and methods that x.name can select from an x of type t, promoted ones included, as far as a cell may
// name them.
func Members(t types.Type) []Member {
	var out []Member
	seen := map[string]bool{}
	note := func(o types.Object, of *types.TypeName) {
		if nameable(o) && !seen[o.Name()] {
			seen[o.Name()] = true
			out = append(out, Member{o, of})
		}
	}
	sets := []types.Type{t}
	if _, ok := t.Underlying().(*types.Pointer); !ok && !types.IsInterface(t) {
		sets = append(sets, types.NewPointer(t))
	}
	for _, s := range sets {
		for m := range types.NewMethodSet(s).Methods() {
			f := m.Obj().(*types.Func)
			note(f, owner(f.Signature().Recv().Type()))
		}
	}
	visited := map[types.Type]bool{}
	for level := []types.Type{t}; len(level) > 0; {
		var next []types.Type
		for _, t := range level {
			of := owner(t)
			if p, ok := t.Underlying().(*types.Pointer); ok {
				t = p.Elem()
			}
			s, ok := t.Underlying().(*types.Struct)
			if !ok || visited[t] {
				continue
			}
			visited[t] = true
			for f := range s.Fields() {
				note(f, of)
				if f.Embedded() {
					next = append(next, f.Type())
				}
			}
		}
		level = next
	}
	return out
}
