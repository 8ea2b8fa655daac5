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
