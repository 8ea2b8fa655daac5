package main

import "fmt"

type CI chan int
type MI map[string]int
type SI []int
type FI func() int
type PI *int

func kind(a any) string {
	switch a.(type) {
	case chan int:
		return "chan int"
	case CI:
		return "CI"
	case map[string]int:
		return "map"
	case MI:
		return "MI"
	case []int:
		return "[]int"
	case SI:
		return "SI"
	case func() int:
		return "func"
	case FI:
		return "FI"
	case *int:
		return "*int"
	case PI:
		return "PI"
	}
	return "?"
}

func main() {
	var c CI = make(chan int)
	var d CI = make(CI)
	x := 1
	fmt.Println(kind(c), kind(d), kind(CI(nil)), kind(MI{}), kind(SI{}), kind(FI(nil)), kind(PI(&x)), kind(make(CI)))
	cs := []CI{c}
	fmt.Println(kind(cs[0]))
	for _, v := range cs {
		fmt.Println(kind(v))
	}
	fmt.Printf("%T\n", c)
}
