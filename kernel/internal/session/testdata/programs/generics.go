package main

import (
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"reflect"
	"sync"
	"sync/atomic"
)

type T struct{ a int }
type I interface{ M() }
type conf struct {
	cur atomic.Pointer[T]
	n   atomic.Int64
	ps  []*atomic.Pointer[int]
}

func main() {
	fmt.Println(reflect.TypeFor[T](), reflect.TypeFor[int](), reflect.TypeFor[I](), reflect.TypeFor[error]())
	v, ok := reflect.TypeAssert[T](reflect.ValueOf(T{4}))
	fmt.Println(v, ok)
	k, err := hkdf.Key(sha256.New, []byte("s"), nil, "i", 8)
	fmt.Printf("%x %v\n", k, err)
	s := maphash.MakeSeed()
	fmt.Println(maphash.Comparable(s, T{1}) == maphash.Comparable(s, T{1}), maphash.Comparable(s, 1) == maphash.Comparable(s, 2))
	var p atomic.Pointer[T]
	fmt.Println(p.Load(), p.CompareAndSwap(nil, &T{1}), p.Load().a)
	p.Store(&T{3})
	fmt.Println(p.Load().a, p.Swap(nil).a, p.Load() == nil)
	var c conf
	c.cur.Store(&T{5})
	c.n.Add(2)
	x := 7
	c.ps = append(c.ps, new(atomic.Pointer[int]))
	c.ps[0].Store(&x)
	fmt.Println(c.cur.Load().a, c.n.Load(), *c.ps[0].Load())
	f := sync.OnceValue(func() int { fmt.Println("once"); return 3 })
	fmt.Println(f(), f(), rand.N(1))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				o := c.cur.Load()
				if c.cur.CompareAndSwap(o, &T{o.a + 1}) {
					return
				}
			}
		})
	}
	wg.Wait()
	fmt.Println(c.cur.Load().a)
	e, ok := errors.AsType[E](fmt.Errorf("w %w", E{4}))
	fmt.Println(e, ok)
	fmt.Printf("%T\n", &p)
}

type E struct{ n int }

func (e E) Error() string { return fmt.Sprint("E", e.n) }
