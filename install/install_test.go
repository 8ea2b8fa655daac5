package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"gobayes/kernel/notebook"
)

func TestForeignKernelIsLeft(t *testing.T) {
	prefix := t.TempDir()
	dir := filepath.Join(prefix, "share", "jupyter", "kernels", "bayesrm")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "kernel.json")
	const theirs = `{"argv": ["other"], "display_name": "Other", "language": "go"}`
	if err := os.WriteFile(file, []byte(theirs), 0o644); err != nil {
		t.Fatal(err)
	}
	tg := target{Name: "bayesrm", Prefix: prefix}
	if _, err := tg.install(); err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "--name") {
		t.Errorf("install: error %v", err)
	}
	if err := (&uninstallCmd{tg}).Run(); err == nil {
		t.Error("a foreign kernel was removed")
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != theirs {
		t.Errorf("the kernel of another program is now %q (error %v)", b, err)
	}
}

func TestUnwritableFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := (&target{Name: "bayesrm", Prefix: file}).install(); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("error %v", err)
	}
}

func TestDemoOut(t *testing.T) {
	dir := t.TempDir()
	if err := (&demoCmd{Out: dir}).checkOut(); err != nil {
		t.Errorf("an empty folder: %v", err)
	}
	if err := (&demoCmd{Out: filepath.Join(dir, "new")}).checkOut(); err != nil {
		t.Errorf("a new folder: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "thesis.tex"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := (&demoCmd{Out: dir}).checkOut(); err == nil || !strings.Contains(err.Error(), "--out") {
		t.Errorf("a folder with other files: error %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, mark), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := (&demoCmd{Out: dir}).checkOut(); err != nil {
		t.Errorf("a folder of ours: %v", err)
	}
}

func TestDemoParams(t *testing.T) {
	t.Setenv("BAYESRM_DATA", filepath.Join(t.TempDir(), "none"))
	if _, err := (&demoCmd{}).params(); err == nil || !strings.Contains(err.Error(), "BAYESRM_DATA") {
		t.Errorf("error %v", err)
	}
	t.Setenv("BAYESRM_DATA", "")
	if p, err := (&demoCmd{Param: []string{"seed=2"}}).params(); err != nil || len(p) != 1 {
		t.Errorf("parameters %v, error %v", p, err)
	}
}

// TestParametersExist: the demo sets only parameters that the notebook has.
func TestParametersExist(t *testing.T) {
	data := t.TempDir()
	for _, f := range []string{"models/stories260K", "data/alpaca_eval_pool.jsonl.gz", "data/alpaca_eval_pairs.jsonl.gz"} {
		p := filepath.Join(data, f)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("BAYESRM_DATA", data)
	params, err := (&demoCmd{}).params()
	if err != nil {
		t.Fatal(err)
	}
	nb, err := notebook.Read("../notebooks/01-quickstart.ipynb")
	if err != nil {
		t.Fatal(err)
	}
	var source string
	for _, c := range nb.Cells {
		if c.HasTag("parameters") {
			source = c.Source
		}
	}
	for _, p := range params {
		name, value, _ := strings.Cut(p, "=")
		if !strings.Contains("\n"+source, "\n"+name+" := ") {
			t.Errorf("the notebook has no parameter %s", name)
		}
		if strings.HasSuffix(name, "File") && !filepath.IsAbs(value) {
			t.Errorf("%s is not absolute", p)
		}
	}
}

func TestDataDir(t *testing.T) {
	t.Setenv("JUPYTER_DATA_DIR", "/j")
	if d, err := dataDir(); err != nil || d != "/j" {
		t.Errorf("%q, error %v", d, err)
	}
	t.Setenv("JUPYTER_DATA_DIR", "")
	t.Setenv("XDG_DATA_HOME", "/x")
	if d, err := dataDir(); err != nil || runtime.GOOS == "linux" && d != filepath.Join("/x", "jupyter") {
		t.Errorf("%q, error %v", d, err)
	}
}

func TestSpecIsReadBack(t *testing.T) {
	dir := t.TempDir()
	b, err := json.Marshal(spec{Argv: []string{"x"}, Metadata: map[string]any{"bayesrm": "1"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "kernel.json"), b, 0o644); err != nil {
		t.Fatal(err)
	}
	if s, ours, err := readSpec(dir); err != nil || !ours || s.Argv[0] != "x" {
		t.Errorf("%+v, ours %t, error %v", s, ours, err)
	}
}
