package session

import (
	"fmt"
	"go/token"
	"go/types"
	"maps"
	"reflect"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"

	"gobayes/kernel/internal/rt"
)

// PreludePath is the package of the functions that cells call in small letters, without its name.
const PreludePath = "gobayes/kernel/prelude"

// prelude maps those names to the package's own.
var prelude = map[string]string{"help": "Help", "who": "Who", "reset": "Reset", "timeit": "Timeit", "shell": "Shell"}

// Predeclared returns where a name that no cell has declared comes from: a function of the prelude, or the type of ctx. member is ""
// if it means nothing.
func Predeclared(name string) (path, member string) {
	if name == "ctx" {
		return "context", "Context"
	}
	return PreludePath, prelude[name]
}

// PreludeNames lists the functions of the prelude as cells call them.
func PreludeNames() []string { return slices.Sorted(maps.Keys(prelude)) }

// predeclared is what a name means that no cell has declared: ctx, or a function of the prelude; else nil.
func (s *Session) predeclared(name string) types.Object {
	if v := s.given[name]; v != nil {
		return v
	}
	path, expr := Predeclared(name)
	if expr == "" {
		return nil
	}
	p, err := s.im.Import(path)
	if err != nil {
		return nil
	}
	pkg := types.NewPackage("main", "main")
	v := types.NewVar(token.NoPos, pkg, name, p.Scope().Lookup(expr).Type())
	pkg.Scope().Insert(v)
	if name == "ctx" {
		path, expr = "gobayes/kernel/internal/rt", "Context()"
	}
	s.low.Predeclare(v, path, expr)
	s.given[name] = v
	return v
}

// Qualify writes types as a cell does: with the package's name, without one for the user's own.
func Qualify(p *types.Package) string {
	if p.Path() == "main" {
		return ""
	}
	return p.Name()
}

// maxValue is how much of a value Variables shows, in characters.
const maxValue = 60

// Variables lists the variables that cells have declared. It belongs to the goroutine that runs cells.
func (s *Session) Variables() []rt.Variable {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []rt.Variable
	globals := s.engine.Globals()
	for name, o := range s.live {
		if v, ok := o.(*types.Var); ok {
			out = append(out, rt.Variable{Name: name, Type: types.TypeString(v.Type(), Qualify), Value: brief(globals[s.low.Name(v)])})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// brief is a value in a few words.
func brief(v reflect.Value) string {
	for v.IsValid() && v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	if !v.IsValid() {
		return "nil"
	}
	var text string
	switch x := v.Interface().(type) {
	case fmt.Stringer:
		if v.Kind() == reflect.Pointer && v.IsNil() {
			return "nil"
		}
		text = x.String()
	case error:
		text = x.Error()
	default:
		switch v.Kind() {
		case reflect.Slice, reflect.Map, reflect.Array, reflect.Chan:
			return fmt.Sprintf("len %d", v.Len())
		case reflect.Func, reflect.Struct:
			return ""
		case reflect.Pointer:
			if v.IsNil() {
				return "nil"
			}
			return ""
		}
		text = fmt.Sprint(x)
	}
	text = strings.ReplaceAll(text, "\n", " ")
	if utf8.RuneCountInString(text) > maxValue {
		text = string([]rune(text)[:maxValue]) + "…"
	}
	return text
}

// Reset forgets what cells have declared and imported, and frees the memory of their variables. Code that still runs
// finds zero values.
func (s *Session) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	globals := s.engine.Globals()
	for _, o := range s.live {
		if v, ok := o.(*types.Var); ok {
			if g := globals[s.low.Name(v)]; g.IsValid() && g.CanSet() {
				g.SetZero()
			}
		}
	}
	s.live, s.imports, s.decls = map[string]types.Object{}, map[string]string{}, map[string]*declared{}
}
