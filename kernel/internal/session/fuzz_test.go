package session

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// FuzzCell: any bytes as a cell are checked, lowered and loaded, or are an error; they never end the process. They are not run: what a
// fuzzer writes might remove files.
func FuzzCell(f *testing.F) {
	for _, s := range []string{"x := 1\nx", "func f[T any](x T) T { return x }\nf(3)", "for i := range 3 { defer func() { recover() }() }", "type T struct{ T2 }\ntype T2 struct{ a []T }\nvar t T\nt.a",
		"import \"fmt\"\nfmt.Println(\"a\")", "switch x := any(1).(type) { case int: _ = x }", "go func() {}()", "a:\nfor { break a }", "package main\nfunc main() {}", "const ( a = iota; b )\nb", "x, y := 1, 2; x, y = y, x",
		"var f func(int) int\nf = func(n int) int { return f(n-1) }", "m := map[string][]int{\"a\": {1}}\nm[\"a\"][0]++", "select { default: }", "ch := make(chan int, 1)\nch <- 1\nv, ok := <-ch", "widgets.Interact(func(k float64) {})",
		"type I interface{ M() }\ntype A struct{}\nfunc (A) M() {}\nvar i I = A{}\ni.M()", "slices.Sort([]int{2, 1})", "help(\"x\")", "if x := 1; x > 0 { goto end }\nend:"} {
		f.Add(s)
	}
	files, _ := filepath.Glob(filepath.Join("testdata", "*")) // none is no error
	for _, name := range files {
		if b, err := os.ReadFile(name); err == nil {
			f.Add(string(b))
		}
	}
	s, n := New(), 0
	f.Fuzz(func(t *testing.T, src string) {
		if n++; n%500 == 0 {
			s = New()
		}
		if len(src) > 4000 {
			return
		}
		var r *Ready
		var err error
		done := make(chan struct{})
		go func() {
			defer close(done)
			r, err = s.Prepare(1_000_000+n, src)
		}()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			panic("the cell is read for ever")
		}
		var fault *Failure
		switch {
		case errors.As(err, &fault):
			t.Fatalf("%v\n%s", fault.Panic, fault.Stack)
		case err != nil:
			if rep := s.Report(err); rep.Name == "" || len(rep.Traceback) == 0 || strings.TrimSpace(rep.Value) == "" {
				t.Errorf("an error without words: %+v", rep)
			}
		case r == nil:
			t.Error("neither an error nor a cell")
		}
	})
}
