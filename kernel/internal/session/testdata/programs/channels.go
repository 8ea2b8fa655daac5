package main

import (
	"fmt"
	"sync"
)

type C chan int

func send[T any](cs map[string]chan T, x T) {
	for _, c := range cs {
		c <- x
	}
}

func merge(cs ...<-chan int) <-chan int {
	out := make(chan int)
	var wg sync.WaitGroup
	for _, c := range cs {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for v := range c {
				out <- v
			}
		}()
	}
	go func() { wg.Wait(); close(out) }()
	return out
}

func main() {
	a := []chan bool{make(chan bool, 10), make(chan bool, 10)}
	for i, d := range a {
		for range i + 1 {
			d <- true
		}
	}
	fmt.Println(len(a[0]), len(a[1]))
	arr := [2]C{make(C, 1), make(C, 1)}
	for _, c := range arr {
		c <- 1
	}
	for _, c := range &arr {
		fmt.Println(<-c)
	}
	m := map[string]chan string{"a": make(chan string, 1)}
	send(m, "x")
	for k, c := range m {
		fmt.Println(k, <-c, len(c))
	}
	var c chan bool
	for _, c = range a {
		close(c)
	}
	n := 0
	for range c {
		n++
	}
	fmt.Println(n)
	gen := func(n int) <-chan int {
		c := make(chan int)
		go func() {
			defer close(c)
			for i := range n {
				c <- i
			}
		}()
		return c
	}
	t := 0
	for v := range merge(gen(10), gen(20)) {
		t += v
	}
	fmt.Println(t)
}
