package kerneltest

import (
	"context"
	"strings"
	"testing"
	"time"
)

// TestPrelude: what cells call without a package's name.
func TestPrelude(t *testing.T) {
	k := Start(t)
	r := func(code string) (out, shown, ename string) {
		t.Helper()
		r, err := k.Execute(context.Background(), code, nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.Err != nil {
			ename = r.Err.Name + ": " + r.Err.Value
		}
		for _, o := range r.Outputs {
			if s, ok := o.Data["text/plain"].(string); ok {
				shown += s
			}
		}
		return Streams(r.Outputs, "stdout"), shown, ename
	}
	_, _, err := r("import str \"strings\"\n// twice doubles.\nfunc twice(x int) int { return 2 * x }\ntype P struct{ A int }\nn, text, ps := 3, \"long \"+strings.Repeat(\"x\", 100), []P{{1}}\nstr.ToUpper(text);")
	if err != "" {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, code, shown, err string }{
		{"help of a name", "help(\"laplace.Fit\")", "func laplace.Fit(\n\tctx context.Context,", ""},
		{"help of a function", "help(strings.Cut)", "func strings.Cut(s string, sep string)", ""},
		{"help of a value", "help(&strings.Builder{})", "type strings.Builder struct", ""},
		{"help of a user's function", "help(\"twice\")", "twice doubles.", ""},
		{"help of a user's value", "help(ps[0])", "type P struct", ""},
		{"help of the prelude", "help()", "package prelude", ""},
		{"help of itself", "help(\"help\")", "func prelude.help(what ...any)", ""},
		{"help of nothing", "help(\"nosuch.Thing\")", "", "nothing is known of \"nosuch.Thing\""},
		{"help of a function without a name", "help(twice)", "", "give it in quotes"},
		{"who", "who()", "n    │ int    │ 3", ""},
		{"who shows lengths", "who()", "ps   │ []P    │ len 1", ""},
		{"who cuts", "who()", "xxx… ", ""},
		{"timeit", "t := timeit(func() { twice(3) })", "", "multiple-value"},
		{"timeit shows", "timeit(func() { twice(3) })", "7 runs of", ""},
		{"a status is an error", "shell(\"exit 3\")", "", "shell: exit 3: exit status 3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, shown, err := r(tt.code)
			if !strings.Contains(shown, tt.shown) || !strings.Contains(err, tt.err) || (tt.err == "") != (err == "") {
				t.Errorf("showed %q, error %q; want %q, %q", shown, err, tt.shown, tt.err)
			}
		})
	}
	if out, _, err := r("shell(\"echo one; echo two\")"); out != "one\ntwo\n" || err != "" {
		t.Errorf("shell printed %q, error %q", out, err)
	}
	if out, _, err := r("help := 3\nfmt.Println(help)"); out != "3\n" || err != "" {
		t.Errorf("a variable named help: printed %q, error %q", out, err)
	}
	if _, _, err := r("reset()"); err != "" {
		t.Error(err)
	}
	for _, code := range []string{"n", "twice(1)", "P{}", "str.ToUpper(\"\")"} {
		if _, _, err := r(code); !strings.Contains(err, "undefined") {
			t.Errorf("after a reset, %s: error %q", code, err)
		}
	}
	if _, shown, err := r("n := \"new\"\nn"); shown != "new" || err != "" {
		t.Errorf("after a reset: showed %q, error %q", shown, err)
	}
	if _, shown, err := r("who()"); !strings.Contains(shown, "n    │ string │ new") || err != "" {
		t.Errorf("after a reset: %q, %q", shown, err)
	}
}

// TestPreludeInterrupt: a command and a timing end at once.
func TestPreludeInterrupt(t *testing.T) {
	k := Start(t)
	for _, code := range []string{"shell(\"sleep 60\")", "timeit(func() { time.Sleep(10 * time.Second) })", "for { timeit(func() {}) }"} {
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(300*time.Millisecond, cancel)
		start := time.Now()
		r, err := k.Execute(ctx, code, nil)
		if err != nil || r.Err == nil || r.Err.Name != "Interrupt" {
			t.Errorf("%s: %v, %v; want an Interrupt", code, err, r.Err)
		}
		if took := time.Since(start); took > 800*time.Millisecond {
			t.Errorf("%s: the interrupt took %v", code, took-300*time.Millisecond)
		}
	}
}
