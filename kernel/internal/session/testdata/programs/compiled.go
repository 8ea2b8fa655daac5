package main

import (
	"fmt"
	"math"
	"runtime"
	"strconv"
	"unsafe"
)

type S[T any] struct {
	A byte
	B T
}

func size[T any]() (uintptr, uintptr) { return unsafe.Sizeof(*new(T)), unsafe.Alignof(*new(S[T])) }

func main() {
	runtime.MemProfileRate = 0
	fmt.Println(runtime.MemProfileRate)
	p := &runtime.MemProfileRate
	*p++
	runtime.MemProfileRate += 3
	runtime.MemProfileRate++
	a := 1
	a, runtime.MemProfileRate = runtime.MemProfileRate, a
	fmt.Println(a, *p, runtime.GOOS != "", strconv.IntSize)
	fmt.Println(size[int]())
	fmt.Println(size[[3]byte]())
	fmt.Println(size[string]())
	x := 1.0
	c := 1i
	fmt.Println(x/0, -x/0, math.IsNaN((x-1)/0), c/0)
	var f float32 = 2
	f /= 0
	fmt.Println(f)
}
