package session

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"gobayes/kernel/internal/engine"
)

// TestOracle: random programs, and random sequences of cells, print what the compiler makes of them. BAYESRM_ORACLE sets how many of each
// (30), BAYESRM_SEED the first.
func TestOracle(t *testing.T) {
	t.Run("programs", func(t *testing.T) {
		oracle(t, program, func(seed int) (string, error) {
			nb := newNotebook()
			_, err := nb.run(fmt.Sprintf("%s%sfunc main() { p%d() }\nmain()", preamble, program(seed), seed), 20*time.Second)
			return nb.h.out.String(), err
		})
	})
	t.Run("cells", func(t *testing.T) {
		oracle(t, func(seed int) string { return compiled(seed, cellsOf(seed)) }, func(seed int) (string, error) {
			nb := newNotebook()
			for _, c := range append([]string{preamble}, cellsOf(seed)...) {
				_, err := nb.run(inSession(c), 20*time.Second)
				var p *engine.Panic
				switch {
				case errors.As(err, &p):
					fmt.Fprintln(&nb.h.out, "panic", p.Value)
				case err != nil:
					return "", fmt.Errorf("%w\nin\n%s", err, inSession(c))
				}
			}
			return nb.h.out.String(), nil
		})
	})
}

// oracle compares what run prints for each seed with what the compiler makes of source, which declares a function p<seed>.
func oracle(t *testing.T, source func(seed int) string, run func(seed int) (string, error)) {
	number := func(name string, otherwise int) int {
		if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
			return n
		}
		return otherwise
	}
	first, count := number("BAYESRM_SEED", 1), number("BAYESRM_ORACLE", 30)
	for ; count > 0; count -= 30 { // a compilation is a second
		batch := map[int]string{}
		var main strings.Builder
		all := preamble
		for range min(count, 30) {
			batch[first] = source(first)
			all += batch[first]
			fmt.Fprintf(&main, "\tfmt.Println(\"== %d\")\n\tp%[1]d()\n", first)
			first++
		}
		text := outOfRange.ReplaceAllString(goRun(t, all+"func main() {\n"+main.String()+"}\n"), "index out of range")
		for _, part := range strings.Split(text, "== ")[1:] {
			seed, want, _ := strings.Cut(part, "\n")
			n, _ := strconv.Atoi(seed)
			if got, err := run(n); err != nil {
				t.Errorf("seed %d: %v\n%s", n, err, batch[n])
			} else if got != want {
				t.Errorf("seed %d printed\n%s\nthe compiler's\n%s\nof\n%s", n, got, want, batch[n])
			}
		}
	}
}

// goRun is what a program prints that the compiler has made.
func goRun(t *testing.T, program string) string {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("needs the go command to compile the programs")
	}
	file := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(file, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := exec.Command("go", "run", file).CombinedOutput()
	if err != nil {
		t.Fatalf("it does not compile: %v\n%s\n%s", err, b, program)
	}
	return string(b)
}

// outOfRange is what the interpreter does not know: which index it was.
var outOfRange = regexp.MustCompile(`index out of range \[.*`)

const preamble = `package main

import "fmt"

type point struct {
	X, Y int
	s    string
}

func (p point) sum() int   { return p.X + 2*p.Y + len(p.s) }
func (p *point) move(n int) { p.X += n; p.Y -= n }

type summer interface{ sum() int }
type num int

func (n num) sum() int { return int(n) * 3 }

func seq(n int) func(func(int) bool) {
	return func(yield func(int) bool) {
		for i := 0; i < n; i++ {
			if !yield(i * i) {
				return
			}
		}
	}
}

func pick[T any](c bool, a, b T) T {
	if c {
		return a
	}
	return b
}

var calls int // what calls change and no other part of an expression reads: their order is defined

func show(where int, xs ...any) { fmt.Println(append([]any{where}, xs...)...) }

`

// writer writes one random program.
type writer struct {
	*rand.Rand
	b      strings.Builder
	vars   map[string][]string // in scope, by type
	n      int                 // names
	steps  int                 // statements that may still be written
	indent int
	labels []string // of loops around
	inLoop bool
	cells  bool // variables of indent 0 are a session's
}

// program is the text of the functions of a random program, of which p<seed> is the one to call.
func program(seed int) string {
	w := &writer{Rand: rand.New(rand.NewPCG(uint64(seed), 0)), vars: map[string][]string{}, steps: 40}
	w.line("func f%d(a, b int, s string) (r int, t string) {", seed)
	w.indent++
	w.vars = map[string][]string{"int": {"a", "b", "r"}, "string": {"s", "t"}}
	w.line("defer func() {\n\t\tif x := recover(); x != nil {\n\t\t\tshow(0, \"recovered\", x)\n\t\t\tr = -1\n\t\t}\n\t}()")
	w.block(7)
	if w.IntN(4) == 0 {
		w.line("panic(%s)", w.expr("string", 1))
	} else {
		w.line("return %s, %s", w.expr("int", 2), w.expr("string", 2))
	}
	w.indent--
	w.line("}\n")
	w.line("func p%d() {", seed)
	w.line("\tcalls = 0\n\tfor i := range 3 {\n\t\tr, t := f%d(i*7-3, 5-i, \"héy\"[:i+1])\n\t\tshow(-1, r, t)\n\t}\n}\n", seed)
	return w.b.String()
}

func (w *writer) line(f string, a ...any) {
	w.b.WriteString(strings.Repeat("\t", w.indent))
	fmt.Fprintf(&w.b, f+"\n", a...)
}

// scoped writes what f writes, and forgets what it declared.
func (w *writer) scoped(f func()) {
	saved, labels, inLoop := map[string][]string{}, w.labels, w.inLoop
	for t, vs := range w.vars {
		saved[t] = append([]string(nil), vs...)
	}
	w.indent++
	f()
	w.indent--
	w.vars, w.labels, w.inLoop = saved, labels, inLoop
}

func (w *writer) block(n int) {
	for range 1 + w.IntN(n) {
		if w.steps--; w.steps > 0 {
			w.stmt()
		}
	}
}

var kinds = []string{"int", "int", "uint8", "float64", "string", "bool", "[]int", "map[string]int", "point", "*point", "func(int) int", "any", "summer"}

func (w *writer) declare(typ string) {
	w.n++
	name := fmt.Sprintf("v%d", w.n)
	w.assign(name, typ, w.expr(typ, 2))
	w.vars[typ] = append(w.vars[typ], name)
}

// assign writes the declaration of a variable with a value.
func (w *writer) assign(name, typ, x string) {
	form := "var %s %s = %s"
	switch brief, top := w.IntN(2) == 0, w.cells && w.indent == 0; {
	case brief && top:
		form = "«%s := %s» (%[2]s)(%s)"
	case top:
		form = "«var %s %s» = %s"
	case brief:
		form = "%s := (%s)(%s)"
	}
	w.line(form, name, typ, x)
	w.line("_ = %s", name)
}

func (w *writer) some(typ string) string {
	vs := w.vars[typ]
	if len(vs) == 0 {
		return ""
	}
	return vs[w.IntN(len(vs))]
}

func (w *writer) stmt() {
	w.n++
	id := w.n
	switch w.IntN(21) {
	case 0, 1, 2, 3:
		w.declare(kinds[w.IntN(len(kinds))])
	case 4:
		if w.cells { // without panics: the compiler may assign a before what panics, and later cells show a
			w.line("a, %s = %s, %s + 1", []string{"b", "r"}[w.IntN(2)], w.some("int"), w.some("int"))
			break
		}
		w.line("a, %s = %s, %s", []string{"b", "r", "_"}[w.IntN(3)], w.expr("int", 2), w.expr("int", 2))
	case 5:
		w.line("%s %s %s", w.some("int"), []string{"+=", "-=", "*=", "^=", "|=", "&^="}[w.IntN(6)], w.expr("int", 2))
	case 6:
		w.line("if %s {", w.expr("bool", 2))
		w.scoped(func() { w.block(3) })
		w.line("} else {")
		w.scoped(func() { w.block(3) })
		w.line("}")
	case 7, 8:
		w.loop(id)
	case 9:
		w.line("switch (%s) {", w.expr("int", 1))
		for i := range 3 {
			w.line("case %d, %d:", 2*i-1, 2*i+10)
			w.scoped(func() { w.block(2) })
			if i < 2 && w.IntN(3) == 0 {
				w.line("\tfallthrough")
			}
		}
		w.line("default:")
		w.scoped(func() { w.block(2) })
		w.line("}")
	case 10:
		w.line("switch x := any(%s).(type) {", w.expr([]string{"any", "int", "point", "string", "summer"}[w.IntN(5)], 1))
		w.line("case int, string:\n\tshow(%d, x)\ncase point:\n\tshow(%[1]d, x.sum(), x.Y)\ncase summer:\n\tshow(%[1]d, x.sum())\ncase nil:\n\tshow(%[1]d)\ndefault:\n\tshow(%[1]d, \"other\", x)\n}", id)
	case 11:
		w.line("defer show(%d, %s)", id, w.expr([]string{"int", "string", "point"}[w.IntN(3)], 1))
	case 12:
		w.line("defer func() { r %s %s }()", []string{"+=", "-=", "="}[w.IntN(3)], w.expr("int", 2))
	case 13:
		if m := w.some("map[string]int"); m != "" {
			w.line("%s[%s] += %s", m, w.expr("string", 1), w.expr("int", 1))
			w.line("delete(%s, %s)", m, w.expr("string", 1))
		}
	case 14:
		if p := w.some("*point"); p != "" {
			w.line("%s.move(%s)", p, w.expr("int", 1))
			w.line("%s.s += %s", p, w.expr("string", 1))
		}
	case 15:
		if s := w.some("[]int"); s != "" {
			w.line("%s = append(%[1]s, %s)", s, w.expr("int", 1))
			w.line("%s[%s] = %s", s, w.expr("int", 1), w.expr("int", 2)) // may be out of range
		}
	case 16:
		w.line("func() {\n\tdefer func() { show(%d, recover() != nil) }()", id)
		w.scoped(func() {
			w.labels, w.inLoop = nil, false
			w.block(3)
		})
		w.line("}()")
	case 17:
		w.line("{\n\tc := make(chan any, 1)\n\tif %s { c <- %s }\n\tselect {\n\tcase x, ok := <-c:\n\t\tshow(%d, x, ok)\n\tdefault:\n\t\tshow(%[3]d)\n\t}\n}", w.expr("bool", 1), w.expr("point", 1), id)
	case 18:
		if w.inLoop {
			w.line("if %s {\n\t%s\n}", w.expr("bool", 1), []string{"break", "continue"}[w.IntN(2)])
		}
	case 19:
		if len(w.labels) > 0 {
			w.line("if %s {\n\t%s %s\n}", w.expr("bool", 1), []string{"break", "continue"}[w.IntN(2)], w.labels[w.IntN(len(w.labels))])
		}
	default:
		w.line("show(%d, %s, %s)", id, w.expr(kinds[w.IntN(9)], 2), w.expr("int", 2))
	}
}

func (w *writer) loop(id int) {
	label := ""
	if w.IntN(2) == 0 {
		label = fmt.Sprintf("L%d", id)
		w.line("%s:", label)
	}
	i := fmt.Sprintf("i%d", id)
	head := []string{"for I := 0; I < 4; I++ {", "for I := range 3 {", "for I := range []int{4, N, 6} {", "for I, c := range S {\n\tshow(0, c)", "for I := range seq(4) {", "for _, I := range [3]int{2, N} {"}[w.IntN(6)]
	w.line("%s", strings.NewReplacer("I", i, "N", w.expr("int", 1), "S", w.expr("string", 0)).Replace(head))
	w.scoped(func() {
		w.inLoop = true
		if label != "" {
			w.labels = append(w.labels[:len(w.labels):len(w.labels)], label)
			w.line("if %s > 5 {\n\tcontinue %s\n}", i, label)
		}
		w.line("v%d := %s", id, i)
		w.vars["int"] = append(w.vars["int"], fmt.Sprintf("v%d", id))
		if w.IntN(3) == 0 {
			w.line("defer func() { show(%d, %s, v%[1]d) }()", id, i)
		}
		w.block(4)
		w.line("_ = v%d", id)
	})
	w.line("}")
}

// expr is an expression of the type. No part of it is constant, so that nothing overflows before it runs.
func (w *writer) expr(typ string, depth int) string {
	if v := w.some(typ); v != "" && (depth <= 0 || w.IntN(4) == 0) {
		return v
	}
	d := depth - 1
	e := func(t string) string { return w.expr(t, d) }
	choose := func(fs ...func() string) string {
		if depth <= 0 {
			return fs[0]()
		}
		return fs[w.IntN(len(fs))]()
	}
	f := func(format string, types ...string) func() string {
		return func() string {
			var xs []any
			for _, t := range types {
				xs = append(xs, e(t))
			}
			return fmt.Sprintf(format, xs...)
		}
	}
	if depth > 0 && w.IntN(8) == 0 && typ != "any" && typ != "summer" {
		return fmt.Sprintf("pick(%s, %s, %s)", e("bool"), e(typ), e(typ))
	}
	switch typ {
	case "int":
		return choose(func() string { return w.some("int") }, f("(%s + %s)", "int", "int"), f("(%s - %s)", "int", "int"), f("(%s * %s %% 1000)", "int", "int"), f("(%s / (%s&7 | 1))", "int", "int"),
			f("(%s %% %s)", "int", "int"), f("(%s << (%s & 7) %% 4096)", "int", "uint8"), f("(%s >> (%s & 3))", "int", "uint8"), f("len(%s)", "string"), f("len(%s)", "[]int"), f("%s.sum()", "point"),
			f("%s.sum()", "*point"), f("%s[%s&1]", "[]int", "int"), f("%s[%s]", "map[string]int", "string"), f("%s(%s)", "func(int) int", "int"), f("int(%s)", "uint8"), f("min(%s, %s)", "int", "int"),
			f("%s.X", "point"), f("%s.sum()", "summer"), f("-(%s)", "int"), f("^%s", "int"), f("func() int { calls++; return calls + %s }()", "int"))
	case "uint8":
		return choose(f("uint8(%s)", "int"), f("(%s + %s)", "uint8", "uint8"), f("(%s * %s)", "uint8", "uint8"), f("(%s ^ %s)", "uint8", "uint8"))
	case "float64":
		// never zero: a negative zero loses its sign when the interpreter hands it to a function
		return choose(f("(float64(%s) + 0.5)", "int"), f("(%s / %s)", "float64", "float64"), f("(%s * %s)", "float64", "float64"), f("max(%s, %s)", "float64", "float64"))
	case "string":
		return choose(func() string { return w.some("string") }, f("(%s + %s)", "string", "string"), f("fmt.Sprint(%s)", "int"), f("string(rune('a' + %s&15))", "int"), f("%s.s", "point"), f("fmt.Sprintf(\"%%v\", %s)", "point"), f("%s[:len(%[1]s)/2]", "string"))
	case "bool":
		return choose(f("(%s < %s)", "int", "int"), f("(%s == %s)", "string", "string"), f("(%s && %s)", "bool", "bool"), f("(%s || %s)", "bool", "bool"), f("!%s", "bool"), f("(%s == %s)", "point", "point"), f("(%s == any(%s))", "any", "int"))
	case "[]int":
		return choose(f("[]int{%s, 3}", "int"), f("append(%s, %s)", "[]int", "int"), f("append([]int(nil), %s...)", "[]int"))
	case "map[string]int":
		return f("map[string]int{%s: %s, \"k\": 2}", "string", "int")()
	case "point":
		return choose(f("point{%s, 1, \"p\"}", "int"), f("point{s: %s, Y: %s}", "string", "int"), f("(*%s)", "*point"))
	case "*point":
		return f("(&point{X: %s, s: %s})", "int", "string")()
	case "func(int) int":
		return choose(f("(func(n int) int { return n + %s })", "int"), f("(func(n int) int { calls += n & 3; return calls %% 100 - %s })", "int"))
	case "any":
		return choose(f("any(%s)", "int"), f("any(%s)", "string"), f("any(%s)", "point"), f("any(%s)", "[]int"), func() string { return "any(nil)" })
	default:
		return choose(f("summer(num(%s))", "int"), f("summer(%s)", "point"), f("summer(%s)", "*point"))
	}
}
