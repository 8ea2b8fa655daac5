package main

import (
	"fmt"
	"sort"
)

type L []L
type M map[string]M
type P *P
type C chan C
type A *[2]B
type B A

func (l L) Depth() (d int) {
	for _, x := range l {
		d = max(d, x.Depth())
	}
	return d + 1
}
func (l *L) Push(x L) { *l = append(*l, x) }
func (m M) Keys() (ks []string) {
	for k, v := range m {
		ks = append(ks, k)
		ks = append(ks, v.Keys()...)
	}
	sort.Strings(ks)
	return ks
}
func (m M) Put(k string) M {
	if m[k] == nil {
		m[k] = M{}
	}
	return m[k]
}

type holder struct {
	l L
	*M
}

func tree(n int) L {
	if n == 0 {
		return nil
	}
	return L{tree(n - 1), nil, {}, L(nil), []L{tree(n - 1)}}
}

type deep interface{ Depth() int }

func main() {
	var l L
	fmt.Println(l == nil, len(l), cap(l), l.Depth())
	l.Push(nil)
	l.Push(L{nil})
	l = append(l, L{nil, nil}, L{L{}})
	fmt.Println(len(l), l.Depth(), l[1][0] == nil, len(l[2:]), l[1:3].Depth())
	l[0] = L{{}, {{}}}
	var plain []L = l
	fmt.Println(len(plain), len(plain[0]), plain[0].Depth(), copy(l, plain[1:]))
	var d deep = l
	x, ok := d.(L)
	fmt.Println(d.Depth(), len(x), ok)
	_, ok = any(plain).(L)
	fmt.Println(ok, tree(3).Depth())
	m := M{}
	m.Put("a").Put("b").Put("c")
	m["z"] = nil
	m["y"] = map[string]M{"q": {}}
	fmt.Println(m.Keys(), len(m), m["a"]["b"]["c"] != nil, m["none"]["of"] == nil)
	delete(m, "a")
	for k := range m["y"] {
		fmt.Println(k)
	}
	clear(m)
	fmt.Println(len(m))
	var p P
	q := P(&p)
	fmt.Println(p == nil, q == nil, *q == nil, *q == p)
	*q = q
	fmt.Println(**q == q)
	c := make(C, 1)
	c <- c
	cc := <-c
	fmt.Println(cc == c, cap(cc))
	select {
	case v, ok := <-cc:
		fmt.Println(v, ok)
	case cc <- nil:
		fmt.Println("sent")
	}
	v, ok := <-cc
	fmt.Println(v == nil, ok)
	close(c)
	for range c {
	}
	h := holder{l: L{nil}, M: &m}
	h.l[0] = L{nil, nil}
	h.Put("w")
	fmt.Println(len(h.l[0]), len(*h.M), (&h).Keys())
	pl := &L{nil, {nil}}
	pl.Push(nil)
	ps := []*L{{nil}, pl}
	fmt.Println(len(*pl), (*pl)[1].Depth(), len(ps), len(*ps[0]))
	var arr [2]B
	b := B(&arr)
	arr[1] = b
	fmt.Println(b[0] == nil, len(b), b[1] == b, A(b)[1] == b)
	switch t := d.(type) {
	case L:
		fmt.Println("L", len(t))
	}
	f := l.Depth
	g := L.Depth
	fmt.Println(f(), g(l), g(nil))
	fmt.Printf("%T %v\n", l, L{L{}, L{L{}}})
	ls := map[string]L{"a": {nil}}
	ls["b"] = append(ls["b"], L{}, nil)
	fmt.Println(len(ls["b"]), len(ls["c"]))
	l[1], l[2] = l[2], l[1]
	l = L(nil)
	fmt.Println(l == nil, len(append(l, plain...)))
}
