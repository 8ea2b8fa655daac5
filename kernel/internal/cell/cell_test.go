package cell

import (
	"errors"
	"go/scanner"
	"strings"
	"testing"
)

func TestSplit(t *testing.T) {
	for _, tt := range []struct {
		name, src string
		kinds     []Kind
	}{
		{"empty", "", nil},
		{"comment", "// nothing\n", nil},
		{"expression", "1 + 2", []Kind{Expr}},
		{"mix", "import \"fmt\"\nx := 1\nfunc f() int { return x }\ntype T int\nvar y = 2\nf()", []Kind{Import, Var, Func, Type, Var, Expr}},
		{"header semicolons", "for i := 0; i < 3; i++ { f(i) }", []Kind{Stmt}},
		{"if with init", "if x := 1; x > 0 { f() } else if y := 2; y > 0 { g() }\nh()", []Kind{Stmt, Expr}},
		{"label", "again:\nfor i := 0; i < 3; i++ { continue again }\nf()", []Kind{Stmt, Expr}},
		{"one line", "a := 1; b := 2; a + b", []Kind{Var, Var, Expr}},
		{"literal called", "func() { f() }()", []Kind{Expr}},
		{"method", "func (t T) M() int { return 1 }", []Kind{Func}},
		{"closure", "f := func() int {\n\treturn 1\n}", []Kind{Var}},
		{"select", "select {\ncase <-c:\ndefault:\n}", []Kind{Stmt}},
		{"field assign", "p.x = 1", []Kind{Stmt}},
		{"raw string", "s := `a;\nb`", []Kind{Var}},
		{"package clause", "package main\nfunc main() {}", []Kind{Import, Func}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			us, err := Split("cell_1", tt.src)
			if err != nil {
				t.Fatal(err)
			}
			if len(us) != len(tt.kinds) {
				t.Fatalf("%d units, want %d", len(us), len(tt.kinds))
			}
			for i, u := range us {
				if u.Kind != tt.kinds[i] {
					t.Errorf("unit %d %q has kind %d, want %d", i, u.Text, u.Kind, tt.kinds[i])
				}
			}
		})
	}
}

func TestPositionsAndSemicolons(t *testing.T) {
	us, err := Split("cell_1", "a := 1\n\n   b(a);")
	if err != nil {
		t.Fatal(err)
	}
	if u := us[1]; u.Line != 3 || u.Column != 4 || !u.Silent || us[0].Silent {
		t.Errorf("%+v", u)
	}
	if _, err := Split("cell_1", "x := 1\n  y := )"); err == nil || !strings.HasPrefix(err.Error(), "2:8:") {
		t.Errorf("error %v", err)
	}
}

// TestErrors: a syntax error names what is in the cell, not what is put around it, and what follows from it is not said.
func TestErrors(t *testing.T) {
	for src, want := range map[string]string{
		"x := 5 +":                         "1:9: expected operand, found the end of the statement",
		"if true {\n\tf()\n":               "2:5: expected '}', found the end of the statement",
		"y := 1\n  foo(1,":                 "2:9: expected operand, found the end of the statement",
		"type T struct { a int":            "1:22: expected '}', found the end of the statement",
		"a b c\nd := 1":                    "1:3: expected ';', found b",
		"%%\nx := 1":                       "1:1: expected statement, found '%'",
		"import (\n\t\"fmt\"\n\t7\n)\nf()": "3:2: import path must be a string",
	} {
		_, err := Split("cell_1", src)
		var list scanner.ErrorList
		if !errors.As(err, &list) || len(list) != 1 || list[0].Error() != want {
			t.Errorf("%q: error %v, want %s", src, list, want)
		}
	}
}

func TestStatus(t *testing.T) {
	for src, want := range map[string]string{
		"1": "complete", "func f(x int) int {": "incomplete", "f(1,": "incomplete", "s := `raw": "incomplete", "/* comment": "incomplete", "x := 1 +": "incomplete",
		"x := )": "invalid", "func 7q() {}": "invalid", "x++": "complete", "": "complete", "\"open": "invalid",
	} {
		if got, _ := Status(src); got != want {
			t.Errorf("%q is %s, want %s", src, got, want)
		}
	}
}

func TestLines(t *testing.T) {
	l := NewLines()
	if name, line := l.Decode(l.Encode("slices/sort.go", 9)); name != "" || line != 9 {
		t.Errorf("%q %d", name, line)
	}
	for n := range 100000 {
		l.Add(Name(n+1), "a\nb")
	}
	l.Add(Name(1000000), strings.Repeat("\n", 99999))
	for _, at := range []struct{ cell, line int }{{1, 1}, {1, 2}, {2, 1}, {32768, 2}, {100000, 2}, {1000000, 1}, {1000000, 100000}} {
		number := l.Encode(Name(at.cell), at.line)
		if name, line := l.Decode(number); name != Name(at.cell) || line != at.line || number >= 1<<30 {
			t.Errorf("cell %d line %d comes back as %s line %d, by way of %d", at.cell, at.line, name, line, number)
		}
	}
}

func FuzzSplit(f *testing.F) {
	for _, s := range []string{"x := 1", "func (", "for {", "`", "import (\"a\";\"b\")", "\x00", "if a;b;c{}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		us, err := Split("cell_1", src)
		if err == nil {
			for _, u := range us {
				if u.Decl == nil && u.Stmt == nil && u.Kind != Import {
					t.Errorf("unit %q has no syntax", u.Text)
				}
			}
		}
		Status(src)
	})
}
