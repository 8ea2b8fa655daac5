package rt

import (
	"fmt"
	"reflect"
	"regexp"
	"runtime"
	"strings"
)

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

// Eq is == on interface values.
func Eq(a, b any) bool { return comparand(a) == comparand(b) }

func comparand(a any) any {
	if v, ok := a.(reflect.Value); ok {
		if !v.IsValid() {
			return nil
		}
		return v.Interface()
	}
	return a
}

// ErrorsAs walks err's tree the way errors.As does; f tries one error.
func ErrorsAs(err error, f func(any) bool) bool {
	if err == nil {
		return false
	}
	if f(err) {
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

// ClearMap empties a map.
func ClearMap(m any) { reflect.ValueOf(m).Clear() }

// Error is the run-time error of interpreted code.
type Error struct{ Msg string }

func (e Error) Error() string { return "runtime error: " + e.Msg }

// RuntimeError makes Error a runtime.Error.
func (Error) RuntimeError() {}

var _ runtime.Error = Error{}

// conversion is a run-time error whose text has no prefix: that of a failed type assertion, say.
type conversion struct{ s string }

func (e *conversion) Error() string { return e.s }
func (*conversion) RuntimeError()   {}

// Holds reports whether the type of x is that of what p points to.
func Holds(x, p any) bool { return reflect.TypeOf(x) == reflect.TypeOf(p).Elem() }

// AssertErr is the value that a failed assertion of x, of the interface type from, to the type want panics with; if that is an
// interface, it has these methods.
func AssertErr(x any, from, want string, iface bool, methods ...string) any {
	switch {
	case x == nil && iface:
		return &conversion{fmt.Sprintf("interface conversion: interface is nil, not %s", want)}
	case x == nil:
		return &conversion{fmt.Sprintf("interface conversion: %s is nil, not %s", from, want)}
	}
	for _, m := range methods { // of an interface that x does not implement; the only one is missing also where it has another type
		if len(methods) == 1 || !HasMethods(x, m) {
			return &conversion{fmt.Sprintf("interface conversion: %T is not %s: missing method %s", x, want, m)}
		}
	}
	other := ""
	if fmt.Sprintf("%T", x) == want {
		other = " (types from different scopes)"
	}
	return &conversion{fmt.Sprintf("interface conversion: %s is %T, not %s%s", from, x, want, other)}
}

// NotNil is what panic(x) panics with.
func NotNil(x any) any {
	if x == nil {
		return new(runtime.PanicNilError)
	}
	return x
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
		if x.Kind == reflect.Invalid {
			return Error{"invalid memory address or nil pointer dereference"}
		}
	case runtime.Error:
		if strings.HasSuffix(x.Error(), "allocation size out of range") {
			return Error{"makeslice: len out of range"}
		}
		if t, ok := strings.CutPrefix(x.Error(), "hash of unhashable type: "); ok {
			return Error{"hash of unhashable type " + t}
		}
	case string:
		if strings.HasPrefix(x, "reflect: ") || strings.HasPrefix(x, "reflect.") {
			if m := sliceToArray.FindStringSubmatch(x); m != nil {
				return Error{"cannot convert slice with length " + m[1] + " to array or pointer to array with length " + m[2]}
			}
			switch {
			case strings.Contains(x, "MakeChan"):
				return &conversion{"makechan: size out of range"}
			case strings.Contains(x, "slice overflow"):
				return Error{"growslice: len out of range"}
			case strings.Contains(x, "MakeSlice: negative len"):
				return Error{"makeslice: len out of range"}
			case strings.Contains(x, "MakeSlice"):
				return Error{"makeslice: cap out of range"}
			case strings.Contains(x, "index out of range"):
				return Error{"index out of range"}
			case strings.Contains(x, "slice bounds out of range"), strings.Contains(x, "slice index out of bounds"):
				return Error{"slice bounds out of range"}
			case strings.Contains(x, "nil"), strings.Contains(x, "zero Value"):
				return Error{"invalid memory address or nil pointer dereference"}
			}
		}
	}
	return v
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
