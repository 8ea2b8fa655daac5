package session

import (
	"strings"
	"testing"
)

// TestHints: what a compile error suggests.
func TestHints(t *testing.T) {
	s := New()
	n := 0
	prepare := func(code string) string {
		n++
		_, err := s.Prepare(n, code)
		if err == nil {
			return ""
		}
		return strings.Join(s.Report(err).Traceback, "\n")
	}
	if e := prepare("type Point struct{ Left, Top float64 }\nfunc (Point) Norm() float64 { return 0 }\nvar p Point\nwidth, count := 1.5, 2\nfunc half(x float64) float64 { return x / 2 }\nfunc at(p *Point) {}"); e != "" {
		t.Fatal(e)
	}
	for _, tt := range []struct{ name, code, want string }{
		{"misspelt package", "strngs.ToUpper(\"a\")", "did you mean strings?"},
		{"misspelt variable", "widht + 1", "did you mean width?"},
		{"another case", "Width + 1", "did you mean width?"},
		{"of the cell itself", "height := 3\nfmt.Println(heigth)", "did you mean height?"},
		{"a local", "func f(texts []string) { fmt.Println(text) }", "did you mean texts?"},
		{"a type", "var q Piont", "did you mean Point?"},
		{"keyword of another language", "var q strin", "did you mean string?"},
		{"member of a package", "fmt.Prntln(\"a\")", "did you mean fmt.Println?"},
		{"of the prelude", "hlep()", "did you mean help?"},
		{"field", "p.Lfet", "did you mean Left?"},
		{"method", "p.norm()", "did you mean Norm?"},
		{"field in a literal", "Point{Tpo: 1}", "did you mean Top?"},
		{"field of an embedded type", "var s struct{ Point }\ns.Lfet", "did you mean Left?"},
		{"no field that cells cannot name", "var b strings.Builder\nb.Addr", ""},
		{"no method in a literal", "Point{Nrom: 1}", ""},
		{"field of ours", "&reward.Options{rank: 1}", "did you mean Rank?"},
		{"no such package", "numpy.Array()", "no package is called numpy here"},
		{"number types", "half(count)", "convert it: float64(count)"},
		{"mixed numbers", "width * count", "convert one of the two: float64(…) or int(…)"},
		{"a way out", "exit", "Ctrl-D leaves the console"},
		{"of Python", "x := None", "it is nil in Go"},
		{"address", "at(p)", "take its address: &p"},
		{"results", "x := strconv.Atoi(\"1\")", "name every result"},
		{"import of elsewhere", "import \"example.com/mean\"", "others cannot be fetched"},
		{"import that others make", "import \"internal/abi\"", "no package internal/abi among those that cells can use"},
		{"only on one system", "import \"syscall\"\nvar s syscall.Stat_t", "undefined: syscall.Stat_t"},
		{"import that moved", "import \"golang.org/x/exp/slices\"", "did you mean \"slices\"?"},
		{"version of an import", "import \"math/rand/v3\"", "did you mean \"math/rand/v2\"?"},
		{"misspelt import", "import \"encoding/jsn2\"\nimport \"fmtt\"", "did you mean \"fmt\"?"},
		{"of another kernel", "Display(1)", "display.Show"},
		{"a magic", "%time f()", "cells are plain Go"},
		{"a command", "!ls -l", "shell(\"ls\")"},
		{"a question", "fmt?", "help()"},
		{"no question", "x := 5 + // why?", ""},
		{"nothing near", "quetzalcoatl", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := prepare(tt.code)
			lines := strings.Split(got, "\n")
			last := strings.TrimSpace(lines[len(lines)-1])
			if tt.want == "" && !strings.HasSuffix(last, "^"+plain) || !strings.Contains(got, tt.want) {
				t.Errorf("%s\nwant %q", got, tt.want)
			}
		})
	}
}
