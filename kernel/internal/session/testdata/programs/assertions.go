package main

import (
	"errors"
	"fmt"
	"io"
)

type I interface{ M() }
type T struct{}

func (T) M() {}

type U struct{}

func (U) M() {}

type G[X any] interface{ Get() X }

func try(f func()) {
	defer func() { fmt.Println(recover()) }()
	f()
}

func main() {
	var a any
	var e error
	var i I
	var r io.Reader
	var g G[int]
	try(func() { _ = a.(string) })
	try(func() { _ = a.(T) })
	try(func() { _ = a.(*T) })
	try(func() { _ = a.(I) })
	try(func() { _ = a.(error) })
	try(func() { _ = a.(fmt.Formatter) })
	try(func() { _ = i.(T) })
	try(func() { _ = i.(io.Reader) })
	try(func() { _ = r.(io.Writer) })
	try(func() { _ = r.(I) })
	try(func() { _ = g.(interface{ Foo() }) })
	a, e, i = 1, errors.New("x"), U{}
	try(func() { _ = a.(string) })
	try(func() { _ = a.([]any) })
	try(func() { _ = a.(map[string]interface{}) })
	try(func() { _ = i.(T) })
	try(func() { _ = i.(*T) })
	try(func() { _ = i.(io.Reader) })
	try(func() { _ = e.(interface{ Foo() }) })
	var n interface{ M() } = U{}
	try(func() { _ = n.(T) })
	var k interface {
		M()
		error
	}
	try(func() { _ = k.(error) })
	var anys []any = []any{1}
	a = anys
	try(func() { _ = a.([]int) })
	a = func(any) error { return nil }
	try(func() { _ = a.([]int) })
	a = struct{ A any }{}
	try(func() { _ = a.([]int) })
	var z interface{ Unwrap() error }
	try(func() { _ = z.(error) })
	err := error(nil)
	switch v := err.(type) {
	case fmt.Formatter:
		fmt.Println("formatter", v)
	default:
		fmt.Println("other", v)
	}
}
