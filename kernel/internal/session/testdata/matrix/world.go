package main

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

type N int

func (n N) String() string { return fmt.Sprintf("N(%d)", int(n)) }

type B bool
type MyE int

func (e MyE) Error() string { return fmt.Sprint("MyE ", int(e)) }

type PE struct{ c int }

func (e *PE) Error() string { return fmt.Sprint("PE ", e.c) }

type T struct {
	N  int
	B  bool
	S  string
	In struct{ N int }
}

func (t T) Get() int { return -t.N }
func (t *T) String() string {
	if t == nil {
		return "nilT"
	}
	return fmt.Sprint("T:", t.N)
}

type Box[V any] struct{ V V }

func (x *Box[V]) Set(v V)   { x.V = v }
func id[V any](v V) V       { return v }
func mkc[V any](v V) chan V { c := make(chan V, 1); c <- v; return c }

const K = 11

var (
	b, n, m, u, f, s, c        = false, 5, 3, uint8(3), 2.5, "xyz", 1 + 2i
	bs, xs, us, fs, ss, cs     = []bool{true}, []int{4, 5, 6}, []uint8{9}, []float64{3.5}, []string{"p"}, []complex128{3i}
	rs, bys                    = []rune("hé"), []byte("by")
	bt                         = true
	pbp, pn, psr               = &bt, &n, &s
	st                         = T{N: 8, S: "st"}
	pst                        = &T{N: 9}
	sst                        = []T{{N: 10}}
	mb, mi, ms, mm             = map[string]bool{"a": true}, map[string]int{"a": 3}, map[int]string{1: "m"}, map[int][]int{1: {2}}
	a1, a2, a3, a4         any = true, 7, "as", N(6)
	nb                     N   = 4
	pnb                        = &nb
	nbs                        = []N{2}
	mn                         = map[string]N{"a": 12}
	nst                        = struct{ X N }{13}
	nbool                  B
	arr                          = [3]int{1, 2, 3}
	parr                         = &arr
	err                    error = errors.New("e")
	e2                     error
	stg                    fmt.Stringer = N(1)
)

func pb() bool     { return n > 3 }
func fb() bool     { return false }
func fn() int      { return 21 }
func g32() float64 { return 1.25 }
func show(x any) {
	switch x := x.(type) {
	case *T:
		if x == nil {
			fmt.Print("nil*T;")
			return
		}
	}
	fmt.Printf("%T %v;", x, x)
}
func run(name string, f func()) {
	defer func() {
		if r := recover(); r != nil {
			fmt.Print(" PANIC ", r)
		}
		fmt.Println()
	}()
	fmt.Print(name, " ")
	f()
}
