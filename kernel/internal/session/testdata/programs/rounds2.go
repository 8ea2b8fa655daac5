package main

import "fmt"

type T struct{ N int }

func get(n int) []int   { return []int{n} }
func geta(n int) [2]int { return [2]int{n, n} }

func main() {
	var fs []func() any
	var ps []*[2]int
	var qs []*[]int
	var ms []*map[string]int
	for i := range 3 {
		a := [2]int{i, i}
		fs = append(fs, func() any { return a })
		ps = append(ps, &a)
		s := []int{i}
		fs = append(fs, func() any { return s })
		qs = append(qs, &s)
		m := map[string]int{"a": i}
		fs = append(fs, func() any { return m })
		ms = append(ms, &m)
		b := geta(i)
		fs = append(fs, func() any { return b })
		ps = append(ps, &b)
		t := get(i)
		fs = append(fs, func() any { return t })
		qs = append(qs, &t)
		var c [2]int = [2]int{i * 2, i}
		fs = append(fs, func() any { return c })
		d := s
		fs = append(fs, func() any { return d })
		qs = append(qs, &d)
		e := a
		fs = append(fs, func() any { return e })
		ps = append(ps, &e)
		f := make([]int, i)
		fs = append(fs, func() any { return f })
		g := append([]int{}, i)
		fs = append(fs, func() any { return g })
		h := i * 2
		fs = append(fs, func() any { return h })
		j := fmt.Sprint(i)
		fs = append(fs, func() any { return j })
		k := &T{i}
		fs = append(fs, func() any { return k.N })
		l, n := i, [1]int{i}
		fs = append(fs, func() any { return []any{l, n} })
		o := s[:]
		fs = append(fs, func() any { return o })
		p := a[:]
		fs = append(fs, func() any { return p })
		var q any = i
		fs = append(fs, func() any { return q })
		r := -i
		fs = append(fs, func() any { return r })
		u := i > 1
		fs = append(fs, func() any { return u })
		v := func() int { return i }
		fs = append(fs, func() any { return v() })
		w := struct{ A [2]int }{a}
		fs = append(fs, func() any { return w })
		x, ok := m["a"]
		fs = append(fs, func() any { return []any{x, ok} })
		y := [...]T{{i}}
		fs = append(fs, func() any { return y })
		z := [][]int{{i}}
		fs = append(fs, func() any { return z })
	}
	for _, f := range fs {
		fmt.Print(f(), " ")
	}
	fmt.Println()
	for _, p := range ps {
		fmt.Print(*p, " ")
	}
	for _, p := range qs {
		fmt.Print(*p, " ")
	}
	for _, p := range ms {
		fmt.Print(*p, " ")
	}
	fmt.Println()
}
