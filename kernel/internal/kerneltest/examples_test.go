package kerneltest

import (
	"bytes"
	"context"
	gobuild "go/build"
	"go/doc"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// failing are the examples of the standard library that do not print what they say, and why; those that do so by chance say "sometimes".
var failing = map[string]string{
	"log/example_test.go Logger":                   "the line of the caller is the interpreter's",
	"log/example_test.go Logger_Output":            "the line of the caller is the interpreter's",
	"log/slog/example_wrap_test.go _wrapping":      "the line of the caller is the interpreter's",
	"runtime/example_test.go Frames":               "the frames are the interpreter's",
	"runtime/example_test.go AddCleanup":           "a generic function that is compiled for no type",
	"os/signal/example_unix_test.go NotifyContext": "sometimes: an interrupt stops the program",
}

// TestExamples runs the examples of the standard library that say what they print, each as a program.
func TestExamples(t *testing.T) {
	root := filepath.Join(gobuild.Default.GOROOT, "src")
	if _, err := os.Stat(filepath.Join(root, "strings", "example_test.go")); err != nil {
		t.Skip("needs the standard library's examples: ", err)
	}
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	passed, all := 0, 0
	err := filepath.WalkDir(root, func(dir string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || !d.IsDir():
			return err
		case slices.Contains([]string{"internal", "vendor", "testdata", "cmd", "_gen"}, d.Name()):
			return filepath.SkipDir
		}
		files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
		if err != nil {
			return err
		}
		fset := token.NewFileSet()
		for _, name := range files {
			if ok, err := gobuild.Default.MatchFile(dir, filepath.Base(name)); !ok || err != nil {
				continue
			}
			f, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
			if err != nil {
				return err
			}
			for _, ex := range doc.Examples(f) {
				if ex.Play == nil || ex.Output == "" && !ex.EmptyOutput { // what cannot stand alone, or says nothing
					continue
				}
				rel, err := filepath.Rel(root, name)
				if err != nil {
					return err
				}
				title := rel + " " + ex.Name
				ex.Output = strings.ReplaceAll(ex.Output, f.Name.Name+".", "main.") // as a program it is in package main
				why := runExample(t, fset, ex, dir)
				all++
				if why == "" {
					passed++
				}
				switch cause, known := failing[title]; {
				case known && why == "" && !strings.HasPrefix(cause, "sometimes"):
					t.Errorf("%s passes, but is said to fail: %s", title, cause)
				case !known && why != "":
					t.Errorf("%s %s", title, why)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d of %d examples print what they say", passed, all)
}

// runExample says in what way an example fails, "" for in none.
func runExample(t *testing.T, fset *token.FileSet, ex *doc.Example, dir string) string {
	var src bytes.Buffer
	if err := format.Node(&src, fset, ex.Play); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(program, src.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	binary := Binary(t) // the first time it is built
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "run", program)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TZ=America/Los_Angeles") // as the tests of package time set it
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return err.Error() + "\n" + errs.String()
	}
	got, want := strings.TrimSpace(string(out)), strings.TrimSpace(ex.Output)
	if ex.Unordered {
		sorted := func(s string) string { return strings.Join(slices.Sorted(strings.SplitSeq(s, "\n")), "\n") }
		got, want = sorted(got), sorted(want)
	}
	if got != want {
		return "printed\n" + got + "\nwant\n" + want
	}
	return ""
}
