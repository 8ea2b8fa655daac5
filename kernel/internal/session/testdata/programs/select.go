package main

import (
	"fmt"
	"sync"
)

type item struct{ id, worker int }

// pipe hands numbers from in to out through a select that many goroutines run at once.
func pipe(worker int, in <-chan int, out chan<- item, stop <-chan struct{}) (n int) {
	var held []int
	for {
		var to chan<- item
		var next item
		if len(held) > 0 {
			to, next = out, item{held[0], worker}
		}
		select {
		case v, ok := <-in:
			if !ok {
				in = nil
				continue
			}
			held = append(held, v)
		case to <- next:
			held = held[1:]
			n++
		case <-stop:
			return n
		}
	}
}

func main() {
	in, out, stop := make(chan int), make(chan item), make(chan struct{})
	var wg sync.WaitGroup
	counts := make([]int, 8)
	for w := range counts {
		wg.Go(func() { counts[w] = pipe(w, in, out, stop) })
	}
	go func() {
		defer close(in)
		for i := range 400 {
			in <- i
		}
	}()
	seen := map[int]bool{}
	for len(seen) < 400 {
		select {
		case x := <-out:
			if seen[x.id] {
				fmt.Println("twice", x)
			}
			seen[x.id] = true
		}
	}
	close(stop)
	wg.Wait()
	total := 0
	for _, n := range counts {
		total += n
	}
	fmt.Println(len(seen), total)

	order := ""
	note := func(s string, c chan any) chan any { order += s; return c }
	value := func(s string) any { order += s; return s }
	full, empty := make(chan any, 1), make(chan any, 1)
	full <- nil
	var e error
	var got any = 1
	ok := false
	select {
	case note("a", empty) <- value("b"):
		fmt.Println("sent", order)
	case got, ok = <-note("c", nil):
	}
	select {
	case got, ok = <-full:
		fmt.Println(got, ok)
	default:
		fmt.Println("no")
	}
	errs := make(chan error, 2)
	errs <- fmt.Errorf("wrong")
	errs <- nil
	for range 2 {
		select {
		case e = <-errs:
			fmt.Println(e)
		}
	}
	fs := make(chan func() int, 1)
	select {
	case fs <- func() int { return len(order) }:
	default:
	}
	select {
	case f := <-fs:
		fmt.Println(f())
	default:
		fmt.Println("nothing")
	}
	select {
	case <-errs:
	default:
		fmt.Println("default")
	}
	func() {
		defer func() { fmt.Println(recover()) }()
		close(full)
		select {
		case full <- 1:
		}
	}()
}
