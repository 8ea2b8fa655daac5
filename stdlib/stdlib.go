// Package stdlib holds what a cell may import: for std, gonum and this project the compiled symbols (package symbols),
// the export data that the type checker reads, the documentation, and the source of std's generic packages, which is lowered like a cell.
//
// Everything here but this file, overlay/ and symbols/symbols.go is generated; CI regenerates it and fails on a difference.
package stdlib

//go:generate go run -C ../.ci/tools ./stdlibgen ../../stdlib

import (
	"bytes"
	"compress/gzip"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

var (
	//go:embed export
	exportFS embed.FS
	//go:embed source overlay
	sourceFS embed.FS
	//go:embed doc
	docFS embed.FS
)

// Export returns the export data of the package with the given import path, for gcexportdata.Read.
func Export(importPath string) (io.Reader, error) {
	b, err := exportFS.ReadFile("export/" + importPath + ".gz")
	if err != nil {
		return nil, NoPackage(importPath)
	}
	return gzip.NewReader(bytes.NewReader(b))
}

// NoPackage is the error of an import path that cells cannot use.
func NoPackage(importPath string) error {
	return fmt.Errorf("no package %s among those that cells can use", importPath)
}

// Docs returns the doc comments of a package by what they describe: "" for the package itself, "Name", and "Type.Member" for
// methods and fields. It returns nil for a package that it does not know.
func Docs(importPath string) map[string]string {
	b, err := docFS.ReadFile("doc/" + importPath + ".gz")
	if err != nil {
		return nil
	}
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil
	}
	var docs map[string]string
	if json.NewDecoder(r).Decode(&docs) != nil {
		return nil
	}
	return docs
}

// Source returns the files of a generic package, by name, or nil if the package is not kept as source. Overlays, our
// replacements for what the interpreter cannot run, lie under overlay/ by import path.
func Source(importPath string) map[string][]byte {
	for _, root := range []string{"overlay/", "source/"} {
		files, err := fs.Glob(sourceFS, root+importPath+"/*.go.txt")
		if err != nil || len(files) == 0 {
			continue
		}
		out := map[string][]byte{}
		for _, f := range files {
			b, err := sourceFS.ReadFile(f)
			if err != nil {
				return nil
			}
			out[strings.TrimSuffix(path.Base(f), ".txt")] = b
		}
		return out
	}
	return nil
}

// Companion returns the source of generic declarations of a package that is otherwise compiled (sync.OnceValue, atomic.Pointer), or nil.
func Companion(importPath string) []byte {
	b, err := sourceFS.ReadFile("overlay/" + importPath + "/companion.txt")
	if err != nil {
		return nil
	}
	return b
}

// Paths lists the import paths of every package that can be type-checked: compiled ones and those kept as source.
func Paths() []string {
	var ps []string
	_ = fs.WalkDir(exportFS, "export", func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			ps = append(ps, strings.TrimSuffix(strings.TrimPrefix(p, "export/"), ".gz"))
		}
		return nil
	})
	return append(ps, "cmp", "iter", "maps", "slices")
}
