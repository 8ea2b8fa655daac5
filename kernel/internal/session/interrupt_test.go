package session

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// TestInterrupt cancels cells that would run for ever and then uses what the session held.
func TestInterrupt(t *testing.T) {
	for _, tt := range []struct{ name, before, spin, after, want string }{
		{"empty loop", "x := 41", "for {}", "x + 1", "42"},
		{"loop with a call", "x := 41", "import \"strings\"\nfor { _ = strings.ToUpper(\"a\") }", "x + 1", "42"},
		{"sleep", "x := 41", "time.Sleep(time.Hour)", "x + 1", "42"},
		{"channel", "x := 41", "c := make(chan int)\n<-c", "x + 1", "42"},
		{"select", "x := 41", "select {}", "x + 1", "42"},
		{"select on channels", "x := 41\nc := make(chan int)", "for { select { case x = <-c: case c <- x: } }", "x + 1", "42"},
		{"closure of an earlier cell", "f := func(n int) int { return n * 2 }", "for {}", "f(21)", "42"},
		{"closure with a loop", "f := func(n int) int { s := 0; for i := range n { s += i }; return s }", "for { f(10) }", "f(4)", "6"},
		{"function of an earlier cell", "func g(n int) int { s := 0; for i := 0; i < n; i++ { s += i }; return s }", "for { g(3) }", "g(4)", "6"},
		{"loop in a function literal", "n := 0", "f := func() { for { n++; _ = strings.ToUpper(\"a\") } }\nf()", "40 + 2", "42"},
		{"loop in a callback", "xs := []int{3, 1, 2}", "sort.Slice(xs, func(i, j int) bool { for {}; return false })", "len(xs)", "3"},
		{"method of an earlier cell", "type T struct{ n int }\nfunc (t *T) Inc() { t.n++ }\nt := &T{}", "for { t.Inc() }", "t.n = 1\nt.Inc()\nt.n", "2"},
		{"goroutine in a compiled call", "n := 0\nb := make([]byte, 32<<20)", "go func() { for { n++; sha256.Sum256(b) } }()\nselect {}", "m := n\ntime.Sleep(200 * time.Millisecond)\nn == m", "true"},
		{"context in use", "x := 1", "<-ctx.Done()\nfor {}", "ctx.Err() == nil", "true"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			nb := newNotebook()
			if _, err := nb.run(tt.before, 5*time.Second); err != nil {
				t.Fatal(err)
			}
			if _, err := nb.run(tt.spin, 100*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("interrupted cell: error %v", err)
			}
			got, err := nb.run(tt.after, 2*time.Second)
			if err != nil || got != tt.want {
				t.Errorf("afterwards: got %q, error %v; want %q", got, err, tt.want)
			}
		})
	}
}

// TestRunawayRecursion: recursion without end is an error and the session lives; recursion that ends may be deep.
func TestRunawayRecursion(t *testing.T) {
	nb := newNotebook()
	for _, c := range []struct{ src, want string }{
		{"func down(n int) int { if n == 0 { return 0 }; return 1 + down(n-1) }\ndown(50000)", "50000"},
		{"kept := 42\nfunc f(n int) int { return f(n+1) + 1 }", ""},
		{"f(0)", "stack overflow"},
		{"kept", "42"},
		{"down(1000)", "1000"},
		{"var g func(n int) int\ng = func(n int) int { return g(n+1) + 1 }\ng(0)", "stack overflow"},
		{"kept + 1", "43"},
	} {
		got, err := nb.run(c.src, 20*time.Second)
		if c.want == "stack overflow" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %q, %v; want a %s", c.src, got, err, c.want)
			}
		} else if err != nil || got != c.want {
			t.Errorf("%s: %q, %v; want %q", c.src, got, err, c.want)
		}
	}
}
