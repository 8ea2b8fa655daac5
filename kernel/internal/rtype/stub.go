package rtype

import (
	"reflect"
	"sync/atomic"
	"unsafe"
)

// A method of a type is a piece of code that knows what it belongs to. Such pieces cannot be made at run time, so there are many
// that were compiled (stub.h): number i goes on to the function closures[i], with all arguments in place.
const (
	numStubs = 1 << 16
	stubSize = 16 // bytes of code
)

var (
	closures [numStubs]unsafe.Pointer
	used     atomic.Int64
)

// stub returns the address of code that does what f does, false when all are used.
func stub(f reflect.Value) (unsafe.Pointer, bool) {
	i := used.Add(1) - 1
	if i >= numStubs {
		return nil, false
	}
	closures[i] = closure(f)
	return unsafe.Add(stubs(), i*stubSize), true
}

// closure is what a value of a function type points to.
func closure(f reflect.Value) unsafe.Pointer {
	x := f.Interface()
	return (*[2]unsafe.Pointer)(unsafe.Pointer(&x))[1]
}

// stubs is the address of the first stub.
func stubs() unsafe.Pointer
