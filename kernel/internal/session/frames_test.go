package session

import (
	"context"
	"strings"
	"testing"

	"gobayes/kernel/internal/rt"
)

// TestFrames: a panic shows the lines of the cells that it passed, innermost first.
func TestFrames(t *testing.T) {
	rt.SetHost(&host{ctx: context.Background()})
	s := New()
	run := func(code string) string {
		cells++
		n := cells
		r, err := s.Prepare(n, code)
		s.SetLabel(n, "cell X")
		if err == nil {
			err = s.Run(context.Background(), r)
		}
		if err == nil {
			return ""
		}
		text := strings.Join(s.Report(err).Traceback, "\n")
		for _, code := range []string{red, bold, plain} {
			text = strings.ReplaceAll(text, code, "")
		}
		return text
	}
	if e := run("type T struct{}\n\nfunc third(xs []int) int {\n\treturn xs[2]\n}\nfunc (T) deep(n int) {\n\tif n == 0 {\n\t\tpanic(\"deep down\")\n\t}\n\tT{}.deep(n - 1)\n}"); e != "" {
		t.Fatal(e)
	}
	for _, tt := range []struct{ name, code, want string }{
		{"in a function", "y := 1\nx := third([]int{1, 2})", "in third, which begins at cell X:4|  at cell X:2\n    x := third([]int{1, 2})"},
		{"shown value", "third(nil)", "in third, which begins at cell X:4|at cell X:1\n    third(nil)"},
		{"in the cell", "var m map[string]int\n\nm[\"a\"] = 1", "at cell X:3\n    m[\"a\"] = 1"},
		{"in a method, deep", "T{}.deep(2)", "in T.deep, which begins at cell X:7 (3 times)|at cell X:1\n    T{}.deep(2)"},
		{"in a literal", "f := func() {\n\tpanic(1)\n}\nf()", "in a function literal, which begins at cell X:2|at cell X:4\n    f()"},
		{"in compiled code", "strings.Repeat(\"a\", -1)", "at cell X:1\n    strings.Repeat"},
		{"in a loop", "fmt.Println(1)\nfor i := range 3 {\n\t_ = []int{}[i]\n}", "at cell X:2\n    for i := range 3 {"},
		{"after a recovered panic", "func try() {\n\tdefer func() { recover() }()\n\tthird(nil)\n}\ntry()\nT{}.deep(0)", "panic: deep down\n  in T.deep, which begins at cell X:7\n  at cell X:6"},
		{"in an assertion", "func as(x any) string {\n\treturn x.(string)\n}\nas(1)", "not string\n  in as, which begins at cell X:2\n  at cell X:4"},
		{"in a method by an interface", "type I interface{ deep(n int) }\nvar i I = T{}\ni.deep(0)", "deep down\n  in T.deep, which begins at cell X:7\n  at cell X:3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := run(tt.code)
			for _, part := range strings.Split(tt.want, "|") {
				if !strings.Contains(got, part) || strings.Contains(got, "in run") {
					t.Errorf("no %q in\n%s", part, got)
				}
			}
		})
	}
}
