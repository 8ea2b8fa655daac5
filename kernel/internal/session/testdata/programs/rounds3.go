package main

import (
	"fmt"
	"sync"
)

type T struct{ A []int }

func show(xs ...any) { fmt.Print(xs, " ") }

func main() {
	for i := range 3 {
		defer show([]int{i}, [2]int{i}, map[string]int{"a": i}, T{[]int{i}})
		defer func(s []int, a [1]int) { show(s, a) }([]int{i}, [1]int{i})
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	got := map[string]bool{}
	for i := range 3 {
		wg.Add(1)
		go func(s []int, a [1]int, m map[int]int) {
			defer wg.Done()
			mu.Lock()
			defer mu.Unlock()
			got[fmt.Sprint(s, a, m)] = true
		}([]int{i}, [1]int{i}, map[int]int{i: i})
	}
	wg.Wait()
	fmt.Println(len(got), got)
	var all [][]int
	var arrs [][2]int
	var maps []map[string]int
	keep := func(s []int, a [2]int, m map[string]int) {
		all, arrs, maps = append(all, s), append(arrs, a), append(maps, m)
	}
	var ptrs []*[]int
	for i := range 3 {
		keep([]int{i}, [2]int{i, i}, map[string]int{"k": i})
		all = append(all, []int{i * 10})
		st := struct{ S []int }{[]int{i}}
		ptrs = append(ptrs, &st.S)
		p := &[]int{i}
		ptrs = append(ptrs, p)
		for _, x := range [][]int{{i}, {i + 1}} {
			ptrs = append(ptrs, &x)
		}
		func(z []int) { ptrs = append(ptrs, &z) }([]int{i * 7})
		f := func() []int { return []int{i * 9} }
		w := f()
		ptrs = append(ptrs, &w)
		var iface any = []int{i * 11}
		y := iface.([]int)
		ptrs = append(ptrs, &y)
		if v := []int{i * 12}; len(v) > 0 {
			ptrs = append(ptrs, &v)
		}
		switch v := []int{i * 13}; len(v) {
		case 1:
			ptrs = append(ptrs, &v)
		}
		for v := []int{i * 14}; len(v) > 0; v = v[1:] {
			ptrs = append(ptrs, &v)
		}
	}
	fmt.Println(all, arrs, maps)
	for _, p := range ptrs {
		fmt.Print(*p, " ")
	}
	fmt.Println()
}
