package policy

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// layers lists the packages of the engine, lowest first: a package imports from lower lines only.
var layers = [][]string{
	{"bayesrm", "bayesrm/progress"},
	{"bayesrm/tensor", "bayesrm/safetensors", "bayesrm/metrics"},
	{"bayesrm/linalg"}, // stands on tensor's kernels
	{"bayesrm/internal/sealed", "bayesrm/nn", "bayesrm/optim", "bayesrm/tokenizer", "bayesrm/penalty", "bayesrm/bestofn"},
	{"bayesrm/llm", "bayesrm/prefs", "bayesrm/figures", "bayesrm/train"},
	{"bayesrm/reward", "bayesrm/sample", "bayesrm/sft"},
	{"bayesrm/laplace", "bayesrm/ppo", "bayesrm/world"},
	{"bayesrm/ensemble"},
	{"bayesrm/study"},
	{"bayesrm/cluster"},
}

type pkg struct {
	ImportPath string
	Dir        string
	Imports    []string
	GoFiles    []string
}

func list(t *testing.T, pattern string) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Imports,GoFiles", pattern)
	cmd.Dir = filepath.Join("..", "..", "..")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %s: %v", pattern, err)
	}
	var ps []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); err == io.EOF {
			return ps
		} else if err != nil {
			t.Fatal(err)
		}
		p.ImportPath = strings.TrimPrefix(p.ImportPath, "gobayes/")
		ps = append(ps, p)
	}
}

func TestLayers(t *testing.T) {
	layer := map[string]int{}
	for i, l := range layers {
		for _, p := range l {
			layer[p] = i
		}
	}
	for _, p := range list(t, "./bayesrm/...") {
		own, ok := layer[p.ImportPath]
		if !ok {
			if !strings.Contains(p.ImportPath, "/internal/") {
				t.Errorf("%s has no line in the table of layers", p.ImportPath)
			}
			continue
		}
		for _, im := range p.Imports {
			im, ours := strings.CutPrefix(im, "gobayes/")
			if !ours {
				continue
			}
			if !strings.HasPrefix(im, "bayesrm") {
				t.Errorf("%s imports %s: the engine knows nothing of the kernel", p.ImportPath, im)
			} else if l, ok := layer[im]; !ok || l >= own {
				t.Errorf("%s (line %d) imports %s (line %d)", p.ImportPath, own, im, l)
			}
		}
	}
}

func TestOnlyEngineImportsYaegi(t *testing.T) {
	for _, p := range list(t, "./...") {
		for _, im := range p.Imports {
			if strings.HasPrefix(im, "github.com/traefik/yaegi") && p.ImportPath != "kernel/internal/engine" {
				t.Errorf("%s imports %s", p.ImportPath, im)
			}
		}
	}
}

// TestNoGenericsInPublicAPI: the tables for the interpreter cannot hold generic functions and types.
func TestNoGenericsInPublicAPI(t *testing.T) {
	n := 0
	for _, p := range append(list(t, "./bayesrm/..."), append(list(t, "./kernel/display"), append(list(t, "./kernel/prelude"), list(t, "./kernel/widgets")...)...)...) {
		if strings.Contains(p.ImportPath, "/internal/") {
			continue
		}
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range f.Decls {
				switch d := d.(type) {
				case *ast.FuncDecl:
					n++
					if d.Name.IsExported() && d.Type.TypeParams != nil {
						t.Errorf("%s: func %s is generic", p.ImportPath, d.Name.Name)
					}
				case *ast.GenDecl:
					for _, s := range d.Specs {
						if ts, ok := s.(*ast.TypeSpec); ok && ts.Name.IsExported() && ts.TypeParams != nil {
							t.Errorf("%s: type %s is generic", p.ImportPath, ts.Name.Name)
						}
					}
				}
			}
		}
	}
	if n < 100 {
		t.Errorf("only %d functions were looked at", n)
	}
}
