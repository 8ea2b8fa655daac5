// Package symbols holds the compiled functions, variables and types that a cell can use, package by package.
package symbols

import (
	"crypto/hkdf"
	"crypto/pbkdf2"
	"hash"
	"hash/maphash"
	"maps"
	"reflect"
	"weak"
)

// Table returns the table of the package with the given import path, made anew.
func Table(path string) (table map[string]reflect.Value, ok bool) {
	p, ok := packages[path]
	if !ok {
		return nil, false
	}
	table = p()
	maps.Copy(table, instances[path])
	if more, ok := unix[path]; ok {
		maps.Copy(table, more.table())
	}
	return table, true
}

// Constants returns the constants of a package whose values differ by system, with those of this one; nil for a package without.
func Constants(path string) map[string]reflect.Value {
	p, ok := constants[path]
	if !ok {
		return nil
	}
	values := p()
	if more, ok := unix[path]; ok {
		maps.Copy(values, more.constants())
	}
	return values
}

// unix is what packages have on Linux and macOS alone.
var unix = map[string]tables{}

type tables struct {
	table, constants func() map[string]reflect.Value
}

// instances are the generic functions that cells can use as they were compiled: for the constraints themselves.
var instances = map[string]map[string]reflect.Value{
	"crypto/hkdf": {
		"Expand": reflect.ValueOf(hkdf.Expand[hash.Hash]), "Extract": reflect.ValueOf(hkdf.Extract[hash.Hash]), "Key": reflect.ValueOf(hkdf.Key[hash.Hash]),
	},
	"crypto/pbkdf2": {"Key": reflect.ValueOf(pbkdf2.Key[hash.Hash])},
	"hash/maphash":  {"Comparable": reflect.ValueOf(maphash.Comparable[any])},
	"weak":          {"Make": reflect.ValueOf(weak.Make[any])},
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
