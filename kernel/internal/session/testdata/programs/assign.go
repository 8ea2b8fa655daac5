package main // calls come before the elements and fields that are assigned to

import "fmt"

type node struct{ left, v int }
type tree struct{ nodes []node }

func (t *tree) build(d int) int {
	i := len(t.nodes)
	t.nodes = append(t.nodes, node{-1, d})
	if d > 0 {
		t.nodes[i].left = t.build(d - 1)
	}
	return i
}

var s []int

func grow() int { s = append(s, 7); return len(s) }

func main() {
	t := &tree{}
	t.build(4)
	fmt.Println(t.nodes)
	s = []int{1}
	s[0] = grow()
	fmt.Println(s)
	i := 0
	f := func() int { i = 1; return 9 }
	s[i] = f()
	fmt.Println(s)
	p := &node{}
	q := p
	g := func() int { p = &node{}; return 5 }
	p.v = g()
	fmt.Println(*p, *q)
	s[0] += grow()
	fmt.Println(s)
	m := map[int]int{}
	h := func() int { m = map[int]int{}; return 3 }
	m[1] = h()
	fmt.Println(m)
	i = 5
	z := 0
	try("call", func() { s[i] = one(1 % z) })
	try("pointer", func() { (*node)(nil).v = one(1 % z) })
	try("with a sign", func() { s[i] += one(1 % z) })
	try("a panic", func() { s[i] = func() int { panic("x") }() })
}

func one(x int) int { return x }

func try(name string, f func()) {
	defer func() { fmt.Println(name, recover()) }()
	f()
}
