package main

import (
	"archive/zip"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLinked: everything that is linked in has a licence that is known, and one that allows it.
func TestLinked(t *testing.T) {
	root, err := repository()
	if err != nil {
		t.Fatal(err)
	}
	ms, err := linked(root, "linux", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, m := range ms {
		seen[m.Path] = m.licence
		if strings.Contains(m.licence, "GPL") {
			t.Errorf("%v", m)
		}
	}
	for path, want := range map[string]string{"std": "BSD-3-Clause", "github.com/traefik/yaegi": "Apache-2.0", "github.com/alecthomas/kong": "MIT"} {
		if seen[path] != want {
			t.Errorf("%s: %q, want %s", path, seen[path], want)
		}
	}
	none := module{Path: "example.org/none", Dir: t.TempDir()}
	if err := none.read(); err == nil || !strings.Contains(err.Error(), "example.org/none") {
		t.Errorf("a module without a licence: %v", err)
	}
}

// TestArchive: an archive depends on the files alone, not on their times, and the kernel in it may be run.
func TestArchive(t *testing.T) {
	var sums []string
	out := t.TempDir()
	for range 2 {
		dir := t.TempDir()
		for _, f := range []string{"README.md", "bayesrm/bayesrm.exe"} {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, f)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, f), []byte(f), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		sum, err := archive(filepath.Join(out, "a.zip"), dir, writeZip)
		if err != nil {
			t.Fatal(err)
		}
		sums = append(sums, sum)
	}
	b, err := os.ReadFile(filepath.Join(out, "a.zip"))
	if err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil || sums[0] != sums[1] || len(z.File) != 2 || z.File[1].Name != "bayesrm/bayesrm.exe" || z.File[1].Mode().Perm() != 0o755 {
		t.Errorf("sums %v, error %v, files %v", sums, err, z.File)
	}
}
