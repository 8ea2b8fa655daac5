package session

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkAge is a cell in a young session and in an old one, which should not be slower.
func BenchmarkAge(b *testing.B) {
	for _, age := range []int{10, 5000} {
		b.Run(fmt.Sprint(age), func(b *testing.B) {
			nb := newNotebook()
			cell := func(i int) {
				if _, err := nb.run(fmt.Sprintf("x%d := %[1]d\nfunc f%[1]d(n int) int { return n + x%[1]d }\ntype T%[1]d struct{ n int }\nfunc (t T%[1]d) M() int { return f%[1]d(t.n) }\nT%[1]d{3}.M()", i), 20*time.Second); err != nil {
					b.Fatal(err)
				}
			}
			for i := range age {
				cell(i)
			}
			n := age
			for b.Loop() {
				cell(n)
				n++
			}
		})
	}
}

// BenchmarkCode: what the interpreter makes of plain functions.
func BenchmarkCode(b *testing.B) {
	for _, bb := range []struct{ name, code, call string }{
		{"fib", "func fib(n int) int {\n\tif n < 2 {\n\t\treturn n\n\t}\n\treturn fib(n-1) + fib(n-2)\n}", "fib(20)"},
		{"floats", "func floats(n int) (s float64) {\n\tfor i := range n {\n\t\ts += float64(i) * 0.5\n\t}\n\treturn s\n}", "floats(100000)"},
		{"collatz", "func collatz(n int) (steps int) {\n\tfor n != 1 {\n\t\tif n%2 == 0 {\n\t\t\tn = n / 2\n\t\t} else {\n\t\t\tn = 3*n + 1\n\t\t}\n\t\tsteps++\n\t}\n\treturn steps\n}", "for i := range 1000 { collatz(i + 1) }"},
		{"sieve", "func sieve(n int) (c int) {\n\tcrossed := make([]bool, n)\n\tfor i := 2; i < n; i++ {\n\t\tif crossed[i] {\n\t\t\tcontinue\n\t\t}\n\t\tc++\n\t\tfor j := i * i; j < n; j += i {\n\t\t\tcrossed[j] = true\n\t\t}\n\t}\n\treturn c\n}", "sieve(20000)"},
	} {
		b.Run(bb.name, func(b *testing.B) {
			nb := newNotebook()
			if _, err := nb.run(bb.code, 20*time.Second); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := nb.run(bb.call, 20*time.Second); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
