package kerneltest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gobayes/kernel/client"
	"gobayes/kernel/notebook"
)

// TestCells runs cells one after the other in one kernel.
func TestCells(t *testing.T) {
	k := Start(t)
	for _, tt := range []struct{ name, code, out, shown, err string }{
		{name: "print and show", code: "fmt.Println(\"hi\")\n1 + 2", out: "hi\n", shown: "3"},
		{name: "a semicolon silences", code: "1 + 2;"},
		{name: "declare", code: "x := 40"},
		{name: "x from x", code: "x := x + 1\nx", shown: "41"},
		{name: "used, then declared anew", code: "fmt.Println(x)\nx := 5\nfmt.Println(x)", out: "41\n5\n"},
		{name: "twice in a cell", code: "a, err := strconv.Atoi(\"1\")\nb, err := strconv.Atoi(\"2\")\na + b", shown: "3"},
		{name: "another type", code: "x := \"text\"\nx", shown: "text"},
		{name: "function of a variable", code: "y := 2\nfunc double() int { return 2 * y }\ndouble()", shown: "4"},
		{name: "sees the new value", code: "y := 10\ndouble()", shown: "20"},
		{name: "err stops the cell", code: "n, err := strconv.Atoi(\"z\")\nfmt.Println(\"not reached\")", err: "Error: strconv.Atoi: parsing \"z\": invalid syntax"},
		{name: "an if opts out", code: "n, err = strconv.Atoi(\"z\")\nif err != nil { fmt.Println(\"handled\") }", out: "handled\n"},
		{name: "final error", code: "os.ReadFile(\"no such file\")", err: "Error: open no such file: no such file or directory"},
		{name: "type error before anything runs", code: "fmt.Println(\"ran\")\nvar s string = 3", err: "CompileError: cell 13:2:16: cannot use 3 (untyped int constant) as string value in variable declaration"},
		{name: "undefined", code: "a +\n  nosuch", err: "CompileError: cell 14:2:3: undefined: nosuch"},
		{name: "syntax error", code: "for {\n)", err: "CompileError: cell 15:2:1: syntax error"},
		{name: "panic", code: "var p *struct{ A int }\np.A", err: "Panic: runtime error: invalid memory address or nil pointer dereference"},
		{name: "os.Exit", code: "os.Exit(3)", err: "Exit: os.Exit(3)"},
		{name: "index", code: "[]int{1}[len(x)]", err: "Panic: runtime error: index out of range"},
		{name: "the session lives", code: "a + b", shown: "3"},
		{name: "any order", code: "show()\nfunc show() { fmt.Println(limit) }\nconst limit = 7", out: "7\n"},
		{name: "no package wins twice", code: "rand.New(rand.NewPCG(1, 2)).IntN(10) >= 0", shown: "true"},
		{name: "struct", code: "type P struct { Name string; age int }\n[]P{{\"ann\", 3}}", shown: " Name │ age \n──────┼─────\n ann  │ 3   "},
		{name: "map", code: "map[P]int{{\"b\", 1}: 2, {\"a\", 9}: 1}", shown: " key            │ value \n────────────────┼───────\n {Name:a age:9} │ 1     \n {Name:b age:1} │ 2     "},
		{name: "map of numbers", code: "map[int]float64{10: 1.0 / 3, 9: 2}", shown: " key │ value    \n─────┼──────────\n 9   │ 2        \n 10  │ 0.333333 "},
		{name: "rows", code: "[][]float64{{1, 2}, {3}}", shown: "   │ 0 │ 1 \n───┼───┼───\n 0 │ 1 │ 2 \n 1 │ 3 │   "},
		{name: "bundle of one's own", code: "type B struct{}\nfunc (B) MIMEBundle() map[string]any { return map[string]any{\"text/html\": \"<b>x</b>\", \"text/plain\": \"bold x\"} }\nB{}", shown: "bold x"},
		{name: "stdout of compiled code", code: "log.SetFlags(0)\nfmt.Fprintln(os.Stdout, \"one\")\nos.Stdout.WriteString(\"two\\n\")", out: "one\ntwo\n", shown: "4, <nil>"},
		{name: "matrix", code: "mat.NewDense(2, 2, []float64{1, 2, 3, 4})", shown: "2×2\n⎡1  2⎤\n⎣3  4⎦"},
		{name: "println", code: "println(\"x\", 1.5)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, shown, err := Run(t, k, tt.code)
			if out != tt.out || shown != tt.shown {
				t.Errorf("printed %q, showed %q; want %q, %q", out, shown, tt.out, tt.shown)
			}
			switch {
			case err == nil && tt.err != "":
				t.Errorf("no error, want %q", tt.err)
			case err != nil && (tt.err == "" || !strings.HasPrefix(err.Error(), tt.err)):
				t.Errorf("error %q, want %q", err.Error(), tt.err)
			}
		})
	}
}

// TestInterruptTraining stops reward.Train within half a second and finds the variables still there.
func TestInterruptTraining(t *testing.T) {
	k := Start(t)
	if _, _, err := Run(t, k, `base, err := llm.Load(ctx, "data/world/backbone")
rows := &prefs.Pairs{}
for i := range 400 {
	rows.Rows = append(rows.Rows, prefs.Pair{Prompt: "name two foods .", Chosen: "apple , bread .", Rejected: "cat .", })
	_ = i
}
kept := 41`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	bars := 0
	var stopped time.Time
	r, err := k.Execute(ctx, `rm, err := reward.Train(ctx, base, rows, &reward.Options{Epochs: 100000})`, func(o notebook.Output) {
		if client.IsProgress(o) {
			if bars++; bars == 3 {
				stopped = time.Now()
				cancel()
			}
		}
	})
	took := time.Since(stopped)
	if err != nil {
		t.Fatal(err)
	}
	if r.Err == nil || r.Err.Name != "Interrupt" {
		t.Errorf("error %v, want an Interrupt", r.Err)
	}
	if bars < 3 {
		t.Errorf("%d progress messages", bars)
	}
	if took > 500*time.Millisecond {
		t.Errorf("the interrupt took %v", took)
	}
	ids := map[string]bool{}
	for _, o := range r.Outputs {
		if client.IsProgress(o) {
			ids[o.DisplayID] = true
		}
	}
	if len(ids) != 1 {
		t.Errorf("%d bars, want one that is updated in place", len(ids))
	}
	for _, o := range r.Outputs {
		if client.IsProgress(o) && o.Data["text/plain"] != "" {
			t.Errorf("the cell has ended, and its bar still says %v", o.Data["text/plain"])
		}
	}
	if _, shown, err := Run(t, k, "kept + 1"); shown != "42" || err != nil {
		t.Errorf("afterwards: %q, error %v", shown, err)
	}
}

func TestPlotAndTable(t *testing.T) {
	k := Start(t)
	r, err := k.Execute(context.Background(), `p := plot.New()
line, err := plotter.NewLine(plotter.XYs{{X: 0, Y: 0}, {X: 1, Y: 2}})
p.Add(line)
p`, nil)
	if err != nil || r.Err != nil || len(r.Outputs) != 1 {
		t.Fatalf("%v, %v, %d outputs", err, r.Err, len(r.Outputs))
	}
	d := r.Outputs[0].Data
	if svg, _ := d["image/svg+xml"].(string); !strings.Contains(svg, "<svg") {
		t.Error("no SVG")
	}
	if png, _ := d["image/png"].(string); !strings.HasPrefix(png, "iVBOR") {
		t.Error("no PNG")
	}
	r, err = k.Execute(context.Background(), "[]struct{ A int; B string }{{1, \"<x>\"}, {2, \"y\"}}", nil)
	if err != nil || r.Err != nil || len(r.Outputs) != 1 {
		t.Fatalf("%v, %v, %d outputs", err, r.Err, len(r.Outputs))
	}
	if html, _ := r.Outputs[0].Data["text/html"].(string); !strings.Contains(html, "<th>A</th>") || !strings.Contains(html, "&lt;x&gt;") {
		t.Errorf("table %q", html)
	}
	if md, _ := r.Outputs[0].Data["text/markdown"].(string); !strings.HasPrefix(md, "| A | B |\n| --- | --- |") {
		t.Errorf("Markdown %q", md)
	}
	if csv, _ := r.Outputs[0].Data["text/csv"].(string); csv != "A,B\n1,<x>\n2,y\n" {
		t.Errorf("CSV %q", csv)
	}
}

// TestBulkOutput: ten megabytes in one cell arrive complete, in few messages.
func TestBulkOutput(t *testing.T) {
	k := Start(t)
	messages := 0
	r, err := k.Execute(context.Background(), "line := strings.Repeat(\"x\", 999)\nfor range 10000 { fmt.Println(line) }", func(notebook.Output) { messages++ })
	if err != nil || r.Err != nil {
		t.Fatal(err, r.Err)
	}
	if n := len(Streams(r.Outputs, "stdout")); n != 10_000_000 {
		t.Errorf("%d bytes, want 10,000,000", n)
	}
	if messages > 200 {
		t.Errorf("%d messages, want at most 200", messages)
	}
}

func TestInput(t *testing.T) {
	k := Start(t)
	if _, _, err := Run(t, k, "var s string\n_, err := fmt.Scanln(&s)"); err == nil || !strings.Contains(err.Value, "allow_stdin") {
		t.Errorf("error %v", err)
	}
	k.Input = func(string) (string, error) { return "gopher", nil }
	if out, _, err := Run(t, k, "fmt.Scanln(&s)\nfmt.Println(\"got\", s)\nr := bufio.NewScanner(os.Stdin)\nr.Scan()\nfmt.Println(r.Text())"); out != "got gopher\ngopher\n" || err != nil {
		t.Errorf("printed %q, error %v", out, err)
	}
}

// TestRunCommand runs a program and a notebook by `bayesrm run`.
func TestRunCommand(t *testing.T) {
	bin, dir := Binary(t), t.TempDir()
	write := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return p
	}
	run := func(args ...string) (string, string, int) {
		cmd := exec.Command(bin, append([]string{"run"}, args...)...)
		var out, errs strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &errs
		cmd.Stdin = strings.NewReader("")
		_ = cmd.Run() // the status is what counts
		return out.String(), errs.String(), cmd.ProcessState.ExitCode()
	}
	prog := write("a.go", "package main\n\nimport (\n\t\"flag\"\n\t\"fmt\"\n\t\"os\"\n)\n\nfunc main() {\n\tflag.Parse()\n\tfmt.Println(os.Args[1:], flag.Args())\n\tif len(os.Args) > 2 {\n\t\tos.Exit(7)\n\t}\n}\n")
	if out, errs, code := run(prog, "--", "x"); out != "[x] [x]\n" || code != 0 {
		t.Errorf("printed %q, %q, status %d", out, errs, code)
	}
	if _, _, code := run(prog, "--", "x", "y"); code != 7 {
		t.Errorf("status %d, want 7", code)
	}
	order := write("order.go", "package main\n\nimport \"fmt\"\n\nvar a = b + 1\nvar b = f()\n\nfunc f() int { return 40 }\n\nfunc init() { a++ }\nfunc init() { fmt.Println(\"init\", a) }\n\nfunc main() { fmt.Println(\"main\", a) }\n")
	if out, errs, code := run(order); out != "init 42\nmain 42\n" || code != 0 {
		t.Errorf("printed %q, %q, status %d", out, errs, code)
	}
	crash := write("crash.go", "package main\n\nfunc main() {\n\tm := map[int]int{}\n\tfor range 8 {\n\t\tgo func() {\n\t\t\tfor {\n\t\t\t\tm[1]++\n\t\t\t}\n\t\t}()\n\t}\n\tselect {}\n}\n")
	if _, errs, code := run(crash); code != 1 || !strings.Contains(errs, "maps.fatal") {
		t.Errorf("a crash printed %q, status %d", errs, code)
	}
	ends := write("ends.go", "package main\n\nimport \"testing\"\n\nfunc main() {\n\ttesting.Main(func(a, b string) (bool, error) { return true, nil }, nil, nil, nil)\n}\n")
	if _, errs, code := run(ends); code != 0 {
		t.Errorf("a program that compiled code ended with success: %q, status %d", errs, code)
	}
	bad := write("b.go", "package main\n\nfunc main() {\n\tvar x int = \"s\"\n}\n")
	if _, errs, code := run(bad); code != 1 || !strings.Contains(errs, "cell 1:4:14") {
		t.Errorf("printed %q, status %d", errs, code)
	}
	nb := write("n.ipynb", `{"nbformat":4,"nbformat_minor":4,"metadata":{},"cells":[
{"cell_type":"code","metadata":{"tags":["parameters"]},"source":["n := 1\n","s := \"a\""],"outputs":[],"execution_count":null},
{"cell_type":"code","metadata":{},"source":"fmt.Println(n*2, s)\n[]struct{ N int }{{n}}","outputs":[],"execution_count":null}]}`)
	out, errs, code := run(nb, "--out", filepath.Join(dir, "o.ipynb"), "--html", filepath.Join(dir, "o.html"), "--files", filepath.Join(dir, "f"), "-p", "n=21", "-p", "s=b c")
	if !strings.HasPrefix(out, "42 b c\n") || code != 0 {
		t.Fatalf("printed %q, %q, status %d", out, errs, code)
	}
	done, err := notebook.Read(filepath.Join(dir, "o.ipynb"))
	if err != nil || len(done.Cells) != 3 || !done.Cells[1].HasTag("injected-parameters") || len(done.Cells[2].Outputs) != 2 {
		t.Errorf("executed notebook %+v, error %v", done, err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "f", "cell-03-2.csv")); err != nil || string(b) != "N\n21\n" {
		t.Errorf("CSV %q, error %v", b, err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "o.html")); err != nil || !strings.Contains(string(b), "42 b c") {
		t.Errorf("page of %d bytes, error %v", len(b), err)
	}
	if _, errs, code := run(nb, "-p", "nosuch=1"); code != 1 || !strings.Contains(errs, "undefined: nosuch") {
		t.Errorf("printed %q, status %d", errs, code)
	}
	if _, errs, code := run(filepath.Join(dir, "none.ipynb")); code != 1 || !strings.Contains(errs, "none.ipynb") {
		t.Errorf("printed %q, status %d", errs, code)
	}
}

// TestHundredsOfCells: a cell late in a session costs about what an early one does.
func TestHundredsOfCells(t *testing.T) {
	k := Start(t)
	for i := range 300 {
		if _, shown, err := Run(t, k, fmt.Sprintf("v%d := %d\nv%d", i, i, i)); err != nil || shown != fmt.Sprint(i) {
			t.Fatalf("cell %d: %q, error %v", i, shown, err)
		}
	}
	if _, shown, err := Run(t, k, "v0 + v150 + v299"); shown != "449" || err != nil {
		t.Errorf("%q, error %v", shown, err)
	}
}
