package main

import "fmt"

type T struct{ N int }
type P struct {
	T
	M map[string]int
}

func get(n int) T { return T{n} }

func main() {
	var ps []*T
	var fs []func() T
	for i := range 3 {
		x := T{i}
		ps = append(ps, &x)
		fs = append(fs, func() T { return x })
		y := get(i * 10)
		ps = append(ps, &y)
		z := []T{{i * 100}}[0]
		ps = append(ps, &z)
		w := *ps[0]
		w.N += 1000 + i
		ps = append(ps, &w)
		var v = T{N: i - 5}
		fs = append(fs, func() T { v.N++; return v })
		a := [2]T{{i}, {i + 1}}
		ps = append(ps, &a[1])
		p := P{T: T{i}, M: map[string]int{"a": i}}
		ps = append(ps, &p.T)
		q := p
		q.N = 77
		q.M["a"]++
		fs = append(fs, func() T { return T{p.M["a"]} })
		if t := (T{i * 7}); t.N > 0 {
			ps = append(ps, &t)
		}
		switch t := (T{i * 8}); {
		default:
			fs = append(fs, func() T { return t })
		}
	}
	for _, p := range ps {
		fmt.Print(p.N, " ")
	}
	fmt.Println()
	for _, f := range fs {
		fmt.Print(f().N, " ")
	}
	fmt.Println()
	var mk func(n int) []*T
	mk = func(n int) []*T {
		if n == 0 {
			return nil
		}
		t := T{n}
		return append(mk(n-1), &t)
	}
	for _, p := range mk(4) {
		fmt.Print(p.N, " ")
	}
	fmt.Println()
	type node struct {
		v    int
		next *node
	}
	var head *node
	for i := range 4 {
		head = &node{i, head}
	}
	for n := head; n != nil; n = n.next {
		fmt.Print(n.v, " ")
	}
	fmt.Println()
	acc := func() func(int) T {
		t := T{}
		return func(d int) T { t = T{t.N + d}; return t }
	}()
	acc(1)
	acc(2)
	fmt.Println(acc(3))
	state := P{}
	step := func() { state = P{T: T{state.N + 1}, M: state.M} }
	for range 5 {
		step()
	}
	fmt.Println(state.N)
	res := map[string]T{}
	set := func(k string, t T) { res[k] = t; t.N = -1 }
	set("a", T{4})
	tt := res["a"]
	tt.N = 9
	fmt.Println(res, tt)
	s := []T{{1}, {2}, {3}}
	for _, t := range s {
		t.N *= 2
	}
	for i := range s {
		t := &s[i]
		t.N *= 3
		*t = T{t.N + 1}
	}
	fmt.Println(s)
	s2 := append([]T(nil), s...)
	s2[0] = T{100}
	copy(s[1:], s2)
	fmt.Println(s, s2)
	var arr [3]T
	brr := arr
	arr[0] = T{5}
	pa := &arr
	pa[1] = T{6}
	crr := *pa
	pa[2].N = 7
	fmt.Println(arr, brr, crr, arr == *pa)
	ch := make(chan T, 3)
	for i := range 3 {
		t := T{i}
		ch <- t
		t.N = 50
	}
	close(ch)
	for t := range ch {
		fmt.Print(t.N, " ")
	}
	fmt.Println()
}
