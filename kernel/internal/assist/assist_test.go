package assist

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gobayes/kernel/internal/session"
)

// started returns an assistant for a session that has run the cells.
func started(t testing.TB, cells ...string) *Assistant {
	t.Helper()
	s := session.New()
	for i, c := range cells {
		r, err := s.Prepare(i+1, c)
		if err == nil {
			err = s.Run(context.Background(), r)
		}
		if err != nil {
			t.Fatalf("cell %d: %v", i+1, err)
		}
	}
	return New(s)
}

const setup = `// Point is a place
// in the plane.
type Point struct {
	X float64 // to the right
	y int
}

// Norm is the distance from the origin.
func (p *Point) Norm() float64 { return p.X }

var width, name = 3.5, "n"
func twice(x float64) float64 { return 2 * x }
points := []Point{{X: 1}}
opts := &reward.Options{Rank: 4}`

// TestComplete: the cursor stands at the |.
func TestComplete(t *testing.T) {
	a := started(t, setup)
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, code, want, not string }{
		{"package member", "strings.Has|", "HasPrefix HasSuffix", "Index"},
		{"session variable", "wid|", "width", ""},
		{"exact case first", "n|", "name", ""},
		{"user's own field and method", "points[0].|", "Norm X y", ""},
		{"result of a call", "strings.NewReader(\"x\").|", "Len Read ReadAt", "Cut"},
		{"result in a call", "twice(points[0].|)", "X Norm y", ""},
		{"promoted fields", "var r http.Request\nr.URL.Us|", "User", ""},
		{"local variable", "func f(count int, texts []string) {\n\tfor i, text := range texts {\n\t\tte|", "text texts", "after"},
		{"of a local's type", "func f(texts []string) {\n\tb := strings.Builder{}\n\tfor i := range texts {\n\t\tif b.Wr|", "Write WriteByte WriteRune WriteString", ""},
		{"not the locals of others", "func g() { hidden := 1; _ = hidden }\nhid|", "", "hidden"},
		{"in the header of an if", "if width > wid|", "width", ""},
		{"in a case", "switch name {\ncase na|", "name", ""},
		{"declared later in the cell", "la|\nfunc later() {}", "later", ""},
		{"fields of options", "reward.Train(ctx, nil, nil, &reward.Options{Ra|", "Rank", ""},
		{"fields that are not set", "&reward.Options{Rank: 3, |}", "AllWeights Alpha", "Rank"},
		{"fields come first", "Point{|}", "X y", ""},
		{"elements without type", "[]Point{{X: 1}, {|", "X y", ""},
		{"a value, not a field", "Point{X: wi|}", "width", ""},
		{"the wanted type first", "twice(|)", "width iota twice", ""},
		{"the wanted type first, of a field", "Point{X: |}", "width", ""},
		{"the wanted type first, of an element", "strings.ToUpper(|)", "name", ""},
		{"another case", "strings.hasp|", "HasPrefix", ""},
		{"contains", "strings.suffix|", "CutSuffix HasSuffix TrimSuffix", ""},
		{"package", "lapl|", "laplace", ""},
		{"keyword", "ret|", "return", ""},
		{"generic package", "slices.Sort|", "Sort SortFunc SortStableFunc", ""},
		{"type", "func h(p Poi|", "Point", ""},
		{"method expression", "(*Point).N|", "Norm", "X"},
		{"pointer to a struct", "opts.Ra|", "Rank", ""},
		{"in a string", "x := \"wid|", "", "width"},
		{"in a comment", "// wid|", "", "width"},
		{"after a string", "\"a\" + na|", "name", ""},
		{"import", "import \"encoding/js|", "encoding/json", ""},
		{"import in brackets", "import (\n\t\"fmt\"\n\t\"encoding/js|", "encoding/json", ""},
		{"file", "os.Open(\"" + dir + "/fo|", dir + "/folder/", ""},
		{"after code that does not parse", "x := = 3\nwid|", "width", ""},
		{"nothing", "nosuch.|", "", "width"},
		{"not Latin", "größe := 1\ngrö|", "größe", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, after, _ := strings.Cut(tt.code, "|")
			cs, start, end := a.Complete(code+after, len([]rune(code)))
			var got []string
			for _, c := range cs {
				got = append(got, c.Text)
			}
			all := " " + strings.Join(got, " ") + " "
			if want := strings.Fields(tt.want); len(want) > 0 && (len(got) < len(want) || strings.Join(got[:len(want)], " ") != tt.want) {
				t.Errorf("%q, want first %q", got[:min(len(got), 12)], tt.want)
			}
			if tt.not != "" && strings.Contains(all, " "+tt.not+" ") || tt.want == "" && strings.HasSuffix(tt.name, "ing") && len(got) > 0 {
				t.Errorf("%q holds %q", got, tt.not)
			}
			if rs := []rune(code); end != len(rs) || start > end {
				t.Errorf("replaces %d to %d of %q", start, end, code)
			}
		})
	}
}

func TestCompletionTells(t *testing.T) {
	a := started(t, setup)
	find := func(code, name string) Completion {
		cs, _, _ := a.Complete(code, len(code))
		for _, c := range cs {
			if c.Text == name {
				return c
			}
		}
		t.Errorf("%s: no %s", code, name)
		return Completion{}
	}
	for _, tt := range []struct {
		code string
		want Completion
	}{
		{"strings.", Completion{"HasPrefix", "function", "(s string, prefix string) bool", "HasPrefix reports whether the string s begins with prefix."}},
		{"points[0].", Completion{"Norm", "method", "() float64", "Norm is the distance from the origin."}},
		{"points[0].", Completion{"X", "property", "float64", "to the right"}},
		{"", Completion{"width", "instance", "float64", ""}},
		{"Poi", Completion{"Point", "class", "struct", "Point is a place in the plane."}},
		{"math.", Completion{"Pi", "constant", "untyped float", find("math.", "Pi").Doc}},
		{"strin", Completion{"strings", "module", "strings", "Package strings implements simple functions to manipulate UTF-8 encoded strings."}},
		{"laplace.", Completion{"Fit", "function", find("laplace.", "Fit").Signature, find("laplace.", "Fit").Doc}},
	} {
		if got := find(tt.code, tt.want.Text); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.code, got, tt.want)
		}
	}
	if c := find("laplace.", "Fit"); !strings.HasPrefix(c.Doc, "Fit ") || !strings.Contains(c.Signature, "ctx context.Context") {
		t.Errorf("%+v", c)
	}
}

func TestInspect(t *testing.T) {
	a := started(t, setup)
	value := func(name string) (string, bool) { return name + " = …", true }
	for _, tt := range []struct{ name, code, want string }{
		{"function of std", "strings.Has|Prefix", "func strings.HasPrefix(s string, prefix string) bool|HasPrefix reports whether"},
		{"in its arguments", "strings.HasPrefix(\"a\", |", "func strings.HasPrefix"},
		{"the argument itself", "strings.HasPrefix(na|me", "var name string|name = …"},
		{"in a literal in arguments", "reward.Train(ctx, nil, nil, &reward.Options{Rank: 3, |", "func reward.Train"},
		{"ours", "laplace.Fit|", "func laplace.Fit(\n\tctx context.Context,\n|\topts *laplace.Options,\n) (*laplace.Posterior, error)"},
		{"many parameters, some variable", "fmt.Fpr|intf", "func fmt.Fprintf(w io.Writer, format string, a ...any) (n int, err error)"},
		{"gonum", "mat.NewDense|(2, 2, nil)", "func mat.NewDense(r int, c int, data []float64) *mat.Dense|NewDense creates"},
		{"field of options", "reward.Options{Ra|nk: 3}", "field Rank int // of Options|LoRA"},
		{"type with its fields", "reward.Opt|ions{}", "type reward.Options struct|Rank int"},
		{"package", "mat|.NewDense", "package mat // import \"gonum.org/v1/gonum/mat\"|Package mat"},
		{"user's type", "Po|int{}", "type Point struct|in the plane|X float64|func Norm() float64|the distance"},
		{"user's method", "points[0].No|rm()", "Norm() float64|distance from the origin"},
		{"user's field", "points[0].X|", "field X float64 // of Point|to the right"},
		{"user's function", "twi|ce", "func twice(x float64) float64"},
		{"variable of the session", "widt|h + 1", "var width float64|width = …"},
		{"local", "func f(n int) int { return n| + 1 }", "var n int"},
		{"builtin", "app|end(nil, 1)", "append"},
		{"generic", "slices.Sort|", "func slices.Sort[S ~[]E, E cmp.Ordered](x S)|Sort sorts"},
		{"constant", "math.Pi|", "const math.Pi untyped float"},
		{"nothing", "nosuch|", ""},
		{"empty", "|", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, after, _ := strings.Cut(tt.code, "|")
			d, found := a.Inspect(code+after, len([]rune(code)), value)
			if found != (tt.want != "") {
				t.Fatalf("found %v", found)
			}
			for _, part := range strings.Split(tt.want, "|") {
				if !strings.Contains(d.Text, part) || !strings.Contains(d.Markdown, part) {
					t.Errorf("no %q in\n%s\nor\n%s", part, d.Text, d.Markdown)
				}
			}
		})
	}
}

func BenchmarkComplete(b *testing.B) {
	a := started(b, setup)
	b.Run("members", func(b *testing.B) {
		for b.Loop() {
			a.Complete("x := strings.NewReader(name)\nx.", 31)
		}
	})
	old := started(b, setup)
	for i := range 5000 {
		r, err := old.session.Prepare(100+i, fmt.Sprintf("v%d := %d", i, i))
		if err == nil {
			err = old.session.Run(context.Background(), r)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	b.Run("names after 5,000 cells", func(b *testing.B) {
		for b.Loop() {
			old.Complete("x := 3\nv12", 10)
		}
	})
	b.Run("inspect after 5,000 cells", func(b *testing.B) {
		for b.Loop() {
			old.Inspect("x := 3\nv12", 10, nil)
		}
	})
	b.Run("names", func(b *testing.B) {
		for b.Loop() {
			a.Complete("x := 3\nwid", 10)
		}
	})
}
