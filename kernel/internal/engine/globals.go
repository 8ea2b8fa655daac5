package engine

import (
	"reflect"

	"github.com/traefik/yaegi/interp"
)

// globals is the frame of what cells declare at top level. The interpreter itself moves the
// frame to a larger array at each evaluation, under the feet of the goroutines that cells left running: what they read
// then is a data race, and what they write may be lost. Here the frame has room from the start and grows in place.
type globals struct {
	data  reflect.Value // []reflect.Value: the frame
	types reflect.Value // []reflect.Type: the type of each slot of the frame
	used  int           // slots of the frame that have a value

	scopes reflect.Value // map[string]*scope: the declarations of each package
	roots  reflect.Value // []*node: what has been compiled
	tree   tree
}

// frameRoom is how many slots the frame has at first. A cell takes about four.
const frameRoom = 1 << 16

func newGlobals(i *interp.Interpreter) *globals {
	root := reflect.ValueOf(i).Elem()
	g := &globals{
		scopes: field(root, "scopes"),
		roots:  field(root, "roots"),
		data:   field(field(root, "frame").Elem(), "data"),
		types:  field(field(root, "universe").Elem(), "types"),
	}
	g.tree = newTree(g.roots.Type().Elem().Elem())
	g.used = g.data.Len()
	g.grow(frameRoom)
	return g
}

// trim lets go of the syntax and the inner scopes of what has been compiled: the interpreter keeps them for its debugger.
func (g *globals) trim() {
	g.roots.SetZero()
	for _, s := range g.scopes.Seq2() {
		field(s.Elem(), "child").SetZero()
	}
}

// forget removes a declaration: what only it held is garbage when nothing runs it any more.
func (g *globals) forget(name string) {
	if s := g.scopes.MapIndex(reflect.ValueOf("main")); s.IsValid() {
		field(s.Elem(), "sym").SetMapIndex(reflect.ValueOf(name), reflect.Value{})
	}
}

// bare lets go of the syntax of variables: the interpreter looks at it to order their values, and these have none.
func (g *globals) bare(names []string) {
	for _, n := range names {
		if s := g.symbol(n); s.IsValid() {
			field(s.Elem(), "node").SetZero()
		}
	}
}

// symbol is what a name of package main stands for, the zero Value for nothing.
func (g *globals) symbol(name string) reflect.Value {
	if s := g.scopes.MapIndex(reflect.ValueOf("main")); s.IsValid() {
		return field(s.Elem(), "sym").MapIndex(reflect.ValueOf(name))
	}
	return reflect.Value{}
}

// field is the field of an addressable struct of the interpreter, readable and writable.
func field(v reflect.Value, name string) reflect.Value {
	f := v.FieldByIndex(structField(v.Type(), name).Index)
	return reflect.NewAt(f.Type(), f.Addr().UnsafePointer()).Elem()
}

func structField(t reflect.Type, name string) reflect.StructField {
	f, ok := t.FieldByName(name)
	if !ok {
		panic("engine: the interpreter has no field " + name + ": it is of another version than this package was written for")
	}
	return f
}

// grow moves the frame to an array of n slots.
func (g *globals) grow(n int) {
	data := make([]reflect.Value, n)
	copy(data, g.data.Interface().([]reflect.Value))
	g.data.Set(reflect.ValueOf(data))
}

// fill gives the slots that a compilation added their zero values, before the code runs.
func (g *globals) fill() {
	types := g.types.Interface().([]reflect.Type)
	if len(types) > g.data.Len() {
		g.grow(2 * len(types))
	}
	data := g.data.Interface().([]reflect.Value)
	for ; g.used < len(types); g.used++ {
		data[g.used] = reflect.New(types[g.used]).Elem()
	}
}
