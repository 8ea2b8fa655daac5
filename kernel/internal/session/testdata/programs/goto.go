package main

import "fmt"

func f() {
L:
	{
		fmt.Println("in")
		if len(fmt.Sprint()) > 0 {
			goto L
		}
	}
	i := 0
again:
	for i < 10 {
		i++
		if i == 3 {
			i = 8
			goto again
		}
		if i == 9 {
			continue again
		}
	}
	fmt.Println(i)
	n := 0
retry:
	switch n {
	case 0:
		n++
		goto retry
	case 1:
		n++
		if n > 0 {
			break retry
		}
	default:
		fmt.Println("no")
	}
	var x any = 1
type_:
	switch v := x.(type) {
	case int:
		x = "s"
		goto type_
	case string:
		fmt.Println(v)
	}
	c := make(chan int, 3)
	k := 0
sel:
	select {
	case c <- k:
		k++
		goto sel
	default:
	}
	fmt.Println(n, k)
	tries := 0
rng:
	for j := range 3 {
		tries++
		if tries == 2 {
			goto rng
		}
		fs := func() int { return j }
		fmt.Print(fs(), " ")
	}
	fmt.Println(tries)
	var fs []func() int
loop:
	for a := 0; a < 2; a++ {
		fs = append(fs, func() int { return a })
		if len(fs) == 1 {
			goto loop
		}
	}
	for _, f := range fs {
		fmt.Print(f(), " ")
	}
	fmt.Println()
	goto end
end:
}

func main() {
	f()
	goto outer
	fmt.Println("never")
outer:
	for i := 0; i < 3; i++ {
		for {
			switch i {
			case 1:
				break outer
			default:
				fmt.Println("i", i)
				continue outer
			}
		}
	}
}
