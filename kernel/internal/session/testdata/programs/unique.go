package main

import (
	"fmt"
	"runtime"
	"time"
	"unique"
	"weak"
)

type key struct{ a, b string }
type big struct{ n [100]int }

func main() {
	x, y, z := unique.Make("a"), unique.Make("a"), unique.Make("b")
	fmt.Println(x == y, x == z, x.Value())
	k := unique.Make(key{"x", "y"})
	fmt.Println(k == unique.Make(key{"x", "y"}), k.Value().b)
	m := map[unique.Handle[key]]int{k: 3}
	fmt.Println(m[unique.Make(key{"x", "y"})])
	var e error
	fmt.Println(unique.Make(e) == unique.Make[error](nil))
	p := &big{}
	p.n[3] = 7
	w := weak.Make(p)
	fmt.Println(w.Value().n[3], w == weak.Make(p), weak.Make[int](nil).Value() == nil)
	fmt.Println(gone().Value())
}

func gone() weak.Pointer[big] {
	w := weakly()
	for range 100 {
		runtime.GC()
		if w.Value() == nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	return w
}

func weakly() weak.Pointer[big] { return weak.Make(&big{}) }
