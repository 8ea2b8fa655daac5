package rt

import (
	"reflect"
	"unsafe"
)

// StringData, String and Add are those of package unsafe.
func StringData(s string) *byte                  { return unsafe.StringData(s) }
func String(p *byte, n int) string               { return unsafe.String(p, n) }
func Add(p unsafe.Pointer, n int) unsafe.Pointer { return unsafe.Add(p, n) }

// SliceData is unsafe.SliceData of any slice.
func SliceData(s any) any {
	v := reflect.ValueOf(s)
	return reflect.NewAt(v.Type().Elem(), v.UnsafePointer()).Interface()
}

// Slice is unsafe.Slice of any pointer.
func Slice(p any, n int) any {
	v := reflect.ValueOf(p)
	if v.IsNil() && n == 0 {
		return reflect.Zero(reflect.SliceOf(v.Type().Elem())).Interface()
	}
	return reflect.SliceAt(v.Type().Elem(), v.UnsafePointer(), n).Interface()
}

// Reinterpret is a conversion from or to unsafe.Pointer: of x to what like points to.
func Reinterpret(x, like any) any {
	to := reflect.TypeOf(like).Elem()
	v := reflect.ValueOf(x)
	switch {
	case to.Kind() == reflect.Uintptr:
		return reflect.ValueOf(v.Pointer()).Convert(to).Interface()
	case v.Kind() == reflect.Uintptr:
		n := uintptr(v.Uint())
		return *(*unsafe.Pointer)(unsafe.Pointer(&n))
	case to.Kind() == reflect.Pointer:
		return reflect.NewAt(to.Elem(), v.UnsafePointer()).Interface()
	}
	return v.UnsafePointer()
}
