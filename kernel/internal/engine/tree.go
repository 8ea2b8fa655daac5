package engine

import (
	"reflect"
	"unsafe"

	"github.com/traefik/yaegi/interp"
)

// tree reads the syntax trees of the interpreter, whose nodes it knows by the offsets of their fields.
type tree struct {
	node                            reflect.Type
	child, ancestor, start, funcDef uintptr // funcDef: the scope, which leads to the function that a node is of
}

func newTree(node reflect.Type) tree {
	offset := func(name string) uintptr { return structField(node, name).Offset }
	return tree{node, offset("child"), offset("anc"), offset("start"), offset("scope")}
}

func (t *tree) children(n unsafe.Pointer) []unsafe.Pointer {
	return *(*[]unsafe.Pointer)(unsafe.Add(n, t.child))
}

// cut takes the node at which each function begins off its ancestors. In every function that a panic passes the interpreter
// searches them and all below them for where the panic began, the larger the cell the longer, and never finds it.
// What has been compiled and run does not need them; only of a function literal the name of the function around is asked for.
func (t *tree) cut(p *interp.Program) {
	var visit func(n unsafe.Pointer)
	visit = func(n unsafe.Pointer) {
		cs := t.children(n)
		if len(cs) == functionParts && cs[functionParts-1] != nil {
			t.cutStart(cs[functionParts-1])
		}
		for _, c := range cs {
			visit(c)
		}
	}
	visit(field(reflect.ValueOf(p).Elem(), "root").UnsafePointer())
}

// functionParts is how many children the node of a function has, of which the last is the body; that a loop with all its
// clauses has as many does no harm.
const functionParts = 4

func (t *tree) cutStart(body unsafe.Pointer) {
	start := *(*unsafe.Pointer)(unsafe.Add(body, t.start))
	if start == nil {
		return
	}
	ancestor := (*unsafe.Pointer)(unsafe.Add(start, t.ancestor))
	if *ancestor == nil || len(t.children(start)) != functionParts {
		*ancestor = nil
		return
	}
	alone := reflect.New(t.node).UnsafePointer()
	*(*unsafe.Pointer)(unsafe.Add(alone, t.funcDef)) = *(*unsafe.Pointer)(unsafe.Add(*ancestor, t.funcDef))
	*ancestor = alone
}
