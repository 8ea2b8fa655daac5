package rt

import (
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"runtime"
	"sort"
	"strings"

	"gobayes/stdlib/dynamic"
)

// TD describes an interpreted type: its name, its methods (receiver first) and the descriptors of its parts. Two values
// have the same interpreted type if they have the same *TD.
type TD struct {
	Name    string
	methods map[string]any
	elem    *TD
	key     *TD
	fields  []*TD
	names   []string
}

// Box is an interface value whose reflect type does not identify its type. It is comparable if its value is.
type Box struct {
	T *TD
	V any
}

// Method and Value make Box a dynamic.Value.
func (b Box) Method(name string) any { return b.T.methods[name] }

// Value returns the plain value.
func (b Box) Value() any { return b.V }

// Field of the structs in a slice: its name in the cell, and a value of it in the form that prints. ok is false where the type
// is not known.
func (b Box) Field(i int, v any) (name string, shown any, ok bool) {
	if b.T == nil || b.T.elem == nil || i >= len(b.T.elem.names) {
		return "", nil, false
	}
	if t := b.T.elem.fields[i]; t != nil {
		v = Native(Box{t, v})
	}
	return b.T.elem.names[i], v, true
}

// Elem gives an element of a slice or map the form that prints.
func (b Box) Elem(v any) any {
	if b.T == nil || b.T.elem == nil {
		return v
	}
	return Native(Box{b.T.elem, v})
}

// Key gives a key of a map the form that prints.
func (b Box) Key(v any) any {
	if b.T == nil || b.T.key == nil {
		return v
	}
	return Native(Box{b.T.key, v})
}

// NewTD and its setters are called by lowered code only.
func NewTD(name string) *TD { return &TD{Name: name, methods: map[string]any{}} }

func SetMethod(t *TD, name string, fn any) { t.methods[name] = fn }
func SetElem(t, e *TD)                     { t.elem = e }
func SetKey(t, e *TD)                      { t.key = e }
func AddField(t *TD, name string, e *TD) {
	t.fields, t.names = append(t.fields, e), append(t.names, name)
}

// Mk boxes v. It is a function because a composite literal assigned to an interface variable is retyped by the interpreter.
func Mk(t *TD, v any) any { return Box{t, v} }

// Un turns the value of a compiled interface into the erased form that lowered code uses for interfaces.
func Un(x any) any {
	if v, ok := dynamic.Unwrap(x); ok {
		return v.(Box)
	}
	return x
}

// Raw gives reflective packages the plain value.
func Raw(x any) any {
	if b, ok := Un(x).(Box); ok {
		return b.V
	}
	return x
}

// wrap is symbols.Wrap. The tables of package symbols lead back here through package display, so they are handed in.
var wrap = func(v dynamic.Value, path, name string) any { return nil }

// SetWrap sets the function that makes a value of a cell implement a compiled interface.
func SetWrap(f func(v dynamic.Value, path, name string) any) { wrap = f }

// Wrap gives x the form of a compiled interface; nil when it does not implement it.
func Wrap(x any, path, name string) any {
	b, ok := Un(x).(Box)
	if !ok {
		return x
	}
	return wrap(b, path, name)
}

// Native gives x the form that compiled code recognises: an error as an error, a Stringer as a Stringer.
func Native(x any) any {
	b, ok := Un(x).(Box)
	if !ok {
		return x
	}
	for _, i := range [][2]string{{"", "error"}, {"fmt", "Stringer"}} {
		if w := wrap(b, i[0], i[1]); w != nil {
			return w
		}
	}
	return x
}

// MethodOf returns the method of a compiled dynamic value.
func MethodOf(x any, name string) any {
	if x == nil {
		NilPanic()
	}
	return reflect.ValueOf(x).MethodByName(name).Interface()
}

// HasMethods reports whether a compiled dynamic value has all the methods.
func HasMethods(x any, names ...string) bool {
	if x == nil {
		return false
	}
	t := reflect.TypeOf(x)
	for _, n := range names {
		if _, ok := t.MethodByName(n); !ok {
			return false
		}
	}
	return true
}

// Eq is == on erased interface values.
func Eq(a, b any) bool { return comparand(a) == comparand(b) }

func comparand(a any) any {
	if v, ok := a.(reflect.Value); ok {
		if !v.IsValid() {
			return nil
		}
		return v.Interface()
	}
	return Un(a)
}

// TName is the %T of a value.
func TName(x any) string {
	if b, ok := Un(x).(Box); ok {
		return b.T.Name
	}
	return fmt.Sprintf("%T", x)
}

// ErrorsAs walks err's tree the way errors.As does; f tries one error.
func ErrorsAs(err error, f func(any) bool) bool {
	if err == nil {
		return false
	}
	if f(Un(err)) {
		return true
	}
	switch x := err.(type) {
	case interface{ Unwrap() []error }:
		for _, e := range x.Unwrap() {
			if ErrorsAs(e, f) {
				return true
			}
		}
	case interface{ Unwrap() error }:
		return ErrorsAs(x.Unwrap(), f)
	}
	return false
}

// ErrArg gives fmt.Errorf an error where the boxed type is one, so that %w works.
func ErrArg(x any) any {
	if w := Wrap(x, "", "error"); w != nil {
		return w
	}
	return x
}

// ClearMap empties a map.
func ClearMap(m any) { reflect.ValueOf(m).Clear() }

// Error is the run-time error of interpreted code.
type Error struct{ Msg string }

func (e Error) Error() string { return "runtime error: " + e.Msg }

// RuntimeError makes Error a runtime.Error.
func (Error) RuntimeError() {}

var _ runtime.Error = Error{}

// conversion is the error of a failed type assertion.
type conversion struct{ s string }

func (e *conversion) Error() string { return e.s }
func (*conversion) RuntimeError()   {}

// AssertErr is the value that a failed assertion of x panics with.
func AssertErr(x any, want string, methods ...string) any {
	if x == nil {
		return &conversion{fmt.Sprintf("interface conversion: interface is nil, not %s", want)}
	}
	for _, m := range methods { // of an interface that x does not implement
		if _, ok := Un(x).(Box); ok || !HasMethods(x, m) {
			return &conversion{fmt.Sprintf("interface conversion: %s is not %s: missing method %s", TName(x), want, m)}
		}
	}
	other := ""
	if TName(x) == want {
		other = " (types from different scopes)"
	}
	return &conversion{fmt.Sprintf("interface conversion: interface {} is %s, not %s%s", TName(x), want, other)}
}

// NilPanic panics like a nil dereference.
func NilPanic() { panic(Error{"invalid memory address or nil pointer dereference"}) }

var sliceToArray = regexp.MustCompile(`cannot convert slice with length (\d+) to (?:pointer to )?array with length (\d+)`)

// Recover turns what the interpreter's reflect calls panic with into the run-time errors of Go.
func Recover(v any) any {
	if rv, ok := v.(reflect.Value); ok && rv.IsValid() && rv.CanInterface() {
		v = rv.Interface()
	}
	switch x := v.(type) {
	case *reflect.ValueError:
		return Error{"invalid memory address or nil pointer dereference"}
	case string:
		if strings.HasPrefix(x, "reflect: ") || strings.HasPrefix(x, "reflect.") {
			if m := sliceToArray.FindStringSubmatch(x); m != nil {
				return Error{"cannot convert slice with length " + m[1] + " to array or pointer to array with length " + m[2]}
			}
			switch {
			case strings.Contains(x, "MakeSlice: negative len"):
				return Error{"makeslice: len out of range"}
			case strings.Contains(x, "MakeSlice"):
				return Error{"makeslice: cap out of range"}
			case strings.Contains(x, "index out of range"):
				return Error{"index out of range"}
			case strings.Contains(x, "slice bounds out of range"), strings.Contains(x, "slice index out of bounds"):
				return Error{"slice bounds out of range"}
			case strings.Contains(x, "nil"):
				return Error{"invalid memory address or nil pointer dereference"}
			}
			return Error{x}
		}
	}
	return v
}

// Format prints with the interpreted type's names and methods.
func (b Box) Format(s fmt.State, verb rune) {
	format := fmt.FormatString(s, verb)
	if f, ok := b.Method("Format").(func(any, fmt.State, rune)); ok {
		f(b.V, s, verb)
		return
	}
	plus, sharp := s.Flag('+'), s.Flag('#')
	switch verb {
	case 'v', 's', 'q', 'x', 'X':
		names := []string{"Error", "String"}
		if sharp && verb == 'v' {
			names = []string{"GoString"}
		}
		for _, n := range names {
			if f, ok := b.Method(n).(func(any) string); ok {
				fmt.Fprintf(s, strings.Replace(format, "#", "", 1), f(b.V))
				return
			}
		}
	}
	if verb == 'v' && composite(b.V) {
		var sb strings.Builder
		p := printer{&sb, plus, sharp}
		p.write(b.T, reflect.ValueOf(b.V), 0)
		io.WriteString(s, sb.String())
		return
	}
	fmt.Fprintf(s, format, b.V)
}

// MarshalJSON lets a box inside an any be marshalled as its plain value.
func (b Box) MarshalJSON() ([]byte, error) { return json.Marshal(b.V) }

func composite(v any) bool {
	switch reflect.ValueOf(v).Kind() {
	case reflect.Struct, reflect.Slice, reflect.Array, reflect.Map, reflect.Pointer:
		return true
	}
	return false
}

// printer prints composite values with the names of a TD, in the manner of %v, %+v and %#v.
type printer struct {
	*strings.Builder
	plus, sharp bool
}

func (p printer) write(t *TD, v reflect.Value, depth int) {
	verb := "%v"
	if p.plus {
		verb = "%+v"
	}
	if p.sharp {
		verb = "%#v"
	}
	switch {
	case !v.IsValid():
		p.WriteString("<nil>")
		return
	case !v.CanInterface():
		fmt.Fprintf(p, verb, v)
		return
	case t == nil:
		fmt.Fprintf(p, verb, v.Interface())
		return
	case depth > 0 && (t.methods["Error"] != nil || t.methods["String"] != nil) && !p.sharp:
		fmt.Fprintf(p, verb, Box{t, v.Interface()})
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		if p.sharp {
			p.WriteString(t.Name)
		}
		p.WriteByte('{')
		for i := 0; i < v.NumField() && i < len(t.names); i++ {
			p.sep(i)
			if p.plus || p.sharp {
				p.WriteString(t.names[i] + ":")
			}
			p.write(t.fields[i], v.Field(i), depth+1)
		}
		p.WriteByte('}')
	case reflect.Pointer:
		switch {
		case v.IsNil():
			p.WriteString("<nil>")
		case depth == 0 && v.Elem().Kind() == reflect.Struct && t.elem != nil:
			p.WriteByte('&')
			p.write(t.elem, v.Elem(), depth+1)
		default:
			fmt.Fprintf(p, "0x%x", v.Pointer())
		}
	case reflect.Slice, reflect.Array:
		p.open(t, "[")
		for i := range v.Len() {
			p.sep(i)
			p.write(t.elem, v.Index(i), depth+1)
		}
		p.close("]")
	case reflect.Map:
		keys := v.MapKeys()
		sort.Slice(keys, func(i, j int) bool { return Less(keys[i], keys[j]) })
		p.open(t, "map[")
		for i, k := range keys {
			p.sep(i)
			p.write(t.key, k, depth+1)
			p.WriteByte(':')
			p.write(t.elem, v.MapIndex(k), depth+1)
		}
		p.close("]")
	default:
		fmt.Fprintf(p, verb, v.Interface())
	}
}

func (p printer) open(t *TD, plain string) {
	if p.sharp {
		plain = t.Name + "{"
	}
	p.WriteString(plain)
}

func (p printer) close(plain string) {
	if p.sharp {
		plain = "}"
	}
	p.WriteString(plain)
}

func (p printer) sep(i int) {
	if i > 0 && p.sharp {
		p.WriteByte(',')
	}
	if i > 0 {
		p.WriteByte(' ')
	}
}

// Less orders the keys of a map: by number, or by text.
func Less(a, b reflect.Value) bool {
	switch {
	case a.CanInt():
		return a.Int() < b.Int()
	case a.CanUint():
		return a.Uint() < b.Uint()
	case a.CanFloat():
		return a.Float() < b.Float()
	case a.Kind() == reflect.String:
		return a.String() < b.String()
	}
	return fmt.Sprint(a) < fmt.Sprint(b)
}
