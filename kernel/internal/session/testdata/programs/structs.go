package main

import (
	"encoding/json"
	"fmt"
	"reflect"
)

// Structs that refer to each other, in every way that a field can.

type Node struct {
	name  string
	next  *Node
	edges []*Edge
	own   Held
	pair  [2]Held
	visit func(*Node, Edge) *Held
}

type Edge struct {
	next *Edge
	to   *Node
	m    map[string]*Node
	c    chan *Held
	k    int
}

type Held struct {
	next *Held
	to   *Node
	e    *Edge
	key  Key
}

type Key struct{ a, b int }

type Elem[T any] struct {
	next, prev *Elem[T]
	list       *List[T]
	Value      T
}

type List[T any] struct {
	root Elem[T]
	len  int
}

func (l *List[T]) Push(v T) *List[T] {
	if l.root.next == nil {
		l.root.next, l.root.prev = &l.root, &l.root
	}
	e := &Elem[T]{Value: v, list: l, prev: l.root.prev, next: &l.root}
	e.prev.next, e.next.prev = e, e
	l.len++
	return l
}

func (l *List[T]) All() (vs []T) {
	for e := l.root.next; e != &l.root; e = e.next {
		vs = append(vs, e.Value)
	}
	return vs
}

type Expr interface{ Eval(*Scope) int }
type Scope struct {
	Up    *Scope
	Funcs map[string]*Func
	Vars  map[string]int
}
type Func struct {
	Scope *Scope
	Param string
	Body  Expr
}
type Call struct {
	F   string
	Arg Expr
}
type Var string
type Num int

func (s *Scope) find(f string) *Func {
	if g := s.Funcs[f]; g != nil || s.Up == nil {
		return g
	}
	return s.Up.find(f)
}
func (n Num) Eval(*Scope) int   { return int(n) }
func (v Var) Eval(s *Scope) int { return s.Vars[string(v)] * 2 }
func (c Call) Eval(s *Scope) int {
	f := s.find(c.F)
	return f.Body.Eval(&Scope{Up: f.Scope, Vars: map[string]int{f.Param: c.Arg.Eval(s)}})
}

type Dir struct {
	Name  string
	Files []*File
	Dirs  map[string]Dir
}
type File struct {
	Name   string
	Parent *Dir `json:"-"`
	Links  []*File
}

func main() {
	a := &Node{name: "a"}
	b := &Node{name: "b", next: a}
	e := &Edge{to: a, k: 1, c: make(chan *Held, 1)}
	e.next = &Edge{to: b, k: 2, m: map[string]*Node{"x": a}}
	a.edges = append(a.edges, e, e.next)
	a.own = Held{next: &Held{to: b}, to: a, e: e, key: Key{1, 2}}
	a.own.next.next = &a.own
	a.pair[1] = a.own
	a.visit = func(n *Node, e Edge) *Held { n.own.key.b += e.k; return &n.own }
	e.c <- &a.own
	fmt.Println(a.edges[1].to.name, e.next.m["x"].name, b.next.edges[0].next.k, a.own.next.next.to.name, a.own.e.k)
	fmt.Println((<-e.c).to.name, a.visit(a, *e.next).key, a.pair[1].key, a.pair[0].e == nil, a.pair[1].next == a.own.next)
	copied := *a
	copied.own.key.a = 9
	fmt.Println(a.own.key, copied.own.key, copied.edges[0] == e, reflect.DeepEqual(a.pair[1].key, Key{1, 2}))
	keys := map[Held]string{a.own: "own", {key: Key{3, 4}}: "other"}
	fmt.Println(keys[a.own], keys[Held{key: Key{3, 4}}], len(keys))
	fmt.Println(new(List[string]).Push("x").Push("y").All(), new(List[Key]).Push(Key{5, 6}).All(), (&List[*Node]{}).Push(a).All()[0].name)
	top := &Scope{Funcs: map[string]*Func{}}
	top.Funcs["double"] = &Func{top, "n", Var("n")}
	top.Funcs["four"] = &Func{top, "m", Call{"double", Var("m")}}
	fmt.Println(Call{"four", Num(5)}.Eval(&Scope{Up: top}))
	d := Dir{Name: "root", Dirs: map[string]Dir{"sub": {Name: "sub"}}}
	f := &File{Name: "f", Parent: &d}
	d.Files = append(d.Files, f, &File{Name: "g", Links: []*File{f}})
	text, err := json.Marshal(d)
	fmt.Println(string(text), err)
	var back Dir
	fmt.Println(json.Unmarshal(text, &back), back.Files[1].Links[0].Name, back.Dirs["sub"].Name)
	fmt.Printf("%+v %v\n", d.Dirs, Edge{k: 3})
}
