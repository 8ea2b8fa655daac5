package main

import (
	"fmt"
	"reflect"
)

func try(f func()) {
	defer func() { r := recover(); _, re := r.(error); fmt.Println(r, re) }()
	f()
}

type T struct{ a int }

func main() {
	try(func() { reflect.ValueOf(1).Len() })
	try(func() { reflect.ValueOf(1).SetInt(2) })
	try(func() { reflect.ValueOf(T{1}).Field(0).Interface() })
	try(func() { reflect.ValueOf("x").Elem() })
	try(func() { reflect.TypeOf(1).Elem() })
	try(func() { var p *T; _ = p.a })
	try(func() { var p *int; var x any; _ = x == *p })
	try(func() { var m map[string]int; m["a"] = 1 })
	try(func() { var f func(); f() })
	try(func() { var i fmt.Stringer; _ = i.String() })
	try(func() { n := -1; _ = make([]int, n) })
	try(func() { n := -1; _ = make(chan int, n) })
	try(func() { n := 1 << 62; _ = make([]int, n) })
	try(func() { var c chan int; close(c) })
	try(func() { c := make(chan int); close(c); close(c) })
	try(func() { c := make(chan int); close(c); c <- 1 })
	try(func() { x := 0; fmt.Println(1 / x) })
	try(func() { reflect.ValueOf(func(int) {}).Call(nil) })
	try(func() { var s []int; s = append(s[:0:0], 1); _ = [4]int(s) })
	try(func() { panic(fmt.Errorf("e %d", 1)) })
	try(func() { panic(nil) })
	try(func() { var e error; panic(e) })
	try(func() { m := map[any]int{}; m[[]int{1}] = 2 })
	try(func() { m := map[any]int{1: 2}; _ = m[func() {}] })
	try(func() { var a, b any = []int{}, []int{}; fmt.Println(a == b) })
	try(func() {
		var a any = map[int]int{}
		switch a {
		case a:
		}
	})
	try(func() { type K struct{ v any }; m := map[K]int{}; m[K{[]int{}}]++ })
}
