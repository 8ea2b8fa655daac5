// Package dynamic is what compiled code knows of a value whose type was declared in a cell.
package dynamic

// Value is a value of a type that a cell declared.
type Value interface {
	// Method returns the method's function, receiver first, or nil.
	Method(name string) any
	// Value returns the plain value.
	Value() any
}

// Wrapped is embedded by the compiled types that stand for such values.
type Wrapped struct{ V Value }

// Inner returns the value; it is not meant to be called on anything but a Wrapped.
func (w Wrapped) Inner() Value { return w.V }

// Unwrap returns the value inside a compiled type that embeds Wrapped.
func Unwrap(x any) (Value, bool) {
	w, ok := x.(interface{ Inner() Value })
	if !ok {
		return nil, false
	}
	return w.Inner(), true
}

// Method returns the value's method as a function of type F, receiver first. It panics if there is none of that type.
func Method[F any](v Value, name string) F { return v.Method(name).(F) }
