// Package symbols holds the compiled functions, variables and types that a cell can use, package by package.
package symbols

import "reflect"

// Lookup returns the table of the package with the given import path. It is a function so that a package costs nothing before its first
// import.
func Lookup(path string) (table func() map[string]reflect.Value, ok bool) {
	table, ok = packages[path]
	return table, ok
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
