package main

import (
	"fmt"
	"strings"
)

type T struct{ N int }

func mk() func() int        { return func() int { return 7 } }
func two() (func() int, T)  { return func() int { return 8 }, T{9} }
func cond() func(rune) bool { return func(rune) bool { return true } }

func main() {
	var x T
	p := &x
	g := func() int { return x.N }
	x = T{5}
	fmt.Println(p.N, g(), x)
	c := make(chan int, 9)
	for i := range 9 {
		c <- i + 1
	}
	var r int
	pr := &r
	gr := func() int { return r }
	r = <-c
	fmt.Println(*pr, gr(), r)
	func() { r = <-c }()
	fmt.Println(*pr, gr(), r)
	var ok bool
	func() { r, ok = <-c }()
	fmt.Println(*pr, gr(), r, ok)
	var f func(string) string
	pf := &f
	gf := func() string { return f("a") }
	f = strings.NewReplacer("a", "b").Replace
	fmt.Println((*pf)("a"), gf(), f("a"))
	func() { f = strings.NewReplacer("a", "c").Replace }()
	fmt.Println((*pf)("a"), gf(), f("a"))
	func() { f = strings.ToUpper }()
	fmt.Println((*pf)("a"), gf(), f("a"))
	var h func() int
	gh := func() int { return h() }
	h = mk()
	fmt.Println(gh(), h())
	func() { h = mk() }()
	fmt.Println(gh(), h())
	func() { h = func() int { return 3 } }()
	fmt.Println(gh(), h())
	func() { h, x = two() }()
	fmt.Println(gh(), h(), p.N, g(), x)
	s := []int{1, 2, 3, 4}
	gs := func() int { return len(s) }
	ps := &s
	s = s[1:]
	fmt.Println(gs(), len(*ps))
	func() { s = s[1:] }()
	fmt.Println(gs(), len(*ps))
	var arr [2]int
	pa := &arr
	ga := func() int { return arr[1] }
	arr = [2]int{1, 2}
	fmt.Println(pa[1], ga())
	var m map[string]int
	gm := func() int { return m["a"] }
	m = map[string]int{"a": 4}
	fmt.Println(gm())
	var pt *T
	gp := func() int { return pt.N }
	pt = &T{6}
	fmt.Println(gp())
	func() { pt = &T{7} }()
	fmt.Println(gp())
	var e any
	ge := func() any { return e }
	e = T{8}
	fmt.Println(ge())
	func() { e = T{9} }()
	fmt.Println(ge())
	xs := []T{{1}, {2}}
	gx := func() T { return x }
	x = xs[1]
	fmt.Println(gx(), *p)
	px := &xs[0]
	x = *px
	fmt.Println(gx(), *p)
	n := struct{ T }{T{4}}
	x = n.T
	n.T.N = 77
	fmt.Println(gx(), *p, x)
	var str string
	gstr := func() string { return str }
	str = "abc"[1:]
	fmt.Println(gstr())
	var mv func() int
	gmv := func() int { return mv() }
	var b strings.Builder
	mv = b.Len
	b.WriteString("abc")
	fmt.Println(gmv())
	var ff func(rune) bool
	gff := func() bool { return ff('a') }
	ff = cond()
	fmt.Println(gff())
	ms := map[string]T{"a": {3}}
	x = ms["a"]
	fmt.Println(gx(), *p)
	var okm bool
	x, okm = ms["b"]
	fmt.Println(gx(), *p, okm)
	var ia any = T{11}
	x = ia.(T)
	fmt.Println(gx(), *p)
	x, okm = ia.(T)
	fmt.Println(gx(), *p, okm)
	st, i := T{1}, 0
	st, i = T{i}, st.N
	fmt.Println(st, i)
	defer func() { fmt.Println("end", x, *p, g()) }()
	x = T{N: 100}
}
