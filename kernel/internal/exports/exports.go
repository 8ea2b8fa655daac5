// Package exports imports packages for the type checker: compiled ones from embedded export data, the generic packages
// of std from embedded source. No toolchain is needed.
package exports

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"reflect"
	"sort"
	"strings"

	"gobayes/stdlib"
	"gobayes/stdlib/symbols"

	"golang.org/x/tools/go/gcexportdata"
)

// Package is a type-checked package whose syntax is at hand: a generic package of std, or a cell.
type Package struct {
	Types *types.Package
	Info  *types.Info
	Files []*ast.File
}

// Importer implements types.Importer. It is not safe for concurrent use.
type Importer struct {
	Fset *token.FileSet
	// Context makes identical instances of a generic type the same object in every package.
	Context *types.Context

	packages map[string]*types.Package
	sources  map[*types.Package]*Package
	generics bool                      // cmp, iter, slices and maps are loaded
	imported map[string]*types.Package // what Import returned: with the source of generic declarations in place of their compiled form
	merging  bool
}

// New returns an importer that records positions in fset.
func New(fset *token.FileSet) *Importer {
	return &Importer{Fset: fset, Context: types.NewContext(), packages: map[string]*types.Package{}, imported: map[string]*types.Package{}, sources: map[*types.Package]*Package{}}
}

// generics are kept as source, in an order in which each imports only earlier ones.
var generics = []string{"cmp", "iter", "slices", "maps"}

// Import returns the package with the given import path.
func (im *Importer) Import(path string) (*types.Package, error) {
	if path == "unsafe" {
		return types.Unsafe, nil
	}
	if p := im.imported[path]; p != nil && !im.merging {
		return p, nil
	}
	for _, g := range generics {
		if path == g {
			return im.source(path, path, stdlib.Source(path))
		}
	}
	// all packages must refer to one iter.Seq: the source form comes before any export data
	if !im.generics {
		im.generics = true // before the loop: they import compiled packages themselves
		for _, g := range generics {
			if _, err := im.source(g, g, stdlib.Source(g)); err != nil {
				return nil, err
			}
		}
	}
	p := im.packages[path]
	if p == nil || !p.Complete() {
		r, err := stdlib.Export(path)
		if err != nil {
			return nil, err
		}
		if p, err = gcexportdata.Read(r, im.Fset, im.packages, path); err != nil {
			return nil, err
		}
	}
	if im.merging {
		return p, nil
	}
	if !symbols.Has(path) { // only its types are known, for the packages that mention them
		return nil, stdlib.NoPackage(path)
	}
	if src := stdlib.Companion(path); src != nil {
		return im.merge(p, src)
	}
	if values := symbols.Constants(path); values != nil {
		p = here(p, values)
	}
	im.imported[path] = p
	return p, nil
}

// here returns p as it is on this system: the export data are those of Linux.
func here(p *types.Package, values map[string]reflect.Value) *types.Package {
	table, _ := symbols.Table(p.Path())
	return with(p, func(o types.Object) types.Object {
		c, isConst := o.(*types.Const)
		switch {
		case isConst && values[o.Name()].IsValid():
			return types.NewConst(o.Pos(), p, o.Name(), c.Type(), value(values[o.Name()]))
		case !isConst && table[o.Name()].IsValid():
			return o
		}
		return nil
	})
}

// with returns a package that declares what of makes of p's objects, but for those of which it makes nil.
func with(p *types.Package, of func(types.Object) types.Object) *types.Package {
	m := types.NewPackage(p.Path(), p.Name())
	for _, n := range p.Scope().Names() {
		if o := of(p.Scope().Lookup(n)); o != nil {
			m.Scope().Insert(o)
		}
	}
	m.MarkComplete()
	return m
}

func value(v reflect.Value) constant.Value {
	switch {
	case v.CanInt():
		return constant.MakeInt64(v.Int())
	case v.CanUint():
		return constant.MakeUint64(v.Uint())
	}
	return constant.MakeString(v.String())
}

// merge returns p with the declarations of its companion, which imports p itself, in place of those of the same names.
func (im *Importer) merge(p *types.Package, companion []byte) (*types.Package, error) {
	im.merging = true
	defer func() { im.merging = false }()
	c, err := im.source("companion/"+p.Path(), p.Path(), map[string][]byte{"companion.go": companion})
	if err != nil {
		return nil, err
	}
	m := with(p, func(o types.Object) types.Object {
		if s := c.Scope().Lookup(o.Name()); s != nil && s.Exported() {
			return s
		}
		return o
	})
	im.imported[p.Path()] = m
	return m, nil
}

// Source returns the syntax of p, or nil if p is compiled.
func (im *Importer) Source(p *types.Package) *Package { return im.sources[p] }

// source type-checks the files of a package, which is kept under the name key.
func (im *Importer) source(key, path string, files map[string][]byte) (*types.Package, error) {
	if p := im.packages[key]; p != nil && p.Complete() {
		return p, nil
	}
	var names []string
	for n := range files {
		names = append(names, n)
	}
	sort.Strings(names)
	var asts []*ast.File
	for _, n := range names {
		f, err := parser.ParseFile(im.Fset, path+"/"+n, files[n], parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("exports: %s: %w", path, err)
		}
		asts = append(asts, f)
	}
	info := NewInfo()
	cfg := types.Config{Importer: im, Context: im.Context, Error: func(error) {}}
	pkg, err := cfg.Check(path, im.Fset, asts, info)
	if err != nil && !strings.Contains(err.Error(), "imported and not used") {
		return nil, fmt.Errorf("exports: %s: %w", path, err)
	}
	im.packages[key] = pkg
	im.sources[pkg] = &Package{pkg, info, asts}
	return pkg, nil
}

// NewInfo returns a types.Info with every map that lowering reads.
func NewInfo() *types.Info {
	return &types.Info{
		Types:      map[ast.Expr]types.TypeAndValue{},
		Instances:  map[*ast.Ident]types.Instance{},
		Defs:       map[*ast.Ident]types.Object{},
		Uses:       map[*ast.Ident]types.Object{},
		Implicits:  map[ast.Node]types.Object{},
		Selections: map[*ast.SelectorExpr]*types.Selection{},
		Scopes:     map[ast.Node]*types.Scope{},
	}
}
