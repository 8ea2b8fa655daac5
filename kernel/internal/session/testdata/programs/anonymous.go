package main

import (
	"encoding/json"
	"fmt"
)

type Node struct {
	Name string `json:"name"`
	Meta struct {
		Parent   *Node            `json:"-"`
		Children []*Node          `json:"children"`
		Index    map[string]*Node `json:"-"`
		Deep     struct {
			Next *Node
			Pair [2]struct{ L, R *Node }
		}
	}
	on   func(*Node) struct{ n *Node }
	opts []struct {
		n *Node
		k int
	}
}

func (n *Node) Add(c *Node) *Node {
	c.Meta.Parent = n
	n.Meta.Children = append(n.Meta.Children, c)
	if n.Meta.Index == nil {
		n.Meta.Index = map[string]*Node{}
	}
	n.Meta.Index[c.Name] = c
	n.Meta.Deep.Next = c
	n.Meta.Deep.Pair[1].R = c
	n.opts = append(n.opts, struct {
		n *Node
		k int
	}{c, len(n.opts)})
	return n
}

type A struct {
	b struct{ bs []B }
	n int
}
type B struct {
	a *A
	c struct{ a A }
}
type L struct {
	next *struct {
		l *L
		v int
	}
}
type G[T any] struct {
	v    T
	kids struct{ list []*G[T] }
}

func (g *G[T]) Sum(add func(a, b T) T) T {
	s := g.v
	for _, k := range g.kids.list {
		s = add(s, k.Sum(add))
	}
	return s
}

func main() {
	root := &Node{Name: "r"}
	root.Add(&Node{Name: "a"}).Add(&Node{Name: "b"})
	root.Meta.Children[0].Add(&Node{Name: "c"})
	root.on = func(n *Node) struct{ n *Node } { return struct{ n *Node }{n.Meta.Deep.Next} }
	fmt.Println(root.Meta.Index["b"].Name, root.on(root).n.Name, root.Meta.Deep.Pair[1].R.Meta.Parent.Name, root.opts[1].k, root.opts[1].n.Name)
	root.on = nil
	b, err := json.Marshal(root.Meta.Children[0])
	fmt.Println(string(b)[:60], err)
	a := A{n: 3}
	a.b.bs = []B{{a: &a}}
	a.b.bs[0].c.a.n = 4
	fmt.Println(a.b.bs[0].a.n, a.b.bs[0].c.a.n)
	l := L{}
	l.next = &struct {
		l *L
		v int
	}{&l, 5}
	fmt.Println(l.next.l.next.v)
	g := &G[int]{v: 1}
	g.kids.list = []*G[int]{{v: 2}, {v: 3}}
	fmt.Println(g.Sum(func(a, b int) int { return a + b }))
	fmt.Printf("%T %T %v\n", g, l.next, g.kids.list[0].kids)
	type T struct {
		in struct{ t *T }
		n  int
	}
	t := T{n: 1}
	t.in.t = &T{n: 2}
	t.in.t.in.t = &t
	fmt.Println(t.in.t.in.t.n)
}
