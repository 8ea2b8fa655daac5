package main

import (
	"fmt"
	"unsafe"
)

type T struct{ a, b int }

func main() {
	s := "hello"
	p := unsafe.StringData(s)
	fmt.Println(*p, unsafe.String(p, 2), p == unsafe.StringData(s))
	x := []T{{1, 2}, {3, 4}}
	q := unsafe.SliceData(x)
	q.a = 9
	y := unsafe.Slice(q, len(x))
	y[1].b = 8
	fmt.Println(x, y, len(unsafe.Slice((*int)(nil), 0)))
	var n uint8 = 1
	fmt.Println(len(unsafe.Slice(q, n)))
	z := (*T)(unsafe.Add(unsafe.Pointer(q), unsafe.Sizeof(T{})))
	fmt.Println(z.a, z.b)
}

type P unsafe.Pointer

func init() {
	f := 1.5
	bits := *(*uint64)(unsafe.Pointer(&f))
	fmt.Printf("%x %T\n", bits, unsafe.Pointer(&f))
	*(*uint64)(unsafe.Pointer(&f)) = bits + 1
	fmt.Println(f > 1.5, unsafe.Sizeof(T{}), unsafe.Offsetof(T{}.b), unsafe.Alignof(f))
	var p unsafe.Pointer
	fmt.Println(p == nil, uintptr(p), P(&f) != nil)
	x := [3]int32{1, 2, 3}
	q := (*int32)(unsafe.Pointer(uintptr(unsafe.Pointer(&x[0])) + unsafe.Sizeof(x[0])))
	fmt.Println(*q)
	b := []byte("bytes")
	s := *(*string)(unsafe.Pointer(&b))
	fmt.Println(s)
}
