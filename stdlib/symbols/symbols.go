// Package symbols holds the compiled functions, variables and types that a cell can use, package by package,
// and a wrapper for each interface so that a type declared in a cell can be handed to compiled code.
package symbols

import (
	"reflect"

	"gobayes/stdlib/dynamic"
)

// Package is one compiled package's table. Table is a function so that a package costs nothing before its first import.
type Package struct {
	Table func() map[string]reflect.Value
	Wrap  map[string]Wrapper
}

// Lookup returns the package with the given import path.
func Lookup(path string) (Package, bool) {
	p, ok := packages[path]
	return p, ok
}

// Has reports whether the package with the given import path is bound.
func Has(path string) bool { _, ok := packages[path]; return ok }

// Paths lists the import paths of all bound packages, in no order.
func Paths() []string {
	ps := make([]string, 0, len(packages))
	for p := range packages {
		ps = append(ps, p)
	}
	return ps
}

// Wrapper makes a Value implement a compiled interface that has the given methods.
type Wrapper struct {
	Methods []string
	Make    func(dynamic.Value) any
}

// Wrap returns v in a form that implements the named interface ("error", "io.Reader", "net/http.Handler": import path,
// dot, name), or nil if v lacks one of its methods or the interface is not bound.
func Wrap(v dynamic.Value, path, name string) any {
	if path == "" {
		return wrapError(v)
	}
	w, ok := packages[path].Wrap[name]
	if !ok {
		return nil
	}
	for _, m := range w.Methods {
		if v.Method(m) == nil {
			return nil
		}
	}
	return w.Make(v)
}

// An error of a cell keeps its Unwrap and Is, which package errors looks for.
type (
	wError  struct{ dynamic.Wrapped }
	wErrors struct{ dynamic.Wrapped }
)

func (w wError) Error() string  { return dynamic.Method[func(any) string](w.V, "Error")(w.V.Value()) }
func (w wErrors) Error() string { return dynamic.Method[func(any) string](w.V, "Error")(w.V.Value()) }

func (w wError) Unwrap() error {
	if f, ok := w.V.Method("Unwrap").(func(any) error); ok {
		return f(w.V.Value())
	}
	return nil
}

func (w wErrors) Unwrap() []error {
	return dynamic.Method[func(any) []error](w.V, "Unwrap")(w.V.Value())
}

func (w wError) Is(target error) bool {
	if f, ok := w.V.Method("Is").(func(any, error) bool); ok {
		return f(w.V.Value(), target)
	}
	return false
}

func wrapError(v dynamic.Value) any {
	if v.Method("Error") == nil {
		return nil
	}
	if _, ok := v.Method("Unwrap").(func(any) []error); ok {
		return wErrors{dynamic.Wrapped{V: v}}
	}
	return wError{dynamic.Wrapped{V: v}}
}
